"""What every request passes before and after it is served: the log, the password, failures, refusals as answers."""

import asyncio
import base64
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from aiohttp import web
from aiohttp.typedefs import Middleware

from simulators.spoolman.faults import Fault, take_fault
from simulators.spoolman.store import Refused

REMEMBERED_REQUESTS = 10_000

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Request(NamedTuple):
    """`time` is epoch seconds; `path` is without the prefix; `body` is decoded JSON, or the text when it is none."""

    time: float
    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: Any


class Gate:
    """`basic_auth` is (user, password), None = open to all."""

    def __init__(self, prefix: str, basic_auth: tuple[str, str] | None) -> None:
        self.faults: list[Fault] = []
        self.requests: deque[Request] = deque(maxlen=REMEMBERED_REQUESTS)
        self._prefix = prefix
        self._authorization = None
        if basic_auth is not None:
            self._authorization = "Basic " + base64.b64encode(":".join(basic_auth).encode()).decode()
        self._closed = asyncio.Event()

    def open(self) -> None:
        self._closed.clear()

    def close(self) -> None:
        """Requests that hang or are delayed end; they are not executed any more."""
        self._closed.set()

    def middleware(self) -> Middleware:
        """This gate in the form aiohttp wants."""

        @web.middleware
        async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._pass(request, handler)

        return gate

    async def _pass(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        path = request.path.removeprefix(self._prefix)
        body = _decode(await request.read())
        headers = request.headers.copy()
        self.requests.append(Request(time.time(), request.method, path, dict(request.query), headers, body))
        fault = take_fault(self.faults, request.method, path)
        if fault is not None and not await self._before(fault, request):
            return _injected(fault)
        if self._authorization is not None and headers.get("Authorization") != self._authorization:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="Spoolman"'}, text="Unauthorized")
        try:
            response = await handler(request)
        except Refused as refused:
            response = web.json_response(refused.body, status=refused.status)
        except web.HTTPException as error:
            response = web.json_response({"detail": error.reason}, status=error.status)
        if fault is not None and fault.kind == "drop_reply":
            cut(request)
        if fault is not None and fault.kind == "late_reply":
            await self._closes_within(fault.delay_s)
        return response

    async def _before(self, fault: Fault, request: web.Request) -> bool:
        """The part of a fault that comes before the request is executed. False = it is not executed."""
        if fault.kind in ("status", "not_json"):
            return False
        if fault.kind == "cut":
            cut(request)
            return False
        if fault.kind == "hang":
            await self._closed.wait()
            return False
        return fault.kind != "delay" or not await self._closes_within(fault.delay_s)

    async def _closes_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._closed.wait()
        except TimeoutError:
            return False


def cut(request: web.Request) -> None:
    """Closes the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()


def _injected(fault: Fault) -> web.Response:
    if fault.kind == "not_json":
        return web.Response(status=fault.status, text="<html>injected</html>", content_type="text/html")
    return web.json_response(fault.body, status=fault.status)


def _decode(body: bytes) -> Any:
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")
