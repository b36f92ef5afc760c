"""Virtual time, and the lives of processes in it: one event loop runs everything, and no call ever waits.

Each callback of the loop belongs to a life (a context variable says to which) or to the world around them. A callback is
a step. Between any two steps a life can be killed: nothing of it runs any more, not even a `finally`, and what it had in
memory is gone. One that is stopped (SIGSTOP) keeps its steps for later.
"""

import asyncio
import contextvars
import heapq
import time
from asyncio import events
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

BOOT_S = 1_000.0
"""The boot clock at the beginning."""
WALL_S = 1_790_000_000.0
"""The wall clock at the beginning, s since 1970."""


class Killed(BaseException):
    """Unwinds the one callback in which a life was killed, where that was in the middle of it."""


class Stuck(Exception):
    """Nothing will ever happen again."""


class Life:
    """One process from its start to its end. `kill_after` counts down steps; `trap` names the place in a transaction at
    which it dies ("before commit", "after commit")."""

    def __init__(self, name: str, number: int, started_at: float) -> None:
        self.name = name
        self.number = number
        self.started_at = started_at
        self.dead = False
        self.died_at = -1.0
        self.kill_after = 0
        self.trap = ""
        self.stopped = False
        self.kept: list[events.Handle] = []
        self.on_kill: Callable[[Life, str], None]

    def __str__(self) -> str:
        return f"{self.name}#{self.number}"

    def admits(self, step: events.Handle) -> bool:
        """Whether it runs now."""
        if self.dead or self.stopped:
            self.kept.append(step)
            return False
        if self.kill_after:
            self.kill_after -= 1
            if not self.kill_after:
                self.kept.append(step)
                self.on_kill(self, "between two steps")
                return False
        return True


LIFE: contextvars.ContextVar[Life | None] = contextvars.ContextVar("life", default=None)


def is_dead() -> bool:
    """Whether what runs here belongs to a life that is over: its clean-up at the end of the world has no effects."""
    life = LIFE.get()
    return life is not None and life.dead


class _Step(events.Handle):
    __slots__ = ()

    def _run(self) -> None:
        life = self._context.get(LIFE)  # type: ignore[attr-defined]
        if life is None or life.admits(self):
            super()._run()


class _Timer(events.TimerHandle):
    __slots__ = ()

    def _run(self) -> None:
        life = self._context.get(LIFE)  # type: ignore[attr-defined]
        if life is None or life.admits(self):
            super()._run()


class _NoSelector:
    """Instead of waiting for files, time passes."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Stuck("nothing is under way and no timer is set")
        self._loop.now += timeout
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """`now` is the virtual time in seconds; `jump_s` is by how much the wall clock was set since the beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.jump_s = 0.0
        self._selector = _NoSelector(self)

    def time(self) -> float:
        return self.now

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> events.Handle:
        step = _Step(callback, args, self, context)
        self._ready.append(step)  # type: ignore[attr-defined]
        return step

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> events.TimerHandle:
        timer = _Timer(when, callback, args, self, context)
        heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined]
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    def add_reader(self, fd: Any, callback: Callable[[], object], *args: Any) -> None:  # type: ignore[override]
        """`fd` is a socket's inlet."""
        context = contextvars.copy_context()
        fd.wake = lambda: self.call_soon(callback, context=context)

    def remove_reader(self, fd: Any) -> bool:
        fd.wake = None
        return True

    def resume(self, life: Life) -> None:
        """SIGCONT: the steps it kept come first."""
        life.stopped = False
        self._ready.extend(life.kept)  # type: ignore[attr-defined]
        life.kept = []

    def bury(self, lives: "list[Life]") -> None:
        """What is still under way is cancelled and runs out, of the dead too: whoever is dead has no effects any more."""
        for life in lives:
            self._ready.extend(life.kept)  # type: ignore[attr-defined]
        _Step._run = events.Handle._run  # type: ignore[method-assign]
        _Timer._run = events.Handle._run  # type: ignore[method-assign]
        try:
            for _ in range(20):
                tasks = asyncio.all_tasks(self)
                if not tasks:
                    return
                for task in tasks:
                    task.cancel()
                self.run_until_complete(asyncio.wait(tasks, timeout=1.0))
        finally:
            _Step._run, _Timer._run = _RUN  # type: ignore[method-assign]

    def _process_events(self, event_list: list[Any]) -> None:
        """There are no files."""

    def _write_to_self(self) -> None:
        """There are no threads."""


_RUN = (_Step._run, _Timer._run)


@contextmanager
def virtual_clocks(loop: VirtualLoop) -> Iterator[None]:
    """All clocks a service reads are the loop's."""
    real = time.time, time.monotonic, time.clock_gettime, time.clock_gettime_ns
    time.time = lambda: WALL_S + loop.now + loop.jump_s
    time.monotonic = lambda: loop.now
    time.clock_gettime = lambda _: BOOT_S + loop.now
    time.clock_gettime_ns = lambda _: int((BOOT_S + loop.now) * 1e9)
    try:
        yield
    finally:
        time.time, time.monotonic, time.clock_gettime, time.clock_gettime_ns = real
