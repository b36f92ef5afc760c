"""A thousand seeds of the simulated world, and the simulator itself: the same seed is the same story, and a planted bug is
found."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

import services.klipper_bridge.bridge
import services.notifier.core
from bus.journal import Cursor
from services.klipper_bridge.extruders import Extruders
from services.notifier.outbox import Outbox
from services.spoolman_sync import booking, ledger
from services.spoolman_sync.booking import Outcome
from services.spoolman_sync.books import Books
from tests.simulation.run import Played, failures, play

SEEDS, CHUNK = 1000, 100
FOUND_WITHIN = 400
"""Seeds that a planted bug may stay hidden in."""
RARE = 200
"""A seed after which those that take three misfortunes together show soon."""


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_a_thousand_seeds(first: int) -> None:
    failed = failures(range(first, first + CHUNK))
    assert not failed, failed[0].text


def test_the_same_seed_is_the_same_story() -> None:
    for seed in (3, 14, 15):
        assert play(seed).text == play(seed).text


def test_a_story_is_readable() -> None:
    lines = Played(7, "something is lost", ((1.5, "macro", "spool 3"),)).text.splitlines()
    assert lines == ["seed 7", "    1.500  macro              spool 3", "VIOLATED: something is lost"]


def plant(place: Any, name: str, bug: Callable[..., Any]) -> AbstractContextManager[Any]:
    """`bug(original, *args)` in place of a function."""
    original = getattr(place, name)
    return patch.object(place, name, lambda *args, **options: bug(original, *args, **options))


def forgets_at_a_new_session(original: Any, book: Any, seen: Any, after_gap: bool = False) -> Any:
    """A restart of Klipper forgets what the session before added."""
    return original(book, replace(seen, previous=None), after_gap)


def counts_from_the_last_position(original: Any, mark: Any, mm: float, after_gap: bool) -> Any:
    """The return of a retraction counts again."""
    return original(ledger.Mark(mark.last_mm, mark.last_mm), mm, after_gap)


def counts_nothing_after_a_gap(original: Any, mark: Any, mm: float, after_gap: bool) -> Any:
    """What was extruded while nobody looked is skipped."""
    return (ledger.Mark(mm, mm), 0.0) if after_gap else original(mark, mm, after_gap)


def never_booked(original: Any, *args: Any, **options: Any) -> Outcome:
    """Each report in doubt is sent again."""
    return Outcome.NOT_BOOKED


def always_booked(original: Any, *args: Any, **options: Any) -> Outcome:
    """Each report in doubt counts as done."""
    return Outcome.BOOKED


def any_answer_is_booked(original: Any, status: int, answer: Any, spool_id: int) -> Outcome:
    """A proxy's error page counts as Spoolman's answer."""
    return Outcome.BOOKED


def any_404_is_deleted(original: Any, status: int, answer: Any, spool_id: int) -> bool:
    """A proxy's 404 counts as Spoolman's."""
    return status == 404


def sends_before_it_saves(original: Any, self: Any, *args: Any) -> bool:
    """The transaction that marks a report as being sent is left out."""
    saved = bool(original(self))
    self.ledger = args[0] if args else self.ledger
    return saved


def spool_before_its_deltas(original: Any, book: Any, seen: Any, spool_id: Any, *rest: Any) -> Any:
    """A macro's new spool gets what was extruded before."""
    return original(ledger.choose(book, spool_id), seen, spool_id, *rest)


def drops_the_cursor(original: Any, self: Any, topic: str) -> Cursor:
    """A restart reads the journal from its beginning."""
    return Cursor()


def skips_to_the_end(original: Any, self: Any, *args: Any) -> list[Any]:
    """What waited when the process died is not sent any more."""
    return []


def forgets_what_was_sent(original: Any, self: Any, push: Any, wall: float) -> None:
    """A push that was sent stays in the outbox."""


def gives_up_at_once(original: Any, self: Any, push: Any, outcome: Any, *rest: Any) -> None:
    """A push that failed is not tried again."""
    original(self, push, services.notifier.core.Outcome("sent", "") if outcome.result == "failed" else outcome, *rest)


def begins_a_session_each_time(original: Any, self: Any, *args: Any) -> bool:
    """Each connection counts as another session of Klipper's."""
    return True


def tells_no_end(original: Any, self: Any, session: int) -> None:
    """Nobody is told how the session before ended."""
    original(self, session)
    self.previous = None


PLANTED = [
    (ledger, "count", forgets_at_a_new_session, RARE),
    (ledger, "_move", counts_from_the_last_position, 0),
    (ledger, "_move", counts_nothing_after_a_gap, 0),
    (ledger, "change_at", spool_before_its_deltas, 0),
    (booking, "decide", never_booked, 0),
    (booking, "decide", always_booked, 0),
    (booking, "read_outcome", any_answer_is_booked, 0),
    (booking, "is_deleted", any_404_is_deleted, 0),
    (Books, "save", sends_before_it_saves, 0),
    (Outbox, "cursor", drops_the_cursor, 0),
    (Outbox, "pending", skips_to_the_end, 0),
    (Outbox, "sent", forgets_what_was_sent, 0),
    (services.notifier.core.Lines, "finish", gives_up_at_once, 0),
    (services.klipper_bridge.bridge.Bridge, "_began", begins_a_session_each_time, 0),
    (Extruders, "begin", tells_no_end, RARE),
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("place", "name", "bug", "first"), PLANTED, ids=[bug.__name__ for _, _, bug, _ in PLANTED])
def test_a_planted_bug_is_found(place: Any, name: str, bug: Callable[..., Any], first: int) -> None:
    with plant(place, name, bug):
        found = next((played for seed in range(first, first + FOUND_WITHIN) if (played := play(seed)).problem), None)
    assert found is not None, bug.__doc__
    assert found.problem is not None and not found.problem.startswith("unexpected"), found.text
