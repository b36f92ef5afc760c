"""Ends a process that hangs, grows without end or has run out of files, and says why: supervisord sees that a process
runs, not whether it works.

A process that was stopped (SIGSTOP, a machine that slept, a card that stalled all of it) does not hang, so no clock
decides. A thread counts its own wake-ups since the event loop's last sign of life. Code that keeps even this thread from
running holds the interpreter's lock and burns CPU (a regular expression, say): a CPU-time alarm ends that.
"""

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable

ENDED_ITSELF = 4
"""Exit status of a process that the watchdog ended."""

STATM = "/proc/self/statm"
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
REFUSED_MOST = 4
"""Looks in a row at which no file could be opened: a burst of connections passes, a leak does not."""


class Watchdog:
    """`tell(reason)` is called from the watchdog's thread before the process ends. Times in seconds.

    `alive()` has to be called by the event loop more often than every `hang_s`; `most_bytes` is the resident memory the
    process may have.
    """

    def __init__(self, hang_s: float, tick_s: float, most_bytes: int, tell: Callable[[str], None]) -> None:
        self._hang_s = hang_s
        self._tick_s = tick_s
        self._most_bytes = most_bytes
        self._tell = tell
        self._missed = 0
        self._refused = 0
        self._statm = os.open(STATM, os.O_RDONLY | os.O_CLOEXEC)  # open: later there may be none left
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        # The handler prints all stacks, then the signal's own action, the end, follows.
        faulthandler.register(signal.SIGPROF, chain=True)
        self.alive()
        self._thread.start()

    def alive(self) -> None:
        """The event loop runs."""
        self._missed = 0
        signal.setitimer(signal.ITIMER_PROF, 2 * self._hang_s)  # later than the thread, which can say why

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        self._over.set()
        self._thread.join()
        os.close(self._statm)

    def _watch(self) -> None:
        while not self._over.wait(self._tick_s):
            self._missed += 1
            if self._missed * self._tick_s > self._hang_s:
                self._end(f"its event loop stood still for {self._hang_s:g} s")
            if (used := self._resident_bytes()) > self._most_bytes:
                self._end(f"it used {used >> 20} MiB of memory, more than MOONBUS_MEMORY allows")
            self._refused = 0 if _files_left() else self._refused + 1
            if self._refused >= REFUSED_MOST:
                self._end("it had no file descriptors left")

    def _resident_bytes(self) -> int:
        return int(os.pread(self._statm, 128, 0).split()[1]) * PAGE_BYTES

    def _end(self, reason: str) -> None:
        print(f"ending this process: {reason}; all stacks:", file=sys.stderr)
        faulthandler.dump_traceback()
        self._tell(reason)
        os._exit(ENDED_ITSELF)


def _files_left() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
