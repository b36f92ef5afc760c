"""HTTP: routes out of the table of methods, who may come in, and errors as JSON whatever went wrong."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from bus.api import Method
from bus.errors import Fault, bad_request
from services.gateway import arguments
from services.gateway.access import Access, User
from services.gateway.connection import Caller
from services.gateway.methods import Methods
from services.gateway.page import PAGE
from services.gateway.repeats import REPEAT, Repeat
from services.gateway.routes import Route
from services.gateway.rpc import Rpc

log = logging.getLogger("moonbus.gateway")
wire_log = logging.getLogger("moonbus.gateway.wire")
"""For aiohttp, about requests that reach no handler."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

USER = web.RequestKey[User | None]("user", object)  # type: ignore[arg-type]
MOST_BODY_BYTES = 8 * 2**20
"""Of a request that is no upload."""
JSON = {"Content-Type": "application/json; charset=UTF-8"}
CORS_METHODS = "GET, POST, PUT, DELETE, OPTIONS"
CORS_HEADERS = "Origin, Accept, Content-Type, X-Requested-With, X-CRSF-Token, Authorization, X-Access-Token, X-Api-Key"


def reply(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, headers=JSON)


def failure(code: int, message: str) -> web.Response:
    status = code if 400 <= code <= 599 else 500
    return reply(orjson.dumps({"error": {"code": status, "message": message}}), status)


