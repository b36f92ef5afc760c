"""HTTP to Spoolman: a request is sent once, its answer is bounded, and an error says whether it can have been executed."""

from typing import Any

import aiohttp
import orjson
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, ClientTimeout
from yarl import URL

from services.spoolman_sync.settings import Settings

MOST_BYTES = 16 * 1024 * 1024
"""Of one answer, unpacked. The list of all filaments on the market is about 4 MB."""


class NotSent(Exception):
    """No connection: Spoolman cannot have seen the request."""


class NoAnswer(Exception):
    """The connection was lost before the whole answer was there: Spoolman may have executed the request, or not."""


class Late(NoAnswer):
    """The same because the time was up."""


class Answer:
    """`value` is the decoded JSON; `is_json` is false, and `value` None, for anything else. An empty body counts as {}."""

    def __init__(self, status: int, reason: str, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.is_json = True
        self.value: Any = {}
        try:
            self.value = orjson.loads(body) if body else {}
        except orjson.JSONDecodeError:
            self.is_json, self.value = False, None


class Http:
    """One pool of connections. Reports and proxied requests have one each, so that neither waits for the other."""

    def __init__(self, settings: Settings, connect_timeout_s: float, connections: int = 16) -> None:
        self._connect_timeout_s = connect_timeout_s
        self.session = aiohttp.ClientSession(
            headers=settings.headers,
            connector=aiohttp.TCPConnector(limit=connections, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_send_once,),
        )

    async def request(self, method: str, url: str, body: bytes | None, timeout_s: float) -> Answer:
        """`url` is sent as it is, byte for byte; `body` is JSON. Redirects are not followed. Raises NotSent, NoAnswer."""
        sent = {} if body is None else {"Content-Type": "application/json"}
        timeout = ClientTimeout(total=timeout_s, sock_connect=self._connect_timeout_s)
        try:
            async with self.session.request(
                method, URL(url, encoded=True), data=body, headers=sent, timeout=timeout, allow_redirects=False
            ) as response:
                content = await _read(response)
                headers = {str(name): _text(value) for name, value in response.headers.items()}
                return Answer(response.status, _text(response.reason or ""), headers, content)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotSent(_words(error)) from error
        except TimeoutError as error:
            raise Late(f"no answer within {timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise NoAnswer(_words(error)) from error

    async def close(self) -> None:
        await self.session.close()


async def _send_once(request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
    """aiohttp sends a PUT again by itself when the connection is cut, also one that was executed already. An error of
    another kind keeps it from that."""
    try:
        return await send(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise NoAnswer(_words(error)) from error


async def _read(response: ClientResponse) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_chunked(65536):
        content += chunk
        if len(content) > MOST_BYTES:
            response.close()
            raise NoAnswer(f"the answer is longer than {MOST_BYTES >> 20} MiB")
    return bytes(content)


def _text(header: str) -> str:
    """aiohttp keeps bytes that are not UTF-8 in a form that JSON cannot carry."""
    return header.encode(errors="replace").decode()


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
