"""What a report that was sent has done, pure.

`PUT spool/N/use` is not idempotent and carries no name by which Spoolman could know it again. So an outcome that the
answer did not tell is read off the spool.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

TOLERANCE_MM = 0.01
"""Spoolman stores grams and shows lengths computed from them; reports of a length are this exact by far."""


class Outcome(Enum):
    BOOKED = "booked"
    NOT_BOOKED = "not booked"
    DELETED = "the spool was deleted"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Reading:
    """What Spoolman said was used of a spool, and when it said so: `at_s` of a clock that is never set back."""

    used_mm: float
    at_s: float


def was_booked(before_mm: float, after_mm: float, attempt_mm: float) -> bool:
    """Whether a report of `attempt_mm` was executed, by what was used of the spool before and after.

    The rule: yes when at least as much was added as was reported. Used length only grows with reports (it is not cut
    off where the spool is empty, only at zero), so alone on a spool this is exact. Somebody else's change in the same
    seconds leaves doubt: another printer's use of at least this much hides a report that was not executed, a correction
    downwards hides one that was. Then this one report is wrong, and no other.
    """
    return after_mm - before_mm >= attempt_mm - min(TOLERANCE_MM, attempt_mm / 2)


def decide(before_mm: float, attempt_mm: float, earlier: Reading | None, latest: Reading, settle_s: float) -> Outcome:
    """The outcome of a report whose connection is gone, from readings of its spool.

    An executed report shows and cannot be executed again: booked, at once. One that does not show may still be lying
    unread in the buffers of a server that was frozen, or of a proxy before it. It counts as not booked when a server
    that answers shows the same use `settle_s` apart.
    """
    if was_booked(before_mm, latest.used_mm, attempt_mm):
        return Outcome.BOOKED
    if earlier is None or latest.at_s - earlier.at_s < settle_s or earlier.used_mm != latest.used_mm:
        return Outcome.UNKNOWN
    return Outcome.NOT_BOOKED


def read_outcome(status: int, answer: Any, spool_id: int) -> Outcome:
    """What an answer to a report says. Only a spool says booked and only Spoolman's own words say deleted: any other
    answer, a proxy's 404, 502 or 504 among them, does not tell what Spoolman did or still will do."""
    if is_deleted(status, answer, spool_id):
        return Outcome.DELETED
    return Outcome.BOOKED if used_length_mm(status, answer) is not None else Outcome.UNKNOWN


def used_length_mm(status: int, answer: Any) -> float | None:
    """Of an answer that is a spool; else None."""
    if status != 200 or not isinstance(answer, dict):
        return None
    used_mm = answer.get("used_length")
    return float(used_mm) if isinstance(used_mm, int | float) and not isinstance(used_mm, bool) else None


def is_deleted(status: int, answer: Any, spool_id: int) -> bool:
    """Whether Spoolman itself says that it has no such spool; another 404 is an outage."""
    message = answer.get("message") if isinstance(answer, dict) else None
    return status == 404 and isinstance(message, str) and message.startswith(f"No spool with ID {spool_id} ")
