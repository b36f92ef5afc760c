"""The websocket to Spoolman: its being up is the link's state; its events tell of spools that others use or delete."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import aiohttp
import orjson

from services.spoolman_sync import booking
from services.spoolman_sync.http import Http, NoAnswer
from services.spoolman_sync.settings import Pace, Settings

log = logging.getLogger("moonbus.spoolman_sync")


class Link:
    """`changed(connected)`, `updated(spool_id, used_mm)` and `deleted(spool_id)` are called as it happens."""

    def __init__(
        self,
        http: Http,
        settings: Settings,
        pace: Pace,
        changed: Callable[[bool], None],
        updated: Callable[[int, float], None],
        deleted: Callable[[int], None],
    ) -> None:
        self._http = http
        self._settings = settings
        self._pace = pace
        self._changed = changed
        self._updated = updated
        self._deleted = deleted

    async def run(self) -> None:
        """Connects for ever, with pauses that grow while nobody answers."""
        pause_s, said = self._pace.reconnect_s, ""
        while True:
            try:
                await self._connected()
                pause_s, said = self._pace.reconnect_s, ""
                log.warning("Spoolman closed the connection; connecting again")
            except (aiohttp.ClientError, NoAnswer, OSError) as error:
                if str(error) != said:
                    log.warning("no connection to Spoolman at %s: %s; trying on", self._settings.api, _why(error))
                    said = str(error)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, self._pace.reconnect_most_s)

    async def _connected(self) -> None:
        """Returns when an established connection ends. A server that hangs misses the answer to a ping, and counts as gone."""
        async with asyncio.timeout(self._pace.connect_timeout_s):
            socket = await self._http.session.ws_connect(
                self._settings.websocket,
                heartbeat=self._pace.ping_s,
                timeout=aiohttp.ClientWSTimeout(ws_close=self._pace.close_s),
            )
        try:
            log.info("connected to Spoolman at %s", self._settings.api)
            self._changed(True)
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._hear(message.data)
        finally:
            self._changed(False)
            await socket.close()

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
        used_mm = booking.used_length_mm(200, payload)
        if kind == "deleted":
            self._deleted(spool_id)
        elif used_mm is not None:
            self._updated(spool_id, used_mm)


def _why(error: Exception) -> str:
    if isinstance(error, aiohttp.WSServerHandshakeError):
        return f"it answers {error.status} to a websocket"
    return str(error) or "no answer"
