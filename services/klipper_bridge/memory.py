"""What the bridge remembers over its own restarts: the last job event, and which Klipper the session belongs to."""

import logging
import sqlite3

from bus.database import transaction
from bus.journal import Journal
from services.klipper_bridge.jobs import Stats

log = logging.getLogger("moonbus.klipper_bridge")

SCHEMA = "CREATE TABLE IF NOT EXISTS klipper (session INTEGER NOT NULL, process_id INTEGER NOT NULL)"


class Memory:
    """In the journal's file. `session` and `process_id` are 0 before the first Klipper. Raises sqlite3.Error."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        journal.connection.execute(SCHEMA)
        row = journal.connection.execute("SELECT session, process_id FROM klipper").fetchone()
        self.session: int = row[0] if row else 0
        self.process_id: int = row[1] if row else 0

    def last_job(self) -> Stats | None:
        """print_stats as of the last event told, None where none was."""
        entry = self._journal.last("printer.jobs")
        return None if entry is None else dict(entry.value["current"])

    def begin_session(self, process_id: int) -> int:
        """Klipper started anew: the number of its session, written down before anybody hears of it. A disk that refuses
        costs what it is for: after a restart of the bridge, this session may be taken for another one."""
        self.session, self.process_id = self.session + 1, process_id
        connection = self._journal.connection
        try:
            with transaction(connection):
                connection.execute("DELETE FROM klipper")
                connection.execute("INSERT INTO klipper VALUES (?, ?)", (self.session, process_id))
        except sqlite3.Error as error:
            log.error("the session cannot be written down: %s", error)
        return self.session
