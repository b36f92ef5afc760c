"""The journal: events that are never lost. The owner appends before it publishes; consumers read from a cursor.

A cursor is (journal's id, number of the last entry handled). Another id means another journal (its file was deleted),
which is read from its start.
"""

import sqlite3
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bus.database import Database, Tell, transaction

KEPT = 2000
"""Entries of a topic kept for consumers that were away; a print has about ten."""

BATCH = 100

SCHEMA = """
CREATE TABLE IF NOT EXISTS journal_identity (id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS journal (
    number INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, at REAL NOT NULL, body BLOB NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a consumer is in a topic's journal. `Cursor("", 0)` is before everything."""

    journal_id: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """One event: `at` is the wall time of the append in seconds, `position` its place for the cursor."""

    topic: str
    position: Cursor
    at: float
    value: Any


class Journal:
    """The owner's side. `tell` hears in words of a damaged file. Raises sqlite3.Error where the disk refuses."""

    def __init__(self, path: Path, tell: Tell | None = None) -> None:
        self.database = Database(path, SCHEMA, tell=tell)
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
            done = self.connection.execute("INSERT INTO journal (topic, at, body) VALUES (?, ?, ?)", (topic, at, body))
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
            "SELECT number, at, body FROM journal WHERE topic = ? AND number > ? ORDER BY number LIMIT ?",
            (topic, number, limit),
        )
        return [Entry(topic, Cursor(self.id, n), at, orjson.loads(body)) for n, at, body in rows]

    def _last(self, topic: str) -> Entry | None:
        row = self.connection.execute(
            "SELECT number, at, body FROM journal WHERE topic = ? ORDER BY number DESC LIMIT 1", (topic,)
        ).fetchone()
        return None if row is None else Entry(topic, Cursor(self.id, row[0]), row[1], orjson.loads(row[2]))
