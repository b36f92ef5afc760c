"""What became of a report whose answer did not come."""

import math
import struct
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.spoolman_sync.booking import (
    TOLERANCE_MM,
    Outcome,
    Reading,
    decide,
    is_deleted,
    is_healthy,
    read_outcome,
    read_spool,
    was_booked,
)

GRAMS = st.floats(0.0, 1_500.0)
LENGTH = st.floats(0.001, 5_000.0)
OTHERS = st.floats(-5_000.0, 5_000.0)
DENSITY = st.floats(0.8, 3.0)
DIAMETER = st.sampled_from([1.75, 2.85])
SETTLE_S = 15.0


def g_per_mm(density: float, diameter: float = 1.75) -> float:
    return density * math.pi * (diameter / 2) ** 2 / 1000


PLA = g_per_mm(1.24)


def reading(grams: float, at_s: float = 0.0, factor: float = PLA) -> Reading:
    """As Spoolman shows it."""
    return Reading(grams / factor, at_s, grams)


def outcome(before: Reading, mm: float, *readings: Reading, seen: tuple[Reading, ...] = ()) -> Outcome:
    return decide(before.used_mm, mm, readings[0], readings[-1], SETTLE_S, before.used_g, seen)


@given(before_g=GRAMS, mm=LENGTH, density=DENSITY, diameter=DIAMETER)
def test_alone_on_a_spool_it_is_exact(before_g: float, mm: float, density: float, diameter: float) -> None:
    """Through grams and back, as Spoolman keeps it; by its lengths alone, too."""
    factor = g_per_mm(density, diameter)
    before, after = before_g / factor, (before_g + mm * factor) / factor
    assert was_booked(before, after, mm) and was_booked(before, after, mm, before_g, before_g + mm * factor)
    assert not was_booked(before, before, mm) and not was_booked(before, before, mm, before_g, before_g)


@given(before_g=GRAMS, mm=LENGTH, others_mm=OTHERS, executed=st.booleans())
def test_where_somebody_else_wrote_nothing_is_guessed(
    before_g: float, mm: float, others_mm: float, executed: bool
) -> None:
    """One change of another's, not told of: neither nothing nor exactly the report was added."""
    moved_mm = others_mm + (mm if executed else 0.0)
    assume(abs(moved_mm) > TOLERANCE_MM * 1.1 and abs(moved_mm - mm) > TOLERANCE_MM * 1.1)
    assume(before_g + moved_mm * PLA >= 0.0)
    before, after = reading(before_g), reading(before_g + moved_mm * PLA, 100.0)
    assert outcome(before, mm, after) is Outcome.UNKNOWN
    assert outcome(before, mm, after, reading(after.used_g or 0.0, 115.0)) is Outcome.UNCERTAIN


@given(before_g=GRAMS, mm=LENGTH, others_mm=st.lists(st.floats(0.5, 5_000.0), max_size=4), place=st.integers(0, 4))
def test_a_step_of_exactly_the_report_proves_it_among_others(
    before_g: float, mm: float, others_mm: list[float], place: int
) -> None:
    steps = [*others_mm[:place], mm, *others_mm[place:]]
    seen, grams = [], before_g
    for step in steps:
        grams += step * PLA
        seen.append(reading(grams))
    assert outcome(reading(before_g), mm, seen[-1], seen=tuple(seen)) is Outcome.BOOKED


@given(before_g=GRAMS, mm=LENGTH, was=DENSITY, now=DENSITY, executed=st.sampled_from(["before", "after", "never"]))
def test_a_filament_corrected_meanwhile_changes_nothing(
    before_g: float, mm: float, was: float, now: float, executed: str
) -> None:
    """All lengths of the spool move with the density of its filament, the grams do not."""
    assume(before_g > 0.01)
    factors = {"before": g_per_mm(was), "after": g_per_mm(now), "never": 0.0}
    after = [reading(before_g + mm * factors[executed], at_s, g_per_mm(now)) for at_s in (0.0, SETTLE_S)]
    expected = Outcome.NOT_BOOKED if executed == "never" else Outcome.BOOKED
    assert outcome(reading(before_g, 0.0, g_per_mm(was)), mm, *after) is expected


def mariadb(grams: float) -> float:
    """Kept in single precision, shown with six digits."""
    return float(f"{struct.unpack('f', struct.pack('f', grams))[0]:.6g}")


@given(before_g=GRAMS, mm=st.floats(12.0, 5_000.0), executed=st.booleans())
def test_on_mariadb_it_is_as_exact_as_that_shows(before_g: float, mm: float, executed: bool) -> None:
    """From 1000 g on that is 3.4 mm."""
    before = struct.unpack("f", struct.pack("f", before_g))[0]
    after = reading(mariadb(before + (mm * PLA if executed else 0.0)), SETTLE_S)
    start = reading(mariadb(before))
    first = reading(after.used_g or 0.0)
    assert outcome(start, mm, first, after) is (Outcome.BOOKED if executed else Outcome.NOT_BOOKED)


def test_what_shows_is_booked_at_once() -> None:
    assert decide(100.0, 25.0, None, Reading(125.0, 7.0), SETTLE_S) is Outcome.BOOKED


@pytest.mark.parametrize(
    ("first_mm", "latest_mm", "after_s", "expected"),
    [
        (100.0, 100.0, 14.0, Outcome.UNKNOWN),
        (100.0, 100.0, 15.0, Outcome.NOT_BOOKED),
        (100.0, 125.0, 15.0, Outcome.BOOKED),
        (100.0, 125.0, 1.0, Outcome.BOOKED),
        (100.0, 110.0, 14.0, Outcome.UNKNOWN),
        (100.0, 110.0, 15.0, Outcome.UNCERTAIN),
        (110.0, 100.0, 15.0, Outcome.UNCERTAIN),
        (130.0, 130.0, 15.0, Outcome.UNCERTAIN),
        (50.0, 50.0, 15.0, Outcome.UNCERTAIN),
    ],
)
def test_what_does_not_show_must_not_show_for_a_while(
    first_mm: float, latest_mm: float, after_s: float, expected: Outcome
) -> None:
    first, latest = Reading(first_mm, 7.0), Reading(latest_mm, 7.0 + after_s)
    assert decide(100.0, 25.0, first, latest, SETTLE_S) is expected


def test_two_steps_of_others_that_add_up_to_the_report_are_not_the_report() -> None:
    seen = (Reading(110.0, 0.0), Reading(125.0, 0.0))
    assert decide(100.0, 25.0, Reading(125.0, 7.0), Reading(125.0, 22.0), SETTLE_S, None, seen) is Outcome.UNCERTAIN


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


@pytest.mark.parametrize(
    ("status", "answer", "healthy"),
    [(200, {"status": "healthy"}, True), (200, {"status": "up"}, False), (200, None, False), (502, {}, False),
     (404, {"status": "healthy"}, False), (200, [], False)],
)  # fmt: skip
def test_only_spoolmans_own_health_counts(status: int, answer: Any, healthy: bool) -> None:
    assert is_healthy(status, answer) is healthy


@pytest.mark.parametrize("answer", [[], "x", {"used_length": None}, {"used_length": True}, {"used_length": "1"}])
def test_an_answer_without_a_length_is_no_spool(answer: Any) -> None:
    assert read_spool(200, answer, 1.0) is None


def test_what_a_spool_says() -> None:
    assert read_spool(200, {"used_length": 12, "used_weight": 0.5}, 7.0) == Reading(12.0, 7.0, 0.5)
    assert read_spool(200, {"used_length": 12, "used_weight": None}, 7.0) == Reading(12.0, 7.0, None)
