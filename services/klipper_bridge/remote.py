"""Remote methods that Klipper's macros call: their names, and what their arguments must be. Pure."""

from typing import Any

from bus.api import SPOOL_ID
from bus.params import Param, check

REMOTE_METHODS: dict[str, tuple[Param, ...]] = {
    "notify": (
        Param("name", "string", "of the notifier", max_length=256),
        Param("message", "any", "the text", default="", nullable=True, max_length=100_000),
    ),
    "spoolman_set_active_spool": (SPOOL_ID,),
}


def checked_call(method: str, params: Any) -> dict[str, Any]:
    """The arguments as their owner wants them. Raises Fault that says which is wrong."""
    return check(REMOTE_METHODS[method], params if isinstance(params, dict) else {})
