"""The journal: events that are never lost. The owner appends before it publishes; consumers read from a cursor.

A cursor is (journal's id, number of the last entry handled). Another id means another journal (its file was deleted),
which is read from its start.
"""

import sqlite3
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from bus.age import Moment
from bus.database import Database, Steps, Tell, transaction

KEPT = 2000
"""Entries of a topic kept for consumers that were away; a print has about ten."""

BATCH = 100

SCHEMA = """
CREATE TABLE IF NOT EXISTS journal_identity (id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS journal (
    number INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, at REAL NOT NULL, body BLOB NOT NULL);
"""

STEPS: Steps = (
    (
        "ALTER TABLE journal ADD COLUMN boot_id TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE journal ADD COLUMN boot_s REAL NOT NULL DEFAULT 0",
    ),
)


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a consumer is in a topic's journal. `Cursor("", 0)` is before everything."""

    journal_id: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """One event: `at` is the wall time of the append in seconds, `born` the same in seconds since boot, whatever was done to the
    wall clock since then; `position` is its place for the cursor."""

    topic: str
    position: Cursor
    at: float
    value: Any
    born: float = field(default=0.0, compare=False)


class Journal:
    """The owner's side. `tell` hears in words of a damaged file. Raises sqlite3.Error where the disk refuses."""

    def __init__(self, path: Path, tell: Tell | None = None) -> None:
        self.database = Database(path, SCHEMA, STEPS, tell)
        self.database.on_renewal(self._identify)
        self.id = ""
        self.database.run(self._identify)

    @property
    def connection(self) -> sqlite3.Connection:
        return self.database.connection

    def append(self, topic: str, value: object, at: float) -> Entry:
        """On disk when it returns."""
        number = self.database.run(lambda: self._append(topic, orjson.dumps(value), at))
        return Entry(topic, Cursor(self.id, number), at, value)

    def read(self, topic: str, after: Cursor, limit: int = BATCH) -> list[Entry]:
        """The next entries behind the cursor, oldest first."""
        return self.database.run(lambda: self._read(topic, after, limit))

    def last(self, topic: str) -> Entry | None:
        """The newest entry of a topic."""
        return self.database.run(lambda: self._last(topic))

    def close(self) -> None:
        self.database.close()

    def _identify(self) -> None:
        row = self.connection.execute("SELECT id FROM journal_identity").fetchone()
        if row is None:
            row = (uuid.uuid4().hex,)
            self.connection.execute("INSERT INTO journal_identity VALUES (?)", row)
        self.id = row[0]

    def _append(self, topic: str, body: bytes, at: float) -> int:
        with transaction(self.connection):
            now = Moment.now()
            done = self.connection.execute(
                "INSERT INTO journal (topic, at, body, boot_id, boot_s) VALUES (?, ?, ?, ?, ?)",
                (topic, at, body, now.boot_id, now.boot_s),
            )
            # Per topic: a macro that notifies in a loop must not wash the last job event out.
            self.connection.execute(
                "DELETE FROM journal WHERE topic = ?1 AND number <= "
                "(SELECT number FROM journal WHERE topic = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
                (topic, KEPT),
            )
            return int(done.lastrowid or 0)

    def _read(self, topic: str, after: Cursor, limit: int) -> list[Entry]:
        number = after.number if after.journal_id == self.id else 0
        rows = self.connection.execute(
            "SELECT number, body, at, boot_id, boot_s FROM journal WHERE topic = ? AND number > ? ORDER BY number LIMIT ?",
            (topic, number, limit),
        )
        now = Moment.now()
        return [self._entry(topic, now, *row) for row in rows]

    def _last(self, topic: str) -> Entry | None:
        row = self.connection.execute(
            "SELECT number, body, at, boot_id, boot_s FROM journal WHERE topic = ? ORDER BY number DESC LIMIT 1",
            (topic,),
        ).fetchone()
        return None if row is None else self._entry(topic, Moment.now(), *row)

    def _entry(self, topic: str, now: Moment, number: int, body: bytes, *written: Any) -> Entry:
        moment = Moment(*written)
        return Entry(topic, Cursor(self.id, number), moment.at, orjson.loads(body), now.boot_s - moment.age_s(now))
