"""Filament that is on no spool's account, row by row, pure: extruded while no spool was set, or reported in vain.

The latest rows are kept; older ones are merged into one length, so that the sum holds for ever and the rows do not grow.
Times are wall times in seconds, 0 where nobody knows.
"""

from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

MOST_ROWS = 200

ENDED = frozenset({"complete", "cancelled", "error", "standby"})
"""Events of printer.jobs after which no print runs."""


@dataclass(frozen=True, slots=True)
class Job:
    """What the printer does: `filename` below the gcodes root since `began_at`, or "" since no print runs."""

    filename: str = ""
    began_at: float = 0.0


def job_after(job: Job, event: str, filename: str, at: float) -> Job:
    """What the printer does after an event of printer.jobs."""
    if event in ENDED:
        return Job("", at) if job.filename else job
    return job if event != "started" and filename == job.filename else Job(filename, at)


@dataclass(frozen=True, slots=True)
class Unassigned:
    """Extruded in a job while no spool was set; `at` is when it grew last. With a `spool_id`, it was that spool's, which
    was deleted in Spoolman in that job, at that time, before it was reported."""

    job: Job
    mm: float
    at: float
    spool_id: int | None = None


@dataclass(frozen=True, slots=True)
class Uncertain:
    """A report of which nobody can tell whether Spoolman executed it: what was used of the spool before it, and what when
    it was given up."""

    spool_id: int
    mm: float
    before_mm: float
    after_mm: float
    at: float


class _Length(Protocol):
    @property
    def mm(self) -> float: ...


Row = TypeVar("Row", bound=_Length)


@dataclass(frozen=True, slots=True)
class Held(Generic[Row]):
    """The latest rows, oldest first, and the sum of those before them."""

    rows: tuple[Row, ...] = ()
    older_mm: float = 0.0

    @property
    def mm(self) -> float:
        return self.older_mm + sum(row.mm for row in self.rows)


def add(held: Held[Row], row: Row) -> Held[Row]:
    """One row more."""
    rows = (*held.rows, row)
    older, kept = rows[:-MOST_ROWS], rows[-MOST_ROWS:]
    return Held(kept, held.older_mm + sum(row.mm for row in older))


def grow(held: Held[Unassigned], more: Unassigned) -> Held[Unassigned]:
    """Adds to the row of the same job and spool, or makes one."""
    for place, row in enumerate(held.rows):
        if (row.job, row.spool_id) == (more.job, more.spool_id):
            grown = replace(row, mm=row.mm + more.mm, at=more.at)
            return replace(held, rows=(*held.rows[:place], grown, *held.rows[place + 1 :]))
    return add(held, more)
