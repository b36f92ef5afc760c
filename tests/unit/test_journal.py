"""The journal's file: order, cursors, a lost file, a damaged file."""

import re
import sqlite3
from pathlib import Path

import pytest

import bus.journal
from bus.database import transaction
from bus.journal import Cursor, Journal


@pytest.fixture(autouse=True)
def few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus.journal, "KEPT", 50)


def numbers(journal: Journal, after: Cursor) -> list[int]:
    entries = journal.read("printer.jobs", after)
    journal.connection.close()
    return [entry.position.number for entry in entries]


def test_entries_come_back_in_order_from_a_cursor_also_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "journal.sqlite"
    first = Journal(path)
    entries = [first.append("printer.jobs", {"event": n}, at=float(n)) for n in range(5)]
    first.append("printer.remote_calls", {}, at=9.0)
    first.connection.close()
    again = Journal(path)
    read = again.read("printer.jobs", entries[2].position)
    again.connection.close()
    assert read == entries[3:]


def test_a_cursor_of_another_journal_starts_at_the_beginning(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.sqlite")
    journal.append("printer.jobs", {}, at=0.0)
    assert numbers(journal, Cursor("of a deleted file", 77)) == [1]


def test_old_entries_go(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.sqlite")
    for n in range(60):
        journal.append("printer.jobs", {}, at=float(n))
    assert numbers(journal, Cursor()) == list(range(11, 61))


def test_a_flood_of_one_topic_leaves_the_others(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.sqlite")
    journal.append("printer.jobs", {"event": "started"}, at=0.0)
    for n in range(60):
        journal.append("printer.remote_calls", {}, at=float(n))
    assert len(journal.read("printer.remote_calls", Cursor())) == 50
    assert numbers(journal, Cursor()) == [1]


def test_a_damaged_file_is_set_aside_and_a_new_one_begins(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    path.write_bytes(b"\0" * 5000)
    journal = Journal(path)
    journal.append("printer.jobs", {}, at=0.0)
    assert numbers(journal, Cursor()) == [1]
    assert (tmp_path / "a.sqlite.damaged").read_bytes() == b"\0" * 5000


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.sqlite")
    with pytest.raises(RuntimeError), transaction(journal.connection):
        journal.connection.execute("INSERT INTO journal (topic, at, body) VALUES ('printer.jobs', 0, '{}')")
        raise RuntimeError
    assert numbers(journal, Cursor()) == []


def test_a_file_whose_pages_are_damaged_is_set_aside_too(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    journal = Journal(path)
    for _ in range(20):
        journal.append("printer.jobs", {"x": "y" * 1000}, at=0.0)
    journal.connection.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    again = Journal(path)
    assert again.last("printer.jobs") is None
    again.append("printer.jobs", {}, at=0.0)
    assert numbers(again, Cursor()) == [1]
    assert path.with_suffix(".sqlite.damaged").exists()


def test_a_disk_that_refuses_is_told_with_the_path(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    path.mkdir()
    with pytest.raises(sqlite3.OperationalError, match=re.escape(str(path))):
        Journal(path)
