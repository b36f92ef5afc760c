"""What a crash leaves: pushes and cursor together, or neither."""

import logging
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from bus.age import Moment
from bus.journal import Cursor, Entry
from services.notifier.core import SHOWN_MOST, Push
from services.notifier.outbox import SCHEMA, Outbox

CONTEXT = {"event_name": "started"}

NOW = Moment(0.0)


def entry(number: int, at: float = 1000.0) -> Entry:
    return Entry("printer.jobs", Cursor("j", number), at, {}, born=Moment.now().boot_s - 5.0)


def after_reboot(wall: float, boot_s: float) -> Moment:
    return Moment(wall, "another boot", boot_s)


def row(push_id: int, notifier: str = "phone") -> Push:
    return Push(push_id, notifier, 0, "started", 0.0, 0.0, CONTEXT)


def test_an_events_pushes_and_the_cursor_survive_together(tmp_path: Path) -> None:
    first = Outbox(tmp_path / "n.sqlite")
    assert first.cursor("printer.jobs") == Cursor()
    ids = first.take(entry(7), [("phone", 0), ("phone", 1)], "started", CONTEXT)
    first.connection.close()
    second = Outbox(tmp_path / "n.sqlite")
    assert second.cursor("printer.jobs") == Cursor("j", 7) and second.cursor("printer.remote_calls") == Cursor()
    pushes = second.pending(after_reboot(1060.0, 500.0))
    assert [(p.id, p.line, p.born, p.context, p.state) for p in pushes] == [
        (ids[0], ("phone", 0), 440.0, CONTEXT, "pending"),
        (ids[1], ("phone", 1), 440.0, CONTEXT, "pending"),
    ]
    before = Moment.now()
    (still, _), an_hour_later = second.pending(before), replace(before, at=before.at + 3600)
    assert 5.0 <= before.boot_s - still.born < 60.0 and second.pending(an_hour_later)[0] == still, "the clock was set"
    second.sent(row(ids[0]), 1070.0)
    assert second.delivered() == {"phone": 1070.0}
    assert [p.id for p in second.pending(NOW)] == [ids[1]]
    second.connection.close()


def test_a_transaction_that_fails_stores_nothing(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "n.sqlite")
    outbox.connection.execute("CREATE TRIGGER full BEFORE INSERT ON cursors BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(sqlite3.Error, match="full"):
        outbox.take(entry(1), [("phone", 0)], "started", CONTEXT)
    assert outbox.pending(NOW) == []
    outbox.connection.close()


def test_the_latest_failures_are_kept_for_people(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "n.sqlite")
    ids = outbox.take(entry(1), [("phone", 0)] * (SHOWN_MOST + 3), "started", CONTEXT)
    for number, push_id in enumerate(ids):
        outbox.gave_up(Push(push_id, "phone", 0, "started", 0.0, 0.0, CONTEXT, error=f"e{number}"), 2000.0 + number)
    assert outbox.pending(NOW) == []
    failed = outbox.failed(after_reboot(3000.0, 0.0))
    assert [p.error for p in failed] == [f"e{n}" for n in range(3, SHOWN_MOST + 3)]
    assert {p.state for p in failed} == {"failed"}
    outbox.revive([failed[0]], Moment(2900.0, "boot", 9.0))
    (revived,) = outbox.pending(after_reboot(3000.0, 500.0))
    assert (revived.id, revived.revived, revived.state) == (failed[0].id, 400.0, "pending")
    assert outbox.pending(Moment(0.0, "boot", 10.0))[0].revived == 9.0
    outbox.connection.close()


def test_a_database_of_the_first_version_opens_with_nothing_lost(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "n.sqlite")
    with old:
        old.executescript(SCHEMA)
        old.execute("INSERT INTO pushes (notifier, target, event, at, context) VALUES ('phone', 0, 'error', 1.0, '{}')")
    old.close()
    outbox = Outbox(tmp_path / "n.sqlite")
    assert [(p.notifier, p.event, p.revived) for p in outbox.pending(NOW)] == [("phone", "error", None)]
    assert outbox.delivered() == {}
    outbox.connection.close()


def test_a_disk_that_refuses_is_told_and_made_up_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outbox = Outbox(tmp_path / "n.sqlite")
    ids = outbox.take(entry(1), [("a", 0), ("b", 0)], "started", CONTEXT)
    outbox.connection.execute("CREATE TRIGGER full BEFORE DELETE ON pushes BEGIN SELECT RAISE(ABORT, 'full'); END")
    with caplog.at_level(logging.ERROR):
        outbox.sent(row(ids[0], "a"), 5.0)
    assert "a restart would send it again" in caplog.text
    outbox.connection.execute("DROP TRIGGER full")
    outbox.sent(row(ids[1], "b"), 6.0)
    assert outbox.pending(NOW) == [] and outbox.delivered() == {"a": 5.0, "b": 6.0}
    outbox.connection.close()


def test_a_notifier_is_known_from_its_first_start_on(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "n.sqlite")
    assert outbox.known_since(["a"], 100.0) == {"a": 100.0}
    before = outbox.connection.total_changes
    assert outbox.known_since(["a"], 200.0) == {"a": 100.0}
    assert outbox.connection.total_changes == before, "idle writes nothing"
    assert outbox.known_since(["a", "b"], 300.0) == {"a": 100.0, "b": 300.0}
    assert outbox.known_since(["b"], 250.0) == {"b": 250.0}, "a clock set back makes no one deaf"
    assert outbox.known_since(["a", "b"], 400.0) == {"a": 400.0, "b": 250.0}
    outbox.connection.close()
