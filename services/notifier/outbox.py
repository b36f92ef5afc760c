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
)
COLUMNS = "id, notifier, target, event, at, context, error, revived_at"


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
        pushes = [(notifier, target, event, entry.at, orjson.dumps(context)) for notifier, target in lines]
        ids = self.database.run(lambda: self._take(entry, pushes))
        self._cursors[entry.topic] = entry.position
        return ids

    def _take(self, entry: Entry, pushes: list[tuple[str, int, str, float, bytes]]) -> list[int]:
        ids = []
        with transaction(self.connection):
            for push in pushes:
                done = self.connection.execute(
                    "INSERT INTO pushes (notifier, target, event, at, context) VALUES (?, ?, ?, ?, ?)", push
                )
                ids.append(int(done.lastrowid or 0))
            self._write_cursor(entry.topic, entry.position)
        return ids

    def pending(self, now: float, wall: float) -> list[Push]:
        """The pushes not known to be sent, oldest first. `now` is seconds since boot, `wall` the same moment's time."""
        return self._pushes("failed_at IS NULL ORDER BY id", now, wall)

    def failed(self, now: float, wall: float) -> list[Push]:
        """The latest pushes given up, oldest first; see `pending`."""
        pushes = self._pushes(f"failed_at IS NOT NULL ORDER BY failed_at DESC, id DESC LIMIT {SHOWN_MOST}", now, wall)
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

    def revive(self, push_ids: Iterable[int], wall: float) -> None:
        """Pushes given up are pending again."""
        rows = [(wall, push_id) for push_id in push_ids]
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

    def _revive(self, rows: list[tuple[float, int]]) -> None:
        with transaction(self.connection):
            self.connection.executemany(
                "UPDATE pushes SET failed_at = NULL, error = '', revived_at = ? WHERE id = ?", rows
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
        """When each was given up or revived is not known here; the time of its event stands for the former."""
        rows = [(p.id, p.notifier, p.target, p.event, p.at, orjson.dumps(p.context),
                 p.at if p.state == "failed" else None, p.error) for p in pushes]  # fmt: skip
        with transaction(self.connection):
            self.connection.executemany(
                "INSERT INTO pushes (id, notifier, target, event, at, context, failed_at, error)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            for topic, position in self._cursors.items():
                self._write_cursor(topic, position)
        self._write_known()

    def _write_cursor(self, topic: str, position: Cursor) -> None:
        row = (topic, position.journal_id, position.number)
        self.connection.execute("INSERT OR REPLACE INTO cursors VALUES (?, ?, ?)", row)

    def _rows(self, query: str, *values: object) -> list[Any]:
        return self.database.run(lambda: self.connection.execute(query, values).fetchall())

    def _pushes(self, where: str, now: float, wall: float) -> list[Push]:
        query = f"SELECT {COLUMNS} FROM pushes WHERE {where}"
        return self.database.run(lambda: [_push(row, now, wall) for row in self.connection.execute(query)])


def _push(row: tuple[Any, ...], now: float, wall: float) -> Push:
    push_id, notifier, target, event, at, context, error, revived_at = row
    born = now - max(0.0, wall - at)
    revived = None if revived_at is None else now - max(0.0, wall - revived_at)
    return Push(push_id, notifier, target, event, at, born, orjson.loads(context), error=error, revived=revived)
