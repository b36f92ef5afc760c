"""What really happened, kept beside the services, and what must hold between it and what they say.

The filament: each growth of an extruder's position is the active spool's at the moment the bridge learned of it. A macro's
change is effective when the bridge wrote it down, a person's when spoolman_sync did.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from services.spoolman_sync.ledger import Attempt, Ledger
from tests.simulation.clock import Life
from tests.simulation.printer import Klipper, Place
from tests.simulation.spoolman import Spoolman

EXACT_MM = 0.01
SET_ACTIVE_SPOOL = "spoolman_set_active_spool"
FOR_EVER = float("inf")


class Violated(AssertionError):
    """An invariant does not hold."""


@dataclass
class Opened:
    """A report in the ledger, from the commit with which it was begun. `sure`: the life that sent it got the answer."""

    spool_id: int
    attempt: Attempt
    life: Life
    opened_at: float
    closed_at: float = FOR_EVER
    sure: bool = False


class Truth:
    """`ledger` is what spoolman_sync stored last."""

    def __init__(self, klipper: Klipper, spoolman: Spoolman) -> None:
        self.klipper = klipper
        self.spoolman = spoolman
        self.ledger = Ledger()
        self.seen_mm: dict[Place, float] = {}
        self.seen_at: dict[Place, float] = {}
        self.extruded_mm = 0.0
        self.of_spool_mm: dict[int | None, float] = defaultdict(float)
        self.doubt_mm = 0.0
        self.lost_mm = 0.0
        self.spool_id: int | None = None
        self.in_doubt = False
        self.unnoticed: set[int] = set()
        self._sessions: dict[tuple[str, int], int] = {}
        self._known: dict[str, dict[Place, float]] = defaultdict(dict)
        self._opened: list[Opened] = []

    # -- what happens --------------------------------------------------------------------------------------------

    def bridge_says(self, life: str, value: dict[str, Any], session: int) -> dict[Place, float]:
        """A value of printer.extruders, said by this life of the bridge while its connection was to this session of
        Klipper's. Returns what it tells."""
        session = self._sessions.setdefault((life, value["session"]), session)
        grown_mm = 0.0
        for name, mm in value["position"].items():
            place = (session, name)
            grown_mm += max(0.0, mm - self.seen_mm.get(place, 0.0))
            self.seen_mm[place] = max(self.seen_mm.get(place, 0.0), mm)
        self.extruded_mm += grown_mm
        self.of_spool_mm[self.spool_id] += grown_mm
        if self.in_doubt:
            self.doubt_mm += grown_mm
        told = self._told(session, value)
        self.hears(life, told)
        return told

    def beyond_mm(self, life: str, value: dict[str, Any]) -> float:
        """How much more than these positions, which a remote call was written down with, the bridge has seen by now."""
        session = self._sessions.get((life, value["session"]), 0)
        return sum(
            max(0.0, mm - (value["position"].get(name, 0.0) if seen_in == session else 0.0))
            for (seen_in, name), mm in self.seen_mm.items()
            if seen_in >= session
        )

    def restarted(self, noticed: bool) -> None:
        """Klipper ended its session by itself and begins another one in the same process."""
        if not noticed:
            self.unnoticed.add(self.klipper.session)

    def unnoticed_mm(self) -> float:
        """Positions of a session that nobody could tell from the one before count where they rise above it."""
        return sum(
            min(mm, self.seen_mm.get((session + 1, name), 0.0))
            for (session, name), mm in self.seen_mm.items()
            if session in self.unnoticed
        )

    def hears(self, life: str, told: dict[Place, float]) -> None:
        """A message with these positions reached a process."""
        known = self._known[life]
        for place, mm in told.items():
            known[place] = max(mm, known.get(place, 0.0))

    def knowledge_dies(self, holders: list[str]) -> None:
        """Somebody died, these live. Positions of Klipper's present session are in Klipper, what the bridge said or
        spoolman_sync heard is in them. What nobody has and the ledger did not store is lost, and no more."""
        known = [self._known[life] for life in holders]
        present = self.klipper.session if self.klipper.up else -1
        gone_mm = sum(
            max(0.0, mm - max((held.get(place, 0.0) for held in known), default=0.0))
            for place, mm in self.seen_mm.items()
            if place[0] != present
        )
        self.lost_mm = max(self.lost_mm, min(gone_mm, self.extruded_mm - self.ledger.extruded_mm))

    def _told(self, session: int, value: dict[str, Any]) -> dict[Place, float]:
        """What a value of printer.extruders tells, also of the sessions before, by the bridge's own numbers of them."""
        told, ended = {(session, name): mm for name, mm in value["position"].items()}, value["previous"]
        while ended is not None:
            for mine in {mine for (_, number), mine in self._sessions.items() if number == ended["session"]}:
                told |= {(mine, name): mm for name, mm in ended["position"].items() if mine != session}
            ended = ended["previous"]
        return told

    def spool_changes(self, spool_id: int | None, in_doubt_mm: float = 0.0) -> None:
        """`in_doubt_mm`: what the bridge knew and spoolman_sync could not know yet."""
        self.spool_id = spool_id
        self.doubt_mm += in_doubt_mm

    def stored(self, ledger: Ledger, life: Life) -> None:
        """Raises Violated where what was written down can never be right."""
        before, self.ledger = self.ledger, ledger
        self._follow_attempts(life)
        if ledger.extruded_mm < before.extruded_mm - EXACT_MM:
            raise Violated(f"the ledger forgot: {before.extruded_mm:.3f} mm extruded, then {ledger.extruded_mm:.3f} mm")
        if ledger.extruded_mm > self.extruded_mm + EXACT_MM:
            raise Violated(f"counted {ledger.extruded_mm:.3f} mm, but only {self.extruded_mm:.3f} mm were extruded")
        self.check_booked()

    def _follow_attempts(self, life: Life) -> None:
        now, open_now = self.klipper.loop.now, self.ledger.attempts
        for opened in self._opened:
            if opened.closed_at == FOR_EVER and open_now.get(opened.spool_id) != opened.attempt:
                answered = any(r.answered and r.spool_id == opened.spool_id and r.sent_at >= opened.opened_at
                               for r in self.spoolman.reports)  # fmt: skip
                opened.closed_at = now
                opened.sure = answered and opened.life is life and opened.spool_id not in self.deleted
        known = [opened.attempt for opened in self._opened if opened.closed_at == FOR_EVER]
        self._opened += [
            Opened(spool, attempt, life, now) for spool, attempt in open_now.items() if attempt not in known
        ]

    # -- what must hold ------------------------------------------------------------------------------------------

    @property
    def uncertain_mm(self) -> float:
        """Reports of which the ledger itself says that nobody can tell."""
        return self.ledger.uncertain_mm

    def check_booked(self) -> None:
        """At every moment: what Spoolman executed is booked in the ledger, or still open there, and nothing twice."""
        executed_mm = sum(self.spoolman.executed_mm.values())
        open_mm = sum(attempt.mm for attempt in self.ledger.attempts.values()) + self.uncertain_mm
        most_mm = self.ledger.booked_mm + open_mm + self.excused_mm() + EXACT_MM
        if executed_mm > most_mm:
            raise Violated(f"Spoolman executed {executed_mm:.3f} mm; the ledger knows {self.ledger.booked_mm:.3f} mm "
                           f"booked and {open_mm:.3f} mm open")  # fmt: skip
        if self.ledger.booked_mm > executed_mm + self.excused_mm() + EXACT_MM:
            raise Violated(f"the ledger says {self.ledger.booked_mm:.3f} mm booked, Spoolman executed "
                           f"{executed_mm:.3f} mm")  # fmt: skip

    def excused_mm(self) -> float:
        """Reports whose outcome cannot be read off their spool, for it was deleted with them. Each may be wrong by itself,
        and nothing else may."""
        deleted = self.deleted
        return sum(o.attempt.mm for o in self._opened if not o.sure and o.spool_id in deleted)

    @property
    def deleted(self) -> set[int]:
        return set(self.of_spools) - set(self.spoolman.store.rows["spool"])

    @property
    def of_spools(self) -> set[int]:
        return {spool for spool in (*self.of_spool_mm, *self.spoolman.executed_mm) if spool is not None}

    def settled(self) -> bool:
        """Whether there is nothing left to do for spoolman_sync."""
        known = abs(self.ledger.extruded_mm - self.extruded_mm) < EXACT_MM + self.lost_mm + self.unnoticed_mm()
        return known and not self.ledger.attempts and not self.ledger.pending

    def check_end(self) -> None:
        """When everything is well again and at rest."""
        self._check_seen()
        lost_mm = self.lost_mm + self.unnoticed_mm()
        if not -EXACT_MM < self.extruded_mm - self.ledger.extruded_mm < EXACT_MM + lost_mm:
            raise Violated(f"extruded {self.extruded_mm:.3f} mm (of which {lost_mm:.3f} mm may be lost), in the "
                           f"ledger are {self.ledger.extruded_mm:.3f} mm")  # fmt: skip
        if self.ledger.pending or self.ledger.attempts:
            raise Violated(f"never settled: pending {dict(self.ledger.pending)}, open {dict(self.ledger.attempts)}")
        self.check_booked()
        self._check_spools()

    def _check_seen(self) -> None:
        """What was in an update to a bridge that lived on was seen; in the session that goes on, everything is."""
        for place, mm in self.klipper.peak_mm.items():
            if place[0] == self.klipper.session and abs(self.seen_mm.get(place, 0.0) - mm) > EXACT_MM:
                raise Violated(
                    f"{place[1]} stands at {mm:.3f} mm, the bridge says {self.seen_mm.get(place, 0.0):.3f} mm"
                )
        for place, mm in self.klipper.taken_mm.items():
            if self.seen_mm.get(place, 0.0) < mm - EXACT_MM:
                raise Violated(
                    f"{place[1]} was shown at {mm:.3f} mm, the bridge said {self.seen_mm.get(place, 0.0):.3f} mm"
                )

    def _check_spools(self) -> None:
        """Nothing is on a wrong spool."""
        slack_mm = EXACT_MM + self.doubt_mm + self.lost_mm + self.unnoticed_mm() + self.excused_mm() + self.uncertain_mm
        executed_mm, deleted = self.spoolman.executed_mm, self.deleted
        for spool in self.of_spools - deleted:
            meant_mm, got_mm = self.of_spool_mm.get(spool, 0.0), executed_mm.get(spool, 0.0)
            if abs(meant_mm - got_mm) > slack_mm:
                raise Violated(f"spool {spool}: {meant_mm:.3f} mm were extruded of it, {got_mm:.3f} mm were booked "
                               f"({slack_mm:.3f} mm in doubt)")  # fmt: skip
        meant_mm = sum(self.of_spool_mm.get(spool, 0.0) for spool in (None, *deleted))
        got_mm = self.ledger.unassigned_mm + sum(executed_mm.get(spool, 0.0) for spool in deleted)
        if abs(meant_mm - got_mm) > slack_mm:
            raise Violated(f"of no spool, or of deleted ones, were {meant_mm:.3f} mm; unassigned or booked on those are "
                           f"{got_mm:.3f} mm ({slack_mm:.3f} mm in doubt)")  # fmt: skip
