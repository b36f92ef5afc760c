"""What the bridge remembers over its own restarts: the last job event, and which Klipper the session belongs to."""

import logging
import sqlite3

from bus.database import transaction
from bus.journal import Journal
from services.klipper_bridge.jobs import Stats

log = logging.getLogger("moonbus.klipper_bridge")

SCHEMA = "CREATE TABLE IF NOT EXISTS klipper_life (session INTEGER NOT NULL, process TEXT NOT NULL)"


class Memory:
    """In the journal's file. `boot_id`: of the host; process ids repeat after it started anew. `session` is 0 before the
    first Klipper. Raises sqlite3.Error."""

    def __init__(self, journal: Journal, boot_id: str) -> None:
        self._journal = journal
        self._boot_id = boot_id
        journal.connection.execute(SCHEMA)
        row = journal.connection.execute("SELECT session, process FROM klipper_life").fetchone()
        self.session: int = row[0] if row else 0
        self._process: str = row[1] if row else ""

    def last_job(self) -> Stats | None:
        """print_stats as of the last event told, None where none was."""
        entry = self._journal.last("printer.jobs")
        return None if entry is None else dict(entry.value["current"])

    def knows(self, process_id: object) -> bool:
        """Whether the session is this process's. A RESTART keeps the process."""
        return self._process == self._name(process_id)

    def begin_session(self, process_id: object) -> int:
        """Klipper started anew: the number of its session, written down before anybody hears of it. A disk that refuses
        costs what it is for: after a restart of the bridge, this session may be taken for another one."""
        self.session, self._process = self.session + 1, self._name(process_id)
        connection = self._journal.connection
        try:
            with transaction(connection):
                connection.execute("DELETE FROM klipper_life")
                connection.execute("INSERT INTO klipper_life VALUES (?, ?)", (self.session, self._process))
        except sqlite3.Error as error:
            log.error("the session cannot be written down: %s", error)
        return self.session

    def _name(self, process_id: object) -> str:
        return f"{self._boot_id}/{process_id}"
