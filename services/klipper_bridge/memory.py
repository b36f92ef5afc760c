"""What the bridge remembers over its own restarts: the last job event, which Klipper the session belongs to, and how the
sessions before ended."""

import logging
import sqlite3
from typing import Any

import orjson

from bus.database import transaction
from bus.journal import Journal
from services.klipper_bridge.jobs import Stats

log = logging.getLogger("moonbus.klipper_bridge")

SCHEMA = """
CREATE TABLE IF NOT EXISTS klipper_life (session INTEGER NOT NULL, process TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS klipper_end (body BLOB NOT NULL);
"""


class Memory:
    """In the journal's file. `boot_id`: of the host; process ids repeat after it started anew. `session` is 0 before the
    first Klipper, `end` as in `Extruders.end`. Raises sqlite3.Error."""

    def __init__(self, journal: Journal, boot_id: str) -> None:
        self._journal = journal
        self._boot_id = boot_id
        self.session, self._process, self.end = journal.database.run(self._read)
        self._kept = (self.session, self._process, self.end)
        journal.database.on_renewal(self._write)

    def last_job(self) -> Stats | None:
        """print_stats as of the last event told, None where none was."""
        entry = self._journal.last("printer.jobs")
        return None if entry is None else dict(entry.value["current"])

    def knows(self, process_id: object) -> bool:
        """Whether the session is this process's. A RESTART keeps the process."""
        return self._process == self._name(process_id)

    def begin_session(self, process_id: object, end: dict[str, Any] | None) -> int:
        """Klipper started anew: the number of its session, written down before anybody hears of it."""
        self.session, self._process, self.end = self.session + 1, self._name(process_id), end
        self.keep()
        return self.session

    def end_session(self, end: dict[str, Any] | None, restarting: bool) -> None:
        """Klipper is gone, and perhaps the session with it: only the bridge knows its end now. `restarting`: Klipper said
        so, and whatever process is there next has begun another session."""
        self.end = end
        self._process = "" if restarting else self._process
        self.keep()

    def keep(self) -> None:
        """Writes what is not written yet. A disk that refuses costs what it is for, unless it takes it the next time: after
        a restart of the bridge, this session may be taken for another one."""
        known = (self.session, self._process, self.end)
        if known == self._kept:
            return
        try:
            self._journal.database.run(self._write)
        except sqlite3.Error as error:
            log.error("the session cannot be written down: %s", error)
        else:
            self._kept = known

    def _read(self) -> tuple[int, str, dict[str, Any] | None]:
        connection = self._journal.connection
        connection.executescript(SCHEMA)
        session, process = connection.execute("SELECT session, process FROM klipper_life").fetchone() or (0, "")
        end = connection.execute("SELECT body FROM klipper_end").fetchone()
        return session, process, orjson.loads(end[0]) if end else None

    def _write(self) -> None:
        connection = self._journal.connection
        connection.executescript(SCHEMA)
        with transaction(connection):
            for table in ("klipper_life", "klipper_end"):
                connection.execute(f"DELETE FROM {table}")
            connection.execute("INSERT INTO klipper_life VALUES (?, ?)", (self.session, self._process))
            if self.end is not None:
                connection.execute("INSERT INTO klipper_end VALUES (?)", (orjson.dumps(self.end),))

    def _name(self, process_id: object) -> str:
        return f"{self._boot_id}/{process_id}"
