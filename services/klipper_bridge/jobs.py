"""Job events out of `print_stats`, pure: what happened, also what Klipper never says and what happened unseen.

Klipper leaves a job that a shutdown ended as "paused", and one that a restart ended unsaid; both are `error` here, once.
A job that another one replaced is over, whether its end was seen or not, so each `started` has its end.
"""

from dataclasses import dataclass
from typing import Any

Stats = dict[str, Any]

RUNNING = ("printing", "paused")
ENDED = ("complete", "cancelled", "error")
HALTED = ("shutdown", "error")
"""States of Klipper in which no job goes on."""

IDLE = "idle"
"""Standby or ended: the next state belongs to another job."""

EVENTS: dict[str, dict[str, tuple[str, ...]]] = {
    IDLE: {
        "standby": ("standby",),
        "printing": ("started",),
        "paused": ("started", "paused"),
        "complete": ("started", "complete"),
        "cancelled": ("started", "cancelled"),
        "error": ("started", "error"),
    },
    "printing": {
        "standby": ("standby",),
        "printing": (),
        "paused": ("paused",),
        "complete": ("complete",),
        "cancelled": ("cancelled",),
        "error": ("error",),
    },
    "paused": {
        "standby": ("standby",),
        "printing": ("resumed",),
        "paused": (),
        "complete": ("complete",),
        "cancelled": ("cancelled",),
        "error": ("error",),
    },
}
"""Was → is → the events between them."""

GONE = "Klipper disconnected during the print"
RESTARTED = "Klipper was restarted during the print"
UNSEEN = "Another print was running when the printer was seen again; how this one ended is not known"


@dataclass(frozen=True, slots=True)
class JobEvent:
    """`current` is print_stats as of the event; for an end Klipper does not report, with that state and message."""

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

    def see(self, stats: Stats, klipper: str, message: str, restarted: bool = False) -> list[JobEvent]:
        """What the newest print_stats means while Klipper is in this state with this message. `restarted`: Klipper
        started since the last one."""
        state = stats.get("state")
        if klipper in HALTED and state not in ENDED:
            self._connected = True
            return self._halt(stats, message.strip())
        if state not in EVENTS[IDLE]:
            return []
        first, self._connected = not self._connected, True
        if self.last is None:
            self.last = dict(stats)
            return []
        told = self._end("error", RESTARTED) if restarted and self.running else []
        return told + self._change(stats, first, restarted)

    def disconnect(self) -> list[JobEvent]:
        """Klipper is gone: a job that was running is over."""
        self._connected = False
        return self._end("error", GONE) if self.running else []

    def _change(self, now: Stats, first: bool, restarted: bool) -> list[JobEvent]:
        told = []
        if self.running and now["state"] != "standby" and not _goes_on(self.last, now):
            replaced = not first and self.last is not None and self.last["state"] == "paused"
            told = self._end("cancelled", "") if replaced else self._end("error", UNSEEN)
        before, self.last = self.last or {}, dict(now)
        return told + [JobEvent(name, before, self.last) for name in _names(before, now, first, restarted)]

    def _halt(self, stats: Stats, message: str) -> list[JobEvent]:
        """Klipper is shut down, or could not start: what was printing is over, also what began since the last look."""
        shown = stats.get("state") in RUNNING
        if self.running:
            return self._end("error", message, stats if shown else {})
        if self.last is None or not shown or (self.last.get("state") == "error" and _goes_on(self.last, stats)):
            return []
        before, self.last = self.last, dict(stats)
        return [JobEvent("started", before, self.last), *self._end("error", message)]

    def _end(self, event: str, message: str, stats: Stats | None = None) -> list[JobEvent]:
        """The running job ended, in a way that print_stats does not show."""
        before = self.last or {}
        self.last = {**before, **(stats or {}), "state": event, "message": message}
        return [JobEvent(event, before, self.last)]


def _names(before: Stats, now: Stats, first: bool, restarted: bool) -> tuple[str, ...]:
    """The events between two print_stats. `first`: nobody watched in between, so the state alone is no news."""
    was, state = before.get("state"), now["state"]
    if was in RUNNING:
        return EVENTS[was][state]
    if state == "standby":
        return () if first or was == "standby" else EVENTS[IDLE][state]
    if first and not restarted and before.get("message") == GONE and _goes_on(before, now):
        # The connection was lost, not Klipper.
        return ("resumed", *EVENTS["printing"][state])
    return () if was == state and not _differs(before, now) else EVENTS[IDLE][state]


def _goes_on(before: Stats | None, now: Stats) -> bool:
    """The same job, further on."""
    if before is None:
        return False
    same_file = before.get("filename") == now.get("filename")
    return same_file and now.get("total_duration", 0.0) >= before.get("total_duration", 0.0)


def _differs(before: Stats, now: Stats) -> bool:
    return any(before.get(key) != now.get(key) for key in ("filename", "total_duration"))
