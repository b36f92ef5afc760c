"""Services begin as forks of supervisord with everything loaded, where it would start Python anew for each of them.

What they have in common then lies in memory once, and a service that is restarted is back at once. A fork is made only
while every file that was loaded is still as it was: after an upgrade a restart reads the new code, as one would expect.
"""

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable, Mapping
from hashlib import sha256
from importlib import import_module
from typing import Any, NoReturn

import setproctitle

from bus.services import SERVICES
from services.__main__ import run

Execve = Callable[[str, list[str], Mapping[str, str]], None]


def preload(options: Any) -> None:
    """`options`: supervisord's own; its `execve` is what a child of supervisord's does last."""
    for service in SERVICES:
        with contextlib.suppress(ImportError, SyntaxError):  # started anew, it says so in its own log
            import_module(f"services.{service}.__main__")
    setproctitle.getproctitle()  # finds its place while the environment lies where it was at the start
    gc.collect()
    gc.freeze()  # a collection in a child would write to every object, and so copy it
    options.execve = instead_of(options.execve, loaded(), python_settings(os.environ))


def instead_of(execve: Execve, files: bytes, settings: Mapping[str, str]) -> Execve:
    """An execve that becomes a service of ours without a new interpreter where that makes no difference: `files` are the
    loaded ones, `settings` what the environment told the interpreter that loaded them."""
    before = fingerprint(files)

    def begin(filename: str, argv: list[str], environment: Mapping[str, str]) -> None:
        names = services_of(filename, argv)
        if names and python_settings(environment) == settings and fingerprint(files) == before:
            become(names, argv, environment)
        execve(filename, argv, environment)

    return begin


def services_of(filename: str, argv: list[str]) -> list[str]:
    """Which services this command runs with this very Python: `-m services NAME...` or `-m services.NAME`."""
    if os.path.dirname(filename) != os.path.dirname(sys.executable) or len(argv) < 3 or argv[1] != "-m":
        return []
    package, _, name = argv[2].partition(".")
    names = [name] if name else argv[3:]
    return names if package == "services" and set(names) <= set(SERVICES) else []


def loaded() -> bytes:
    """The interpreter and the files of all modules, by their paths."""
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    return os.fsencode("\0".join([sys.executable, *filter(None, files)]))


def fingerprint(files: bytes) -> bytes:
    """Other when one of these files changed or went. The paths are one object: reading 400 would copy the pages they lie in."""
    told = sha256()
    for path in files.split(b"\0"):
        with contextlib.suppress(OSError):
            status = os.stat(path)
            told.update(b"%b %d %d\n" % (path, status.st_mtime_ns, status.st_size))
    return told.digest()


def python_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """What an interpreter reads when it starts."""
    return {name: value for name, value in environment.items() if name.startswith("PYTHON")}


def become(names: list[str], argv: list[str], environment: Mapping[str, str]) -> NoReturn:
    """This process, a child of supervisord's, goes on as a Python that was started for these services."""
    try:
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals():
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.clear()
        os.environ.update(environment)
        # Fresh ones: what supervisord has not flushed yet is not ours to print.
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
        sys.argv = argv[2:]
        setproctitle.setproctitle(" ".join(argv))
        run(names)
    finally:
        status = told(sys.exception())
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        # No cleaning up: supervisord's files and sockets were closed here, and their numbers are others' now.
        os._exit(status)


def told(end: BaseException | None) -> int:
    """The exit status for what ended a service, printed as an interpreter would."""
    if end is None:
        return 0
    if not isinstance(end, SystemExit):
        sys.excepthook(type(end), end, end.__traceback__)
        return 1
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    print(end.code, file=sys.stderr)
    return 1
