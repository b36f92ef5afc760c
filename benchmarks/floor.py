"""What no system in Python can be faster than: processes that do nothing with the bytes they pass on.

`python -m benchmarks.floor FOLDER first|last|only` is such a process. `only` listens at FOLDER/in and sends back what it is sent;
`first` listens there and publishes it to `last`, with ZeroMQ, which sends it to whoever is connected to FOLDER/out.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import zmq

from benchmarks.beside import SYSTEM_CORES, pinned
from benchmarks.figures import Figure
from benchmarks.load import Load
from bus.process import new_loop
from bus.reader import Reader

UPDATE = b"x" * 700
"""As long as a status update in a print."""
PERIOD_S = 0.25
"""Klipper's. Between two updates everything falls asleep, and is out of the processor's caches."""
FORMS = {"one process that only passes them on": ["only"], "two that only pass them on over ZeroMQ": ["first", "last"]}


class _Socket(asyncio.Protocol):
    """Hands on what comes to `take`, notes when."""

    def __init__(self) -> None:
        self.at = 0.0
        self.take: Callable[[bytes], object] = self.write

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.at = time.perf_counter()
        self.take(data)

    def write(self, data: bytes) -> None:
        self._transport.write(data)


async def measure(seconds: float) -> list[Figure]:
    """From the write of one client to the read of another."""
    return [
        Figure(f"as many bytes through {form}, p50", (await _times(names, seconds)).percentile_ms(50), "ms", "less",
               None, alone=True)
        for form, names in FORMS.items()
    ]  # fmt: skip


async def _times(names: list[str], seconds: float) -> Load:
    load, loop = Load(seconds), asyncio.get_running_loop()
    with TemporaryDirectory() as folder, ExitStack() as stack:
        for name in names:
            stack.enter_context(pinned([sys.executable, "-m", __name__, folder, name], {}, SYSTEM_CORES))
        ends = [Path(folder) / end for end in ("in", "out")[: len(names)]]
        while not all(end.exists() for end in ends):
            await asyncio.sleep(0.05)
        sockets = [(await loop.create_unix_connection(_Socket, str(end)))[1] for end in ends]
        for heard in sockets:
            heard.take = lambda _: None
        while not sockets[-1].at:  # what is published before they have found each other is lost
            sockets[0].write(UPDATE)
            await asyncio.sleep(PERIOD_S)
        for _ in range(int(seconds / PERIOD_S)):
            began = time.perf_counter()
            sockets[0].write(UPDATE)
            await asyncio.sleep(PERIOD_S)
            load.took_s.append(sockets[-1].at - began)
    return load


async def serve(folder: Path, name: str) -> None:
    open_: list[_Socket] = []
    bus = zmq.Context().socket(zmq.SUB if name == "last" else zmq.PUB)

    def accept() -> _Socket:
        open_.append(socket := _Socket())
        if name == "first":
            socket.take = bus.send
        return socket

    def hear(frames: list[bytes]) -> None:
        for socket in open_:
            socket.write(frames[0])

    if name == "first":
        bus.bind(f"ipc://{folder}/bus")
    elif name == "last":
        bus.setsockopt(zmq.SUBSCRIBE, b"")
        bus.connect(f"ipc://{folder}/bus")
        Reader(bus, hear)
    path = folder / ("out" if name == "last" else "in")
    async with await asyncio.get_running_loop().create_unix_server(accept, str(path)) as server:
        await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(serve(Path(sys.argv[1]), sys.argv[2]))
