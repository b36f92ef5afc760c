"""What a command of a client's means in calls to the bridge. Pure; each function raises Fault where it cannot be done."""

from collections.abc import Callable
from typing import Any

from bus.errors import Fault, bad_request
from services.octo_shim.core import View

Call = tuple[str, dict[str, Any]]
"""A method of the bridge's, with its parameters."""

NOT_OPERATIONAL = "Printer is not operational"


def conflict(message: str) -> Fault:
    """OctoPrint's answer when the state of the printer or the job does not fit the command."""
    return Fault(409, message)


def located(fault: Fault, number: int, total: int) -> Fault:
    """The same fault, saying which of several calls it was."""
    if total == 1:
        return fault
    return Fault(fault.code, f"{fault.message} (command {number} of {total}; those behind it were not sent)")


def printer_command(view: View, commands: list[str] | None, command: str | None) -> list[Call]:
    """One call per command, in order.

    Only a missing connection is refused here: RESTART and FIRMWARE_RESTART are for printers in state error.
    """
    given = commands if commands is not None else [command] if command is not None else None
    if given is None:
        raise bad_request('No data for argument: commands (expected a list of strings, as in {"commands": ["G28"]})')
    if view.klipper == "disconnected":
        raise conflict(f"{NOT_OPERATIONAL}: there is no connection to Klipper")
    return [("printer.gcode.script", {"script": line}) for line in given]


def job_command(view: View, command: str, action: str) -> list[Call]:
    """start, cancel, restart, or pause with its action."""
    if command not in JOB_COMMANDS:
        raise bad_request(f"Unsupported Command: {command[:60]} (expected {', '.join(JOB_COMMANDS)})")
    if command == "pause" and action not in PAUSE:
        raise bad_request(f"Invalid argument action: expected {', '.join(PAUSE)}, got {action[:60]!r}")
    require_operational(view)
    return JOB_COMMANDS[command](view, action)


def select(view: View, root: str, path: str, command: str, start: bool, exists: Callable[[str], bool]) -> list[Call]:
    """The calls of a `select`: none unless the file is to be printed. `exists` looks below the gcodes root."""
    if command != "select":
        raise bad_request(f"Unsupported Command: {command[:60]}")
    if root != "gcodes":
        raise bad_request("File must be located in the 'gcodes' root")
    if not _stays_below(path) or not exists(path):
        raise bad_request("File does not exist")
    return start_print(view, path) if start else []


def start_print(view: View, file: str | None) -> list[Call]:
    """Raises 409 while a job is active or without a file."""
    require_operational(view)
    if view.active:
        raise conflict(f"Printer is busy: it is {view.state.lower()}")
    if file is None:
        raise conflict("No file is selected: select one first")
    return [("printer.print.start", {"filename": file})]


def require_operational(view: View) -> None:
    """Raises 409 unless Klipper is ready."""
    if view.state in ("Offline", "Error"):
        raise conflict(f"{NOT_OPERATIONAL}: its state is {view.state}")


def _stays_below(path: str) -> bool:
    return not path.startswith("/") and "\0" not in path and ".." not in path.split("/")


def _cancel(view: View, _: str) -> list[Call]:
    if not view.active:
        raise conflict("No job is active")
    return [] if view.state == "Cancelling" else [("printer.print.cancel", {})]


def _restart(view: View, _: str) -> list[Call]:
    if view.state != "Paused":
        raise conflict(f"A job can be restarted only while it is paused; its state is {view.state}")
    if view.file is None:
        raise conflict("Klipper does not say which file is printed")
    return [("printer.print.cancel", {}), ("printer.print.start", {"filename": view.file})]


def _pause(view: View, action: str) -> list[Call]:
    if not view.active:
        raise conflict("No job is active")
    method = PAUSE[action].get(view.state)
    return [] if method is None else [(method, {})]


JOB_COMMANDS: dict[str, Callable[[View, str], list[Call]]] = {
    "start": lambda view, _: start_print(view, view.file),
    "cancel": _cancel,
    "restart": _restart,
    "pause": _pause,
}

PAUSE = {
    "pause": {"Printing": "printer.print.pause"},
    "resume": {"Paused": "printer.print.resume"},
    "toggle": {"Printing": "printer.print.pause", "Paused": "printer.print.resume"},
}
"""The call for each action in each state; no call where it has nothing to do."""

UNDER_WAY = {"printer.print.pause": "Pausing", "printer.print.cancel": "Cancelling"}
"""The state that is shown while such a call waits for Klipper's macro."""
