"""The simulated outside in place of the real one: configuration, addresses, clocks' pace, Spoolman, Klipper, pushes, the disk."""

import contextlib
import functools
import logging
import os
import random
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import services.klipper_bridge.__main__
import services.klipper_bridge.bridge
import services.notifier.__main__
import services.spoolman_sync.__main__
from bus.config import Config, read_config
from bus.journal import Entry, Journal
from bus.node import Node
from bus.services import SERVICES
from services.notifier.settings import Notifier, read_notifiers
from services.spoolman_sync.settings import PACE
from services.spoolman_sync.store import Store
from tests.simulation import pushes, spoolman
from tests.simulation.clock import LIFE, Life, is_dead
from tests.simulation.disk import Disk
from tests.simulation.printer import Klipper

CONFIG = """
[spoolman]
server: http://spoolman:7912
sync_rate: 2
[notifier phone]
url: phone://all, tablet://all
events: *
[notifier mail]
url: mail://ends
events: complete, error, cancelled
[notifier macro]
url: macro://calls
events: gcode
"""
TARGETS = ("phone://all", "tablet://all", "mail://ends", "macro://calls")
START: dict[str, Callable[[Node], Awaitable[None]]] = {
    "klipper_bridge": services.klipper_bridge.__main__.start,
    "spoolman_sync": services.spoolman_sync.__main__.start,
    "notifier": services.notifier.__main__.start,
}
HEARTBEAT_S = 4.0
"""Their own is 1 s; fewer heartbeats make more seeds."""


@functools.cache
def configured() -> tuple[Config, dict[str, Notifier], Path]:
    """Read once: templates take long to compile."""
    data = Path(tempfile.gettempdir()) / f"moonbus-simulation-{os.getuid()}"
    data.mkdir(exist_ok=True)
    path = data / "moonraker.conf"
    path.write_text(CONFIG)
    config = read_config(path)
    return config, read_notifiers(config)[0], data


class Places:
    """In place of the run directory: names as addresses, and lock files in memory, held as long as their life."""

    def __init__(self) -> None:
        self.locks: dict[Life | None, int] = {}
        self._files: dict[str, int] = {}

    def publications(self, name: str) -> str:
        return f"{name}.pub"

    def requests(self, name: str) -> str:
        return f"{name}.req"

    def lock(self, name: str) -> int:
        if name not in self._files:
            self._files[name] = os.memfd_create(name)
        self.locks[LIFE.get()] = os.dup(self._files[name])
        return self.locks[LIFE.get()]

    def free(self, life: Life | None) -> None:
        with contextlib.suppress(OSError, KeyError):
            os.close(self.locks.pop(life))

    def close(self) -> None:
        for life in list(self.locks):
            self.free(life)
        for file in self._files.values():
            os.close(file)


class SimulatedNode(Node):
    def _lock_data(self) -> None:
        """One data path, one instance."""


class _Errors(logging.Handler):
    """A bug that a guard caught is a finding, too."""

    def __init__(self, fail: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._fail = fail

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and not is_dead():
            self._fail(f"unexpected: {record.getMessage()}: {record.exc_info[1]!r}")


@contextmanager
def overheard(
    appending: Callable[[tuple[str, Any] | None], None],
    saving: Callable[[Any], None],
    fail: Callable[[str], None],
) -> Iterator[None]:
    """What is about to be committed is told before: journal entries and ledgers. Errors that are only logged are told."""
    append_really, save_really = Journal.append, Store.save

    def append(journal: Journal, topic: str, value: Any, at: float) -> Entry:
        appending((topic, value))
        try:
            return append_really(journal, topic, value, at)
        finally:
            appending(None)

    def save(store: Store, ledger: Any, *rest: Any) -> None:
        saving(ledger)
        try:
            save_really(store, ledger, *rest)
        finally:
            saving(None)

    errors, loggers = _Errors(fail), [logging.getLogger(name) for name in ("moonbus", "bus")]
    with ExitStack() as stack, patch.object(Journal, "append", append), patch.object(Store, "save", save):
        for logger in loggers:
            stack.callback(logger.setLevel, logger.level)
            stack.callback(setattr, logger, "propagate", logger.propagate)
            stack.callback(logger.removeHandler, errors)
            logger.setLevel(logging.ERROR)
            logger.propagate = False
            logger.addHandler(errors)
        yield


@contextmanager
def in_place(
    klipper: Klipper, server: spoolman.Spoolman, services_of_push: pushes.Pushes, disk: Disk
) -> Iterator[None]:
    """These stand where the services reach out."""
    names = {field.name for field in fields(PACE)}
    quick = replace(PACE, **{name: value for name, value in spoolman.PACE.items() if name in names})
    calmer = {name: replace(service, heartbeat_s=HEARTBEAT_S) for name, service in SERVICES.items()}
    sync, notifier, notifiers = services.spoolman_sync.__main__, services.notifier.__main__, configured()[1]
    random.seed(0)
    with ExitStack() as stack:
        stack.enter_context(patch.dict(SERVICES, calmer))
        for place, name, value in (
            (services.klipper_bridge.bridge, "connect", klipper.connect),
            (sync, "Http", type("Http", (spoolman.Http,), {"spoolman": server})),
            (sync, "PACE", quick),
            (notifier, "Sender", type("Sender", (pushes.Sender,), {"pushes": services_of_push})),
            (notifier, "read_notifiers", lambda _: (notifiers, [])),
            (sqlite3, "connect", disk.connect),
        ):
            stack.enter_context(patch.object(place, name, value))
        yield
