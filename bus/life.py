"""How the process before this one ended: the file that holds a service's lock says who holds it, until a clean end.

It lies in the run directory and is written once at the start and once at the end of a process, always the same bytes of it:
a full disk takes those. What a disk refuses all the same stays untold; neither a start nor an end may fail for it.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
NO_GOODBYE = "it was killed, crashed or ran out of memory; its log and supervisord.log may say more"
SIZE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Ending:
    """Of a process that did not end cleanly."""

    pid: int
    reason: str


class Life:
    """`handle` is the open lock file."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._boot_id = BOOT_ID.read_text().strip()
        self._told = False

    def begin(self) -> Ending | None:
        """Marks this process as living. Returns how the one before ended, None when cleanly, or with the machine."""
        before = self._read()
        self._write(self._mark(""))
        if before.get("boot_id") != self._boot_id:
            return None
        return Ending(int(before["pid"]), str(before["reason"]) or NO_GOODBYE)

    def tell(self, reason: str) -> None:
        """Why this process ends, for the next one. Stands whatever comes after."""
        self._told = True
        self._write(self._mark(reason))

    def end(self) -> None:
        """A clean end, unless another was told."""
        if not self._told:
            self._write({})

    def _read(self) -> dict[str, Any]:
        try:
            mark: dict[str, Any] = orjson.loads(os.pread(self._handle, SIZE_BYTES, 0))
        except orjson.JSONDecodeError:
            return {}
        return mark

    def _mark(self, reason: str) -> dict[str, Any]:
        return {"pid": os.getpid(), "boot_id": self._boot_id, "reason": reason[: SIZE_BYTES // 8]}

    def _write(self, mark: dict[str, Any]) -> None:
        # Said to nobody: the watchdog, which ends a process that hangs, must not wait for the log's lock.
        with contextlib.suppress(OSError):
            os.pwrite(self._handle, orjson.dumps(mark).ljust(SIZE_BYTES), 0)
