"""The pushes: each event in the bridge's journal, who must have got it, and how often."""

from bus.journal import Cursor, Journal
from services.notifier.core import context_of, recipients
from services.notifier.settings import Notifier
from tests.simulation.clock import Life
from tests.simulation.pushes import Attempt, Pushes, key_of
from tests.simulation.truth import Violated


class Letters:
    """Each event in the bridge's journal, and who must have got it."""

    def __init__(self, notifiers: dict[str, Notifier], pushes: Pushes) -> None:
        self._notifiers = notifiers
        self._pushes = pushes

    def expected(self, journal: Journal, topic: str, target: str) -> list[bytes]:
        """The keys of the messages one target gets, in order."""
        rows = journal.read(topic, Cursor(), limit=10_000)
        return [key_of(context_of(topic, row.value)) for row in rows
                for notifier in recipients(self._notifiers, topic, row.value) if target in notifier.targets]  # fmt: skip

    def check(self, journal: Journal) -> None:
        """Raises Violated."""
        for target in {target for notifier in self._notifiers.values() for target in notifier.targets}:
            for topic in ("printer.jobs", "printer.remote_calls"):
                self._check_line(target, self.expected(journal, topic, target))

    def _check_line(self, target: str, expected: list[bytes]) -> None:
        """In order, each at least once, and again only where the notifier could not know."""
        known = set(expected)
        got: dict[int, list[Attempt]] = {}
        place = -1
        newest: dict[Life | None, int] = {}
        for attempt in self._pushes.attempts:
            if attempt.target != target or attempt.key not in known or not attempt.delivered:
                continue
            places = [n for n, key in enumerate(expected) if key == attempt.key]
            text = f"{target}: {attempt.key.decode()[:60]}"
            here = next(
                (n for n in places if n == place + 1), max((n for n in places if n <= place), default=place + 2)
            )
            if here > place + 1:
                raise Violated(f"{text}: before {expected[place + 1].decode()[:60]}")
            if any(self._was_told(earlier) for earlier in got.get(here, ())):
                raise Violated(f"{text}: twice, though it was known to be sent")
            if here < newest.get(attempt.life, 0):
                raise Violated(f"{text}: out of order")
            got.setdefault(here, []).append(attempt)
            place, newest[attempt.life] = max(place, here), here
        if place + 1 < len(expected):
            raise Violated(f"{target}: never got {expected[place + 1].decode()[:60]}")

    def _was_told(self, attempt: Attempt) -> bool:
        """Whether the notifier knew, and lived long enough to write it down."""
        life = attempt.life
        if life is None:
            return False
        lived_on = not life.dead or (life.died_at > attempt.told_at and not attempt.on_full_disk)
        return attempt.result == "sent" and lived_on
