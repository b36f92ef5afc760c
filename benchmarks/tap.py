"""Stands between a system and Klipper's socket and notes when each status update passed: what Klipper itself takes to
make one, and to write it, is nobody's of the two."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

EVENTTIME = re.compile(rb'"params":\{"eventtime":([0-9.]+)')
"""Klipper's name of an update, which its clients get, too."""

Passed = dict[float, float]
"""Monotonic times in s by eventtimes."""


class _Side(asyncio.Protocol):
    """One of two connections whose bytes go to the other. What comes before there is another one waits."""

    def __init__(self, passed: Passed | None = None) -> None:
        self._passed = passed
        self._other: _Side | None = None
        self._early = b""
        self._transport: asyncio.Transport

    def join(self, other: "_Side") -> None:
        self._other = other
        other.write(self._early)

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._passed is not None:
            for eventtime in EVENTTIME.findall(data):
                self._passed[float(eventtime)] = time.monotonic()
        if self._other is None:
            self._early += data
        else:
            self._other.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._other is not None:
            self._other.close()

    def close(self) -> None:
        self._transport.close()


@asynccontextmanager
async def tapped(klipper: Path, path: Path) -> AsyncIterator[Passed]:
    """Listens at `path` for a system, whose connections go on to `klipper`."""
    loop = asyncio.get_running_loop()
    passed: Passed = {}
    joining: set[asyncio.Task[None]] = set()

    async def join(near: _Side) -> None:
        try:
            _, far = await loop.create_unix_connection(lambda: _Side(passed), str(klipper))
        except OSError:
            return near.close()
        near.join(far)
        return far.join(near)

    def accept() -> _Side:
        near = _Side()
        joining.add(task := loop.create_task(join(near)))
        task.add_done_callback(joining.discard)
        return near

    async with await loop.create_unix_server(accept, str(path)):
        yield passed
