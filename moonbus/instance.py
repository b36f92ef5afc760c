"""Where one instance of moonbus lives, and the supervisord.conf it runs on.

Without $MOONBUS_DATA: the checkout's own supervisord.conf, with `run/` beside it. With it, or when installed without a
checkout: a link to that file below the data path, so that instances with different data paths run side by side.
"""

import os
import sys
from pathlib import Path

from bus.config import data_path
from bus.rundir import CHECKOUT, RunDir, instance_dir

INSTALLED = Path(sys.prefix) / "share" / "moonbus" / "supervisord.conf"


def configuration() -> Path:
    """The supervisord.conf of this environment's instance. Raises FileNotFoundError where moonbus is incomplete."""
    source = CHECKOUT / "supervisord.conf"
    if source.exists() and not os.environ.get("MOONBUS_DATA"):
        return source
    if not source.exists():
        source = INSTALLED
    if not source.exists():
        raise FileNotFoundError(f"{source} is missing: install moonbus again")
    link = instance_dir(data_path()) / "supervisord.conf"
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_symlink() and link.readlink() != source:
        link.unlink()
    if not link.exists():  # a file of one's own stays
        link.symlink_to(source)
    return link


def prepare(conf: Path) -> dict[str, str]:
    """Makes the private run directory beside `conf`; returns the environment for supervisord. Raises OSError."""
    RunDir(conf.parent / "run")
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "/usr/bin:/bin")))
    return {**os.environ, "PATH": path}


def supervisor_command(program: str, conf: Path, *arguments: str) -> list[str]:
    """`program` is supervisord or supervisorctl, of this Python's installation."""
    return [sys.executable, "-m", f"supervisor.{program}", "-c", str(conf), *arguments]
