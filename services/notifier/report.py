"""What each notifier's pushes are doing, for people: the answer to server.notifiers.status."""

from collections.abc import Iterable, Mapping
from typing import Any

from services.notifier.core import Outcome, Push


class Report:
    """`delivered` is the wall time of each notifier's last delivery; `dead` are the pushes given up, oldest first."""

    def __init__(self, notifiers: Iterable[str], delivered: Mapping[str, float], dead: Iterable[Push]) -> None:
        self._names = tuple(notifiers)
        self._delivered = dict(delivered)
        self._dead = dead
        self._errors: dict[str, dict[str, Any]] = {}

    def take(self, push: Push, outcome: Outcome, wall: float) -> None:
        """An attempt's outcome."""
        if outcome.result == "sent":
            self._delivered[push.notifier] = wall
        else:
            self._errors[push.notifier] = {"at": wall, "event": push.event, "message": outcome.detail}

    def status(self, waiting: Iterable[Push], wall_at_boot: float) -> dict[str, Any]:
        """`wall_at_boot` turns seconds since boot into wall time. Times are wall time in seconds, or null."""
        pushes = list(waiting)
        return {"notifiers": [self._row(name, pushes, wall_at_boot) for name in self._names]}

    def _row(self, name: str, pushes: list[Push], wall_at_boot: float) -> dict[str, Any]:
        own = [push for push in pushes if push.notifier == name]
        due = [push.due + wall_at_boot for push in own if push.state == "retry"]
        dead = [{"id": p.id, "event": p.event, "at": p.at, "error": p.error} for p in self._dead if p.notifier == name]
        return {
            "name": name,
            "queued": sum(push.state != "sending" for push in own),
            "sending": sum(push.state == "sending" for push in own),
            "last_delivery": self._delivered.get(name),
            "last_error": self._errors.get(name),
            "next_try": round(min(due)) if due else None,
            "dead_letters": dead,
        }
