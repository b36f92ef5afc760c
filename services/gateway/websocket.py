"""Websocket clients."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable

from aiohttp import WSCloseCode, WSMsgType, web

from bus.errors import Fault, unavailable
from services.gateway.clients import Clients
from services.gateway.connection import MOST_UNREAD
from services.gateway.http import USER
from services.gateway.rpc import Rpc, Spawn

log = logging.getLogger("moonbus.gateway")

HEARTBEAT_S = 15.0
"""Between pings; a client that does not answer within half of it is gone."""
MOST_MESSAGE_BYTES = 4 * 2**20
FAREWELL_S = 0.3
"""How long a client has to answer our goodbye."""


class Websockets:
    """`most` at once; the next one is told so at the handshake."""

    def __init__(self, clients: Clients, rpc: Rpc, spawn: Spawn, most: int) -> None:
        self._clients = clients
        self._rpc = rpc
        self._spawn = spawn
        self._most = most
        self._open: set[web.WebSocketResponse] = set()

    def __len__(self) -> int:
        return len(self._open)

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """GET /websocket. Strangers get in too: they may identify themselves. Who shows a wrong key learns it at once."""
        if len(self._open) >= self._most:
            raise unavailable(f"{self._most} websockets are open: raise max_websocket_connections in [server]")
        if request[USER] is None and request.headers.get("X-Api-Key"):
            raise Fault(401, "Unauthorized")
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S, max_msg_size=MOST_MESSAGE_BYTES, compress=False, timeout=FAREWELL_S
        )
        self._open.add(socket)
        try:
            await socket.prepare(request)
            await self._serve(request, socket)
        finally:
            self._open.discard(socket)
        return socket

    async def _serve(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        def abort() -> None:
            if request.transport is not None:
                request.transport.abort()

        def push(frames: list[bytes]) -> bool:
            transport = request.transport
            if transport is None or socket.closed or transport.get_write_buffer_size() > MOST_UNREAD:
                return False
            transport.write(b"".join(map(text_message, frames)))
            return True

        def send(frame: bytes) -> Awaitable[None]:
            return socket.send_frame(frame, WSMsgType.TEXT)

        connection = self._clients.open(request.remote or "", request[USER], push, send, abort)
        self._spawn(connection.write())
        try:
            async for message in socket:
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    await self._rpc.receive(connection, message.data)
                else:
                    log.info("%s: %s", connection, message.data)
        finally:
            self._clients.close(connection)

    async def close(self, _: web.Application) -> None:
        """Says goodbye to everybody, and waits a little for their answers."""
        farewells = [socket.close(code=WSCloseCode.GOING_AWAY, message=b"shutting down") for socket in self._open]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2 * FAREWELL_S):
                await asyncio.gather(*farewells, return_exceptions=True)


def text_message(payload: bytes) -> bytes:
    """A whole text message as a server sends it (RFC 6455, section 5.2): one frame, not masked, not compressed."""
    size = len(payload)
    if size < 126:
        return b"\x81%c%b" % (size, payload)
    if size < 65_536:
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), payload)
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), payload)
