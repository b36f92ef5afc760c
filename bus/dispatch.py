"""The owner's side of requests: parameters are checked against the table, the handler runs, the reply goes back.

A request whose deadline has passed is never carried out. Whatever a handler raises becomes an answer.
"""

import asyncio
import contextvars
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from bus.api import BUILT_IN, METHODS
from bus.envelope import Reply, Request, boot_time_s
from bus.errors import Fault, not_found, too_late, unavailable
from bus.params import check

log = logging.getLogger("bus.dispatch")

Handler = Callable[..., Awaitable[Any]]
"""`async def handler(**params)`: the declared parameters by name, all of them, checked. Returns JSON."""

MOST_AT_ONCE = 512
"""Requests of one method under way; the next one is told to come back, before memory runs out. Each method has its own
count: an emergency stop does not wait for scripts that wait for a heater."""

caused: contextvars.ContextVar[list[tuple[str, int, int]] | None] = contextvars.ContextVar("caused", default=None)
"""The publications made while answering the current request: a client that waits for them reads its own writes."""


class Dispatch:
    """`built_in` maps verbs every service answers (ping, info, …) to handlers; `trace` hears of each answered request."""

    def __init__(self, owner: str, built_in: Mapping[str, Handler], trace: Callable[[dict[str, Any]], None]) -> None:
        self.owner = owner
        self.answered: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.running: Counter[str] = Counter()
        self._built_in = built_in
        self._handlers: Mapping[str, Handler] = {}
        self._ready = asyncio.Event()
        self._trace = trace

    def serve(self, handlers: Mapping[str, Handler]) -> None:
        """Every row of this owner's needs a handler and every handler a row: anything else is a bug found at the start.

        Rows handled with the HTTP request or the connection itself (`raw`, `connection`) have none here.
        """
        rows = {m.name for m in METHODS.values() if m.owner == self.owner and not m.raw and not m.connection}
        if rows != set(handlers):
            raise ValueError(f"{self.owner}: rows and handlers differ: {sorted(rows ^ set(handlers))}")
        self._handlers = handlers
        self._ready.set()

    @property
    def under_way(self) -> int:
        return self.running.total()

    async def answer(self, request: Request) -> Reply:
        """Never raises, except for cancellation."""
        started = boot_time_s()
        token = caused.set([])
        self.running[request.method] += 1
        try:
            result = await self._run(request, started)
            reply = Reply(request.id, 0, orjson.dumps(result), tuple(caused.get() or ()))
        except Fault as fault:
            reply = Reply(request.id, fault.code, orjson.dumps(fault.message), tuple(caused.get() or ()))
        except Exception:
            log.exception("%s failed", request.method)
            text = f"{self.owner} failed to answer {request.method}: see its log"
            reply = Reply(request.id, 500, orjson.dumps(text))
        finally:
            self.running[request.method] -= 1
            caused.reset(token)
        self._count(request, reply, boot_time_s() - started)
        return reply

    async def _run(self, request: Request, now: float) -> Any:
        if self.running[request.method] > MOST_AT_ONCE:
            raise unavailable(f"{self.owner} is busy: {MOST_AT_ONCE} requests of {request.method} are under way")
        if any(at is not None and now >= at for at in (request.deadline_at, request.begin_by)):
            raise too_late(f"{request.method} reached {self.owner} after its deadline")
        try:
            async with asyncio.timeout(None if request.deadline_at is None else request.deadline_at - now):
                if request.method in METHODS:
                    await self._ready.wait()  # the first requests may come before the service is up
                return await self._find(request)
        except TimeoutError:
            raise too_late(f"{self.owner} could not answer {request.method} in time") from None

    def _find(self, request: Request) -> Awaitable[Any]:
        handler = self._handlers.get(request.method)
        if handler is not None:
            return handler(**check(METHODS[request.method].params, request.params))
        service, _, verb = request.method.rpartition(".")
        if service == self.owner and verb in self._built_in:
            return self._built_in[verb](**check(BUILT_IN[verb], request.params))
        raise not_found(f"Method not found: {request.method}")

    def _count(self, request: Request, reply: Reply, duration_s: float) -> None:
        self.answered[request.method] += 1
        if not reply.ok:
            self.failed[request.method] += 1
        outcome = "ok" if reply.ok else f"{reply.code} {reply.result}"
        self._trace({"method": request.method, "caller": request.caller, "duration_ms": round(duration_s * 1000, 3),
                     "outcome": outcome})  # fmt: skip
