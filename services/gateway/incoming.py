"""A file that is arriving: on the disk it is meant for, under a hidden name, until it is whole.

Disk work runs in threads, one piece at a time per file, while the next piece arrives. A lock on the file tells a running
upload's remains from a dead one's, also those of another instance that shares the folder.
"""

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from services.gateway.files import TEMPORARY

BATCH = 1 << 20
"""Bytes gathered for one write. At most two batches of an upload are in memory."""

T = TypeVar("T")


class Incoming:
    """Making one blocks, and raises OSError. `discard()` in the end, in any case."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{TEMPORARY}{secrets.token_hex(8)}"
        self._file = self.path.open("xb")
        _lock(self._file.fileno())
        self._pieces: list[bytes] = []
        self._held = 0
        self._work: asyncio.Future[Any] | None = None

    async def write(self, piece: bytes) -> None:
        """Raises OSError, also for a piece before this one."""
        self._pieces.append(piece)
        self._held += len(piece)
        if self._held >= BATCH:
            await self._settle()
            self._work = self._start(self._write_held())

    async def finish(self, work: Callable[[], T]) -> T:
        """Everything is written and synced, then `work` runs in the same thread."""
        await self._settle()
        write = self._write_held()

        def run() -> T:
            write()
            self._file.flush()
            os.fsync(self._file.fileno())
            return work()

        future = self._start(run)
        self._work = future
        return await asyncio.shield(future)

    async def discard(self) -> None:
        """Closes the file; removes it unless it was moved to its place."""
        if self._work is not None:
            await asyncio.wait({self._work})
            _ = self._work.cancelled() or self._work.exception()
        await asyncio.to_thread(self._remove)

    def sha256(self) -> str:
        """Of what was written. Blocks."""
        self._file.flush()
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def keep_mode_of(self, target: Path) -> None:
        """A file that replaces another has its permissions. Blocks."""
        with contextlib.suppress(OSError):
            os.fchmod(self._file.fileno(), target.stat().st_mode & 0o777)

    def _start(self, work: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(None, work)

    async def _settle(self) -> None:
        # Shielded: a cancelled upload must not close a file that a thread is writing to.
        if self._work is not None:
            await asyncio.shield(self._work)

    def _write_held(self) -> Callable[[], None]:
        pieces, self._pieces, self._held = self._pieces, [], 0
        return lambda: self._file.writelines(pieces)

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self.path.unlink()


def move(temporary: Path, target: Path) -> None:
    """Puts a synced file in its place: the old content or the new, never half of one. Blocks. Raises OSError."""
    fresh = _make_folders(target.parent)
    try:
        temporary.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(temporary, target)
    for folder in {target.parent, *fresh}:
        sync_folder(folder)


def _make_folders(folder: Path) -> list[Path]:
    """The parents of the folders that had to be made."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return [place.parent for place in missing]


def _copy(temporary: Path, target: Path) -> None:
    copy = target.with_name(temporary.name)
    try:
        shutil.copy(temporary, copy)
        with copy.open("rb") as file:
            os.fsync(file.fileno())
        copy.replace(target)
    finally:
        copy.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems without synced folders say so
            raise
    finally:
        os.close(handle)


def sweep(folder: Path) -> list[Path]:
    """Removes what uploads of a dead process left below a folder. Blocks."""
    swept = []
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place) / name
            if name.startswith(TEMPORARY) and _remove_unlocked(path):
                swept.append(path)
    return swept


def _remove_unlocked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    except OSError:
        return False
    return True


def _lock(handle: int) -> None:
    with contextlib.suppress(OSError):  # a file system without locks: one instance's sweep may hit another's upload
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
