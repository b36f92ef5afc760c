"""A push service that is not one: takes every HTTP request, remembers it, and fails as it is told.

`python -m simulators.push_sink --port N` prints one line per push. Apprise reaches it by json://HOST:PORT/any/path (and
form://, xml://); GET of any path ending in .jpg answers a tiny picture, for attachments.
"""

import argparse
import asyncio
import base64
import json
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from aiohttp import web

Mode = Literal["ok", "hang", "error", "cut", "busy"]
RETRY_AFTER_S = 30

JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"
    "AQEBAQEBD/wAALCAABAAEBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAAAP/EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEAAD8AP//Z"
)
"""One pixel."""


class Push(NamedTuple):
    """`time` is epoch seconds. `body` is decoded JSON, a form as a dictionary, or text; `mode` is how it was answered."""

    time: float
    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    mode: Mode

    @property
    def title(self) -> str:
        return str(self.body.get("title", "")) if isinstance(self.body, dict) else ""

    @property
    def message(self) -> str:
        return str(self.body.get("message", "")) if isinstance(self.body, dict) else str(self.body)


class PushSink:
    """`modes` says per path how requests are answered: ok (200), hang (never), error (500), cut (closed without an answer),
    busy (503 with a Retry-After); absent = ok. Requests are remembered in `pushes` whatever their mode; `on_push` hears
    of each."""

    def __init__(
        self, *, port: int = 0, host: str = "127.0.0.1", on_push: Callable[[Push], None] | None = None
    ) -> None:
        self.host, self.port = host, port
        self.pushes: list[Push] = []
        self.modes: dict[str, Mode] = {}
        self._on_push = on_push
        self._arrived = asyncio.Condition()
        self._stopping = asyncio.Event()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """http://host:port"""
        return f"http://{self.host}:{self.port}"

    @property
    def apprise_url(self) -> str:
        """json://host:port, for a notifier; add a path to tell notifiers apart."""
        return f"json://{self.host}:{self.port}"

    async def start(self) -> None:
        """Serves; after stop() on the same port again."""
        self._stopping = asyncio.Event()
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        self._stopping.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def wait_for(self, predicate: Callable[[Push], bool], timeout_s: float = 10.0) -> Push:
        """The first push, past or to come, that `predicate` accepts. TimeoutError names what came instead."""
        found: list[Push] = []

        def arrived() -> bool:
            found.extend(push for push in self.pushes if predicate(push))
            return bool(found)

        try:
            async with asyncio.timeout(timeout_s), self._arrived:
                await self._arrived.wait_for(arrived)
        except TimeoutError:
            seen = [(push.path, push.title, push.message) for push in self.pushes]
            raise TimeoutError(f"no such push within {timeout_s} s; seen: {seen}") from None
        return found[0]

    async def _take(self, request: web.Request) -> web.StreamResponse:
        mode = self.modes.get(request.path, "ok")
        push = Push(time.time(), request.method, request.path, request.headers.copy(), await _body(request), mode)
        async with self._arrived:
            self.pushes.append(push)
            self._arrived.notify_all()
        if self._on_push is not None:
            self._on_push(push)
        if mode == "hang":
            await self._stopping.wait()
        if mode == "cut" and request.transport is not None:
            request.transport.abort()
        if mode == "error":
            return web.Response(status=500, text="injected")
        if mode == "busy":
            return web.Response(status=503, text="later", headers={"Retry-After": str(RETRY_AFTER_S)})
        if request.method == "GET" and request.path.endswith(".jpg"):
            return web.Response(body=JPEG, content_type="image/jpeg")
        return web.Response(text="ok")


async def _body(request: web.Request) -> Any:
    if request.content_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
        form = await request.post()
        return {key: value if isinstance(value, str) else _file_name(value) for key, value in form.items()}
    body = await request.read()
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")


def _file_name(field: web.FileField | bytes | bytearray) -> str:
    return field.filename if isinstance(field, web.FileField) else ""


def _print(push: Push) -> None:
    if push.method != "GET":
        print(f"push: [{push.title}] {' '.join(push.message.split())}", flush=True)


async def _serve(host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    sink = PushSink(host=host, port=port, on_push=_print)
    await sink.start()
    print(f"push sink on {sink.apprise_url}", flush=True)
    await stop.wait()
    await sink.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m simulators.push_sink", description="Takes pushes and prints them.")
    parser.add_argument("--port", type=int, required=True, help="TCP port; 0 = any free one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    arguments = parser.parse_args()
    try:
        asyncio.run(_serve(arguments.host, arguments.port))
    except OSError as error:
        parser.exit(1, f"push sink: cannot listen on {arguments.host}:{arguments.port}: {error.strerror or error}\n")


if __name__ == "__main__":
    main()
