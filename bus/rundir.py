"""The private run directory: where the sockets of one instance live, and who holds which name.

Addresses derive from a service's name in one place. `bind()` on an ipc path that a live process holds succeeds and
steals it, so a service takes its lock first.
"""

import fcntl
import hashlib
import os
from pathlib import Path

MAX_SOCKET_PATH = 107
"""Bytes; a longer Unix socket path fails in the kernel."""


def default_run_dir() -> Path:
    """$MOONBUS_RUN; else one per data path under $MOONBUS_DATA's name; else `run/` beside supervisord.conf."""
    if run := os.environ.get("MOONBUS_RUN"):
        return Path(run).absolute()
    if data := os.environ.get("MOONBUS_DATA"):
        return instance_dir(Path(data)) / "run"
    return Path(__file__).resolve().parent.parent / "run"


def instance_dir(data: Path) -> Path:
    """A short, private place for the instance of this data path: volatile, so that a stale one never survives a boot."""
    base = os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/moonbus-{os.getuid()}"
    name = hashlib.sha256(str(data.expanduser().resolve()).encode()).hexdigest()[:12]
    return Path(base) / f"moonbus-{name}"


class RunDir:
    """Creates the directory for this user alone. Raises OSError where it belongs to somebody else or is too deep."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.stat().st_uid != os.getuid():
            raise PermissionError(f"run directory {path} belongs to another user: set MOONBUS_RUN to one of yours")
        path.chmod(0o700)
        longest = max(len(os.fsencode(path / f"{'x' * 20}.pub")), 0)
        if longest > MAX_SOCKET_PATH:
            raise OSError(f"run directory {path} is too deep for Unix sockets: set MOONBUS_RUN to a shorter path")

    def publications(self, service: str) -> str:
        return f"ipc://{self.path / service}.pub"

    def requests(self, service: str) -> str:
        return f"ipc://{self.path / service}.rpc"

    def lock(self, service: str) -> int:
        """Takes the service's name for this process's life. Raises BlockingIOError while another process has it."""
        handle = os.open(self.path / f"{service}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise
        return handle
