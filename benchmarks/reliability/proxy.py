"""A reverse proxy as people put before Spoolman: takes a request whole and passes it on, whatever becomes of its client;
answers a websocket's pings itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web


class Proxy:
    """`fail_with`: a status answered to everything instead, as when the proxy lost its upstream."""

    def __init__(self) -> None:
        self.fail_with: int | None = None
        self._upstream: str
        self._runner: web.AppRunner
        self._session: aiohttp.ClientSession
        self._passing: set[asyncio.Task[web.Response]] = set()

    async def start(self, upstream: str) -> str:
        """Returns its URL."""
        self._upstream = upstream
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        for task in self._passing:
            task.cancel()
        await self._session.close()
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._join(request)
        if self.fail_with is not None:
            return web.Response(
                status=self.fail_with, text="<html>the proxy's own words</html>", content_type="text/html"
            )
        task = asyncio.create_task(self._pass(request.method, request.raw_path, await request.read()))
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)
        return await asyncio.shield(task)

    async def _pass(self, method: str, path: str, body: bytes) -> web.Response:
        headers = {"Content-Type": "application/json"} if body else {}
        async with self._session.request(method, f"{self._upstream}{path}", data=body, headers=headers) as answer:
            return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)

    async def _join(self, request: web.Request) -> web.StreamResponse:
        below = web.WebSocketResponse()
        await below.prepare(request)
        async with self._session.ws_connect(f"{self._upstream}{request.raw_path}") as above, _copied(above, below):
            async for _ in below:
                pass
        return below


@asynccontextmanager
async def _copied(above: aiohttp.ClientWebSocketResponse, below: web.WebSocketResponse) -> AsyncIterator[None]:
    async def copy() -> None:
        async for message in above:
            if message.type is aiohttp.WSMsgType.TEXT:
                await below.send_str(message.data)
        await below.close()

    task = asyncio.create_task(copy())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
