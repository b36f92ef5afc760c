"""The ledger on disk: the whole of it, with the place in the journal of remote calls, in one transaction."""

from pathlib import Path

from bus.database import open_database, transaction
from bus.journal import Cursor
from services.spoolman_sync.ledger import Attempt, Ledger, Mark

SCHEMA = """
CREATE TABLE IF NOT EXISTS ledger (
    id INTEGER PRIMARY KEY CHECK (id = 1), session INTEGER, joined INTEGER NOT NULL, spool_id INTEGER,
    unassigned_mm REAL NOT NULL, booked_mm REAL NOT NULL, journal_id TEXT NOT NULL, journal_number INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS marks (extruder TEXT PRIMARY KEY, highest_mm REAL NOT NULL, last_mm REAL NOT NULL);
CREATE TABLE IF NOT EXISTS pending (spool_id INTEGER PRIMARY KEY, mm REAL NOT NULL);
CREATE TABLE IF NOT EXISTS attempts (spool_id INTEGER PRIMARY KEY, mm REAL NOT NULL, before_mm REAL NOT NULL);
"""


class Store:
    """Raises sqlite3.Error where the disk refuses, and has then changed nothing."""

    def __init__(self, path: Path) -> None:
        self._connection = open_database(path, SCHEMA)

    def load(self) -> tuple[Ledger, Cursor]:
        """What was saved last; empty ones before."""
        run = self._connection.execute
        row = run("SELECT session, joined, spool_id, unassigned_mm, booked_mm, journal_id, journal_number FROM ledger")
        found = row.fetchone()
        if found is None:
            return Ledger(), Cursor()
        session, joined, spool_id, unassigned_mm, booked_mm, journal_id, number = found
        marks = {name: Mark(highest, last) for name, highest, last in run("SELECT * FROM marks").fetchall()}
        pending = dict(run("SELECT spool_id, mm FROM pending").fetchall())
        attempts = {spool: Attempt(mm, before) for spool, mm, before in run("SELECT * FROM attempts").fetchall()}
        ledger = Ledger(session, bool(joined), marks, spool_id, pending, attempts, unassigned_mm, booked_mm)
        return ledger, Cursor(journal_id, number)

    def save(self, ledger: Ledger, cursor: Cursor) -> None:
        """On disk when it returns."""
        row = (ledger.session, ledger.joined, ledger.spool_id, ledger.unassigned_mm, ledger.booked_mm,
               cursor.journal_id, cursor.number)  # fmt: skip
        attempts = [(spool, attempt.mm, attempt.before_mm) for spool, attempt in ledger.attempts.items()]
        marks = [(name, mark.highest_mm, mark.last_mm) for name, mark in ledger.marks.items()]
        with transaction(self._connection):
            for table in ("ledger", "marks", "pending", "attempts"):
                self._connection.execute(f"DELETE FROM {table}")
            self._connection.execute("INSERT INTO ledger VALUES (1, ?, ?, ?, ?, ?, ?, ?)", row)
            self._connection.executemany("INSERT INTO marks VALUES (?, ?, ?)", marks)
            self._connection.executemany("INSERT INTO pending VALUES (?, ?)", ledger.pending.items())
            self._connection.executemany("INSERT INTO attempts VALUES (?, ?, ?)", attempts)

    def close(self) -> None:
        self._connection.close()
