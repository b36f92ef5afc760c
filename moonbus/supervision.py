"""An extension of supervisord's: all programs start and stop at once, and one option chooses which they are.

supervisord polls for a second before it starts anything, and stops one program after another. Its own events tell when
it begins and when it ends; both are the moment to deal with all programs together. One that ended by itself is started
again at once, not at the second look a second later.
"""

from typing import Any

from supervisor import events
from supervisor.states import SupervisorStates

from moonbus.selfpipe import SelfPipe

SHARED = "services"
"""The program that runs all services in one process."""


class Supervision:
    """The interface object supervisord wants; it offers no remote calls."""


def make_rpcinterface(supervisord: Any, processes: str = "separate") -> Supervision:
    """Called by supervisord, with itself and this section's options, before anything runs. Raises ValueError."""
    if processes not in ("separate", "shared"):
        raise ValueError(f"[rpcinterface:moonbus] processes: expected separate or shared, got {processes!r}")

    def choose(name: str) -> None:
        if (name == SHARED) != (processes == "shared"):
            supervisord.remove_process_group(name)

    for name in list(supervisord.process_groups):
        choose(name)

    def start_all(_: Any) -> None:
        for group in supervisord.process_groups.values():
            group.transition()

    pipe, sockets = SelfPipe(), supervisord.options.get_socket_map()

    def stop_all(_: Any) -> None:
        for group in supervisord.process_groups.values():
            group.stop_all()
        if supervisord.options.mood == SupervisorStates.RESTARTING:
            pipe.detach(sockets)

    events.subscribe(events.ProcessGroupAddedEvent, lambda event: choose(event.group))  # by `supervisorctl update`
    events.subscribe(events.SupervisorRunningEvent, start_all)
    events.subscribe(events.SupervisorStoppingEvent, stop_all)
    events.subscribe(events.ProcessStateExitedEvent, lambda _: pipe.wake())
    pipe.attach(sockets)
    if processes != "shared":  # one process has nothing to share with
        from moonbus.preload import preload  # here, for it loads all services

        preload(supervisord.options)
    return Supervision()
