"""The ledger on disk: the whole of it, with the places in the bridge's journals, in one transaction."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bus.database import Database, Steps, Tell, transaction
from bus.journal import Cursor
from services.spoolman_sync.held import Held, Job, Unassigned, Uncertain
from services.spoolman_sync.ledger import Attempt, Ledger, Mark

CALLS = "printer.remote_calls"
JOBS = "printer.jobs"

SCHEMA = """
CREATE TABLE IF NOT EXISTS ledger (
    id INTEGER PRIMARY KEY CHECK (id = 1), session INTEGER, joined INTEGER NOT NULL, spool_id INTEGER,
    unassigned_mm REAL NOT NULL, booked_mm REAL NOT NULL, journal_id TEXT NOT NULL, journal_number INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS marks (extruder TEXT PRIMARY KEY, highest_mm REAL NOT NULL, last_mm REAL NOT NULL);
CREATE TABLE IF NOT EXISTS pending (spool_id INTEGER PRIMARY KEY, mm REAL NOT NULL);
CREATE TABLE IF NOT EXISTS attempts (spool_id INTEGER PRIMARY KEY, mm REAL NOT NULL, before_mm REAL NOT NULL);
"""
"""Version 0. It never changes: what came later is a step, which new databases take like old ones."""

STEPS: Steps = (
    (
        "ALTER TABLE ledger ADD COLUMN uncertain_mm REAL NOT NULL DEFAULT 0",
        "ALTER TABLE ledger ADD COLUMN job_filename TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE ledger ADD COLUMN job_began_at REAL NOT NULL DEFAULT 0",
        "ALTER TABLE ledger ADD COLUMN jobs_journal_id TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE ledger ADD COLUMN jobs_journal_number INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE attempts ADD COLUMN before_g REAL",
        "CREATE TABLE unassigned (filename TEXT NOT NULL, began_at REAL NOT NULL, mm REAL NOT NULL, at REAL NOT NULL, "
        "spool_id INTEGER)",
        "CREATE TABLE uncertain (spool_id INTEGER NOT NULL, mm REAL NOT NULL, before_mm REAL NOT NULL, "
        "after_mm REAL NOT NULL, at REAL NOT NULL)",
    ),
)
COLUMNS = {
    "ledger": "id, session, joined, spool_id, unassigned_mm, uncertain_mm, booked_mm, journal_id, journal_number, "
    "jobs_journal_id, jobs_journal_number, job_filename, job_began_at",
    "marks": "extruder, highest_mm, last_mm",
    "pending": "spool_id, mm",
    "attempts": "spool_id, mm, before_mm, before_g",
    "unassigned": "filename, began_at, mm, at, spool_id",
    "uncertain": "spool_id, mm, before_mm, after_mm, at",
}
"""In the row of the ledger, the unassigned and the uncertain length are the sums of the rows no longer kept."""

Cursors = Mapping[str, Cursor]
"""Topic of a journal → the last entry of it that was handled."""
Rows = list[tuple[Any, ...]]


class Store:
    """Raises sqlite3.Error where the disk refuses, and has then changed nothing. To open it also raises OSError. `tell` hears
    in words of a damaged file; the ledger in memory is then written into the new one."""

    def __init__(self, path: Path, tell: Tell | None = None) -> None:
        self._database = Database(path, SCHEMA, STEPS, tell)
        self._saved: dict[str, Rows] = {}
        self._database.on_renewal(self._saved.clear)
        self._saved.update(self._database.run(lambda: {table: self._read(table) for table in COLUMNS}))

    def load(self) -> tuple[Ledger, Cursors]:
        """What was saved last; empty ones before."""
        if not self._saved["ledger"]:
            return Ledger(), {CALLS: Cursor(), JOBS: Cursor()}
        (_, session, joined, spool_id, unassigned_mm, uncertain_mm, booked_mm, *rest) = self._saved["ledger"][0]
        calls_id, calls_number, jobs_id, jobs_number, filename, began_at = rest
        unassigned = tuple(
            Unassigned(Job(name, began), mm, at, spool) for name, began, mm, at, spool in self._saved["unassigned"]
        )
        ledger = Ledger(
            session,
            bool(joined),
            {name: Mark(highest, last) for name, highest, last in self._saved["marks"]},
            spool_id,
            dict(self._saved["pending"]),
            {spool: Attempt(*attempt) for spool, *attempt in self._saved["attempts"]},
            booked_mm,
            Job(filename, began_at),
            Held(unassigned, unassigned_mm),
            Held(tuple(Uncertain(*row) for row in self._saved["uncertain"]), uncertain_mm),
        )
        return ledger, {CALLS: Cursor(calls_id, calls_number), JOBS: Cursor(jobs_id, jobs_number)}

    def save(self, ledger: Ledger, cursors: Cursors) -> None:
        """On disk when it returns. Tables that did not change are not written: a card wears out by pages."""
        self._saved.update(self._database.run(lambda: self._write(_tables(ledger, cursors))))

    def close(self) -> None:
        self._database.close()

    def _write(self, tables: dict[str, Rows]) -> dict[str, Rows]:
        """Returns those that were not as they are."""
        fresh = {table: rows for table, rows in tables.items() if rows != self._saved.get(table)}
        connection = self._database.connection
        with transaction(connection):
            for table, rows in fresh.items():
                marks = ", ".join("?" for _ in COLUMNS[table].split(","))
                connection.execute(f"DELETE FROM {table}")
                connection.executemany(f"INSERT INTO {table} ({COLUMNS[table]}) VALUES ({marks})", rows)
        return fresh

    def _read(self, table: str) -> Rows:
        return self._database.connection.execute(f"SELECT {COLUMNS[table]} FROM {table} ORDER BY rowid").fetchall()


def _tables(ledger: Ledger, cursors: Cursors) -> dict[str, Rows]:
    calls, jobs = cursors[CALLS], cursors[JOBS]
    row = (
        1, ledger.session, int(ledger.joined), ledger.spool_id, ledger.unassigned.older_mm, ledger.uncertain.older_mm,
        ledger.booked_mm, calls.journal_id, calls.number, jobs.journal_id, jobs.number, ledger.job.filename,
        ledger.job.began_at,
    )  # fmt: skip
    return {
        "ledger": [row],
        "marks": [(name, mark.highest_mm, mark.last_mm) for name, mark in ledger.marks.items()],
        "pending": list(ledger.pending.items()),
        "attempts": [(spool, a.mm, a.before_mm, a.before_g) for spool, a in ledger.attempts.items()],
        "unassigned": [(r.job.filename, r.job.began_at, r.mm, r.at, r.spool_id) for r in ledger.unassigned.rows],
        "uncertain": [(r.spool_id, r.mm, r.before_mm, r.after_mm, r.at) for r in ledger.uncertain.rows],
    }
