"""A small disk of its own for the data path, that can be filled, made read-only, and mended again.

As root it is mounted here. Anybody else runs the test in a user namespace: see `run_in_namespace`.
"""

import os
import resource
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from bus.rundir import CHECKOUT

SIZE = "48m"
"""More than uploads leave free, so that one is taken before and after."""
BLOCK = 64 * 1024
NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")


class SmallDisk:
    """Mounted over `path`, which may have content already. `close()` undoes every mount."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"
        self._mounts = 0

    def mount(self) -> None:
        moved = subprocess.run(["tar", "-C", self.path, "-c", "."], capture_output=True, check=True).stdout
        self._run("mount", "-t", "tmpfs", "-o", f"size={SIZE}", "moonbus-test", str(self.path))
        self._mounts += 1
        subprocess.run(["tar", "-C", self.path, "-x"], input=moved, check=True)

    def fill(self) -> None:
        """To the last byte."""
        with self._ballast.open("wb", buffering=0) as file:
            for block in (b"x" * BLOCK, b"x"):
                try:
                    while True:
                        file.write(block)
                except OSError:
                    continue

    def free(self) -> None:
        self._ballast.unlink()

    def refuse(self, pids: Iterable[int]) -> None:
        """Read-only, as after an error of the card's. The kernel does that to files open for writing on no command, so
        what opens a file meets a read-only mount, and the processes that have files open may write no byte to them."""
        self._run("mount", "--bind", str(self.path), str(self.path))
        self._mounts += 1
        self._run("mount", "-o", "remount,bind,ro", str(self.path))
        _limit(pids, 0)

    def accept(self, pids: Iterable[int]) -> None:
        """Read-write again."""
        self._run("mount", "-o", "remount,bind,rw", str(self.path))
        _limit(pids, resource.RLIM_INFINITY)

    def close(self) -> None:
        for _ in range(self._mounts):
            self._run("umount", "-l", str(self.path))
        self._mounts = 0

    @staticmethod
    def _run(*command: str) -> None:
        subprocess.run(command, check=True, timeout=10)


def _limit(pids: Iterable[int], size: int) -> None:
    for pid in pids:
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))


def needs_namespace() -> bool:
    return os.geteuid() != 0


def run_in_namespace(test: str) -> str | None:
    """Runs one test in a pytest of its own that may mount. Returns why it cannot, or None; AssertionError when it fails."""
    try:
        subprocess.run(
            [*NAMESPACE, "mount", "-t", "tmpfs", "none", "/mnt"], check=True, capture_output=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"neither root nor a user namespace to mount in: {error}"
    done = subprocess.run(
        [*NAMESPACE, sys.executable, "-m", "pytest", "-x", "-m", "", "-p", "no:cacheprovider", test],
        cwd=CHECKOUT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return None
