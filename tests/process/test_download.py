"""Downloads over a real connection."""

import asyncio
import gzip
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from bus.errors import Fault
from services.gateway.download import Downloads
from services.gateway.files import TEMPORARY, Roots

Get = Callable[..., Awaitable[tuple[int, bytes, Any]]]
CONTENT = bytes(range(256)) * 4


@web.middleware
async def faults(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
    try:
        return await handler(request)
    except Fault as fault:
        return web.json_response({"error": {"code": fault.code, "message": fault.message}}, status=fault.code)


def run(data: Path, scenario: Callable[[Get, Path], Awaitable[None]]) -> None:
    async def main() -> None:
        application = web.Application(middlewares=[faults])
        application.router.add_get("/server/files/{root}/{path:.*}", Downloads(Roots(data)).download)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        (data / "gcodes" / "a.gcode").write_bytes(CONTENT)
        async with aiohttp.ClientSession(auto_decompress=False) as session:

            async def get(path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, Any]:
                url = URL(f"http://127.0.0.1:{runner.addresses[0][1]}/server/files/{path}", encoded=True)
                named = {name.replace("_", "-"): value for name, value in headers.items()}
                async with session.request(method, url, headers=named) as response:
                    return response.status, await response.read(), response.headers

            try:
                await scenario(get, data)
            finally:
                await runner.cleanup()

    asyncio.run(main())


def test_a_file_with_all_its_headers(tmp_path: Path) -> None:
    async def scenario(get: Get, _: Path) -> None:
        status, body, headers = await get("gcodes/a.gcode")
        assert (status, body) == (200, CONTENT)
        assert headers["Content-Type"] == "application/octet-stream" and headers["Accept-Ranges"] == "bytes"
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Last-Modified"]
        assert headers["Content-Disposition"] == "attachment; filename*=UTF-8''a.gcode"
        status, body, again = await get("gcodes/a.gcode", If_None_Match=headers["ETag"])
        assert (status, body) == (304, b"") and again["ETag"] == headers["ETag"]
        status, body, head = await get("gcodes/a.gcode", "HEAD")
        assert (status, body, head["Content-Length"]) == (200, b"", str(len(CONTENT)))

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("asked", "status", "got", "said"),
    [
        ("bytes=0-3", 206, CONTENT[:4], "bytes 0-3/1024"),
        ("bytes=1020-", 206, CONTENT[1020:], "bytes 1020-1023/1024"),
        ("bytes=-4", 206, CONTENT[-4:], "bytes 1020-1023/1024"),
        ("bytes=1000-9999", 206, CONTENT[1000:], "bytes 1000-1023/1024"),
        ("bytes=2000-", 416, None, "bytes */1024"),
        ("bytes=x-y", 416, None, "bytes */1024"),
    ],
)
def test_ranges(tmp_path: Path, asked: str, status: int, got: bytes | None, said: str) -> None:
    async def scenario(get: Get, _: Path) -> None:
        code, body, headers = await get("gcodes/a.gcode", Range=asked)
        assert (code, headers["Content-Range"]) == (status, said) and (got is None or body == got)

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("gcodes/none.gcode", 404),
        ("gcodes/", 404),
        ("gcodes/sub", 404),
        ("gcodes/sub/", 404),
        ("docs/a.gcode", 404),
        ("gcodes/pipe", 404),
        (f"gcodes/{TEMPORARY}1", 404),
        ("gcodes/%2e%2e/secret", 400),
        ("gcodes/..%2fsecret", 400),
        ("gcodes/sub%5c..", 400),
        ("gcodes/a%00b", 400),
        ("gcodes//etc/passwd", 400),
        ("gcodes/%2fetc%2fpasswd", 400),
        ("gcodes/" + "x" * 300, 404),
        ("gcodes/" + "x/" * 600 + "y", 400),
    ],
)
def test_what_is_not_served_is_said_in_json(tmp_path: Path, path: str, code: int) -> None:
    async def scenario(get: Get, data: Path) -> None:
        (data / "secret").write_text("s")
        (data / "gcodes" / "sub").mkdir()
        (data / "gcodes" / f"{TEMPORARY}1").write_text("half")
        os.mkfifo(data / "gcodes" / "pipe")
        status, body, headers = await get(path)
        assert status == code and headers["Content-Type"].startswith("application/json") and b'"message"' in body

    run(tmp_path, scenario)


def test_odd_names_and_pages(tmp_path: Path) -> None:
    async def scenario(get: Get, data: Path) -> None:
        (data / "gcodes" / "ünï t%äst.gcode").write_text("u")
        status, body, headers = await get("gcodes/%C3%BCn%C3%AF%20t%25%C3%A4st.gcode")
        assert (status, body) == (200, b"u")
        assert headers["Content-Disposition"].endswith("UTF-8''%C3%BCn%C3%AF%20t%25%C3%A4st.gcode")
        (data / "config" / ".theme").mkdir()
        (data / "config" / ".theme" / "page.html").write_text("<script>")
        (data / "config" / "empty.cfg").touch()
        _, _, headers = await get("config/.theme/page.html")
        assert headers["Content-Disposition"].startswith("attachment")
        assert (await get("config/empty.cfg"))[:2] == (200, b"")

    run(tmp_path, scenario)


def test_an_older_compressed_neighbour_is_another_file(tmp_path: Path) -> None:
    async def scenario(get: Get, data: Path) -> None:
        (data / "logs").mkdir()
        (data / "logs" / "klippy.log").write_text("today")
        (data / "logs" / "klippy.log.gz").write_bytes(gzip.compress(b"yesterday"))
        status, body, headers = await get("logs/klippy.log", Accept_Encoding="gzip, br")
        assert (status, body) == (200, b"today") and "Content-Encoding" not in headers

    run(tmp_path, scenario)