class Http:
    """`raw` are the handlers of rows that want the request itself, `public` the paths open to strangers. Routes that stand
    in no table are added with `add`."""

    def __init__(
        self,
        methods: Methods,
        rpc: Rpc,
        access: Access,
        table: Sequence[Route],
        raw: Mapping[str, Handler],
        public: frozenset[str],
    ) -> None:
        self._methods = methods
        self._rpc = rpc
        self._access = access
        self._public = public | {route.path for route in table if route.method.public}
        self.application = web.Application(middlewares=[_errors, self._door], client_max_size=MOST_BODY_BYTES)
        self.application.on_response_prepare.append(self._allow_origin)
        self.application.on_response_prepare.append(_as_json)
        for route in table:
            self.add(route.verb, route.path, raw[route.method.name] if route.method.raw else self._handler(route))

    def add(self, verb: str, path: str, handler: Handler) -> None:
        self.application.router.add_route(verb, path, handler)

    def _handler(self, route: Route) -> Handler:
        row = route.method

        async def handle(request: web.Request) -> web.Response:
            body = await _body(request)
            given = arguments.collect(
                row, request.rel_url.raw_query_string, request.headers.get("Content-Type", ""), body, request.match_info
            )
            ready = self._methods.at_once(row, given)
            if ready is not None:
                self._remember(request, partial(self._ready_body, row, given))
            result = await self._methods.run(row, given, Caller(request[USER])) if ready is None else ready
            if row.status == 204:
                return web.Response(status=204)
            return reply(_wrapped(row, result), row.status)

        return handle

    def _ready_body(self, row: Method, given: Mapping[str, Any]) -> bytes | None:
        result = self._methods.at_once(row, given)
        return None if result is None else _wrapped(row, result)

    def _remember(self, request: web.Request, answer: Callable[[], bytes | None]) -> None:
        """Lets the same bytes be answered the same way, except for answers that depend on who asks from where."""
        headers, query = request.headers, request.query
        if request.method == "GET" and "Origin" not in headers and "token" not in query:
            request[REPEAT] = Repeat(lambda address: self._access.admit(address, headers, query) is not None, answer)

    async def jsonrpc(self, request: web.Request) -> web.Response:
        """POST /server/jsonrpc: the same messages as over the websocket; without an id, an empty answer."""
        answer = await self._rpc.answer(await _body(request), Caller(request[USER]))
        return web.Response(status=200) if answer is None else reply(answer)

    @web.middleware
    async def _door(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method == "OPTIONS":
            return self._options(request)
        origin = request.headers.get("Origin")
        upgrade = request.headers.get("Upgrade", "").lower() == "websocket"
        if upgrade and origin and urlsplit(origin).netloc != request.host and not self._access.allows_origin(origin):
            raise Fault(403, f"Forbidden: add {origin} to cors_domains in [authorization] to let its pages connect")
        user = self._access.admit(request.remote or "", request.headers, request.query)
        if user is None and request.path not in self._public:
            raise Fault(401, "Unauthorized")
        request[USER] = user
        return await handler(request)

    def _options(self, request: web.Request) -> web.Response:
        """A browser's question before a request of another page's; answered without credentials, which it never has."""
        refusal = request.match_info.http_exception
        if refusal is not None and not isinstance(refusal, web.HTTPMethodNotAllowed):
            raise refusal
        allowed = sorted(refusal.allowed_methods) if isinstance(refusal, web.HTTPMethodNotAllowed) else []
        headers = {"Allow": ", ".join([*allowed, "OPTIONS"])}
        if self._access.allows_origin(request.headers.get("Origin", "")):
            headers["Access-Control-Allow-Methods"] = CORS_METHODS
            headers["Access-Control-Allow-Headers"] = CORS_HEADERS
            if request.headers.get("Access-Control-Request-Private-Network") == "true":
                headers["Access-Control-Allow-Private-Network"] = "true"
        return web.Response(status=204, headers=headers)

    async def _allow_origin(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Vary"] = "Origin"
        origin = request.headers.get("Origin")
        if origin and self._access.allows_origin(origin):
            response.headers["Access-Control-Allow-Origin"] = origin


def _wrapped(row: Method, result: bytes) -> bytes:
    return result if row.bare else b'{"result":%b}' % result


async def _body(request: web.Request) -> bytes:
    """Raises Fault and HTTPRequestEntityTooLarge, the latter before the first byte where the length says so."""
    if (request.content_length or 0) > MOST_BODY_BYTES:
        raise web.HTTPRequestEntityTooLarge(MOST_BODY_BYTES, request.content_length or 0)
    try:
        return await request.read()
    except ConnectionResetError:
        raise bad_request("The connection broke off before the body was whole") from None


async def page(request: web.Request) -> web.Response:
    return web.Response(text=PAGE, content_type="text/html")


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Fault as fault:
        return failure(fault.code, fault.message)
    except web.HTTPMethodNotAllowed as error:
        answer = failure(
            405, f"Method Not Allowed: {request.path[:200]} answers {', '.join(sorted(error.allowed_methods))}"
        )
        answer.headers["Allow"] = error.headers["Allow"]
        return answer
    except web.HTTPNotFound:
        return failure(404, f"Not Found: {request.path[:200]}")
    except web.HTTPRequestEntityTooLarge:
        return failure(413, f"The body is larger than {MOST_BODY_BYTES} bytes")
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return failure(error.status, error.text or error.reason)
    except web.RequestPayloadError:
        return failure(400, "The body could not be read: it is broken off, or not encoded as its headers say")


async def _as_json(request: web.Request, response: web.StreamResponse) -> None:
    """What aiohttp answers to an exception nobody foresaw, which it has logged, is text of its own."""
    if response.status == 500 and isinstance(response, web.Response) and response.content_type != "application/json":
        message = f"The gateway failed to answer {request.path[:200]}: see its log"
        response.body = orjson.dumps({"error": {"code": 500, "message": message}})
        response.headers["Content-Length"] = str(len(response.body))
        response.headers["Content-Type"] = JSON["Content-Type"]


def _in_one_line(record: logging.LogRecord) -> bool:
    """What is no HTTP came from a stranger and is none of our errors: no traceback, and nothing of what he sent."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.levelno, record.levelname, record.exc_info = logging.INFO, "INFO", None
        record.msg = f"{record.msg}: {type(error).__name__}"
    return True


wire_log.addFilter(_in_one_line)
