"""The ledger on disk: as it was, from each version, and as few pages as can be."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from bus.journal import Cursor
from services.spoolman_sync.held import Held, Job, Unassigned, Uncertain
from services.spoolman_sync.ledger import Attempt, Ledger, Mark
from services.spoolman_sync.store import CALLS, JOBS, SCHEMA, STEPS, Store

LEDGER = Ledger(
    session=3,
    joined=True,
    marks={"extruder": Mark(12.0, 11.5), "extruder1": Mark(1.0, 1.0)},
    spool_id=8,
    pending={8: 2.5},
    attempts={7: Attempt(10.0, 2.5, 0.0075), 9: Attempt(1.0, 0.0)},
    booked_mm=33.0,
    job=Job("a/b.gcode", 1_700_000_000.5),
    unassigned=Held((Unassigned(Job(), 1.0, 5.0), Unassigned(Job("c.gcode", 2.0), 3.0, 4.0, spool_id=6)), 7.0),
    uncertain=Held((Uncertain(7, 2.0, 1.0, 5.0, 9.0),), 0.25),
)
CURSORS = {CALLS: Cursor("journal", 5), JOBS: Cursor("journal", 7)}


def test_a_ledger_comes_back_from_disk_as_it_was(tmp_path: Path) -> None:
    with closing(Store(tmp_path / "ledger.sqlite")) as store:
        assert store.load() == (Ledger(), {CALLS: Cursor(), JOBS: Cursor()})
        store.save(LEDGER, CURSORS)
        assert store.load() == (LEDGER, CURSORS)
    with closing(Store(tmp_path / "ledger.sqlite")) as again:
        assert again.load() == (LEDGER, CURSORS)
        again.save(Ledger(), CURSORS)
        assert again.load() == (Ledger(), CURSORS)


def test_a_database_of_version_0_loses_nothing(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as old:
        old.executescript(SCHEMA)
        old.execute("INSERT INTO ledger VALUES (1, 3, 0, 8, 120.5, 33.0, 'journal', 5)")
        old.execute("INSERT INTO marks VALUES ('extruder', 12.0, 11.5)")
        old.execute("INSERT INTO pending VALUES (8, 2.5)")
        old.execute("INSERT INTO attempts VALUES (7, 10.0, 2.5)")
        old.commit()
    for _ in range(2):
        with closing(Store(tmp_path / "ledger.sqlite")) as store:
            ledger, cursors = store.load()
            store.save(ledger, cursors)
            assert ledger == Ledger(
                3, False, {"extruder": Mark(12.0, 11.5)}, 8, {8: 2.5}, {7: Attempt(10.0, 2.5)}, 33.0,
                unassigned=Held((), 120.5),
            )  # fmt: skip
            assert cursors == {CALLS: Cursor("journal", 5), JOBS: Cursor()}
            assert ledger.extruded_mm == 33.0 + 2.5 + 10.0 + 120.5


def test_a_step_that_is_cut_off_is_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as cut:
        cut.setattr("services.spoolman_sync.store.STEPS", ((*STEPS[0][:3], "the disk is full"),))
        with pytest.raises(sqlite3.OperationalError):
            Store(tmp_path / "ledger.sqlite")
    with closing(Store(tmp_path / "ledger.sqlite")) as store:
        store.save(LEDGER, CURSORS)
        assert store.load() == (LEDGER, CURSORS)


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    Store(tmp_path / "ledger.sqlite").close()
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as newer:
        newer.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    with pytest.raises(sqlite3.OperationalError, match="written by a newer version"):
        Store(tmp_path / "ledger.sqlite")


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    with closing(Store(tmp_path / "ledger.sqlite")) as store:
        store.save(LEDGER, CURSORS)
        written: list[str] = []
        store._database.connection.set_trace_callback(written.append)
        store.save(replace(LEDGER, pending={8: 3.0}), CURSORS)
        assert {text.split()[2] for text in written if text.startswith(("INSERT", "DELETE"))} == {"pending"}
        assert store.load()[0].pending == {8: 3.0}
