"""The ledger through thousands of histories: extrusion, tool changes, restarts, crashes, spool changes, lost answers.

The truth is kept apart from the ledger, as a person with a notebook would: of each extruder and session the highest
position at a look, and which spool was on when it grew.
"""

from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from services.spoolman_sync.booking import Outcome, Reading, decide
from services.spoolman_sync.ledger import Extruders, begin, choose, close, count, doubt, forget
from services.spoolman_sync.store import Store

SPOOLS = st.sampled_from([1, 2, 3])
EXTRUDERS = st.sampled_from(["extruder", "extruder1"])
LENGTHS = st.floats(0.01, 150.0)


@dataclass
class Notebook:
    """What was looked at: it is forgotten with a crash as far as it was not saved, and looked up in Klipper again."""

    highest: dict[tuple[int, str], float] = field(default_factory=dict)
    by_spool: dict[int | None, float] = field(default_factory=dict)

    def look(self, session: int, position_mm: dict[str, float], spool_id: int | None) -> None:
        for name, mm in position_mm.items():
            before = self.highest.get((session, name), 0.0)
            self.highest[session, name] = max(before, mm)
            self.by_spool[spool_id] = self.by_spool.get(spool_id, 0.0) + max(0.0, mm - before)


class Histories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.session = 1
        self.position_mm = {"extruder": 0.0}
        self.spoolman_mm = {1: 0.0, 2: 1000.0, 3: 33.3}
        self.first_mm = dict(self.spoolman_mm)
        self.others_mm = dict.fromkeys(self.spoolman_mm, 0.0)
        self.executed_mm = dict.fromkeys(self.spoolman_mm, 0.0)
        self.doubtful: set[int] = set()
        self.notebook = Notebook()
        self.store = Store(Path(":memory:"))
        self.ledger, self.cursors = self.store.load()
        self.look(after_gap=True)
        self.save()

    def save(self) -> None:
        self.store.save(self.ledger, self.cursors)
        self.saved_notebook = deepcopy(self.notebook)

    # -- the printer ---------------------------------------------------------------------------------------------

    @rule(name=EXTRUDERS, mm=LENGTHS)
    def extrude(self, name: str, mm: float) -> None:
        self.position_mm[name] = self.position_mm.get(name, 0.0) + mm

    @rule(name=EXTRUDERS, mm=st.floats(0.01, 1000.0))
    def unload(self, name: str, mm: float) -> None:
        """While somebody watches."""
        self.position_mm[name] = self.position_mm.get(name, 0.0) - mm
        self.look(after_gap=False)
        self.save()

    @rule()
    def restart_klipper(self) -> None:
        self.session += 1
        self.position_mm = {}

    # -- the service ---------------------------------------------------------------------------------------------

    @rule(after_gap=st.booleans())
    def look(self, after_gap: bool) -> None:
        self.ledger = count(self.ledger, Extruders(self.session, dict(self.position_mm)), after_gap)
        self.notebook.look(self.session, self.position_mm, self.ledger.spool_id)

    @rule()
    def interval(self) -> None:
        self.save()

    @rule()
    def kill_9(self) -> None:
        self.ledger, _ = self.store.load()
        self.notebook = deepcopy(self.saved_notebook)
        self.doubtful = set(self.ledger.attempts)

    @rule(spool_id=st.none() | SPOOLS)
    def change_spool(self, spool_id: int | None) -> None:
        self.look(after_gap=False)
        self.ledger = choose(self.ledger, spool_id)
        self.save()

    @rule(spool_id=SPOOLS, executed=st.booleans(), answered=st.booleans())
    def report(self, spool_id: int, executed: bool, answered: bool) -> None:
        if spool_id not in self.ledger.pending or spool_id in self.ledger.attempts:
            return
        self.ledger = begin(self.ledger, spool_id, self.spoolman_mm[spool_id])
        self.save()
        mm = self.ledger.attempts[spool_id].mm if executed else 0.0
        self.spoolman_mm[spool_id] += mm
        self.executed_mm[spool_id] += mm
        if answered:
            self.ledger = close(self.ledger, spool_id, executed)
        else:
            self.doubtful.add(spool_id)

    @rule(spool_id=SPOOLS, whole_mm=st.integers(-30, 150))
    def somebody_else(self, spool_id: int, whole_mm: int) -> None:
        """Changes what is used of a spool, also while a report on it is in doubt. Exactly the length of a report it never
        is: then nobody could tell, and nothing would show."""
        mm = whole_mm + 0.4567
        self.spoolman_mm[spool_id] += mm
        self.others_mm[spool_id] += mm

    @precondition(lambda self: self.doubtful)
    @rule()
    def read_back(self) -> None:
        for spool_id in self.doubtful:
            attempt = self.ledger.attempts[spool_id]
            first, latest = (Reading(self.spoolman_mm[spool_id], at_s) for at_s in (0.0, 15.0))
            outcome = decide(attempt.before_mm, attempt.mm, first, latest, 15.0)
            if outcome is Outcome.UNCERTAIN:
                self.ledger = doubt(self.ledger, spool_id, latest.used_mm, 1.0)
            else:
                self.ledger = close(self.ledger, spool_id, outcome is Outcome.BOOKED)
        self.doubtful = set()

    @rule(spool_id=SPOOLS)
    def delete_unused_spool(self, spool_id: int) -> None:
        if spool_id not in self.ledger.attempts and spool_id != self.ledger.spool_id:
            mm = self.ledger.pending.get(spool_id, 0.0)
            self.ledger = forget(self.ledger, spool_id)
            self.notebook.by_spool[None] = self.notebook.by_spool.get(None, 0.0) + mm
            self.notebook.by_spool[spool_id] = self.notebook.by_spool.get(spool_id, 0.0) - mm
            self.save()

    # -- what must hold ------------------------------------------------------------------------------------------

    @invariant()
    def extruded_is_booked_attempted_pending_unassigned_and_uncertain(self) -> None:
        assert self.ledger.extruded_mm == pytest.approx(sum(self.notebook.highest.values()), abs=0.1)
        assert self.ledger.unassigned_mm == pytest.approx(self.notebook.by_spool.get(None, 0.0), abs=0.1)

    def teardown(self) -> None:
        """At last everything is reported: each spool has what was printed from it, but for what is shown as uncertain."""
        self.read_back()
        for spool_id in self.first_mm:
            self.report(spool_id, executed=True, answered=True)
            truth_mm = self.notebook.by_spool.get(spool_id, 0.0)
            uncertain_mm = sum(row.mm for row in self.ledger.uncertain.rows if row.spool_id == spool_id)
            assert truth_mm - uncertain_mm - 0.1 <= self.executed_mm[spool_id] <= truth_mm + 0.1
            if not self.others_mm[spool_id]:
                assert uncertain_mm == 0.0
        assert not self.ledger.unreported()
        self.store.close()


def run(examples: int, steps: int) -> None:
    machine: Any = Histories
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=examples, stateful_step_count=steps, deadline=None, database=None),
    )


def test_histories() -> None:
    run(100, 40)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many_long_histories() -> None:
    run(3000, 100)
