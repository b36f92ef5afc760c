"""Spoolman and the network before it, in virtual time: what can go wrong with a request, each kind of it.

`executed_mm` is what was really booked by reports of ours, for each spool ever; what others book is not in it.
"""

import asyncio
import contextlib
import datetime
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import aiohttp
import orjson

from services.spoolman_sync.http import Answer, Late, NoAnswer, NotSent
from simulators.spoolman.store import Refused, Store, example_store
from tests.simulation.clock import LIFE, Life, VirtualLoop, is_dead
from tests.simulation.wires import loop_context

SETTLE_S = 3.0
"""The product's times, divided."""
PACE = {"settle_s": SETTLE_S, "report_timeout_s": 8.0, "read_timeout_s": 2.0, "connect_timeout_s": 2.0, "ping_s": 2.0,
        "close_s": 0.1, "last_answer_s": 0.3, "reconnect_s": 0.5, "reconnect_most_s": 2.0, "status_s": 1.0,
        "catch_up_s": 1.0, "proxy_timeout_s": 2.0, "reopen_s": 1.0}  # fmt: skip
WAY_S = 0.02
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
FAULTS = ("slow", "lost request", "lost answer", "cut before", "cut after", "404 of a proxy", "502 before", "502 after",
          "login page")  # fmt: skip


class Report:
    """A report that was sent. `answered`: its sender got Spoolman's own answer."""

    def __init__(self, spool_id: int, mm: float, sent_at: float) -> None:
        self.spool_id = spool_id
        self.mm = mm
        self.sent_at = sent_at
        self.executed_at = -1.0
        self.answered = False


