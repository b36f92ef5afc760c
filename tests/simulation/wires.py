"""ZeroMQ as the bus uses it, without sockets: what is put in at one end comes out at the other, in virtual time.

Per connection the order is kept, as on a real one; what can happen is what happens there: a message waits, is lost to one
subscriber alone (a full queue loses the newest), comes again because somebody subscribed, or a connection ends.
"""

import contextvars
from collections import deque
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from tests.simulation.clock import Life, VirtualLoop

ORDER_S = 1e-7
"""Timers of one moment run in any order."""
Heard = Callable[[Life | None], None]
Tap = Callable[[list[bytes]], Heard | None]


class Weather:
    """What messages suffer at the moment: probabilities, and the longest delay in seconds."""

    def __init__(self) -> None:
        self.lost = 0.0
        self.repeated = 0.0
        self.delay_s = 0.0


class Inlet:
    """What arrived and was not read yet. Stands for the file descriptor of its socket, too."""

    def __init__(self) -> None:
        self.items: deque[Any] = deque()
        self.wake: Callable[[], object] | None = None

    def put(self, item: Any) -> None:
        self.items.append(item)
        if self.wake is not None:
            self.wake()


class Pipe:
    """One direction of one connection, in order."""

    def __init__(self, wires: "Wires", deliver: Callable[[Any], None], life: Life | None = None) -> None:
        self._wires = wires
        self._deliver = deliver
        self._life = life
        self._busy_until = 0.0
        self.open = True

    def send(self, item: Any, heard: Heard | None = None) -> None:
        wires = self._wires
        now = wires.loop.now
        delay_s = wires.random.random() * wires.weather.delay_s if wires.weather.delay_s else 0.0
        at = max(now + delay_s, self._busy_until + ORDER_S)
        if at <= now:
            self._arrive(item, heard)
            return
        self._busy_until = at
        wires.loop.call_at(at, self._arrive, item, heard, context=wires.context)

    def _arrive(self, item: Any, heard: Heard | None) -> None:
        if self.open:
            self._deliver(item)
            if heard is not None:
                heard(self._life)


class Wires:
    """The context of all sockets. `tap` sees each publication as it is said, `lose` each that a subscriber misses."""

    def __init__(
        self,
        loop: VirtualLoop,
        random: Random,
        kinds: Mapping[int, Callable[["Wires"], Any]],
        tap: Tap,
        lose: Callable[[list[bytes], Any], None],
    ) -> None:
        self.loop = loop
        self.random = random
        self.kinds = kinds
        self.tap = tap
        self.lose = lose
        self.weather = Weather()
        self.sockets: list[Any] = []
        self.context = loop_context()
        self._bound: dict[str, Any] = {}
        self._wanted: list[tuple[str, Any]] = []

    def socket(self, kind: int) -> Any:
        return self.kinds[kind](self)

    def bind(self, address: str, socket: Any) -> None:
        self._bound[address] = socket
        for wanted, other in list(self._wanted):
            if wanted == address:
                self._join_later(address, other)

    def unbind(self, socket: Any) -> None:
        self._bound = {address: bound for address, bound in self._bound.items() if bound is not socket}

    def connect(self, address: str, socket: Any) -> None:
        self._wanted.append((address, socket))
        if address in self._bound:
            self._join_later(address, socket)

    def forget(self, socket: Any) -> None:
        self._wanted = [(address, other) for address, other in self._wanted if other is not socket]

    def _join_later(self, address: str, socket: Any) -> None:
        owner = self._bound[address]
        self.loop.call_later(self.random.random() * 0.3, self._join, address, owner, socket, context=self.context)

    def _join(self, address: str, owner: Any, socket: Any) -> None:
        if self._bound.get(address) is owner and not socket.closed:
            socket.join(owner)

    def cut(self, life: Any) -> None:
        """A process is gone, and its sockets with it."""
        for socket in [socket for socket in self.sockets if socket.life is life]:
            socket.close()


def loop_context() -> contextvars.Context:
    """A context that belongs to no life."""
    return contextvars.Context()
