"""What a report that was sent has done, pure.

`PUT spool/N/use` is not idempotent and carries no name by which Spoolman could know it again. So an outcome that the
answer did not tell is read off the spool.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Any

TOLERANCE_MM = 0.01
"""Spoolman adds up grams in double precision and shows lengths computed from them, through the density and diameter of the
spool's filament: reports of a length are this exact by far. For MariaDB see `_rounding_mm`."""


class Outcome(Enum):
    BOOKED = "booked"
    NOT_BOOKED = "not booked"
    DELETED = "the spool was deleted"
    UNCERTAIN = "uncertain"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Reading:
    """What Spoolman said was used of a spool, and when it said so: `at_s` of a clock that is never set back. `used_g` is
    what it stores, None when it did not say."""

    used_mm: float
    at_s: float
    used_g: float | None = None


def was_booked(
    before_mm: float, after_mm: float, attempt_mm: float, before_g: float | None = None, after_g: float | None = None
) -> bool:
    """Whether exactly a report of `attempt_mm` was executed, by what was used of the spool before and after."""
    return _grew_by(attempt_mm, Reading(before_mm, 0.0, before_g), Reading(after_mm, 0.0, after_g), attempt_mm)


def decide(
    before_mm: float,
    attempt_mm: float,
    earlier: Reading | None,
    latest: Reading,
    settle_s: float,
    before_g: float | None = None,
    seen: Sequence[Reading] = (),
) -> Outcome:
    """The outcome of a report whose answer did not come, from what its spool says.

    `earlier` is the first reading since then from a Spoolman that has answered all the while, `latest` the newest one.
    `seen` are the changes Spoolman told of while the report was out, somebody else's among them, oldest first.

    Booked: the use grew by exactly the report, from one value to the next one seen. That shows at once, and cannot
    happen again. Not booked: it is what it was before the report, and was so `settle_s` ago: a report that does not show
    may still lie unread in the buffers of a server that was frozen, or of a proxy before it. Anything else is somebody
    else's doing, with or without this report in it: after `settle_s` it is uncertain, and for a person to see.
    """
    start = Reading(before_mm, 0.0, before_g)
    for one, next_one in pairwise((start, *seen, latest)):
        if _grew_by(attempt_mm, one, next_one, attempt_mm):
            return Outcome.BOOKED
    if earlier is None or latest.at_s - earlier.at_s < settle_s:
        return Outcome.UNKNOWN
    unmoved = all(_grew_by(0.0, start, reading, attempt_mm) for reading in (earlier, latest))
    return Outcome.NOT_BOOKED if unmoved else Outcome.UNCERTAIN


def _grew_by(mm: float, before: Reading, after: Reading, attempt_mm: float) -> bool:
    """Whether the use grew by `mm`. The tolerance is never so large that a report looks like none."""
    tolerance_mm = min(TOLERANCE_MM + _rounding_mm(before) + _rounding_mm(after), attempt_mm / 3)
    return any(abs(grown_mm - mm) <= tolerance_mm for grown_mm in _growths_mm(before, after))


def _growths_mm(before: Reading, after: Reading) -> tuple[float, ...]:
    """By how much the use grew. The grams say it even where the filament's density or diameter was corrected in between,
    which moves all lengths: the report was executed with the filament as it was before, or as it is after."""
    if before.used_g is None or after.used_g is None:
        return (after.used_mm - before.used_mm,)
    grown_g = after.used_g - before.used_g
    known = [
        reading.used_mm / reading.used_g for reading in (before, after) if reading.used_mm > 0.0 and reading.used_g
    ]
    return tuple(grown_g * mm_per_g for mm_per_g in known) or (after.used_mm - before.used_mm,)


def _rounding_mm(reading: Reading) -> float:
    """On MariaDB Spoolman's grams are shown with six digits: half of the last one, as a length. Grams of more digits are
    exact, and grams of fewer were typed in by somebody."""
    if not reading.used_g or float(f"{reading.used_g:.6g}") != reading.used_g:
        return 0.0
    last_digit_g: float = 10.0 ** (math.floor(math.log10(abs(reading.used_g))) - 5)
    return last_digit_g / 2 * abs(reading.used_mm / reading.used_g)


def read_outcome(status: int, answer: Any, spool_id: int) -> Outcome:
    """What an answer to a report says. Only a spool says booked and only Spoolman's own words say deleted: any other
    answer, a proxy's 404, 502 or 504 among them, does not tell what Spoolman did or still will do."""
    if is_deleted(status, answer, spool_id):
        return Outcome.DELETED
    return Outcome.BOOKED if read_spool(status, answer, 0.0) is not None else Outcome.UNKNOWN


def read_spool(status: int, answer: Any, now: float) -> Reading | None:
    """Of an answer that is a spool; else None."""
    if status != 200 or not isinstance(answer, dict):
        return None
    used_mm = _number(answer.get("used_length"))
    return None if used_mm is None else Reading(used_mm, now, _number(answer.get("used_weight")))


def is_deleted(status: int, answer: Any, spool_id: int) -> bool:
    """Whether these are Spoolman's words for a spool it does not have; another 404 is an outage."""
    message = answer.get("message") if isinstance(answer, dict) else None
    return status == 404 and isinstance(message, str) and message.startswith(f"No spool with ID {spool_id} ")


def is_healthy(status: int, answer: Any) -> bool:
    """Whether `GET v1/health` was answered by a Spoolman that works."""
    return status == 200 and isinstance(answer, dict) and answer.get("status") == "healthy"


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
