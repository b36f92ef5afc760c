"""The consumer's side of a journal: read on from the cursor whenever there may be something new.

A publication is only a hint. What counts is what the owner's database says, so nothing is missed when the hint was
lost, when this service was down, or when the owner was.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

from bus.envelope import Reply
from bus.errors import Fault
from bus.guard import guarded
from bus.journal import Cursor, Entry

log = logging.getLogger("bus.follow")

TRIED_AGAIN = (Fault, OSError, sqlite3.Error)
"""What passes: an owner or a peer that is away, a full disk. Anything else is a bug; that entry is logged and passed over."""

RETRY_S = 1.0
LOOK_S = 30.0
"""Seconds between looks without any hint: a hint may be lost while nobody's heartbeat was heard yet."""


class Follower:
    """`read(params)` asks the owner's `journal`; `handle(entry)` is awaited for each entry, one at a time."""

    def __init__(
        self,
        topic: str,
        cursor: Cursor,
        read: Callable[[dict[str, Any]], Awaitable[Reply]],
        handle: Callable[[Entry], Awaitable[None]],
    ) -> None:
        self.topic = topic
        self.cursor = cursor
        self._read = read
        self._handle = handle
        self._awake = asyncio.Event()
        self._awake.set()

    def wake(self) -> None:
        self._awake.set()

    async def run(self) -> None:
        """Until cancelled. An owner that is away is asked again; an entry that cannot be handled is tried again."""
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._awake.wait()
            except TimeoutError:
                log.debug("%s: no hint for %g s", self.topic, LOOK_S)
            self._awake.clear()
            try:
                while await self._read_on():
                    pass
            except sqlite3.Error as error:
                log.error("%s: an entry cannot be stored (%s); trying again", self.topic, error)
                await self._rest()
            except TRIED_AGAIN as error:
                log.debug("%s: %s", self.topic, error)
                await self._rest()

    async def _rest(self) -> None:
        await asyncio.sleep(RETRY_S)
        self._awake.set()

    async def _read_on(self) -> bool:
        """Handles the next batch; whether there may be more."""
        position = {"topic": self.topic, "journal_id": self.cursor.journal_id, "number": self.cursor.number}
        answer = (await self._read(position)).result
        for number, at, born, value in answer["entries"]:
            entry = Entry(self.topic, Cursor(answer["journal_id"], number), at, value, born)
            await guarded(self._handle(entry), log, f"handling an entry of {self.topic}", TRIED_AGAIN)
            self.cursor = entry.position
        return bool(answer["entries"])
