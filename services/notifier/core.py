"""Who is told of an event, and what becomes of each push. Pure: events and `now` in, pushes out.

A push goes to one target of one notifier. The pushes of one target form a line: they leave in order, the next one when
the one before is sent or given up. Lines do not wait for each other.

`now` is seconds since boot: a wall clock that NTP sets right makes nothing late, stale or due.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from services.notifier.settings import ANY_EVENT, DEFAULT_TTL_S, Notifier

LATE_S = 60.0
"""Older pushes say so."""
PROGRESS_EVENTS = frozenset({"started", "paused", "resumed", "standby"})
PROGRESS_TTL_S = 1800.0
"""How a print goes on is no news half an hour later. How it ended is."""
RETRY_AFTER_S = (5.0, 30.0, 120.0, 600.0)
"""Waits between attempts; the last one is repeated until the push is stale."""
JITTER = 0.25
"""Share of a wait by which chance makes it shorter or longer: what failed together does not come again together."""
ATTEMPTS_WITH_ATTACHMENTS = 2
"""A service that refuses a message may refuse its picture: later attempts go without."""
WAITING_MOST = 100
"""Pushes of one line; a macro that notifies in a loop drops its own oldest, not the notifier's memory."""
SHOWN_MOST = 50

TRANSITIONS = {
    ("pending", "begin"): "sending",
    ("retry", "begin"): "sending",
    ("sending", "sent"): "sent",
    ("sending", "failed"): "retry",
    ("sending", "unknown"): "retry",
    ("sending", "refused"): "failed",
    ("pending", "give up"): "failed",
    ("retry", "give up"): "failed",
    ("failed", "revive"): "pending",
}
"""(state, what happened) -> state. `unknown`: no outcome within the deadline, so it may have been delivered; at least once
wins over at most once. `refused`: no attempt can succeed (a template that fails, a URL Apprise does not know)."""

FINAL = ("sent", "failed")


class Outcome(NamedTuple):
    """Of one attempt: `result` is sent, failed, unknown or refused; `detail` is for a person and holds no secrets.
    `retry_after_s` is how long the push service wants to be left alone."""

    result: str
    detail: str
    retry_after_s: float = 0.0


@dataclass(slots=True)
class Push:
    """`at` is the event's wall time, `born` the same in seconds since boot; `context` is what templates see. `ttl_s` is how
    long it is worth sending; it counts from `born`, or from when a person put it back (`revived`)."""

    id: int
    notifier: str
    target: int
    event: str
    at: float
    born: float
    context: dict[str, Any]
    state: str = "pending"
    attempts: int = 0
    due: float = 0.0
    error: str = ""
    ttl_s: float = DEFAULT_TTL_S
    revived: float | None = None

    @property
    def stale_at(self) -> float:
        return (self.born if self.revived is None else self.revived) + self.ttl_s

    @property
    def line(self) -> tuple[str, int]:
        return self.notifier, self.target

    def happens(self, what: str) -> None:
        self.state = TRANSITIONS[self.state, what]


def recipients(notifiers: Mapping[str, Notifier], topic: str, value: Mapping[str, Any]) -> list[Notifier]:
    """The notifiers an entry of this journal is for. `*` leaves out standby, which follows every print that ended."""
    if topic == "printer.remote_calls":
        named = notifiers.get(str(value["params"].get("name")))
        return [named] if named is not None and value["method"] == "notify" else []
    event = value["event"]
    return [n for n in notifiers.values() if event in n.events or (ANY_EVENT in n.events and event != "standby")]


def ttl_s(notifier: Notifier | None, event: str) -> float:
    """How long a push of this event is worth sending."""
    configured_s = DEFAULT_TTL_S if notifier is None else notifier.ttl_s
    return min(configured_s, PROGRESS_TTL_S) if event in PROGRESS_EVENTS else configured_s


def context_of(topic: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """What the templates see of an entry."""
    if topic == "printer.remote_calls":
        message = value["params"].get("message")
        return {
            "event_name": "remote_action",
            "event_args": [],
            "event_message": "" if message is None else str(message),
        }
    return {"event_name": value["event"], "event_args": [value["previous"], value["current"]], "event_message": ""}


def lateness(age_s: float) -> str | None:
    """What a late push says, or None."""
    if age_s < LATE_S:
        return None
    minutes = round(age_s / 60)
    if minutes < 60:
        return f"({minutes} minute{'s' if minutes > 1 else ''} late)"
    return f"({minutes // 60} h {minutes % 60} min late)"


def told_s(seconds: float) -> str:
    """A duration for people: 6 h, 30 min, 90 s."""
    for unit, unit_s in (("h", 3600), ("min", 60)):
        if seconds >= unit_s and seconds % unit_s == 0:
            return f"{seconds / unit_s:g} {unit}"
    return f"{seconds:g} s"


@dataclass(slots=True)
class Lines:
    """The pushes not yet sent or given up, by id: in the order of their events."""

    pushes: dict[int, Push] = field(default_factory=dict)

    def add(self, push: Push) -> list[Push]:
        """Takes a push in; returns those of its line given up to make room."""
        self.pushes[push.id] = push
        waiting = [p for p in self.pushes.values() if p.line == push.line and p.state != "sending"]
        return [self._give_up(old, "too many waited for this target") for old in waiting[:-WAITING_MOST]]

    def begin(self, now: float) -> list[Push]:
        """The heads of lines that are due; each is being sent from now on."""
        starting = [push for push in self._heads() if push.state != "sending" and push.due <= now]
        for push in starting:
            push.happens("begin")
            push.attempts += 1
        return starting

    def finish(self, push: Push, outcome: Outcome, now: float, chance: float = 0.5) -> None:
        """Takes an attempt's outcome over; a push that is sent or given up leaves. `chance` from 0 to 1 is the jitter's."""
        push.happens(outcome.result)
        push.error = "" if push.state == "sent" else outcome.detail
        if push.state in FINAL:
            del self.pushes[push.id]
        else:
            wait_s = RETRY_AFTER_S[min(push.attempts, len(RETRY_AFTER_S)) - 1]
            push.due = now + max(wait_s * (1 + JITTER * (2 * chance - 1)), outcome.retry_after_s)

    def give_up_stale(self, now: float) -> list[Push]:
        """The pushes that are too old by now; they leave."""
        stale = [p for p in self.pushes.values() if p.state != "sending" and now > p.stale_at]
        return [
            self._give_up(push, f"given up after {told_s(push.ttl_s)}: {push.error or 'never sent'}") for push in stale
        ]

    def wake_at(self) -> float | None:
        """When there is something to do again, if no new push and no outcome comes before."""
        heads = [push for push in self._heads() if push.state != "sending"]
        return min([min(push.due, push.stale_at) for push in heads], default=None)

    def shown(self) -> list[dict[str, Any]]:
        """The oldest of them, for people."""
        return [shown(p) for p in list(self.pushes.values())[:SHOWN_MOST]]

    def _heads(self) -> list[Push]:
        heads: dict[tuple[str, int], Push] = {}
        for push in self.pushes.values():
            heads.setdefault(push.line, push)
        return list(heads.values())

    def _give_up(self, push: Push, why: str) -> Push:
        push.happens("give up")
        push.error = why
        del self.pushes[push.id]
        return push


def shown(push: Push) -> dict[str, Any]:
    """A push as topics and people see it."""
    return {"id": push.id, "notifier": push.notifier, "target": push.target, "event": push.event, "at": push.at,
            "state": push.state, "attempts": push.attempts, "error": push.error}  # fmt: skip
