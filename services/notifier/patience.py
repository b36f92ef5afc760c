"""How long a push service wants to be left alone (Retry-After). Apprise reads statuses only, so its HTTP library is
listened to, in the send worker."""

import contextvars
import time
from email.utils import parsedate_to_datetime
from typing import Any

import requests

ASKS = (429, 503)
"""Too many requests; not now."""

asked_for: contextvars.ContextVar[list[float] | None] = contextvars.ContextVar("asked_for", default=None)
"""Seconds that were asked for while the current job ran."""


def listen() -> None:
    """From now on every answer to this process's requests is looked at."""
    send = requests.Session.send

    def send_and_look(self: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        response = send(self, request, **options)
        waits = asked_for.get()
        if waits is not None and response.status_code in ASKS:
            waits.append(read_retry_after(response.headers.get("Retry-After", ""), time.time()))
        return response

    requests.Session.send = send_and_look  # type: ignore[method-assign]


def requested_s() -> float:
    """The longest wait that was asked for; 0 when nobody asked."""
    return max(asked_for.get() or [0.0])


def read_retry_after(text: str, now: float) -> float:
    """Seconds from `now` (wall time); the header holds seconds or a date. 0 for what is neither."""
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return 0.0
