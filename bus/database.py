"""SQLite for what must survive: one file per service below the data path, each written by its owner alone."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger("bus.database")


def open_database(path: Path, schema: str) -> sqlite3.Connection:
    """Opens or creates the file and applies `schema` (CREATE … IF NOT EXISTS statements).

    WAL with full sync: a commit survives a power cut. Commits are rare (SD cards die from writing), so each may be dear.
    A damaged file (a card that lied about a write) is set aside under `.damaged`, never deleted, and a new one begins: a
    service that cannot start helps nobody. Raises OSError or sqlite3.OperationalError where the disk refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _open(path, schema)
    except sqlite3.OperationalError as error:
        raise sqlite3.OperationalError(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        aside = path.with_suffix(f"{path.suffix}.damaged")
        reason = " ".join(str(error).split())
        log.error("%s is damaged (%s): set aside as %s, starting a new one", path, reason, aside.name)
        path.replace(aside)
        return _open(path, schema)


def _open(path: Path, schema: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.executescript(schema)
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commits at the end of the block, rolls back when it raises."""
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
