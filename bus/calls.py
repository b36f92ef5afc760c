"""The caller's side of requests: one DEALER per owner, a deadline per call, and an error at once when the owner is away.

IMMEDIATE and NOBLOCK together keep a request from waiting for a dead owner and being carried out minutes later. The
socket's monitor sees the owner's death within milliseconds; the deadline is for owners that hang.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable
from typing import Any

import zmq
from zmq.utils.monitor import parse_monitor_message

from bus.api import METHODS, QUICK_S, owner_of
from bus.envelope import Reply, Request, boot_time_s, read_reply
from bus.errors import Fault, not_found, too_late
from bus.reader import Reader

log = logging.getLogger("bus.calls")

FIRST_CONNECTION_S = 1.0
"""How long a first call waits for a connection that was only just begun; later ones fail at once."""

RESTART_S = 10.0
"""An owner away for longer is not restarting: calls that would wait for it fail at once, too."""

RECONNECT_MS = 50
RECONNECT_MAX_MS = 500
UNSET: Any = object()


class Away(Fault):
    """503: nobody carried the request out to its end."""

    def __init__(self, owner: str, how: str = "is not running") -> None:
        super().__init__(503, f"{owner} {how}")


class Link:
    """The connection to one owner."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], caller: str, owner: str, address: str) -> None:
        self.owner = owner
        self.caller = caller
        self.connected = asyncio.Event()
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._socket = context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        self._opened_at = self._away_since = boot_time_s()
        self._socket.connect(address)
        self._replies = Reader(self._socket, self._hear_reply)
        self._events = Reader(self._monitor, self._hear_event)

    def _hear_reply(self, frames: list[bytes]) -> None:
        try:
            reply = read_reply(frames)
        except ValueError as error:
            log.warning("from %s: %s", self.owner, error)
            return
        future = self._waiting.pop(reply.id, None)
        if future is not None and not future.done():
            future.set_result(reply)

    def _hear_event(self, frames: list[bytes]) -> None:
        """Fails the calls in flight as soon as the owner is gone."""
        if parse_monitor_message(frames)["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self.connected.set()
            return
        self.connected.clear()
        self._away_since = boot_time_s()
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(Away(self.owner, "stopped before it answered"))

    async def call(
        self, method: str, params: dict[str, Any], deadline_s: float | None, repeatable: bool = False
    ) -> Reply:
        """The owner's reply. Raises Fault 503 (away), 504 (too late) or what the owner answered.

        A `repeatable` call waits for an owner that restarts, and is made again when the owner stopped before it answered.
        """
        now = boot_time_s()
        deadline_at = None if deadline_s is None else now + deadline_s
        give_up_at = now + (QUICK_S if deadline_s is None else deadline_s)
        while True:
            try:
                first = self._opened_at + FIRST_CONNECTION_S
                await self._connection(min(give_up_at, self._away_since + RESTART_S) if repeatable else first)
                return await self._ask(method, params, deadline_at, now + QUICK_S)
            except Away:
                if not repeatable or boot_time_s() >= min(give_up_at, self._away_since + RESTART_S):
                    raise
            await asyncio.sleep(RECONNECT_MS / 1000)

    async def _ask(
        self, method: str, params: dict[str, Any], deadline_at: float | None, begin_by: float | None
    ) -> Reply:
        request = Request(next(self._ids), method, self.caller, deadline_at, params, begin_by)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        self._waiting[request.id] = future
        left_s = None if deadline_at is None else deadline_at - boot_time_s()
        late = None if left_s is None else loop.call_later(left_s, _expire, future)
        try:
            self._socket.send_multipart(request.frames(), flags=zmq.NOBLOCK)
            self._replies.sent()
            reply = await future
        except zmq.Again:
            raise Away(self.owner) from None
        except TimeoutError:
            raise too_late(f"{self.owner} did not answer {method} within {left_s:.2g} s") from None
        finally:
            self._waiting.pop(request.id, None)
            if late is not None:
                late.cancel()
        if not reply.ok:
            raise Fault(reply.code, reply.result)
        return reply

    async def _connection(self, until: float) -> None:
        """Waits for one until this boot time. Raises Away."""
        left_s = until - boot_time_s()
        if not self.connected.is_set() and left_s > 0:
            try:
                async with asyncio.timeout(left_s):
                    await self.connected.wait()
            except TimeoutError:
                raise Away(self.owner) from None

    def close(self) -> None:
        self._replies.close()
        self._events.close()
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=0)


def _expire(future: asyncio.Future[Reply]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())


class Calls:
    """All links of one process."""

    def __init__(self, open_link: Callable[[str], Link]) -> None:
        self._open_link = open_link
        self._links: dict[str, Link] = {}

    def link(self, owner: str) -> Link:
        if owner not in self._links:
            self._links[owner] = self._open_link(owner)
        return self._links[owner]

    async def call(self, method: str, params: dict[str, Any], deadline_s: float | None = UNSET) -> Reply:
        """Asks the method's owner. The deadline is the table's unless given, in seconds; None waits while the owner
        lives. Raises Fault: 404 for a name in no table, else see `Link.call`."""
        owner = owner_of(method)
        if owner is None:
            raise not_found(f"Method not found: {method}")
        if deadline_s is UNSET:
            deadline_s = METHODS[method].deadline_s if method in METHODS else QUICK_S
        repeatable = method in METHODS and METHODS[method].repeatable(params)
        return await self.link(owner).call(method, params, deadline_s, repeatable)

    def close(self) -> None:
        for link in self._links.values():
            link.close()
