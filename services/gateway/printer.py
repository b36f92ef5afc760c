"""The gateway's copy of what the bridge says of the printer, and answers from it."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import orjson

from bus.envelope import Message
from bus.errors import too_late, unavailable
from bus.mirror import Mirror, Objects, Status
from bus.node import Node

OWNER = "klipper_bridge"
NOT_CONNECTED = "Klippy Host not connected"
"""The words clients look for."""
PATIENCE_S = 1.0
"""After the gateway's start the first values may still be on their way for this long."""

MOST_QUERIES_KEPT = 64

WANTED: Objects = {"print_stats": ["filename", "state"]}
"""What the gateway itself has mirrored: which file must not be replaced."""


class Printer:
    """`changed(changes, eventtime)` hears of each update of Klipper's, `stated()` of each printer.state."""

    def __init__(self, node: Node, changed: Callable[[Status, float], None], stated: Callable[[], None]) -> None:
        self.mirror = Mirror()
        self._node = node
        self._changed = changed
        self._stated = stated
        self._state: dict[str, Any] | None = None
        self._news = asyncio.Event()
        self._queried: dict[bytes, bytes] = {}
        self._patient_until = time.monotonic() + PATIENCE_S

    def listen(self) -> None:
        self._node.subscribe("printer.state", self._hear_state)
        self._node.subscribe("printer.objects", self._hear_objects)

    def _hear_state(self, message: Message) -> None:
        self._state = message.value
        self._wake()
        self._stated()

    def _hear_objects(self, message: Message) -> None:
        changes = self.mirror.apply(message)
        self._queried.clear()
        self._wake()
        if changes:
            self._changed(changes, self.mirror.eventtime)

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    @property
    def state(self) -> str:
        """disconnected, startup, ready, shutdown or error. Without a bridge nobody is connected to Klipper."""
        known = self._state is not None and self._state["connected"] and not self._node.silent(OWNER)
        return self._state["state"] if known and self._state is not None else "disconnected"

    @property
    def told(self) -> bool:
        """Whether the bridge has said a first word."""
        return self._state is not None

    @property
    def connected(self) -> bool:
        return self.state != "disconnected"

    @property
    def printing(self) -> str | None:
        """The path below gcodes of the file that is printed or paused."""
        job = self.mirror.status.get("print_stats", {})
        return job.get("filename") or None if job.get("state") in ("printing", "paused") else None

    async def settle(self) -> None:
        """Waits for the first word of the bridge when the gateway has only just started."""
        if self._state is None and (left_s := self._patient_until - time.monotonic()) > 0:
            await self._until(lambda: self._state is not None, left_s)

    async def require_connected(self) -> None:
        """Raises Fault 503 that says who is away."""
        await self.settle()
        if self._node.silent(OWNER):
            raise unavailable(f"{OWNER} is not running: there is no connection to Klipper")
        if not self.connected:
            raise unavailable(NOT_CONNECTED)

    async def cover(self, objects: Objects, timeout_s: float) -> None:
        """Waits until the mirror has these objects. Raises Fault 503 when Klipper goes, 504 when it takes too long."""
        await self._until(lambda: not self.connected or self.mirror.covered(objects), timeout_s)
        await self.require_connected()
        if not self.mirror.covered(objects):
            raise too_late(f"{OWNER} did not get the values of these objects from Klipper within {timeout_s:g} s")

    def select(self, objects: Objects) -> dict[str, Any]:
        """The result of a query or subscription; only of what is covered."""
        return {"eventtime": self.mirror.eventtime, "status": self.mirror.select(objects)}

    def query(self, objects: Objects) -> bytes | None:
        """The same as JSON, None for what is not covered. Encoded once per update of Klipper's and wish."""
        wish = orjson.dumps(objects)
        if wish in self._queried:
            return self._queried[wish]
        if not self.mirror.covered(objects):
            return None
        if len(self._queried) >= MOST_QUERIES_KEPT:
            self._queried.clear()
        return self._queried.setdefault(wish, orjson.dumps(self.select(objects)))

    async def _until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not condition():
            news = self._news
            try:
                async with asyncio.timeout_at(deadline):
                    await news.wait()
            except TimeoutError:
                return
