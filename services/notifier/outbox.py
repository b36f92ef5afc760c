"""The outbox on disk: an event's pushes are stored together with the journal's cursor, in one transaction.

A row without `failed_at` is a push not known to be sent. It goes when it is sent, so what was under way at a crash is
sent again. Attempts are not written: a restart tries at once.
"""

import logging
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from bus.database import Steps, open_database, transaction
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
    """Raises sqlite3.Error where the disk refuses, unless a method says otherwise."""

    def __init__(self, path: Path) -> None:
        self.connection = open_database(path, SCHEMA, STEPS)
        self._unrecorded: dict[int, tuple[str, float]] = {}

    def known_since(self, names: Iterable[str], now: float) -> dict[str, float]:
        """Since when (wall time) each notifier is configured: it is not told of what happened before."""
        known: dict[str, float] = dict(self.connection.execute("SELECT notifier, since FROM known"))
        since = {name: min(known.get(name, now), now) for name in names}
        if since != known:
            with transaction(self.connection):
                self.connection.execute("DELETE FROM known")
                self.connection.executemany("INSERT INTO known VALUES (?, ?)", since.items())
        return since

    def cursor(self, topic: str) -> Cursor:
        row = self.connection.execute("SELECT journal_id, number FROM cursors WHERE topic = ?", (topic,)).fetchone()
        return Cursor(*row) if row else Cursor()

    def take(self, entry: Entry, lines: Iterable[tuple[str, int]], event: str, context: dict[str, Any]) -> list[int]:
        """Stores one push for each (notifier, target) and that the entry is handled. Returns the pushes' ids."""
        body = orjson.dumps(context)
        ids = []
        with transaction(self.connection):
            for notifier, target in lines:
                done = self.connection.execute(
                    "INSERT INTO pushes (notifier, target, event, at, context) VALUES (?, ?, ?, ?, ?)",
                    (notifier, target, event, entry.at, body),
                )
                ids.append(int(done.lastrowid or 0))
            self.connection.execute(
                "INSERT OR REPLACE INTO cursors VALUES (?, ?, ?)",
                (entry.topic, entry.position.journal_id, entry.position.number),
            )
        return ids

    def pending(self, now: float, wall: float) -> list[Push]:
        """The pushes not known to be sent, oldest first. `now` is seconds since boot, `wall` the same moment's time."""
        return [self._push(row, now, wall) for row in self._rows("failed_at IS NULL ORDER BY id")]

    def failed(self, now: float, wall: float) -> list[Push]:
        """The latest pushes given up, oldest first; see `pending`."""
        rows = self._rows(f"failed_at IS NOT NULL ORDER BY failed_at DESC, id DESC LIMIT {SHOWN_MOST}")
        pushes = [self._push(row, now, wall) for row in reversed(rows)]
        for push in pushes:
            push.state = "failed"
        return pushes

    def sent(self, push: Push, wall: float) -> None:
        """Never raises: where the disk refuses it is recorded later; until then a restart would send it again."""
        self._unrecorded[push.id] = (push.notifier, wall)
        try:
            with transaction(self.connection):
                self.connection.executemany("DELETE FROM pushes WHERE id = ?", [(one,) for one in self._unrecorded])
                self.connection.executemany("INSERT OR REPLACE INTO delivered VALUES (?, ?)", self._unrecorded.values())
        except sqlite3.Error as error:
            log.error("cannot record that a push was sent (%s): a restart would send it again", error)
        else:
            self._unrecorded.clear()

    def delivered(self) -> dict[str, float]:
        """Notifier → wall time of its last delivery."""
        return dict(self.connection.execute("SELECT notifier, at FROM delivered"))

    def revive(self, push_ids: Iterable[int], wall: float) -> None:
        """Pushes given up are pending again."""
        with transaction(self.connection):
            self.connection.executemany(
                "UPDATE pushes SET failed_at = NULL, error = '', revived_at = ? WHERE id = ?",
                [(wall, push_id) for push_id in push_ids],
            )

    def gave_up(self, push: Push, wall: float) -> None:
        """Never raises; see `sent`. Keeps the latest failures only."""
        try:
            with transaction(self.connection):
                self.connection.execute(
                    "UPDATE pushes SET failed_at = ?, error = ? WHERE id = ?", (wall, push.error, push.id)
                )
                self.connection.execute(
                    "DELETE FROM pushes WHERE failed_at IS NOT NULL AND id NOT IN (SELECT id FROM pushes"
                    f" WHERE failed_at IS NOT NULL ORDER BY failed_at DESC, id DESC LIMIT {SHOWN_MOST})"
                )
        except sqlite3.Error as error:
            log.error("cannot record that a push was given up (%s): a restart would try it again", error)

    def _rows(self, where: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(f"SELECT {COLUMNS} FROM pushes WHERE {where}").fetchall()

    def _push(self, row: tuple[Any, ...], now: float, wall: float) -> Push:
        push_id, notifier, target, event, at, context, error, revived_at = row
        born = now - max(0.0, wall - at)
        revived = None if revived_at is None else now - max(0.0, wall - revived_at)
        return Push(push_id, notifier, target, event, at, born, orjson.loads(context), error=error, revived=revived)
