"""The websocket to Klipper's socket: frames both ways, ends of either side, bounds."""

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from bus.errors import Fault
from bus.testing import eventually
from services.gateway import klippysocket
from services.gateway.klippysocket import KlippySocket


class Klipper:
    """Answers each request with what `answer` makes of it; remembers the frames and counts the connections that are open."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.writers: set[asyncio.StreamWriter] = set()
        self.answer: Callable[[bytes], bytes] = lambda frame: b'{"echo": ' + frame + b"}\x03"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            while True:
                self.frames.append((await reader.readuntil(b"\x03"))[:-1])
                writer.write(self.answer(self.frames[-1]))
        except (asyncio.IncompleteReadError, OSError):
            self.writers.discard(writer)
            writer.close()


@web.middleware
async def faults(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
    try:
        return await handler(request)
    except Fault as fault:
        return web.json_response({"error": {"code": fault.code, "message": fault.message}}, status=fault.code)


Scenario = Callable[[Klipper, aiohttp.ClientSession, str], Awaitable[None]]


def run(scenario: Scenario, listening: bool = True) -> None:
    async def main() -> None:
        klipper = Klipper()
        with tempfile.TemporaryDirectory(prefix="mb") as folder:
            address = Path(folder) / "klippy_uds"
            server = await asyncio.start_unix_server(klipper.serve, address)
            if not listening:
                server.close()
                await server.wait_closed()
            application = web.Application(middlewares=[faults])
            application.router.add_get("/klippysocket", KlippySocket(address).connect)
            runner = web.AppRunner(application, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            try:
                async with aiohttp.ClientSession() as session:
                    await scenario(klipper, session, f"http://127.0.0.1:{runner.addresses[0][1]}/klippysocket")
                    await eventually(lambda: not klipper.writers)
            finally:
                await runner.cleanup()
                server.close()

    asyncio.run(main())


def test_each_message_is_a_frame_both_ways() -> None:
    async def scenario(klipper: Klipper, session: aiohttp.ClientSession, url: str) -> None:
        async with session.ws_connect(url) as first, session.ws_connect(url) as second:
            for number in range(50):
                await first.send_str(json.dumps({"id": number, "method": "info", "text": "ä日"}))
            await second.send_str("{}")
            for number in range(50):
                assert (await first.receive_json())["echo"]["id"] == number
            assert await second.receive_json() == {"echo": {}}
        assert len(klipper.frames) == 51 and not any(b"\x03" in frame for frame in klipper.frames)

    run(scenario)


def test_several_frames_in_a_packet_and_one_in_several() -> None:
    async def scenario(klipper: Klipper, session: aiohttp.ClientSession, url: str) -> None:
        big = b'"' + b"x" * 2_000_000 + b'"'
        klipper.answer = lambda frame: b"{}\x03{}\x03" + big + b"\x03"
        async with session.ws_connect(url, max_msg_size=0) as websocket:
            await websocket.send_str("{}")
            assert [await websocket.receive_str() for _ in range(3)] == ["{}", "{}", big.decode()]

    run(scenario)


def test_klipper_away_is_503_and_plain_http_400() -> None:
    async def away(_: Klipper, session: aiohttp.ClientSession, url: str) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(url)
        assert refused.value.status == 503

    async def plain(_: Klipper, session: aiohttp.ClientSession, url: str) -> None:
        async with session.get(url) as response:
            assert response.status == 400 and "websocket" in (await response.json())["error"]["message"]

    run(away, listening=False)
    run(plain)


def test_the_end_of_klipper_is_the_client_s() -> None:
    async def scenario(klipper: Klipper, session: aiohttp.ClientSession, url: str) -> None:
        async with session.ws_connect(url) as websocket:
            await eventually(lambda: klipper.writers)
            for writer in klipper.writers:
                writer.transport.abort()
            message = await websocket.receive()
            assert (
                message.type is WSMsgType.CLOSE
                and message.data == 1011
                and message.extra == "Klipper ended the connection"
            )

    run(scenario)


@pytest.mark.parametrize("smuggled", ["{}\x03{}", b"{}"])
def test_a_message_is_one_request(smuggled: str | bytes) -> None:
    async def scenario(klipper: Klipper, session: aiohttp.ClientSession, url: str) -> None:
        async with session.ws_connect(url) as websocket:
            await (websocket.send_str(smuggled) if isinstance(smuggled, str) else websocket.send_bytes(smuggled))
            message = await websocket.receive()
            assert message.type is WSMsgType.CLOSE and message.data == 1003
        assert not klipper.frames

    run(scenario)


def test_what_is_too_large_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(klippysocket, "LARGEST_FRAME", 10_000)
    monkeypatch.setattr(klippysocket, "LARGEST_REQUEST", 1_000)

    async def scenario(klipper: Klipper, session: aiohttp.ClientSession, url: str) -> None:
        klipper.answer = lambda _: b"x" * 50_000
        for text, code in (("{}", 1011), ("x" * 2_000, 1009)):
            async with session.ws_connect(url) as websocket:
                await websocket.send_str(text)
                message = await websocket.receive()
                assert message.type is WSMsgType.CLOSE and message.data == code

    run(scenario)


def test_a_klipper_that_does_not_read_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(klippysocket, "SLOW_S", 0.05)

    async def scenario(klipper: Klipper, session: aiohttp.ClientSession, url: str) -> None:
        block = asyncio.Event()

        async def deaf(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await block.wait()
            writer.close()

        with tempfile.TemporaryDirectory(prefix="mb") as folder:
            address = Path(folder) / "deaf"
            server = await asyncio.start_unix_server(deaf, address)
            application = web.Application()
            application.router.add_get("/", KlippySocket(address).connect)
            runner = web.AppRunner(application, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            async with session.ws_connect(f"http://127.0.0.1:{runner.addresses[0][1]}/") as websocket:
                sending = asyncio.create_task(_flood(websocket))
                message = await websocket.receive()
                assert message.type is WSMsgType.CLOSE and message.data == 1011
                sending.cancel()
                await asyncio.wait({sending})
            block.set()
            await runner.cleanup()
            server.close()

    run(scenario)


async def _flood(websocket: aiohttp.ClientWebSocketResponse) -> None:
    while not websocket.closed:
        await websocket.send_str("x" * 500_000)
