"""Which notification a published value becomes. Pure; the table is bus/topics.py."""

from collections.abc import Callable

import orjson

from bus.topics import TOPICS, Kind
from services.gateway.jsonrpc import notification

BY_STATE = "notify_klippy_{state}"
ANNOUNCED_STATES = ("ready", "shutdown", "disconnected")

PARAMS: dict[str, Callable[[bytes], bytes]] = {
    "printer.gcode": lambda body: orjson.dumps([orjson.loads(body)["response"]]),
}
"""Where the params are not just the value in a list."""


def announced() -> list[str]:
    """The topics whose every new value is a notification; the printer's state and objects have their own ways."""
    return [
        name
        for name, topic in TOPICS.items()
        if topic.notification and topic.notification != BY_STATE and topic.kind is not Kind.MIRROR
    ]


class Announcer:
    """Remembers the states last announced: a restarted owner saying the same again is no news."""

    def __init__(self) -> None:
        self._last: dict[str, bytes] = {}
        self._printer_state = "disconnected"

    def frame(self, topic: str, body: bytes) -> bytes | None:
        """The notification for a new value of an announced topic, None when nothing changed."""
        row = TOPICS[topic]
        if row.kind is Kind.STATE:
            if self._last.get(topic) == body:
                return None
            self._last[topic] = body
        assert row.notification is not None
        params = PARAMS[topic](body) if topic in PARAMS else b"[%b]" % body
        return notification(row.notification, params)

    def printer_state(self, state: str) -> bytes | None:
        """The notification for the printer's state, None when it is no change to a state that is announced."""
        if state == self._printer_state:
            return None
        self._printer_state = state
        return notification(BY_STATE.format(state=state), None) if state in ANNOUNCED_STATES else None
