"""The private run directory: where the sockets of one instance live, and who holds which name.

Addresses derive from a service's name in one place. `bind()` on an ipc path that a live process holds succeeds and
steals it, so a service takes its lock first.
"""

import fcntl
import os
import stat
from pathlib import Path

from bus.config import data_path
from bus.services import SERVICES

MAX_SOCKET_PATH = 107
"""Bytes; a longer Unix socket path fails in the kernel."""

PRIVATE = 0o700
LONGEST_SOCKET = f"{max(SERVICES, key=len)}.pub"


CHECKOUT = Path(__file__).resolve().parent.parent


def default_run_dir() -> Path:
    """$MOONBUS_RUN; else that of the data path's own instance where there is one; else `run/` beside supervisord.conf.

    supervisord's configuration knows no defaults for variables, only its own place, so the plain
    `supervisord -c supervisord.conf` runs in `run/` beside it whatever the data path.
    """
    if run := os.environ.get("MOONBUS_RUN"):
        return Path(run).absolute()
    own = instance_dir(data_path()) / "run"
    return CHECKOUT / "run" if (CHECKOUT / "supervisord.conf").exists() and not own.exists() else own


def instance_dir(data: Path) -> Path:
    """Where an instance of its own keeps its supervisord.conf and its run directory: one per data path."""
    return data / "comms" / "moonbus"


class RunDir:
    """Creates the directory for this user alone. Raises OSError where it belongs to somebody else or is too deep."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        found = path.stat()
        if found.st_uid != os.getuid():
            raise PermissionError(f"run directory {path} belongs to another user: set MOONBUS_RUN to one of yours")
        if stat.S_IMODE(found.st_mode) != PRIVATE:  # a read-only disk refuses also what changes nothing
            path.chmod(PRIVATE)
        if len(os.fsencode(path / LONGEST_SOCKET)) > MAX_SOCKET_PATH:
            raise OSError(f"run directory {path} is too deep for Unix sockets: set MOONBUS_RUN to a shorter path")

    def publications(self, service: str) -> str:
        return f"ipc://{self.path / service}.pub"

    def requests(self, service: str) -> str:
        return f"ipc://{self.path / service}.rpc"

    def lock(self, service: str) -> int:
        """Takes the service's name for this process's life. Raises BlockingIOError while another process has it."""
        return take_lock(self.path / f"{service}.lock")


def take_lock(path: Path) -> int:
    """An open file that holds the lock. Raises BlockingIOError while another process holds it, OSError where the disk
    refuses."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle
