"""A websocket straight to Klipper's API socket: one text message each way is one frame of Klipper's, without its 0x03."""

import asyncio
from pathlib import Path

from aiohttp import WSMsgType, web

from bus.errors import bad_request, unavailable

TERMINATOR = b"\x03"
LARGEST_REQUEST = 1 << 20
LARGEST_FRAME = 8 << 20
"""Bytes; all objects of a large printer with their configuration are a tenth of it."""
SLOW_S = 10.0
"""Seconds one side may leave the other waiting. Klipper itself closes on a client that does not read after 5."""
HEARTBEAT_S = 20.0


class KlippySocket:
    """`address` is the path of Klipper's API socket."""

    def __init__(self, address: Path) -> None:
        self._address = address

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """GET /klippysocket. Lasts as long as both sides do. Raises Fault: 400 for plain HTTP, 503 while Klipper is away."""
        websocket = web.WebSocketResponse(max_msg_size=LARGEST_REQUEST, heartbeat=HEARTBEAT_S)
        if not websocket.can_prepare(request):
            raise bad_request("expected a websocket: connect to ws://HOST:PORT/klippysocket")
        try:
            async with asyncio.timeout(SLOW_S):
                reader, writer = await asyncio.open_unix_connection(self._address, limit=LARGEST_FRAME)
        except OSError as error:
            raise unavailable(f"Klippy Host not connected ({error.strerror or 'no answer'})") from None
        try:
            await websocket.prepare(request)
            await _couple(websocket, reader, writer)
        finally:
            writer.transport.abort()
        return websocket


async def _couple(websocket: web.WebSocketResponse, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    down = asyncio.create_task(_pass_frames(reader, websocket))
    try:
        await _pass_requests(websocket, writer)
    finally:
        down.cancel()
        await asyncio.wait({down})


async def _pass_requests(websocket: web.WebSocketResponse, writer: asyncio.StreamWriter) -> None:
    """Until the client closes or Klipper ends, which closes the websocket."""
    async for message in websocket:
        if message.type is not WSMsgType.TEXT or "\x03" in message.data:
            await websocket.close(code=1003, message=b"expected one JSON object in a text message")
            return
        try:
            async with asyncio.timeout(SLOW_S):
                writer.write(message.data.encode() + TERMINATOR)
                await writer.drain()
        except OSError:
            await websocket.close(code=1011, message=b"Klipper ended the connection")
            return


async def _pass_frames(reader: asyncio.StreamReader, websocket: web.WebSocketResponse) -> None:
    reason = b"Klipper ended the connection"
    try:
        while True:
            frame = await reader.readuntil(TERMINATOR)
            async with asyncio.timeout(SLOW_S):
                await websocket.send_str(frame[:-1].decode(errors="replace"))
    except asyncio.LimitOverrunError:
        reason = b"a message of Klipper's is too large"
    except (OSError, asyncio.IncompleteReadError):
        pass  # Klipper is gone, or the client is, or it does not read
    await websocket.close(code=1011, message=reason)
