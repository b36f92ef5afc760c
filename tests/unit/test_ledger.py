"""The filament ledger, case by case."""

from dataclasses import replace
from typing import Any

import pytest

from services.spoolman_sync.held import Job, Unassigned, Uncertain
from services.spoolman_sync.ledger import (
    Attempt,
    Extruders,
    Ledger,
    begin,
    change_at,
    choose,
    close,
    count,
    doubt,
    forget,
    job_at,
)


def at(session: int = 1, **position_mm: float) -> Extruders:
    return Extruders(session, position_mm)


FRESH = count(Ledger(spool_id=7), at(extruder=0.0))


def test_growth_is_pending_for_the_active_spool() -> None:
    ledger = count(FRESH, at(extruder=12.5))
    assert (ledger.pending, ledger.extruded_mm) == ({7: 12.5}, 12.5)


def test_without_an_active_spool_growth_is_unassigned() -> None:
    ledger = count(choose(FRESH, None), at(extruder=12.5))
    assert (ledger.pending, ledger.unassigned_mm, ledger.extruded_mm) == ({}, 12.5, 12.5)


def test_a_retraction_and_its_return_count_nothing() -> None:
    ledger = FRESH
    for mm in (10.0, 8.0, 10.0, 5.0, 9.0, 11.0):
        ledger = count(ledger, at(extruder=mm))
    assert ledger.pending == {7: 11.0}


def test_a_running_printer_seen_for_the_first_time_counts_nothing() -> None:
    ledger = count(Ledger(spool_id=7), at(extruder=5000.0))
    assert ledger.extruded_mm == 0.0
    ledger = count(ledger, at(extruder=5003.0, extruder1=800.0))
    assert ledger.pending == {7: 3.0}, "what extruder1 pushed before is not ours either"
    ledger = count(ledger, at(2, extruder=1.0, extruder1=2.0))
    assert ledger.pending == {7: 6.0}, "in the next session everything is"


def test_an_extruder_that_appears_later_in_a_session_counts_from_zero() -> None:
    """Between a tool change and the new tool's first status some filament was pushed already."""
    ledger = count(FRESH, at(extruder=50.0))
    ledger = count(ledger, at(extruder=50.0, extruder1=3.125))
    ledger = count(ledger, at(extruder=50.0, extruder1=30.0))
    assert ledger.pending == {7: 80.0}


def test_an_absent_extruder_is_unknown() -> None:
    ledger = count(FRESH, at(extruder=50.0, extruder1=30.0))
    ledger = count(count(ledger, at(extruder=51.0)), at())
    assert count(ledger, at(extruder=51.0, extruder1=30.0)).pending == {7: 81.0}


def test_another_spool_before_the_first_move_after_a_restart() -> None:
    ledger = count(choose(count(FRESH, at(extruder=5000.0)), 8), at(2, extruder=0.0))
    assert count(ledger, at(2, extruder=150.01)).pending == {7: 5000.0, 8: 150.01}


def test_what_a_restarted_klipper_pushed_before_the_first_look_counts() -> None:
    ledger = count(count(FRESH, at(extruder=100.0)), at(2, extruder=40.0))
    assert ledger.pending == {7: 140.0}


def test_a_negative_position_begins_at_zero() -> None:
    ledger = count(count(FRESH, at(2, extruder=-2.0)), at(2, extruder=10.0))
    assert ledger.pending == {7: 10.0}


def test_the_noise_of_floating_point_numbers_changes_nothing() -> None:
    ledger = count(FRESH, at(extruder=123.4))
    assert count(ledger, at(extruder=123.40000000000051)) == ledger


@pytest.mark.parametrize(
    ("now_mm", "after_gap", "pending_mm"),
    [(50.0, True, 550.0), (50.0, False, 500.0), (400.0, True, 500.0)],
    ids=["an unseen restart", "an unloading while somebody watches", "a retraction in a gap"],
)
def test_a_long_drop_is_a_restart_only_when_nobody_watched(now_mm: float, after_gap: bool, pending_mm: float) -> None:
    ledger = count(count(FRESH, at(extruder=500.0)), at(extruder=now_mm), after_gap)
    assert ledger.pending == {7: pending_mm}


def test_an_unloading_seen_before_the_gap_is_no_restart() -> None:
    ledger = count(count(FRESH, at(extruder=3000.0)), at(extruder=2400.0))
    assert count(ledger, at(extruder=2400.0), after_gap=True).pending == {7: 3000.0}


def test_a_bridge_that_lost_its_memory_goes_on_where_it_was() -> None:
    ledger = count(FRESH, at(9, extruder=500.0))
    assert count(ledger, at(1, extruder=510.0), after_gap=True).pending == {7: 510.0}
    assert count(ledger, at(1, extruder=510.0)) == ledger, "without a gap it is an old message"


def test_a_macro_changes_the_spool_at_its_position() -> None:
    ledger = change_at(count(FRESH, at(extruder=90.0)), at(extruder=100.0), 8)
    ledger = count(ledger, at(extruder=130.0))
    assert (ledger.pending, ledger.spool_id) == ({7: 100.0, 8: 30.0}, 8)


@pytest.mark.parametrize("seen", [None, at(0, extruder=900.0)], ids=["no positions", "a session that is over"])
def test_a_change_without_positions_of_now_books_nothing(seen: Extruders | None) -> None:
    assert change_at(FRESH, seen, None) == replace(FRESH, spool_id=None)


def test_an_old_journal_books_nothing_before_a_printer_was_counted() -> None:
    ledger = change_at(change_at(Ledger(), at(1, extruder=10.0), 1), at(2, extruder=700.0), 2)
    assert ledger == Ledger(spool_id=2)


