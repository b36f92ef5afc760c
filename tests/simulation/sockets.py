"""The kinds of sockets the bus uses, joined by pipes."""

import struct
from typing import Any

import zmq

from tests.simulation.clock import LIFE, is_dead
from tests.simulation.wires import Inlet, Pipe, Wires


class Readable:
    """`FD` is what the loop watches."""

    def __init__(self, inlet: Inlet) -> None:
        self.inlet = inlet

    @property
    def FD(self) -> Inlet:
        return self.inlet

    def get(self, option: int) -> int:
        """Which events are there: only reading matters here."""
        return zmq.POLLIN if self.inlet.items else 0

    def recv_multipart(self, flags: int) -> Any:
        if not self.inlet.items:
            raise zmq.Again()
        return self.inlet.items.popleft()


class Socket(Readable):
    """What all kinds share."""

    def __init__(self, wires: Wires) -> None:
        super().__init__(Inlet())
        self.wires = wires
        self.life = LIFE.get()
        self.closed = False
        wires.sockets.append(self)

    def setsockopt(self, option: int, value: Any) -> None:
        """Only subscriptions matter here."""

    def close(self, linger: int = 0) -> None:
        if not self.closed:
            self.closed = True
            self.wires.sockets.remove(self)
            self.end()

    def end(self) -> None:
        """The connections go."""


class Publisher(Socket):
    """XPUB."""

    def __init__(self, wires: Wires) -> None:
        super().__init__(wires)
        self.pipes: dict[Subscriber, Pipe] = {}
        self.prefixes: dict[Subscriber, list[bytes]] = {}

    def bind(self, address: str) -> None:
        self.wires.bind(address, self)

    def join(self, subscriber: "Subscriber") -> None:
        self.pipes[subscriber] = Pipe(self.wires, subscriber.inlet.put, subscriber.life)
        self.prefixes[subscriber] = []
        for prefix in subscriber.prefixes:
            self.hear(subscriber, b"\x01" + prefix)

    def hear(self, subscriber: "Subscriber", frame: bytes) -> None:
        """A subscription (1) or its end (0)."""
        prefixes = self.prefixes[subscriber]
        if frame[:1] == b"\x01":
            prefixes.append(frame[1:])
        elif frame[1:] in prefixes:
            prefixes.remove(frame[1:])
        self.inlet.put([frame])

    def send_multipart(self, frames: list[bytes], flags: int = 0) -> None:
        if is_dead():
            return
        heard = self.wires.tap(frames)
        topic, weather, random = frames[0], self.wires.weather, self.wires.random
        for subscriber, pipe in self.pipes.items():
            if topic not in self.prefixes[subscriber]:
                continue
            if weather.lost and random.random() < weather.lost:
                self.wires.lose(frames, subscriber)
                continue
            pipe.send(frames, heard)
            if weather.repeated and random.random() < weather.repeated:
                pipe.send(frames, heard)

    def end(self) -> None:
        self.wires.unbind(self)
        for subscriber, pipe in self.pipes.items():
            pipe.open = False
            subscriber.publishers.remove(self)


class Subscriber(Socket):
    """SUB."""

    def __init__(self, wires: Wires) -> None:
        super().__init__(wires)
        self.prefixes: list[bytes] = []
        self.publishers: list[Publisher] = []

    def connect(self, address: str) -> None:
        self.wires.connect(address, self)

    def join(self, publisher: Publisher) -> None:
        self.publishers.append(publisher)
        publisher.join(self)

    def setsockopt(self, option: int, value: Any) -> None:
        if option == zmq.SUBSCRIBE:
            self.prefixes.append(value)
        elif option == zmq.UNSUBSCRIBE:
            self.prefixes.remove(value)
        else:
            return
        sign = b"\x01" if option == zmq.SUBSCRIBE else b"\x00"
        for publisher in self.publishers:
            publisher.hear(self, sign + value)

    def end(self) -> None:
        self.wires.forget(self)
        for publisher in self.publishers:
            publisher.pipes.pop(self).open = False
            for prefix in publisher.prefixes.pop(self):
                publisher.inlet.put([b"\x00" + prefix])


class Router(Socket):
    """ROUTER."""

    def __init__(self, wires: Wires) -> None:
        super().__init__(wires)
        self.dealers: dict[bytes, tuple[Dealer, Pipe]] = {}

    def bind(self, address: str) -> None:
        self.wires.bind(address, self)

    def send_multipart(self, frames: list[bytes], flags: int = 0) -> None:
        if not is_dead() and frames[0] in self.dealers:
            self.dealers[frames[0]][1].send(frames[1:])

    def end(self) -> None:
        self.wires.unbind(self)
        for dealer, pipe in self.dealers.values():
            pipe.open = False
            dealer.part()


class Dealer(Socket):
    """DEALER with IMMEDIATE: without a connection, sending fails."""

    def __init__(self, wires: Wires) -> None:
        super().__init__(wires)
        self.identity = str(len(wires.sockets) + wires.loop.now).encode()
        self.router: Router | None = None
        self._out: Pipe
        self.monitor = Inlet()

    def connect(self, address: str) -> None:
        self.wires.connect(address, self)

    def join(self, router: Router) -> None:
        self.router = router
        self._out = Pipe(self.wires, lambda frames: router.inlet.put([self.identity, *frames]))
        router.dealers[self.identity] = (self, Pipe(self.wires, self.inlet.put))
        self.monitor.put(event(zmq.EVENT_HANDSHAKE_SUCCEEDED))

    def part(self) -> None:
        """The owner is gone."""
        self.router = None
        self._out.open = False
        self.monitor.put(event(zmq.EVENT_DISCONNECTED))

    def send_multipart(self, frames: list[bytes], flags: int = 0) -> None:
        if is_dead():
            return
        if self.router is None:
            raise zmq.Again()
        self._out.send(frames)

    def get_monitor_socket(self, events: int) -> "Monitor":
        return Monitor(self.monitor)

    def disable_monitor(self) -> None:
        """Nothing to do."""

    def end(self) -> None:
        self.wires.forget(self)
        if self.router is not None:
            self.router.dealers.pop(self.identity)
            self._out.open = False


class Monitor(Readable):
    def close(self, linger: int = 0) -> None:
        """Nothing to do."""


def event(number: int) -> list[bytes]:
    """As a socket's monitor says it."""
    return [struct.pack("=hi", number, 0), b""]


KINDS: dict[int, type[Socket]] = {
    zmq.XPUB: Publisher,
    zmq.SUB: Subscriber,
    zmq.ROUTER: Router,
    zmq.DEALER: Dealer,
}
