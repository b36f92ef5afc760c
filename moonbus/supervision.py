"""An extension of supervisord's: all programs start and stop at once.

supervisord polls for a second before it starts anything, and stops one program after another. Its own events tell when
it begins and when it ends; both are the moment to deal with all programs together.
"""

from typing import Any

from supervisor import events


class Supervision:
    """The interface object supervisord wants; it offers no remote calls."""


def make_rpcinterface(supervisord: Any) -> Supervision:
    """Called by supervisord, with itself, while it reads its configuration."""

    def start_all(_: Any) -> None:
        for group in supervisord.process_groups.values():
            group.transition()

    def stop_all(_: Any) -> None:
        for group in supervisord.process_groups.values():
            group.stop_all()

    events.subscribe(events.SupervisorRunningEvent, start_all)
    events.subscribe(events.SupervisorStoppingEvent, stop_all)
    return Supervision()
