"""The websocket to Spoolman: its being up is the link's state; its events tell of spools that others use or delete."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import orjson

from services.spoolman_sync import booking
from services.spoolman_sync.booking import Reading
from services.spoolman_sync.http import Http, NoAnswer
from services.spoolman_sync.settings import Pace, Settings
from services.spoolman_sync.status import LinkState

log = logging.getLogger("moonbus.spoolman_sync")


class Link:
    """`changed(state)`, `failed(words)`, `updated(spool_id, reading)` and `deleted(spool_id)` are called as it happens."""

    def __init__(
        self,
        http: Http,
        settings: Settings,
        pace: Pace,
        changed: Callable[[LinkState], None],
        failed: Callable[[str], None],
        updated: Callable[[int, Reading], None],
        deleted: Callable[[int], None],
    ) -> None:
        self._http = http
        self._settings = settings
        self._pace = pace
        self._changed = changed
        self._failed = failed
        self._updated = updated
        self._deleted = deleted
        self._state = LinkState(False, time.time())
        self._said = ""
        self._tried = asyncio.Event()

    async def first_try(self) -> None:
        """Waits for the outcome of the first try to connect, a moment at the most: a process that has only just begun knows
        of no outage."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._pace.first_try_s):
                await self._tried.wait()

    async def run(self) -> None:
        """Connects for ever, with pauses that grow while nobody answers."""
        pause_s = self._pace.reconnect_s
        while True:
            try:
                socket = await self._connect()
            except (aiohttp.ClientError, NoAnswer, OSError) as error:
                self._fail(f"no connection to Spoolman at {self._settings.api}: {_why(error)}")
            else:
                pause_s = self._pace.reconnect_s
                self._fail(await self._listen(socket))
            self._tried.set()
            self._tell(False, time.time() + pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, self._pace.reconnect_most_s)

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        self._tell(False)
        async with asyncio.timeout(self._pace.connect_timeout_s):
            return await self._http.session.ws_connect(
                self._settings.websocket,
                heartbeat=self._pace.ping_s,
                timeout=aiohttp.ClientWSTimeout(ws_close=self._pace.close_s),
            )

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> str:
        """Returns when the connection ends, with the reason. A server that hangs misses the answer to a ping, and counts
        as gone."""
        log.info("connected to Spoolman at %s", self._settings.api)
        self._said = ""
        try:
            self._tell(True)
            self._tried.set()
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._hear(message.data)
            hangs = isinstance(socket.exception(), TimeoutError)
        finally:
            self._tell(False)
            await socket.close()
        return "Spoolman does not answer: it hangs, or the network does" if hangs else "Spoolman closed the connection"

    def _fail(self, text: str) -> None:
        """The same reason is told once."""
        if text != self._said:
            self._failed(text)
        self._said = text

    def _tell(self, connected: bool, next_try: float | None = None) -> None:
        since = self._state.since if connected == self._state.connected else time.time()
        self._state = LinkState(connected, since, next_try)
        self._changed(self._state)

    def _hear(self, text: str) -> None:
        try:
            event: Any = orjson.loads(text)
            kind, resource, payload = event["type"], event["resource"], event["payload"]
            spool_id = payload["id"]
        except (orjson.JSONDecodeError, TypeError, KeyError):
            log.debug("not an event of Spoolman's: %.200s", text)
            return
        if resource != "spool" or not isinstance(spool_id, int):
            return
        reading = booking.read_spool(200, payload, time.monotonic())
        if kind == "deleted":
            self._deleted(spool_id)
        elif reading is not None:
            self._updated(spool_id, reading)


def _why(error: Exception) -> str:
    if isinstance(error, aiohttp.WSServerHandshakeError):
        return f"it answers {error.status} to a websocket"
    return str(error) or "no answer"
