"""Two of the three places where any exception is caught: what a bug in one handler must not take along.

(The third is `Dispatch.answer`, where it becomes the answer.)
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any


def dispatch_event(hear: Callable[[Any], None], message: Any, log: logging.Logger) -> None:
    """Event dispatch: one bad message must not deafen the service."""
    try:
        hear(message)
    except Exception:
        log.exception("handling a message of %s failed", getattr(message, "topic", "?"))


async def guarded(
    work: Awaitable[None], log: logging.Logger, what: str, passing: tuple[type[Exception], ...] = ()
) -> None:
    """The guard of background work: an unexpected exception is logged and ends this work alone; `passing` ones go on."""
    try:
        await work
    except passing:
        raise
    except Exception:
        log.exception("%s ended by an error", what)
