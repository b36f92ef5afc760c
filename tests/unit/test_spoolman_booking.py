"""What became of a report whose answer did not come."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.spoolman_sync.booking import (
    Outcome,
    Reading,
    decide,
    is_deleted,
    read_outcome,
    used_length_mm,
    was_booked,
)

USED = st.floats(0.0, 400_000.0)
LENGTH = st.floats(0.001, 5_000.0)
G_PER_MM = 1.24 * 3.141592653589793 * 0.875**2 / 1000


@given(before_mm=USED, mm=LENGTH)
def test_alone_on_a_spool_it_is_exact(before_mm: float, mm: float) -> None:
    """Through grams and back, as Spoolman keeps it."""
    grams = before_mm * G_PER_MM + mm * G_PER_MM
    assert was_booked(before_mm, grams / G_PER_MM, mm)
    assert not was_booked(before_mm, (before_mm * G_PER_MM) / G_PER_MM, mm)


@given(before_mm=USED, mm=LENGTH, other_mm=LENGTH)
def test_another_printers_use_does_not_hide_a_report_that_was_executed(
    before_mm: float, mm: float, other_mm: float
) -> None:
    assert was_booked(before_mm, before_mm + mm + other_mm, mm)


@pytest.mark.parametrize(("after_mm", "booked"), [(1024.0, False), (1025.0, True), (1400.0, True), (0.0, False)])
def test_the_rule_where_somebody_else_changed_the_spool(after_mm: float, booked: bool) -> None:
    assert was_booked(1000.0, after_mm, 25.0) is booked


def test_what_shows_is_booked_at_once() -> None:
    assert decide(100.0, 25.0, None, Reading(125.0, 7.0), 15.0) is Outcome.BOOKED


def test_what_does_not_show_must_not_show_for_a_while() -> None:
    first = Reading(100.0, 7.0)
    assert decide(100.0, 25.0, None, first, 15.0) is Outcome.UNKNOWN
    assert decide(100.0, 25.0, first, Reading(100.0, 21.0), 15.0) is Outcome.UNKNOWN
    assert decide(100.0, 25.0, first, Reading(110.0, 30.0), 15.0) is Outcome.UNKNOWN, "somebody uses it right now"
    assert decide(100.0, 25.0, first, Reading(100.0, 22.0), 15.0) is Outcome.NOT_BOOKED
    assert decide(100.0, 25.0, first, Reading(125.0, 22.0), 15.0) is Outcome.BOOKED


@pytest.mark.parametrize(
    ("status", "answer", "outcome"),
    [
        (200, {"id": 3, "used_length": 12.0}, Outcome.BOOKED),
        (200, {"id": 3}, Outcome.UNKNOWN),
        (200, None, Outcome.UNKNOWN),
        (404, {"message": "No spool with ID 3 found."}, Outcome.DELETED),
        (404, {"message": "No spool with ID 33 found."}, Outcome.UNKNOWN),
        (404, {"detail": "Not Found"}, Outcome.UNKNOWN),
        (404, {"message": None}, Outcome.UNKNOWN),
        (404, None, Outcome.UNKNOWN),
        (500, {"message": "No spool with ID 3 found."}, Outcome.UNKNOWN),
        (502, None, Outcome.UNKNOWN),
    ],
)
def test_only_spoolmans_own_words_count(status: int, answer: Any, outcome: Outcome) -> None:
    assert read_outcome(status, answer, 3) is outcome
    assert is_deleted(status, answer, 3) is (outcome is Outcome.DELETED)


@pytest.mark.parametrize("answer", [[], "x", {"used_length": None}, {"used_length": True}, {"used_length": "1"}])
def test_an_answer_without_a_length_is_no_spool(answer: Any) -> None:
    assert used_length_mm(200, answer) is None
