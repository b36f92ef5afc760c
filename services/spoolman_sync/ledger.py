"""The filament ledger, pure: extruded = booked + attempted + pending + unassigned + uncertain, at every moment.

The truth is Klipper's: `toolhead.position[3]`, one position per extruder, which begins at 0 with Klipper's start (a
session) and which nothing but extrusion moves. The ledger keeps the highest position it has counted of each extruder.
So whatever was extruded while nobody looked is still there to be counted at the next look, and a retraction with its
return counts nothing.

    position grows --count--> pending of the active spool --begin--> attempted --close--> booked, or pending again
                          \\-> unassigned while none is active             \\--doubt--> uncertain

Every function returns a new ledger. The caller stores it before it acts on it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from services.spoolman_sync import held
from services.spoolman_sync.held import Held, Job, Unassigned, Uncertain

LEAST_MM = 0.001
"""Growth below it waits for more: it is the rounding of floating point numbers."""

RESTART_DROP_MM = 200.0
"""A drop by more than this below the position seen last, over a time in which nobody watched, was a restart of Klipper's
that the bridge did not see either (both were down). A print's retractions are far shorter. A
position of exactly 0 was one too. While somebody watches, a long drop is an unloading and the session says what is a
restart, so the rule does not apply."""


@dataclass(frozen=True, slots=True)
class Extruders:
    """A value of printer.extruders: `position_mm` holds the extruders seen in this session; others are unknown, not 0.
    `previous` is where the session before ended, and so on; None when nobody knows. `at` is the wall time of the sight,
    s."""

    session: int
    position_mm: Mapping[str, float]
    previous: "Extruders | None" = None
    at: float = 0.0

    @classmethod
    def read(cls, value: Any, at: float = 0.0) -> Self | None:
        """None for what is no such value; positions Klipper does not know yet (null) are left out."""
        try:
            session, positions = value["session"], value["position"].items()
        except (TypeError, KeyError, AttributeError):
            return None
        if not isinstance(session, int):
            return None
        known = {n: float(mm) for n, mm in positions if isinstance(mm, int | float) and math.isfinite(mm)}
        return cls(session, known, cls.read(value.get("previous"), at), at)


@dataclass(frozen=True, slots=True)
class Mark:
    """Of one extruder: the highest position counted in this session, and the position seen last."""

    highest_mm: float
    last_mm: float


@dataclass(frozen=True, slots=True)
class Attempt:
    """A report that was or may have been sent: `before_mm` is what Spoolman had booked on the spool before, `before_g` the
    same as it stores it, None when it did not say."""

    mm: float
    before_mm: float
    before_g: float | None = None


@dataclass(frozen=True, slots=True)
class Ledger:
    """`session` is None until a printer was seen. `joined`: it was running already when it was first seen, so what each
    extruder had pushed before its first sight in this session is not ours. `job` is what was being printed at the last
    count. Lengths in mm."""

    session: int | None = None
    joined: bool = False
    marks: Mapping[str, Mark] = field(default_factory=dict)
    spool_id: int | None = None
    pending: Mapping[int, float] = field(default_factory=dict)
    attempts: Mapping[int, Attempt] = field(default_factory=dict)
    booked_mm: float = 0.0
    job: Job = field(default_factory=Job)
    unassigned: Held[Unassigned] = field(default_factory=Held)
    uncertain: Held[Uncertain] = field(default_factory=Held)

    @property
    def unassigned_mm(self) -> float:
        """Of no spool."""
        return self.unassigned.mm

    @property
    def uncertain_mm(self) -> float:
        """Reported on a spool, and nobody can tell whether it was booked."""
        return self.uncertain.mm

    @property
    def extruded_mm(self) -> float:
        """All that was ever counted."""
        waiting = sum(self.pending.values()) + sum(attempt.mm for attempt in self.attempts.values())
        return self.booked_mm + waiting + self.unassigned_mm + self.uncertain_mm

    @property
    def sums(self) -> dict[str, float]:
        """The ledger in five lengths, mm: extruded is the sum of the others; pending holds open attempts too."""
        parts = {"booked_mm": self.booked_mm, "pending_mm": sum(self.unreported().values()),
                 "unassigned_mm": self.unassigned_mm, "uncertain_mm": self.uncertain_mm}  # fmt: skip
        shown = {name: round(mm, 5) for name, mm in parts.items()}
        return {"extruded_mm": round(sum(shown.values()), 5), **shown}

    def unreported(self) -> dict[int, float]:
        """Spool → mm that Spoolman has not confirmed."""
        spools = sorted({*self.pending, *self.attempts})
        return {s: self.pending.get(s, 0.0) + (self.attempts[s].mm if s in self.attempts else 0.0) for s in spools}


def count(ledger: Ledger, seen: Extruders, after_gap: bool = False) -> Ledger:
    """Assigns what the extruders pushed since the last look to the active spool. `after_gap`: the bridge or this service
    was down in between, so Klipper may have restarted unseen. What the sessions before added at their ends counts too."""
    end = seen.previous
    if end is not None and ledger.session is not None and ledger.session <= end.session < seen.session:
        ledger = count(ledger, end, after_gap)
    return _count(ledger, seen, after_gap)


def _count(ledger: Ledger, seen: Extruders, after_gap: bool) -> Ledger:
    if not seen.position_mm:
        return ledger
    if ledger.session is None:
        joined = any(seen.position_mm.values())
        marks = {name: Mark(mm, mm) for name, mm in seen.position_mm.items()}
        return replace(ledger, session=seen.session, joined=joined, marks=marks)
    if seen.session < ledger.session and not after_gap:
        return ledger
    # A lower number after a gap: the bridge lost its memory and numbers anew. Klipper may be the same, positions go on.
    if seen.session > ledger.session:
        ledger = replace(ledger, joined=False, marks={})
    marks, grown_mm = dict(ledger.marks), 0.0
    for name, mm in seen.position_mm.items():
        first_mm = mm if ledger.joined else 0.0
        marks[name], more_mm = _move(marks.get(name, Mark(first_mm, first_mm)), mm, after_gap)
        grown_mm += more_mm
    return _assign(replace(ledger, session=seen.session, marks=marks), grown_mm, seen.at)


def _move(mark: Mark, mm: float, after_gap: bool) -> tuple[Mark, float]:
    """The mark at the new position, and the growth."""
    if after_gap and (mark.last_mm - mm > RESTART_DROP_MM or mm == 0.0 < mark.last_mm):
        mark = Mark(0.0, 0.0)
    if mm - mark.highest_mm >= LEAST_MM:
        return Mark(mm, mm), mm - mark.highest_mm
    return (mark if abs(mm - mark.last_mm) < LEAST_MM else Mark(mark.highest_mm, mm)), 0.0


def choose(ledger: Ledger, spool_id: int | None) -> Ledger:
    """What is counted from now on is this spool's."""
    return replace(ledger, spool_id=spool_id)


