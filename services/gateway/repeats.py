"""Requests that came before, byte for byte: what aiohttp has taken apart once is not taken apart again.

A client that polls sends the same bytes each time. Only a whole GET without a body on a connection where nothing is under way
counts, so the same bytes always mean the same request, and only answers that lie ready are given here. Who may come in is
decided anew each time; anything else goes to aiohttp as ever.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiohttp import web
from aiohttp.helpers import rfc822_formatted_time

MOST_KEPT = 256
LONGEST_HEAD = 4096
"""Bytes: beyond either limit requests are not remembered."""
OF_THE_MOMENT = frozenset({"Content-Length", "Date"})


@dataclass(frozen=True, slots=True)
class Repeat:
    """What a request's bytes mean: `admits(address)` says whether it may come in from there, `answer()` is its body now,
    None where it does not lie ready."""

    admits: Callable[[str], bool]
    answer: Callable[[], bytes | None]


REPEAT = web.RequestKey("repeat", Repeat)
"""Set by the handler of a request whose answer lay ready."""


class Repeats:
    """Of all connections."""

    def __init__(self) -> None:
        self._kept: dict[bytes, tuple[Repeat, bytes]] = {}

    def keep(self, head: bytes, repeat: Repeat, headers: Mapping[str, str]) -> None:
        """`head` is one GET and nothing else; `headers` are those of the answer, of which all but what belongs to the moment
        is sent again."""
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        lines = (f"{name}: {value}\r\n" for name, value in headers.items() if name not in OF_THE_MOMENT)
        self._kept[head] = repeat, "".join(lines).encode()

    def answer(self, head: bytes, address: str) -> bytes | None:
        """The whole response to these bytes, None where they have to be looked at."""
        kept = self._kept.get(head)
        if kept is None or not kept[0].admits(address):
            return None
        body = kept[0].answer()
        if body is None:
            return None
        date = rfc822_formatted_time().encode()
        return b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\nDate: %b\r\n\r\n%b" % (kept[1], len(body), date, body)


def is_one_get(head: bytes) -> bool:
    """Whether these are the bytes of one request, from its first to its last, and nothing else."""
    return (
        head.startswith(b"GET ")
        and head.find(b"\r\n\r\n") == len(head) - 4
        and head.count(b"\n") == head.count(b"\r\n") == head.count(b"\r")
    )


class HttpConnection(web.RequestHandler):
    """`head` holds the bytes of the request under way where they came in one piece while nothing else was."""

    __slots__ = ("_head", "_idle", "_repeats", "_seen_at")

    def __init__(self, manager: web.Server, *, repeats: Repeats, loop: asyncio.AbstractEventLoop,
                 **options: Any) -> None:  # fmt: skip
        super().__init__(manager, loop=loop, **options)
        self._repeats = repeats
        self._head = b""
        self._idle = True
        self._seen_at = loop.time()

    def data_received(self, data: bytes) -> None:
        if self._idle and self._known(data):
            return
        self._head = data if self._idle and len(data) <= LONGEST_HEAD else b""
        self._idle = False
        self._seen_at = self._loop.time()
        super().data_received(data)

    def _known(self, data: bytes) -> bool:
        transport = self.transport
        # aiohttp waits for a client that does not read its answers, and closes a connection on which it has seen nothing
        # for long: that is for it to see.
        if transport is None or transport.get_write_buffer_size() > 0:
            return False
        if self._loop.time() - self._seen_at > self.keepalive_timeout / 2:
            return False
        response = self._repeats.answer(data, self.peername[0] if self.peername else "")
        if response is None:
            return False
        transport.write(response)
        return True

    async def finish_response(self, request: web.BaseRequest, resp: web.StreamResponse,
                              start_time: float | None) -> tuple[web.StreamResponse, bool]:  # fmt: skip
        repeat = request.get(REPEAT) if isinstance(request, web.Request) else None
        finished = await super().finish_response(request, resp, start_time)
        self._idle = is_one_get(self._head) and bool(resp.keep_alive) and not request.body_exists
        if self._idle and repeat is not None and resp.status == 200:
            self._repeats.keep(self._head, repeat, resp.headers)
        return finished


class Runner(web.AppRunner):
    """Connections are of our kind."""

    def __init__(self, application: web.Application, repeats: Repeats, shutdown_timeout: float, **options: Any) -> None:
        super().__init__(application, handle_signals=False, shutdown_timeout=shutdown_timeout, **options)
        self._repeats = repeats
        self._options = options

    @property
    def server(self) -> Any:
        """What makes a connection's protocol."""
        server = super().server
        if server is None:
            return None
        loop = asyncio.get_running_loop()
        return partial(HttpConnection, server, repeats=self._repeats, loop=loop, **self._options)
