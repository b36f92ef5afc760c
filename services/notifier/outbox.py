"""The outbox on disk: an event's pushes are stored together with the journal's cursor, in one transaction.

A row without `failed_at` is a push not known to be sent. It goes when it is sent, so what was under way at a crash is
sent again. Attempts are not written: a restart tries at once.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson

from bus.age import Moment
from bus.database import Database, Steps, Tell, transaction
from bus.journal import Cursor, Entry
from services.notifier.core import SHOWN_MOST, Push

log = logging.getLogger("moonbus.notifier")

SCHEMA = """
CREATE TABLE IF NOT EXISTS pushes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, notifier TEXT NOT NULL, target INTEGER NOT NULL, event TEXT NOT NULL,
    at REAL NOT NULL, context BLOB NOT NULL, failed_at REAL, error TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS cursors (topic TEXT PRIMARY KEY, journal_id TEXT NOT NULL, number INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS known (notifier TEXT PRIMARY KEY, since REAL NOT NULL);
"""
STEPS: Steps = (
    (
        "ALTER TABLE pushes ADD COLUMN revived_at REAL",
        "CREATE TABLE delivered (notifier TEXT PRIMARY KEY, at REAL NOT NULL)",
    ),
    (
        "ALTER TABLE pushes ADD COLUMN boot_id TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE pushes ADD COLUMN born REAL NOT NULL DEFAULT 0",
        "ALTER TABLE pushes ADD COLUMN revived REAL",
    ),
)
COLUMNS = "id, notifier, target, event, at, context, error, revived_at, boot_id, born, revived"
"""`at` and `revived_at` are wall times; `born` and `revived` the same in seconds since the boot named `boot_id`."""


class Outbox:
    """`tell` hears in words of a damaged file. Raises sqlite3.Error where the disk refuses, unless a method says otherwise."""

    def __init__(self, path: Path, tell: Tell | None = None) -> None:
        self.database = Database(path, SCHEMA, STEPS, tell)
        self._cursors: dict[str, Cursor] = {}
        self._unrecorded: dict[int, tuple[str, float]] = {}
        self._known: dict[str, float] = {}

    @property
    def connection(self) -> sqlite3.Connection:
        return self.database.connection

    def hold(self, pushes: Callable[[], Iterable[Push]]) -> None:
        """`pushes()` are those in memory, sent ones left out: with them a new file begins when this one shows damage."""
        self.database.on_renewal(lambda: self._restore(pushes()))

    def known_since(self, names: Iterable[str], now: float) -> dict[str, float]:
        """Since when (wall time) each notifier is configured: it is not told of what happened before."""
        known: dict[str, float] = dict(self._rows("SELECT notifier, since FROM known"))
        self._known = {name: min(known.get(name, now), now) for name in names}
        if self._known != known:
            self.database.run(self._write_known)
        return self._known

    def cursor(self, topic: str) -> Cursor:
        rows = self._rows("SELECT journal_id, number FROM cursors WHERE topic = ?", topic)
        self._cursors[topic] = Cursor(*rows[0]) if rows else Cursor()
        return self._cursors[topic]

    def take(self, entry: Entry, lines: Iterable[tuple[str, int]], event: str, context: dict[str, Any]) -> list[int]:
        """Stores one push for each (notifier, target) and that the entry is handled. Returns the pushes' ids."""
        what = (event, entry.at, orjson.dumps(context), Moment.now().boot_id, entry.born)
        pushes = [(notifier, target, *what) for notifier, target in lines]
        ids = self.database.run(lambda: self._take(entry, pushes))
        self._cursors[entry.topic] = entry.position
        return ids

    def _take(self, entry: Entry, pushes: list[tuple[Any, ...]]) -> list[int]:
        ids = []
        with transaction(self.connection):
            for push in pushes:
                done = self.connection.execute(
                    "INSERT INTO pushes (notifier, target, event, at, context, boot_id, born) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    push,
                )
                ids.append(int(done.lastrowid or 0))
            self._write_cursor(entry.topic, entry.position)
        return ids

    def pending(self, now: Moment) -> list[Push]:
        """The pushes not known to be sent, oldest first."""
        return self._pushes("failed_at IS NULL ORDER BY id", now)

    def failed(self, now: Moment) -> list[Push]:
        """The latest pushes given up, oldest first; see `pending`."""
        pushes = self._pushes(f"failed_at IS NOT NULL ORDER BY failed_at DESC, id DESC LIMIT {SHOWN_MOST}", now)
        for push in pushes:
            push.state = "failed"
        return pushes[::-1]

    def sent(self, push: Push, wall: float) -> None:
        """Never raises: where the disk refuses it is recorded later; until then a restart would send it again."""
        self._unrecorded[push.id] = (push.notifier, wall)
        try:
            self.database.run(self._record)
        except sqlite3.Error as error:
            log.error("cannot record that a push was sent (%s): a restart would send it again", error)
        else:
            self._unrecorded.clear()

    def delivered(self) -> dict[str, float]:
        """Notifier → wall time of its last delivery."""
        return dict(self._rows("SELECT notifier, at FROM delivered"))

    def revive(self, pushes: Iterable[Push], now: Moment) -> None:
        """Pushes given up are pending again."""
        rows = [(now.at, now.boot_id, push.born, now.boot_s, push.id) for push in pushes]
        self.database.run(lambda: self._revive(rows))

    def gave_up(self, push: Push, wall: float) -> None:
        """Never raises; see `sent`. Keeps the latest failures only."""
        try:
            self.database.run(lambda: self._bury(push, wall))
        except sqlite3.Error as error:
            log.error("cannot record that a push was given up (%s): a restart would try it again", error)

    # -- on the connection, each in one transaction ----------------------------------------------------------------

    def _write_known(self) -> None:
        with transaction(self.connection):
            self.connection.execute("DELETE FROM known")
            self.connection.executemany("INSERT INTO known VALUES (?, ?)", self._known.items())

    def _record(self) -> None:
        with transaction(self.connection):
            self.connection.executemany("DELETE FROM pushes WHERE id = ?", [(one,) for one in self._unrecorded])
            self.connection.executemany("INSERT OR REPLACE INTO delivered VALUES (?, ?)", self._unrecorded.values())

    def _revive(self, rows: list[tuple[Any, ...]]) -> None:
        with transaction(self.connection):
            self.connection.executemany(
                "UPDATE pushes SET failed_at = NULL, error = '', revived_at = ?, boot_id = ?, born = ?, revived = ?"
                " WHERE id = ?",
                rows,
            )

    def _bury(self, push: Push, wall: float) -> None:
        with transaction(self.connection):
            self.connection.execute(
                "UPDATE pushes SET failed_at = ?, error = ? WHERE id = ?", (wall, push.error, push.id)
            )
            self.connection.execute(
                "DELETE FROM pushes WHERE failed_at IS NOT NULL AND id NOT IN (SELECT id FROM pushes"
                f" WHERE failed_at IS NOT NULL ORDER BY failed_at DESC, id DESC LIMIT {SHOWN_MOST})"
            )

    def _restore(self, pushes: Iterable[Push]) -> None:
        """When each was given up is not known here; the time of its event stands for it."""
        now = Moment.now()
        rows = [
            (p.id, p.notifier, p.target, p.event, p.at, orjson.dumps(p.context), p.error,
             None if p.revived is None else now.at - now.boot_s + p.revived, now.boot_id, p.born, p.revived,
             p.at if p.state == "failed" else None)
            for p in pushes
        ]  # fmt: skip
        with transaction(self.connection):
            self.connection.executemany(
                f"INSERT INTO pushes ({COLUMNS}, failed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
            )
            for topic, position in self._cursors.items():
                self._write_cursor(topic, position)
        self._write_known()

    def _write_cursor(self, topic: str, position: Cursor) -> None:
        row = (topic, position.journal_id, position.number)
        self.connection.execute("INSERT OR REPLACE INTO cursors VALUES (?, ?, ?)", row)

    def _rows(self, query: str, *values: object) -> list[Any]:
        return self.database.run(lambda: self.connection.execute(query, values).fetchall())

    def _pushes(self, where: str, now: Moment) -> list[Push]:
        query = f"SELECT {COLUMNS} FROM pushes WHERE {where}"
        return self.database.run(lambda: [_push(row, now) for row in self.connection.execute(query)])


def _push(row: tuple[Any, ...], now: Moment) -> Push:
    push_id, notifier, target, event, at, context, error, revived_at, boot_id, born, revived = row
    since_birth_s = Moment(at, boot_id, born).age_s(now)
    if revived_at is not None:
        revived = now.boot_s - Moment(revived_at, boot_id, revived or 0.0).age_s(now)
    return Push(push_id, notifier, target, event, at, now.boot_s - since_birth_s, orjson.loads(context), error=error,
                revived=revived)  # fmt: skip
