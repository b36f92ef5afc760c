"""Files damaged before they are opened, and under a service that runs: set aside, told, and nothing in memory is lost."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bus.age import Moment
from bus.journal import Cursor, Entry, Journal
from services.klipper_bridge.memory import Memory
from services.notifier.core import Lines, Push
from services.notifier.outbox import Outbox
from services.spoolman_sync.ledger import Ledger, Mark
from services.spoolman_sync.store import CALLS, JOBS, Store

PAGE_BYTES = 4096


def overwrite(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


def overwrite_in_place(path: Path) -> None:
    """All that SQLite has open, in the files it has open."""
    for end in ("", "-wal", "-shm"):
        with open(f"{path}{end}", "r+b") as file:
            size = os.fstat(file.fileno()).st_size
            file.write(os.urandom(size))


def cut(path: Path) -> None:
    os.truncate(path, PAGE_BYTES)


def cut_within_a_page(path: Path) -> None:
    os.truncate(path, PAGE_BYTES + 100)


def garbage_beside(path: Path) -> None:
    path.with_name(f"{path.name}-wal").write_bytes(os.urandom(10_000))


@pytest.mark.parametrize("damage", [overwrite, cut, cut_within_a_page, garbage_beside])
def test_a_file_damaged_before_it_is_opened_is_set_aside_with_its_log(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    path, told = tmp_path / "a.sqlite", list[str]()
    journal = Journal(path)
    for n in range(20):
        journal.append("printer.jobs", {"n": n, "x": "y" * 1000}, at=0.0)
    journal.close()
    damage(path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    again = Journal(path, told.append)
    assert again.id != journal.id and again.last("printer.jobs") is None
    assert len(told) == 1 and str(path) in told[0] and "set aside as a.sqlite.damaged" in told[0]
    for name, content in before.items():
        assert (tmp_path / name.replace("sqlite", "sqlite.damaged")).read_bytes() == content


def test_an_entry_that_is_no_json_does_not_deafen_the_readers(tmp_path: Path) -> None:
    told = list[str]()
    journal = Journal(tmp_path / "a.sqlite", told.append)
    journal.append("printer.jobs", {}, at=0.0)
    journal.connection.execute("UPDATE journal SET body = 'x'")
    assert journal.read("printer.jobs", Cursor()) == [] and len(told) == 1


def test_a_bridge_whose_file_is_damaged_under_it_keeps_its_session(tmp_path: Path) -> None:
    path, told = tmp_path / "a.sqlite", list[str]()
    journal = Journal(path, told.append)
    memory = Memory(journal, "boot")
    assert memory.begin_session(77, None) == 1
    before = journal.append("printer.jobs", {"n": 1}, at=0.0).position.journal_id
    overwrite_in_place(path)
    entry = journal.append("printer.jobs", {"n": 2}, at=0.0)
    assert len(told) == 1 and entry.position.journal_id not in ("", before)
    journal.close()
    again = Journal(path)
    assert again.read("printer.jobs", Cursor()) == [entry]
    assert Memory(again, "boot").session == 1 and Memory(again, "boot").knows(77)


def test_a_ledger_whose_file_is_damaged_under_it_is_written_anew(tmp_path: Path) -> None:
    path, told = tmp_path / "a.sqlite", list[str]()
    ledger, cursors = Ledger(1, False, {"extruder": Mark(5.0, 5.0)}, 3), {CALLS: Cursor("j", 1), JOBS: Cursor("j", 2)}
    store = Store(path, told.append)
    store.save(ledger, cursors)
    overwrite_in_place(path)
    later = Ledger(1, False, ledger.marks, 3, {3: 5.0})
    store.save(later, cursors)
    assert len(told) == 1
    store.close()
    assert Store(path).load() == (later, cursors)


def test_an_outbox_whose_file_is_damaged_under_it_keeps_what_waits(tmp_path: Path) -> None:
    path, told = tmp_path / "a.sqlite", list[str]()
    outbox = Outbox(path, told.append)
    since = outbox.known_since(["phone"], 5.0)
    (first,) = outbox.take(entry(7), [("phone", 0)], "started", {"n": 1})
    lines = Lines({first: Push(first, "phone", 0, "started", 9.0, 9.0, {"n": 1})})
    outbox.hold(lines.pushes.values)
    overwrite_in_place(path)
    (second,) = outbox.take(entry(8), [("phone", 0)], "complete", {"n": 2})
    assert len(told) == 1 and second != first
    outbox.database.close()
    again = Outbox(path)
    assert [(push.id, push.context) for push in again.pending(Moment.now())] == [(first, {"n": 1}), (second, {"n": 2})]
    assert again.cursor("printer.jobs") == Cursor("j", 8) and again.known_since(["phone"], 99.0) == since


def entry(number: int) -> Entry:
    return Entry("printer.jobs", Cursor("j", number), 9.0, {})
