"""What the bridge remembers of Klipper's sessions over its own restarts, also over a disk that refuses."""

import sqlite3
from pathlib import Path

from bus.journal import Journal
from services.klipper_bridge.memory import Memory

END = {"session": 1, "position": {"extruder": 50.0}, "previous": None}


def memory(path: Path, boot_id: str = "boot") -> Memory:
    return Memory(Journal(path / "bridge.sqlite"), boot_id)


def test_a_session_belongs_to_a_process_of_one_boot(tmp_path: Path) -> None:
    assert memory(tmp_path).begin_session(77, None) == 1
    again = memory(tmp_path)
    assert again.session == 1 and again.knows(77) and not again.knows(78)
    assert not memory(tmp_path, "next boot").knows(77)


def test_the_end_is_kept_and_a_restart_in_order_is_no_longer_that_process(tmp_path: Path) -> None:
    first = memory(tmp_path)
    first.begin_session(77, None)
    first.end_session(END, restarting=False)
    again = memory(tmp_path)
    assert again.end == END and again.knows(77)
    again.end_session(END, restarting=True)
    assert not memory(tmp_path).knows(77)


def test_what_the_disk_refused_is_written_when_it_takes_it(tmp_path: Path) -> None:
    path = tmp_path / "bridge.sqlite"
    held = memory(tmp_path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    held._journal.connection.execute("PRAGMA busy_timeout = 0")
    assert held.begin_session(77, END) == 1
    assert memory_rows(path) == []
    other.execute("ROLLBACK")
    other.close()
    held.keep()
    assert memory(tmp_path).session == 1 and memory(tmp_path).end == END


def memory_rows(path: Path) -> list[tuple[int, str]]:
    reader = sqlite3.connect(path)
    rows = reader.execute("SELECT session, process FROM klipper_life").fetchall()
    reader.close()
    return rows
