"""The publisher's memory: numbers per topic and the last value of each state, and what to send to a new subscriber.

Pure: no socket, no clock. A mirror's full copy is asked for when it is needed, so it is never stale and never kept twice.
"""

from collections.abc import Callable

import orjson

from bus.envelope import TERMINATOR, Message
from bus.topics import TOPICS, Kind

Snapshot = Callable[[], object]


class Outbox:
    def __init__(self, owner: str, epoch: int) -> None:
        self.owner = owner
        self.epoch = epoch
        self.numbers: dict[str, int] = {}
        self._retained: dict[str, Message] = {}
        self._snapshots: dict[str, Snapshot] = {}

    def mirror(self, topic: str, snapshot: Snapshot) -> None:
        """Declares where the full copy of this mirror comes from."""
        self._check(topic, (Kind.MIRROR,))
        self._snapshots[topic] = snapshot

    def publish(self, topic: str, value: object, now: float) -> Message:
        """The next message of a topic. Raises ValueError for a topic that is not this owner's."""
        return self._publish(topic, orjson.dumps(value), now)

    def publish_news(self, topic: str, value: object, now: float) -> Message | None:
        """The same, but None for a state that was said before."""
        body, last = orjson.dumps(value), self._retained.get(topic)
        return None if last is not None and last.body == body else self._publish(topic, body, now)

    def _publish(self, topic: str, body: bytes, now: float) -> Message:
        kind = self._check(topic, tuple(Kind))
        number = self.numbers[topic] = self.numbers.get(topic, 0) + 1
        message = Message(topic, self.epoch, number, now, body)
        if kind is Kind.STATE:
            self._retained[topic] = message
        return message

    def full_copy(self, topic: str, now: float) -> Message:
        """A mirror's full copy under a new number, for when it changed as a whole."""
        number = self.numbers[topic] = self.numbers.get(topic, 0) + 1
        return Message(topic, self.epoch, number, now, orjson.dumps(self._snapshots[topic]()), full=True)

    def retained(self, prefix: bytes, now: float) -> list[Message]:
        """What a subscriber of this prefix gets at once. It reaches all subscribers; they drop what they have seen."""
        messages = [m for t, m in self._retained.items() if (t.encode() + TERMINATOR).startswith(prefix)]
        for topic, snapshot in self._snapshots.items():
            if (topic.encode() + TERMINATOR).startswith(prefix):
                number = self.numbers.get(topic, 0)
                messages.append(Message(topic, self.epoch, number, now, orjson.dumps(snapshot()), full=True))
        return messages

    def last(self, topic: str) -> Message | None:
        return self._retained.get(topic)

    def _check(self, topic: str, kinds: tuple[Kind, ...]) -> Kind:
        row = TOPICS.get(topic)
        if row is None or row.owner != self.owner or row.kind not in kinds:
            raise ValueError(f"{topic} is not a topic of {self.owner}'s of kind {', '.join(kinds)}")
        return row.kind
