"""The subscriber's copy of a mirror topic: Klipper's objects, kept in step.

Wire form: {"eventtime": s, "status": {object: {field: value}}, "covers": {object: null | [field]}}; `covers` says which
objects and fields the mirror carries (null: all of the object's) and is sent in full copies and when it grew.
"""

from typing import Any

from bus.envelope import Message

Objects = dict[str, list[str] | None]
Status = dict[str, dict[str, Any]]


class Mirror:
    """`status` and `covers` are replaced, never changed in place, so a reader may keep what it got."""

    def __init__(self) -> None:
        self.eventtime = 0.0
        self.status: Status = {}
        self.covers: Objects = {}

    def apply(self, message: Message) -> Status:
        """Takes a message over; returns what differs from before, also for a full copy."""
        value = message.value
        before = self.status
        self.eventtime = value["eventtime"]
        self.covers = value.get("covers", self.covers)
        if message.full:
            self.status = value["status"]
            return difference(before, self.status)
        changes: Status = value["status"]
        self.status = {**before, **{name: {**before.get(name, {}), **fields} for name, fields in changes.items()}}
        return changes

    def covered(self, objects: Objects) -> bool:
        """Whether all that is asked for is mirrored."""
        return all(_covers(self.covers, name, fields) for name, fields in objects.items())

    def select(self, objects: Objects) -> Status:
        """The objects asked for: unknown ones as {}, unknown fields as null, as Klipper answers."""
        return select(self.status, objects)


def select(status: Status, objects: Objects) -> Status:
    """What of a full status belongs to these objects and fields."""
    return {
        name: dict(status.get(name, {})) if fields is None else {f: status.get(name, {}).get(f) for f in fields}
        for name, fields in objects.items()
    }


def restrict(changes: Status, objects: Objects) -> Status:
    """What of these changes belongs to these objects and fields; nothing of what did not change."""
    chosen: Status = {}
    for name, fields in changes.items():
        if name in objects:
            wanted = objects[name]
            kept = fields if wanted is None else {f: v for f, v in fields.items() if f in wanted}
            if kept:
                chosen[name] = kept
    return chosen


def union(*wishes: Objects) -> Objects:
    """The smallest set of objects and fields that serves all of these."""
    merged: Objects = {}
    for wish in wishes:
        for name, fields in wish.items():
            known = merged.get(name, [])
            merged[name] = None if fields is None or known is None else sorted({*known, *fields})
    return merged


def difference(before: Status, after: Status) -> Status:
    """The fields of `after` that are new or other than in `before`."""
    changed: Status = {}
    for name, fields in after.items():
        old = before.get(name, {})
        fresh = {f: v for f, v in fields.items() if f not in old or old[f] != v}
        if fresh:
            changed[name] = fresh
    return changed


def _covers(covers: Objects, name: str, fields: list[str] | None) -> bool:
    if name not in covers:
        return False
    carried = covers[name]
    return carried is None or (fields is not None and set(fields) <= set(carried))
