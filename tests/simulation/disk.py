"""The disk: SQLite in memory, one database per file, that outlives the lives that write it.

Real SQLite, so a commit is what it is: what was not committed when a life was killed is not there in the next.
"""

import sqlite3
from collections.abc import Callable
from typing import Any

from tests.simulation.clock import LIFE, Killed, Life, is_dead

Committed = Callable[[str], None]


class _Connection(sqlite3.Connection):
    disk: "Disk"
    file: str

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        if is_dead():
            raise sqlite3.ProgrammingError("the process is gone")
        if self.file in self.disk.full and sql.startswith("BEGIN"):
            raise sqlite3.OperationalError("database or disk is full")
        return super().execute(sql, *args)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> Any:
        if kind is None:
            self.disk.die("before commit", self)
        done = super().__exit__(kind, error, trace)
        if kind is None:
            self.disk.committed(self.file)
            self.disk.die("after commit", self)
        return done

    def close(self) -> None:
        """The database stays."""


class Disk:
    """`full` are the files that cannot be written at the moment; `committed(file)` is called after each commit."""

    def __init__(self, committed: Committed) -> None:
        self.committed = committed
        self.full: set[str] = set()
        self._files: dict[str, _Connection] = {}

    def connect(self, path: Any, **options: Any) -> sqlite3.Connection:
        """In place of sqlite3.connect."""
        file = str(path).rsplit("/", 1)[-1]
        if file == ":memory:":
            return sqlite3.Connection(":memory:", **options)
        connection = self._files.get(file)
        if connection is None:
            connection = _Connection(":memory:", isolation_level=None)
            connection.disk, connection.file = self, file
            self._files[file] = connection
        return connection

    def die(self, place: str, connection: sqlite3.Connection) -> None:
        life = LIFE.get()
        if life is not None and life.trap == place:
            life.on_kill(life, place)
            raise Killed

    def killed(self, life: Life) -> None:
        """What was not committed is gone."""
        connection = self._files.get(f"{life.name}.sqlite")
        if connection is not None and connection.in_transaction:
            connection.rollback()

    def close(self) -> None:
        for connection in self._files.values():
            sqlite3.Connection.close(connection)
