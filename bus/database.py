"""SQLite for what must survive: one file per service below the data path, each written by its owner alone."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger("bus.database")


Steps = tuple[tuple[str, ...], ...]
"""Step n leads from version n of a schema to n + 1; the version is SQLite's user_version."""


def open_database(path: Path, schema: str, steps: Steps = ()) -> sqlite3.Connection:
    """Opens or creates the file and applies `schema` (CREATE … IF NOT EXISTS statements, version 0, which never changes),
    then the `steps` it has not seen. A file of a newer version is refused and left alone.

    WAL with full sync: a commit survives a power cut. Commits are rare (SD cards die from writing), so each may be dear.
    A damaged file (a card that lied about a write) is set aside under `.damaged`, never deleted, and a new one begins: a
    service that cannot start helps nobody. Raises OSError or sqlite3.OperationalError where the disk refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _open(path, schema, steps)
    except sqlite3.OperationalError as error:
        raise sqlite3.OperationalError(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        aside = path.with_suffix(f"{path.suffix}.damaged")
        reason = " ".join(str(error).split())
        log.error("%s is damaged (%s): set aside as %s, starting a new one", path, reason, aside.name)
        path.replace(aside)
        return _open(path, schema, steps)


def _open(path: Path, schema: str, steps: Steps) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.executescript(schema)
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        _migrate(connection, steps)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, steps: Steps) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(steps):
        raise sqlite3.OperationalError(f"it was written by a newer version (schema {version}, known: {len(steps)})")
    for number, statements in enumerate(steps[version:], version + 1):
        with transaction(connection):
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commits at the end of the block, rolls back when it raises."""
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
