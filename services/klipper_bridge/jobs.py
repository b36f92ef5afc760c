"""Job events out of `print_stats`, pure: what happened, also what Klipper never says and what happened unseen.

    was \\ is      printing             paused   complete, cancelled, error   standby
    idle          started              started, then the event itself       standby, if it was something else
    paused        resumed, or started  -        the event                   standby
    printing      -                    paused   the event                   standby

Idle is standby, complete, cancelled and error. Klipper leaves a job that a shutdown ended as "paused", and one that a
restart ended unsaid; both are `error` here, once.
"""

from dataclasses import dataclass
from typing import Any

Stats = dict[str, Any]

RUNNING = ("printing", "paused")
HALTED = ("shutdown", "error")
"""States of Klipper in which no job goes on."""


@dataclass(frozen=True, slots=True)
class JobEvent:
    """`current` is print_stats as of the event; for an error Klipper does not report, with that state and message."""

    event: str
    previous: Stats
    current: Stats

    @property
    def value(self) -> dict[str, Any]:
        message = self.current.get("message", "") if self.event == "error" else ""
        return {"event": self.event, "previous": self.previous, "current": self.current, "message": message}


class Jobs:
    """`last` is print_stats as of the last event ever told, None when there was none."""

    def __init__(self, last: Stats | None) -> None:
        self.last = last
        self._connected = False

    @property
    def running(self) -> bool:
        return self.last is not None and self.last.get("state") in RUNNING

    def see(self, stats: Stats, klipper: str, message: str) -> list[JobEvent]:
        """What the newest print_stats means while Klipper is in this state with this message."""
        if klipper in HALTED:
            self._connected = True
            return self._fail({**(self.last or {}), **stats}, message) if self.running else []
        if not stats.get("state"):
            return []
        first, self._connected = not self._connected, True
        before, self.last = self.last, dict(stats)
        if before is None:
            return []
        names = _unseen(before, stats) if first else _seen(before, stats)
        if names == ["restarted"]:
            self.last = before
            events = self._fail(before, "Klipper was restarted during the print")
            self.last = dict(stats)
            return events
        return [JobEvent(name, before, dict(stats)) for name in names]

    def disconnect(self, reason: str) -> list[JobEvent]:
        """Klipper is gone: a job that was running is over."""
        self._connected = False
        return self._fail(self.last, reason) if self.running and self.last is not None else []

    def _fail(self, stats: Stats, message: str) -> list[JobEvent]:
        before = self.last or {}
        self.last = {**stats, "state": "error", "message": message.strip()}
        return [JobEvent("error", before, self.last)]


def _seen(before: Stats, now: Stats) -> list[str]:
    """The names of the events between two states that followed each other."""
    was, state = before["state"], now["state"]
    if was == state:
        return []
    if state == "printing":
        return ["resumed" if was == "paused" and _continues(before, now) else "started"]
    if state == "standby" or was in RUNNING:
        return [state]
    return ["started", state]


def _unseen(before: Stats, now: Stats) -> list[str]:
    """The same over a time in which nobody watched: `before` is the last thing told."""
    was, state = before["state"], now["state"]
    if was in RUNNING:
        if state == "standby":
            return ["restarted"]
        return _seen(before, now) if _continues(before, now) else ["started", *([] if state == "printing" else [state])]
    if state in RUNNING:
        if was == "error" and _continues(before, now):
            return ["resumed", *([] if state == "printing" else [state])]
        return ["started", *([] if state == "printing" else [state])]
    if state == "standby" or (was == state and not _differs(before, now)):
        return []
    return ["started", state]


def _continues(before: Stats, now: Stats) -> bool:
    """The same job, further on."""
    same_file = before.get("filename") == now.get("filename")
    return same_file and now.get("total_duration", 0.0) >= before.get("total_duration", 0.0)


def _differs(before: Stats, now: Stats) -> bool:
    return any(before.get(key) != now.get(key) for key in ("filename", "total_duration"))