class Spoolman:
    """`faults` are the kinds of trouble there are at the moment, one of which a request has with `trouble` probability."""

    def __init__(self, loop: VirtualLoop, random: Random, tell: Callable[[str], None]) -> None:
        self.loop = loop
        self.random = random
        self.tell = tell
        self.store: Store = example_store(NOW)
        self.up = True
        self.frozen = False
        self.faults: tuple[str, ...] = ()
        self.trouble = 0.0
        self.executed_mm: dict[int, float] = {}
        self.reports: list[Report] = []
        self.listeners: list[Listener] = []
        self._buffered: list[Callable[[], None]] = []
        self._context = loop_context()

    # -- what happens to it --------------------------------------------------------------------------------------

    def stop(self) -> None:
        """The process ends: connections are refused, those that are open end."""
        self.up = False
        self.thaw()
        for listener in list(self.listeners):
            listener.end()

    def start(self) -> None:
        self.up = True

    def freeze(self) -> None:
        """SIGSTOP: everything waits in its buffers."""
        self.frozen = True
        frozen_at = self.loop.now

        def miss_a_ping() -> None:
            if self.frozen and self.loop.now - frozen_at >= PACE["ping_s"]:
                for listener in list(self.listeners):
                    listener.end(TimeoutError("no pong"))

        self._later(PACE["ping_s"] * 1.5, miss_a_ping)

    def thaw(self) -> None:
        """SIGCONT: what waited is carried out, soon, some of it behind a proxy's buffers."""
        self.frozen = False
        buffered, self._buffered = self._buffered, []
        for work in buffered:
            self._later(self.random.random() * SETTLE_S * 0.4, work)

    def use_by_others(self, spool_id: int, mm: float) -> None:
        """Another printer books on it, or a person corrects it."""
        self.store.use(spool_id, {"use_length": mm}, NOW)
        self._say("updated", self.store.show("spool", spool_id))

    def delete(self, spool_id: int) -> None:
        shown = self.store.show("spool", spool_id)
        self.store.delete("spool", spool_id)
        self._say("deleted", shown)

    # -- requests ------------------------------------------------------------------------------------------------

    async def ask(self, method: str, path: str, body: bytes | None, timeout_s: float) -> Answer:
        """One request over the network. Raises NotSent, NoAnswer."""
        await asyncio.sleep(WAY_S)
        if not self.up:
            raise NotSent("connection refused")
        fault = self.random.choice(self.faults) if self.faults and self.random.random() < self.trouble else ""
        report = self._report(method, path, body)
        if fault:
            self.tell(f"{method} {path} {(body or b'').decode()}: {fault}")
        answer: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        loop_context().run(self._carry, fault, method, path, body, report, answer, timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                found = await answer
        except TimeoutError:
            raise Late(f"no answer within {timeout_s:g} s") from None
        if found is None:
            raise NoAnswer("connection reset")
        if report is not None:
            report.answered = found.status in (200, 404) and found.is_json
        return found

    def _report(self, method: str, path: str, body: bytes | None) -> Report | None:
        if method != "PUT":
            return None
        report = Report(int(path.split("/")[-2]), orjson.loads(body or b"{}")["use_length"], self.loop.now)
        self.reports.append(report)
        return report

    def _carry(
        self,
        fault: str,
        method: str,
        path: str,
        body: bytes | None,
        report: Report | None,
        answer: "asyncio.Future[Answer | None]",
        timeout_s: float,
    ) -> None:
        """Through the network: what comes of it, and when."""
        random = self.random

        def reply(found: Answer | None) -> None:
            self._later(WAY_S, lambda: None if answer.done() else answer.set_result(found))

        def execute(then: Callable[[Answer], None]) -> None:
            def work() -> None:
                then(self._execute(method, path, body, report))

            if self.frozen:
                self._buffered.append(work)
            else:
                work()

        match fault:
            case "":
                execute(reply)
            case "slow":
                self._later(random.uniform(0.5, min(SETTLE_S * 0.8, timeout_s)), lambda: execute(reply))
            case "lost request":
                pass
            case "lost answer":
                execute(lambda _: None)
            case "cut before":
                reply(None)
            case "cut after":
                execute(lambda _: reply(None))
            case "404 of a proxy":
                reply(Answer(404, "Not Found", {}, b"<html>nothing here</html>"))
            case "502 before":
                reply(Answer(502, "Bad Gateway", {}, b"<html>bad gateway</html>"))
            case "502 after":
                execute(lambda _: reply(Answer(502, "Bad Gateway", {}, b'{"message": "bad gateway"}')))
            case "login page":
                reply(Answer(200, "OK", {}, b"<html>who are you?</html>"))

    def _execute(self, method: str, path: str, body: bytes | None, report: Report | None) -> Answer:
        if path.endswith("/health"):
            return Answer(200, "OK", {}, b'{"status": "healthy"}')
        spool_id = int(path.split("/")[3])
        try:
            if report is not None:
                self.store.use(spool_id, {"use_length": report.mm}, NOW)
                self.executed_mm[spool_id] = self.executed_mm.get(spool_id, 0.0) + report.mm
                report.executed_at = self.loop.now
                self.tell(f"booked {report.mm:.3f} mm on spool {spool_id}")
            shown = self.store.show("spool", spool_id)
        except Refused as refused:
            return Answer(refused.status, "Refused", {}, orjson.dumps(refused.body))
        if report is not None:
            self._say("updated", shown)
        return Answer(200, "OK", {}, orjson.dumps(shown))

    # -- the websocket -------------------------------------------------------------------------------------------

    async def listen(self) -> "Listener":
        """Raises aiohttp.ClientError, or hangs as long as Spoolman does."""
        await asyncio.sleep(WAY_S)
        while self.frozen:
            await asyncio.sleep(0.5)
        if not self.up:
            raise aiohttp.ClientConnectionError("connection refused")
        listener = Listener(self)
        self.listeners.append(listener)
        return listener

    def drop(self, life: Life) -> None:
        for listener in [listener for listener in self.listeners if listener.life is life]:
            self.listeners.remove(listener)

    def _say(self, kind: str, payload: Any) -> None:
        text = orjson.dumps({"type": kind, "resource": "spool", "payload": payload}).decode()
        for listener in self.listeners:
            self._later(WAY_S + self.random.random() * 0.1, partial(listener.inlet.put_nowait, text))

    def _later(self, seconds: float, what: Callable[[], Any]) -> None:
        self.loop.call_later(seconds, what, context=self._context)


class Listener:
    """A websocket's end, as aiohttp shows it."""

    def __init__(self, spoolman: Spoolman) -> None:
        self._spoolman = spoolman
        self.life = LIFE.get()
        self.inlet: asyncio.Queue[str | None] = asyncio.Queue()
        self._why: BaseException | None = None

    def end(self, why: BaseException | None = None) -> None:
        self._why = why
        self._spoolman.listeners.remove(self)
        self.inlet.put_nowait(None)

    def exception(self) -> BaseException | None:
        return self._why

    def __aiter__(self) -> "Listener":
        return self

    async def __anext__(self) -> aiohttp.WSMessage:
        text = await self.inlet.get()
        if text is None:
            raise StopAsyncIteration
        return aiohttp.WSMessage(aiohttp.WSMsgType.TEXT, text, None)

    async def close(self) -> None:
        if not is_dead():
            with contextlib.suppress(ValueError):
                self._spoolman.listeners.remove(self)


class Http:
    """In place of services.spoolman_sync.http.Http."""

    spoolman: Spoolman

    def __init__(self, *_: Any, **__: Any) -> None:
        self.session = self

    async def request(self, method: str, url: str, body: bytes | None, timeout_s: float) -> Answer:
        if is_dead():
            raise NotSent("the process is gone")
        return await self.spoolman.ask(method, url.removeprefix("http://spoolman:7912/api"), body, timeout_s)

    async def ws_connect(self, *_: Any, **__: Any) -> Listener:
        return await self.spoolman.listen()

    async def close(self) -> None:
        """Nothing to do."""
