"""Who wants which of Klipper's objects, and what each gets of an update. Pure.

Clients with the same subscription share one restricted, once serialised update: 200 open dashboards are usually one or
two different subscriptions.
"""

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

import orjson

from bus.mirror import Objects, Status, restrict, union

Client = TypeVar("Client", bound=Hashable)


class Subscriptions(Generic[Client]):
    """A wish counts for the union at once; updates are delivered from `deliver` on, when the first values were told."""

    def __init__(self) -> None:
        self._wishes: dict[Client, Objects] = {}
        self._delivered: dict[Client, bytes] = {}
        self._groups: dict[bytes, tuple[Objects, set[Client]]] = {}

    def wish(self, client: Client, objects: Objects) -> None:
        """Replaces what the client wished before."""
        self._wishes[client] = objects

    def deliver(self, client: Client, objects: Objects) -> None:
        """From now on `updates` names this client for these objects, and for none it had before."""
        self._leave(client)
        self._wishes[client] = objects
        key = orjson.dumps({name: fields and sorted(set(fields)) for name, fields in objects.items()},
                           option=orjson.OPT_SORT_KEYS)  # fmt: skip
        self._delivered[client] = key
        self._groups.setdefault(key, (objects, set()))[1].add(client)

    def delivered(self, client: Client) -> Objects:
        """The objects this client gets updates of."""
        key = self._delivered.get(client)
        return {} if key is None else self._groups[key][0]

    def drop(self, client: Client) -> None:
        """Forgets a client; one that never subscribed is no error."""
        self._leave(client)
        self._wishes.pop(client, None)

    def union(self) -> Objects:
        """What all of them together want mirrored."""
        return union(*self._wishes.values())

    def updates(self, changes: Status) -> Iterator[tuple[Status, tuple[Client, ...]]]:
        """For each different subscription these changes touch: its part of them, and whose it is."""
        for objects, clients in self._groups.values():
            part = restrict(changes, objects)
            if part:
                yield part, tuple(clients)

    def _leave(self, client: Client) -> None:
        key = self._delivered.pop(client, None)
        if key is None:
            return
        clients = self._groups[key][1]
        clients.discard(client)
        if not clients:
            del self._groups[key]
