"""The table of docs/reliability.md."""

import math

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.reliability.table import EXACT_MM, Cell, both, filament, markdown

LENGTHS = st.floats(0, 1e5)


def test_an_error_is_shown_with_its_sign() -> None:
    assert filament(150.0, 150.0) == Cell("150.00 → 150.00 mm: 0", True)
    assert filament(163.11, 131.38) == Cell("163.11 → 131.38 mm: −31.73", False)
    assert filament(185.06, 210.06) == Cell("185.06 → 210.06 mm: +25.00", False)
    assert filament(70.0, 69.0, exact_mm=1.5) == Cell("70.00 → 69.00 mm: −1.00", True)


@given(LENGTHS, LENGTHS)
def test_a_cell_is_right_exactly_where_nothing_is_lost_or_doubled(extruded_mm: float, booked_mm: float) -> None:
    cell = filament(extruded_mm, booked_mm)
    assert cell.right == (math.fabs(booked_mm - extruded_mm) < EXACT_MM) == cell.text.endswith(": 0")


def test_two_findings_are_right_together() -> None:
    assert both(Cell("a", True), Cell("b", True)) == Cell("a; b", True)
    assert both(Cell("a", True), Cell("b", False)) == Cell("a; b", False)


def test_what_is_wrong_is_bold() -> None:
    rows = [("a template fails", [Cell("fine", True), Cell("gets nothing", False)])]
    assert markdown(["one", "other"], [("pushes", rows)]).splitlines() == [
        "| pushes | one | other |",
        "|---|---|---|",
        "| a template fails | fine | **gets nothing** |",
    ]
