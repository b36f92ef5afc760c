"""Wakes supervisord's loop at once, where it would look only once a second: for signals, and for programs that ended.

A signal does not interrupt Python's poll. The interpreter can write to a pipe at each signal instead, and supervisord polls
what is in its map of sockets; it collects the dead at the end of a turn and starts them again in the next one.
"""

import contextlib
import os
import signal
from collections.abc import MutableMapping

MOST_BYTES = 4096


class SelfPipe:
    """An entry of supervisord's map of sockets. `attach` and `detach` belong to the main thread."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def attach(self, sockets: MutableMapping[int, object]) -> None:
        sockets[self._read] = self
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def detach(self, sockets: MutableMapping[int, object]) -> None:
        """Before supervisord closes all files it does not know, as it does to begin anew."""
        signal.set_wakeup_fd(-1)
        del sockets[self._read]
        os.close(self._read)
        os.close(self._write)

    def wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # a full pipe wakes, too
            os.write(self._write, b"\0")

    # -- what supervisord asks of an entry -----------------------------------------------------------------------

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, MOST_BYTES)

    def handle_error(self) -> None:
        """Nothing can fail here that the next turn would not show."""
