"""Reads that need no hop: answers from the retained copies of what the owners said last.

They go on while an owner restarts. When it has been silent for longer than its declared period allows, the answer is an
error that names it.
"""

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from bus.api import Method
from bus.envelope import Message
from bus.errors import unavailable
from bus.node import Node
from bus.topics import TOPICS, Kind
from services.gateway.printer import PATIENCE_S, Printer


class Answers:
    """`at_once` gives the result as JSON where it is known, `answer` waits for it at the start; both None when the owner has
    to be asked."""

    def __init__(self, node: Node, printer: Printer, rows: Iterable[Method]) -> None:
        self._node = node
        self._printer = printer
        topics = {row.answer for row in rows if row.answer}
        self._states = sorted(topic for topic in topics if TOPICS[topic].kind is Kind.STATE)
        self._bodies: dict[str, bytes] = {}
        self._came: dict[str, asyncio.Event] = {topic: asyncio.Event() for topic in self._states}
        self._patient_until = time.monotonic() + PATIENCE_S

    def listen(self) -> None:
        for topic in self._states:
            self._node.subscribe(topic, self._hear)

    def _hear(self, message: Message) -> None:
        self._bodies[message.topic] = message.body
        self._came[message.topic].set()

    def at_once(self, row: Method, params: dict[str, Any]) -> bytes | None:
        """Also None where `answer` would wait or fail."""
        if row.answer in self._bodies:
            return None if self._node.silent(row.owner) else self._bodies[row.answer]
        if row.answer in self._came or not self._printer.connected:
            return None
        return self._printer.query(params["objects"])

    async def answer(self, row: Method, params: dict[str, Any]) -> bytes | None:
        """Raises Fault 503 when the owner is away."""
        if row.answer in self._came:
            return await self._state(row, row.answer)
        return await self._objects(params)

    async def _state(self, row: Method, topic: str) -> bytes | None:
        if topic not in self._bodies and (left_s := self._patient_until - time.monotonic()) > 0:
            await _wait(self._came[topic], left_s)
        if self._node.silent(row.owner):
            raise unavailable(f"{row.owner} is not running: {row.name} cannot be answered")
        return self._bodies.get(topic)

    async def _objects(self, params: dict[str, Any]) -> bytes | None:
        await self._printer.require_connected()
        return self._printer.query(params["objects"])


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