def test_a_report_is_booked_or_comes_back() -> None:
    ledger = begin(count(FRESH, at(extruder=10.0)), 7, before_mm=1.0)
    assert (ledger.pending, ledger.attempts) == ({}, {7: Attempt(10.0, 1.0)})
    ledger = count(ledger, at(extruder=14.0))
    assert ledger.unreported() == {7: 14.0}
    booked, returned = close(ledger, 7, booked=True), close(ledger, 7, booked=False)
    assert (booked.booked_mm, booked.pending, booked.attempts) == (10.0, {7: 4.0}, {})
    assert (returned.booked_mm, returned.pending, returned.attempts) == (0.0, {7: 14.0}, {})
    assert close(booked, 7, booked=True) == booked


def test_a_deleted_spool_leaves_its_filament_unassigned() -> None:
    ledger = count(begin(count(FRESH, at(extruder=10.0)), 7, 0.0), at(extruder=14.0))
    ledger = forget(ledger, 7)
    assert (ledger.spool_id, ledger.unassigned_mm, ledger.unreported()) == (None, 14.0, {})
    assert ledger.unassigned.rows == (Unassigned(Job(), 14.0, 0.0, spool_id=7),)
    assert forget(ledger, 7) == ledger
    assert forget(choose(ledger, 8), 7).spool_id == 8


@pytest.mark.parametrize("value", [None, [], {}, {"session": 1}, {"session": None, "position": {}}, {"position": {}}])
def test_what_is_no_value_of_the_bridge_is_none(value: Any) -> None:
    assert Extruders.read(value) is None


def test_positions_that_are_not_known_are_left_out() -> None:
    value = {"session": 3, "active": "extruder", "position": {"extruder": None, "extruder1": 2, "extruder2": "x"}}
    assert Extruders.read(value) == Extruders(3, {"extruder1": 2.0})


def test_the_end_of_the_session_before_counts_also_when_nobody_here_saw_it() -> None:
    ledger = count(FRESH, at(extruder=12.5))
    restarted = Extruders(2, {"extruder": 3.0}, previous=at(1, extruder=20.0, extruder1=4.0))
    ledger = count(ledger, restarted, after_gap=True)
    assert ledger.pending == {7: pytest.approx(27.0)}
    assert count(ledger, restarted) == ledger
    assert count(FRESH, Extruders(3, {"extruder": 1.0}, previous=at(2, extruder=9.0))).pending == {7: 10.0}


def test_the_sums_add_up() -> None:
    ledger = close(begin(count(FRESH, at(extruder=12.5)), 7, 100.0), 7, booked=True)
    ledger = count(choose(count(ledger, at(extruder=13.0)), None), at(extruder=15.0))
    assert ledger.sums == {
        "extruded_mm": 15.0, "booked_mm": 12.5, "pending_mm": 0.5, "unassigned_mm": 2.0, "uncertain_mm": 0.0
    }  # fmt: skip


def test_a_position_of_zero_after_a_gap_is_a_restart() -> None:
    ledger = count(count(FRESH, at(extruder=20.0)), at(extruder=0.0), after_gap=True)
    assert count(ledger, at(extruder=5.0)).pending == {7: 25.0}


def test_what_nobody_can_tell_is_neither_booked_nor_reported_again() -> None:
    ledger = doubt(begin(count(FRESH, at(extruder=10.0)), 7, 100.0, 0.3), 7, 104.0, at=50.0)
    assert ledger.uncertain.rows == (Uncertain(7, 10.0, 100.0, 104.0, 50.0),)
    assert (ledger.extruded_mm, ledger.uncertain_mm, ledger.unreported()) == (10.0, 10.0, {})
    assert doubt(ledger, 7, 104.0, at=51.0) == ledger
    assert forget(ledger, 7).uncertain == ledger.uncertain


def test_filament_of_no_spool_is_kept_by_job() -> None:
    ledger = count(choose(FRESH, None), Extruders(1, {"extruder": 2.0}, at=5.0))
    first, second = Job("a.gcode", 6.0), Job("a.gcode", 60.0)
    ledger = job_at(ledger, Extruders(1, {"extruder": 3.0}, at=6.0), first)
    for mm, now in ((10.0, 7.0), (12.0, 8.0)):
        ledger = count(ledger, Extruders(1, {"extruder": mm}, at=now))
    ledger = job_at(job_at(ledger, None, Job("", 9.0)), None, second)
    ledger = count(ledger, Extruders(1, {"extruder": 13.0}, at=61.0))
    assert ledger.unassigned.rows == (
        Unassigned(Job(), 3.0, 6.0), Unassigned(first, 9.0, 8.0), Unassigned(second, 1.0, 61.0)
    )  # fmt: skip


def test_an_old_job_counts_nothing_before_a_printer_was_counted() -> None:
    job = Job("a.gcode", 6.0)
    assert job_at(Ledger(), at(1, extruder=10.0), job) == Ledger(job=job)


@pytest.mark.parametrize(("session", "pending_mm"), [(1, 500.0), (3, 500.0), (5, 530.0)])
def test_a_journal_of_a_bridge_that_lost_its_memory_goes_on_with_the_printer(session: int, pending_mm: float) -> None:
    """Its first entry finds a Klipper that restarted: the number of the session may be any."""
    ledger = count(FRESH, at(3, extruder=500.0))
    told = at(session, extruder=30.0)
    assert job_at(ledger, told, Job("a.gcode", 6.0), after_gap=True).pending == {7: 530.0}
    assert change_at(ledger, told, 7, after_gap=True).pending == {7: 530.0}
    assert job_at(ledger, told, Job("a.gcode", 6.0)).pending == {7: pending_mm}