def change_at(ledger: Ledger, seen: Extruders | None, spool_id: int | None, after_gap: bool = False) -> Ledger:
    """A spool change from a macro: up to `seen`, the positions at that moment, all is the old spool's. `after_gap`: the
    bridge that tells of it lost its memory since the last look, and numbers its sessions anew."""
    return choose(_settle(ledger, seen, after_gap), spool_id)


def job_at(ledger: Ledger, seen: Extruders | None, job: Job, after_gap: bool = False) -> Ledger:
    """A print began or ended: up to `seen`, the positions at that moment, all was extruded before."""
    return replace(_settle(ledger, seen, after_gap), job=job)


def _settle(ledger: Ledger, seen: Extruders | None, after_gap: bool) -> Ledger:
    """Counts up to a moment that a journal tells of. Before a printer was ever counted, and for a session that is over,
    nothing: an old journal must not book what was extruded before anybody kept a ledger."""
    if seen is None or ledger.session is None or (seen.session < ledger.session and not after_gap):
        return ledger
    return count(ledger, seen, after_gap)


def begin(ledger: Ledger, spool_id: int, before_mm: float, before_g: float | None = None) -> Ledger:
    """Opens a report of all that is pending for a spool that has no report open."""
    pending = dict(ledger.pending)
    attempt = Attempt(pending.pop(spool_id), before_mm, before_g)
    return replace(ledger, pending=pending, attempts={**ledger.attempts, spool_id: attempt})


def close(ledger: Ledger, spool_id: int, booked: bool) -> Ledger:
    """The outcome of a spool's report is known; nothing changes where none is open."""
    attempts = dict(ledger.attempts)
    attempt = attempts.pop(spool_id, None)
    if attempt is None:
        return ledger
    if booked:
        return replace(ledger, attempts=attempts, booked_mm=ledger.booked_mm + attempt.mm)
    pending = {**ledger.pending, spool_id: ledger.pending.get(spool_id, 0.0) + attempt.mm}
    return replace(ledger, attempts=attempts, pending=pending)


def doubt(ledger: Ledger, spool_id: int, after_mm: float, at: float) -> Ledger:
    """Nobody can tell the outcome of a spool's report: it is neither booked nor reported again, and stays to be seen."""
    attempts = dict(ledger.attempts)
    attempt = attempts.pop(spool_id, None)
    if attempt is None:
        return ledger
    row = Uncertain(spool_id, attempt.mm, attempt.before_mm, after_mm, at)
    return replace(ledger, attempts=attempts, uncertain=held.add(ledger.uncertain, row))


def forget(ledger: Ledger, spool_id: int, at: float = 0.0) -> Ledger:
    """The spool was deleted: what was not reported is nobody's now, and it is no longer the active one."""
    lost_mm = ledger.unreported().get(spool_id, 0.0)
    unassigned = ledger.unassigned
    if lost_mm:
        unassigned = held.grow(unassigned, Unassigned(ledger.job, lost_mm, at, spool_id))
    return replace(
        ledger,
        spool_id=None if ledger.spool_id == spool_id else ledger.spool_id,
        pending={s: mm for s, mm in ledger.pending.items() if s != spool_id},
        attempts={s: a for s, a in ledger.attempts.items() if s != spool_id},
        unassigned=unassigned,
    )


def _assign(ledger: Ledger, mm: float, at: float) -> Ledger:
    spool_id = ledger.spool_id
    if mm == 0.0:
        return ledger
    if spool_id is None:
        return replace(ledger, unassigned=held.grow(ledger.unassigned, Unassigned(ledger.job, mm, at)))
    return replace(ledger, pending={**ledger.pending, spool_id: ledger.pending.get(spool_id, 0.0) + mm})
