"""Klipper's objects as the bridge mirrors them: one subscription that is the union of what everybody wants, pure."""

from typing import Any

from bus.mirror import Objects as Wanted
from bus.mirror import Status, difference, union

OWN: Wanted = {
    "webhooks": None,
    "print_stats": None,
    "virtual_sdcard": None,
    "toolhead": ["position", "extruder"],
    "pause_resume": None,
    "idle_timeout": None,
}
"""What the bridge decides by, and what every client asks for: the mirror answers at once, Klipper at its next update."""


class Objects:
    """`covers` is what Klipper was asked for and has answered; it grows while connected."""

    def __init__(self) -> None:
        self.eventtime = 0.0
        self.status: Status = {}
        self.covers: Wanted = {}
        self._wants: dict[str, Wanted] = {"klipper_bridge": OWN}

    @property
    def full_copy(self) -> dict[str, Any]:
        return {"eventtime": self.eventtime, "status": self.status, "covers": self.covers}

    def want(self, service: str, wanted: Wanted) -> None:
        self._wants[service] = wanted

    def lacking(self) -> Wanted | None:
        """The union to subscribe to when it is more than what is covered, else None. What was covered stays so."""
        wanted = union(self.covers, *self._wants.values())
        return wanted if wanted != self.covers else None

    def subscribed(self, answer: dict[str, Any], wanted: Wanted) -> dict[str, Any]:
        """Takes over the full state a subscription is answered with. Returns the mirror's change."""
        status: Status = {**answer["status"]}
        for name in wanted:
            status.setdefault(name, {})
        change = difference(self.status, status)
        self.status = {**self.status, **status}
        self.covers, self.eventtime = wanted, answer["eventtime"]
        return {"eventtime": self.eventtime, "status": change, "covers": wanted}

    def updated(self, update: dict[str, Any]) -> dict[str, Any]:
        """Takes over one of Klipper's updates. Returns the mirror's change, which is the same."""
        changes: Status = update["status"]
        self.status = {**self.status, **{n: {**self.status.get(n, {}), **fields} for n, fields in changes.items()}}
        self.eventtime = update["eventtime"]
        return {"eventtime": self.eventtime, "status": changes}

    def clear(self) -> None:
        """Klipper is gone: nothing is known, and what is wanted has to be asked for again."""
        self.eventtime, self.status, self.covers = 0.0, {}, {}
