"""The subscriber's memory: which messages are new, which were seen before, and where one is missing.

Pure. Retained values are sent again to everyone whenever anyone subscribes, so most duplicates are normal. A slow
subscriber loses the newest messages silently; the gap shows at the next message or heartbeat, and is asked for again.
"""

from enum import Enum

from bus.envelope import Message, Number
from bus.topics import TOPICS, Kind


class Verdict(Enum):
    NEW = "new"
    SEEN = "seen"
    GAP = "gap"
    """Something before it is missing. A mirror's change is useless then, until a full copy comes."""


class Inbox:
    def __init__(self) -> None:
        self.last: dict[str, Number] = {}
        self._incomplete: set[str] = set()
        self.gaps = 0
        self.duplicates = 0

    def receive(self, message: Message) -> Verdict:
        """SEEN is to be dropped. GAP is to be handled, except for a mirror: there it means `ask for a full copy`."""
        topic, last = message.topic, self.last.get(message.topic)
        if last is not None and message.position <= last and not self._completes(message, last):
            self.duplicates += 1
            return Verdict.SEEN
        self.last[topic] = message.position
        kind = TOPICS[topic].kind
        if message.full or kind is Kind.STATE:
            self._incomplete.discard(topic)
            return Verdict.NEW
        if kind is Kind.MIRROR and (last is None or message.epoch != last[0] or topic in self._incomplete):
            self._incomplete.add(topic)
            return Verdict.GAP
        if last is None or message.position == _after(last, message):
            return Verdict.NEW
        self.gaps += 1
        if kind is Kind.MIRROR:
            self._incomplete.add(topic)
        return Verdict.GAP

    def behind(self, epoch: int, numbers: dict[str, int]) -> list[str]:
        """Topics, of those ever listened to, of which a heartbeat says more was sent than arrived."""
        late = [topic for topic, number in numbers.items() if self.last.get(topic, (0, 0)) < (epoch, number)]
        self._incomplete.update(topic for topic in late if TOPICS[topic].kind is Kind.MIRROR)
        # A journal is read on from its cursor; the hint itself is not sent again, so it is not missed twice.
        self.last.update({topic: (epoch, numbers[topic]) for topic in late if TOPICS[topic].kind is Kind.JOURNAL})
        return late

    def _completes(self, message: Message, last: Number) -> bool:
        return message.full and message.topic in self._incomplete and message.position == last


def _after(last: Number, message: Message) -> Number:
    """The position that follows without a gap: the next number, or the first of a new epoch."""
    return (last[0], last[1] + 1) if message.epoch == last[0] else (message.epoch, 1)
