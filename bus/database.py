"""SQLite for what must survive: one file per service below the data path, each written by its owner alone.

A damaged file (a card that lied about a write) is set aside under `.damaged`, never deleted, and a new one begins: a service
that cannot start helps nobody. The same while the service runs, and then nothing is lost that it has in memory.
"""

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import orjson

log = logging.getLogger("bus.database")

T = TypeVar("T")
Steps = tuple[tuple[str, ...], ...]
"""Step n leads from version n of a schema to n + 1; the version is SQLite's user_version."""

Tell = Callable[[str], None]

DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
"""Primary codes of errors that no disk gets over."""

TABLE_GONE = "no such table"
"""So SQLite reads a file whose write-ahead log was lost under it: as it was before the log began."""

WAL_HEADER_BYTES = 32
WAL_MAGIC = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")


class Database:
    """Opens or creates the file and applies `schema` (CREATE … IF NOT EXISTS statements, version 0, which never changes),
    then the `steps` it has not seen. A file of a newer version is refused and left alone.

    WAL with full sync: a commit survives a power cut. Commits are rare (SD cards die from writing), so each may be dear.
    `tell` hears in words what was found damaged. Raises OSError or sqlite3.OperationalError where the disk refuses.
    """

    def __init__(self, path: Path, schema: str, steps: Steps = (), tell: Tell | None = None) -> None:
        self._path = path
        self._schema = schema
        self._steps = steps
        self._tell = tell
        self._refills: list[Callable[[], None]] = []
        self._gone = False
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.connection = self._open()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            self._set_aside(error)
            self.connection = self._open()

    def on_renewal(self, refill: Callable[[], None]) -> None:
        """`refill` puts into a new file what the owner has in memory. Raises sqlite3.Error."""
        self._refills.append(refill)

    def run(self, work: Callable[[], T]) -> T:
        """What `work` does with the connection; done again on a new file when the one it has shows damage. Raises
        sqlite3.OperationalError where the disk refuses."""
        if not self._gone:
            try:
                return work()
            except (sqlite3.DatabaseError, orjson.JSONDecodeError) as error:
                if not _is_damage(error):
                    raise
                self._set_aside(error)
                self._gone = True
        self.connection.close()
        self.connection = self._open()
        for refill in self._refills:
            refill()
        self._gone = False
        return work()

    def close(self) -> None:
        self.connection.close()

    def _set_aside(self, error: Exception) -> None:
        """The file with its log, which belongs to it; raises sqlite3.OperationalError, and nothing has changed then."""
        aside = self._path.with_suffix(f"{self._path.suffix}.damaged")
        reason = " ".join(str(error).split())
        try:
            self._path.replace(aside)
            for end in ("-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    Path(f"{self._path}{end}").replace(f"{aside}{end}")
        except OSError as refusal:
            raise sqlite3.OperationalError(
                f"{self._path} is damaged ({reason}) and cannot be moved: {refusal}"
            ) from error
        text = f"{self._path} is damaged ({reason}): set aside as {aside.name}, starting a new one"
        log.error("%s", text)
        if self._tell is not None:
            self._tell(text)

    def _open(self) -> sqlite3.Connection:
        if _log_is_damaged(self._path):
            raise sqlite3.DatabaseError("its write-ahead log is none, so what was written last is lost")
        try:
            return self._connect()
        except sqlite3.OperationalError as error:
            raise sqlite3.OperationalError(f"{self._path}: {error}") from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.executescript(self._schema)
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise sqlite3.DatabaseError(found)
            _migrate(connection, self._steps)
        except sqlite3.Error:
            connection.close()
            raise
        return connection


def _is_damage(error: Exception) -> bool:
    """Rather than a disk that refuses. A value that is no JSON was one when it was written."""
    if isinstance(error, orjson.JSONDecodeError) or str(error).startswith(TABLE_GONE):
        return True
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE


def _log_is_damaged(path: Path) -> bool:
    """Whether a write-ahead log begins as none does. SQLite would pass over it in silence, with all commits in it, and an
    older state would look like the newest."""
    try:
        with open(f"{path}-wal", "rb") as file:
            head = file.read(WAL_HEADER_BYTES + 1)
    except OSError:
        return False
    return len(head) > WAL_HEADER_BYTES and not head.startswith(WAL_MAGIC)


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
