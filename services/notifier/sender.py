"""The parent's side of the send workers: starts one for the work, gives it sends, ends it.

A worker handles many sends side by side. When one reaches its deadline the worker gets no more work, the others in it
finish, and it is killed; new work goes to a new one. When a worker dies, each send that was in it is tried again at once
in a worker of its own, so that one which crashes Apprise takes no other along twice.
"""

import asyncio
import contextlib
import itertools
import logging
import os
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import orjson

from bus.rundir import CHECKOUT
from services.notifier.core import Outcome

SEND_S = 20.0
"""For a send, attachments included. Apprise's own limits are 4 s for each connection and each read."""
START_S = 60.0
"""For a worker to import Apprise on a slow board."""
IDLE_S = 20.0
NICENESS = "10"
"""A worker that imports Apprise, a second or two of a small board's time, waits for Klipper and for who asks the gateway."""
SENDS_AT_ONCE = 16
"""In one worker."""
SENDS_IN_A_LIFE = 200
"""What a plugin leaks ends with its worker, also when pushes come all the time."""
ALL_AT_ONCE = 48

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
WORKER_MODULE = "services.notifier.worker"
DIED = Outcome("failed", "the send worker died")
NOT_STARTED = Outcome("failed", "the send worker could not be started: see the log")

log = logging.getLogger("moonbus.notifier")


class Worker:
    """One process. `scratch` is its folder for temporary files, which go with it however it ends."""

    def __init__(self, process: Process, scratch: str) -> None:
        assert process.stdin is not None and process.stdout is not None
        self.process = process
        self.ended = False
        self._retired = True
        self._given = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Outcome]] = {}
        self._scratch = scratch
        self._idle: asyncio.TimerHandle | None = None

    @property
    def open(self) -> bool:
        return not self._retired and len(self._waiting) < SENDS_AT_ONCE

    async def begin(self, first: dict[str, Any], alone: bool) -> bool:
        """Whether it came to life in time. `alone`: it takes the one send that follows, and ends."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(orjson.dumps(first) + b"\n")
        ready = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                ready = await self.process.stdout.readline()
        self._retired = alone or not ready
        return bool(ready)

    async def read(self) -> None:
        """Delivers outcomes until the process has ended, however it does."""
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            answer = orjson.loads(line)
            future = self._waiting.get(answer["id"])
            if future is not None and not future.done():
                future.set_result(Outcome(answer["result"], answer["detail"], answer["retry_after_s"]))
            if answer["stuck"]:
                self.retire()
        await self.end()

    async def send(self, job: dict[str, Any], deadline_s: float) -> Outcome:
        assert self.process.stdin is not None
        number = next(self._given)
        self._retired = self._retired or number >= SENDS_IN_A_LIFE
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        if self._idle is not None:
            self._idle.cancel()
        try:
            async with asyncio.timeout(deadline_s):
                self.process.stdin.write(orjson.dumps({**job, "id": number}) + b"\n")
                await self.process.stdin.drain()
                return await future
        except TimeoutError:
            self._retired = True
            return Outcome("unknown", f"no outcome within {deadline_s:g} s")
        except ConnectionError:
            return DIED
        finally:
            del self._waiting[number]
            self._settle()

    def retire(self) -> None:
        """No more work; ends when what it has is done."""
        self._retired = True
        self._settle()

    async def end(self) -> None:
        """Kills it when it still lives; returns when it is gone with its files."""
        self._retired = True
        if self._idle is not None:
            self._idle.cancel()
        self._kill()
        await self.process.wait()
        self.ended = True
        for future in self._waiting.values():
            if not future.done():
                future.set_result(DIED)
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _settle(self) -> None:
        if self._waiting or self.ended:
            return
        if self._retired:
            self._kill()
        else:
            self._idle = asyncio.get_running_loop().call_later(IDLE_S, self.retire)

    def _kill(self) -> None:
        # Not by `process.kill()`: it reaps a process that has just ended, and asyncio's own watcher then misses it.
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)


class Sender:
    """`secrets` are for the templates, `data` is the data path, `scratch` a folder of its own, emptied at the start."""

    def __init__(self, secrets: dict[str, Any], data: Path, scratch: Path, spawn: Spawn) -> None:
        self.workers: list[Worker] = []
        self._first = {"secrets": secrets, "data": str(data)}
        self._scratch = scratch
        self._spawn = spawn
        self._slots = asyncio.Semaphore(ALL_AT_ONCE)
        self._choosing = asyncio.Lock()
        self._alone = asyncio.Lock()
        shutil.rmtree(scratch, ignore_errors=True)

    async def send(self, job: dict[str, Any], deadline_s: float = SEND_S) -> Outcome:
        """Never raises but when cancelled. Waits for a free place first when very many are under way."""
        async with self._slots:
            async with self._choosing:
                worker = next((w for w in self.workers if w.open), None) or await self._launch()
            outcome = await worker.send(job, deadline_s) if worker else NOT_STARTED
            if outcome is DIED:
                async with self._alone:
                    worker = await self._launch(alone=True)
                    outcome = await worker.send(job, deadline_s) if worker else NOT_STARTED
            return outcome

    async def close(self) -> None:
        """Ends all workers and what they are sending."""
        await asyncio.gather(*(worker.end() for worker in self.workers if not worker.ended))

    async def _launch(self, alone: bool = False) -> Worker | None:
        """A worker that is ready for work; None, and the reason in the log, when it cannot be had."""
        self.workers = [worker for worker in self.workers if not worker.ended]
        try:
            self._scratch.mkdir(parents=True, exist_ok=True)
            scratch = tempfile.mkdtemp(dir=self._scratch)
            process = await asyncio.create_subprocess_exec(
                "nice", "-n", NICENESS, sys.executable, "-m", WORKER_MODULE, stdin=PIPE, stdout=PIPE, cwd=CHECKOUT,
                env={**os.environ, "TMPDIR": scratch},
            )  # fmt: skip
        except OSError as error:
            log.error("cannot start a send worker: %s", error)
            return None
        worker = Worker(process, scratch)
        self.workers.append(worker)
        ready = False
        try:
            ready = await worker.begin(self._first, alone)
        finally:
            if not ready:
                await worker.end()
        if not ready:
            log.error("a send worker ended before it could work: the lines above say why")
            return None
        self._spawn(worker.read())
        return worker
