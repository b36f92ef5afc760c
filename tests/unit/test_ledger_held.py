"""Rows of filament that no spool has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.spoolman_sync.held import MOST_ROWS, Held, Job, Unassigned, grow, job_after

JOBS = st.builds(Job, st.sampled_from(["", "a.gcode", "b.gcode"]), st.floats(0, 5e2))
ROWS = st.builds(Unassigned, JOBS, st.floats(0.001, 1e4), st.floats(0, 2e9), st.none() | st.integers(1, 3))


@given(st.lists(ROWS, max_size=3 * MOST_ROWS))
def test_the_sum_holds_and_the_rows_do_not_grow(rows: list[Unassigned]) -> None:
    held: Held[Unassigned] = Held()
    for row in rows:
        held = grow(held, row)
    assert held.mm == pytest.approx(sum(row.mm for row in rows))
    assert len(held.rows) <= MOST_ROWS
    assert len({(row.job, row.spool_id) for row in held.rows}) == len(held.rows)


def test_the_oldest_rows_become_one_sum() -> None:
    held: Held[Unassigned] = Held()
    for number in range(MOST_ROWS + 2):
        held = grow(held, Unassigned(Job("a.gcode", float(number)), 1.0, float(number)))
    assert (held.older_mm, held.rows[0].job.began_at, held.mm) == (2.0, 2.0, MOST_ROWS + 2)


A, B, NONE = Job("a.gcode", 1.0), Job("b.gcode", 9.0), Job("", 9.0)


@pytest.mark.parametrize(
    ("job", "event", "filename", "after"),
    [
        (Job(), "started", "b.gcode", B),
        (A, "started", "a.gcode", Job("a.gcode", 9.0)),
        (A, "paused", "a.gcode", A),
        (A, "resumed", "a.gcode", A),
        (A, "resumed", "b.gcode", B),
        (Job(), "resumed", "b.gcode", B),
        *((A, event, "a.gcode", NONE) for event in ("complete", "cancelled", "error", "standby")),
        (Job("", 1.0), "standby", "", Job("", 1.0)),
    ],
)
def test_what_the_printer_does_after_an_event(job: Job, event: str, filename: str, after: Job) -> None:
    assert job_after(job, event, filename, 9.0) == after
