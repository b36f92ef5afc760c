"""The printer as OctoPrint describes it. Pure: Klipper's state and mirrored values in, the answers' bodies out.

Field names and their units are those of OctoPrint's REST API: percent, whole seconds, bytes, millimetres.
"""

from dataclasses import dataclass
from typing import Any

from bus.mirror import Objects, Status

FLAGS = ("operational", "paused", "printing", "cancelling", "pausing", "error", "ready", "closedOrError")

STATES: dict[str, frozenset[str]] = {
    "Offline": frozenset({"closedOrError"}),
    "Error": frozenset({"error", "closedOrError"}),
    "Operational": frozenset({"operational", "ready"}),
    "Printing": frozenset({"operational", "printing"}),
    "Paused": frozenset({"operational", "paused"}),
    "Pausing": frozenset({"operational", "printing", "pausing"}),
    "Cancelling": frozenset({"operational", "printing", "cancelling"}),
}
"""OctoPrint's texts for the state, with the flags that are set."""

OF_KLIPPER = {"disconnected": "Offline", "startup": "Offline", "shutdown": "Error", "error": "Error"}
OF_PRINT = {"printing": "Printing", "paused": "Paused"}
"""Every other state of print_stats (standby, complete, cancelled, error) leaves the printer Operational."""

PRINT: Objects = {
    "print_stats": ["filament_used", "filename", "print_duration", "state"],
    "virtual_sdcard": ["file_position", "file_size", "progress"],
    "heaters": ["available_heaters"],
}
HEATER_FIELDS = ["target", "temperature"]
LARGEST = 2**53


@dataclass(frozen=True, slots=True)
class View:
    """What is known of the printer at one moment. `klipper`: as in printer.state; `status`: mirrored objects;
    `covered`: the mirror carries the print's state; `under_way`: "Pausing" or "Cancelling" while a client of ours waits
    for it; `selected`: the file to print next, relative to the gcodes root."""

    klipper: str = "disconnected"
    status: Status | None = None
    covered: bool = False
    under_way: str | None = None
    selected: str | None = None

    @property
    def state(self) -> str:
        """One of STATES. Before the print's state is known nobody is told that the printer is free."""
        if self.klipper in OF_KLIPPER:
            return OF_KLIPPER[self.klipper]
        if not self.covered:
            return "Offline"
        of_print = OF_PRINT.get(str(self.field("print_stats", "state")), "Operational")
        return self.under_way if self.under_way and of_print != "Operational" else of_print

    @property
    def active(self) -> bool:
        """Whether there is a job: printing, paused, or on the way from one to the other."""
        return not STATES[self.state].isdisjoint({"printing", "paused"})

    @property
    def file(self) -> str | None:
        """The file that is printed, else the selected one, else the one printed last."""
        last = self.field("print_stats", "filename")
        loaded = last if isinstance(last, str) and last else None
        return loaded if self.active else self.selected or loaded

    def field(self, name: str, field: str) -> Any:
        """A field of a mirrored object, None where there is none."""
        return (self.status or {}).get(name, {}).get(field)

    def number(self, name: str, field: str) -> float | None:
        """The same for a number; never infinite, never NaN, never too large for JSON."""
        value = self.field(name, field)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
            return None
        return float(value)


def wants(heaters: tuple[str, ...]) -> Objects:
    """What the bridge is to mirror: the print, and each heater known of."""
    return {**PRINT, **dict.fromkeys(heaters, HEATER_FIELDS)}


def heaters(status: Status) -> tuple[str, ...]:
    """Klipper's names of all heaters: extruder, heater_bed, heater_generic chamber and so on."""
    names = status.get("heaters", {}).get("available_heaters")
    return tuple(n for n in names if isinstance(n, str)) if isinstance(names, list) else ()


def began(before: Status, after: Status) -> bool:
    """Whether a print began between these two."""
    active = [status.get("print_stats", {}).get("state") in OF_PRINT for status in (before, after)]
    return active == [False, True]


def printer(view: View, known_heaters: tuple[str, ...]) -> dict[str, Any]:
    """GET /api/printer. Heaters Klipper has not told the temperature of are left out."""
    flags = STATES[view.state]
    return {
        "temperature": _temperatures(view, known_heaters) if view.klipper != "disconnected" else {},
        "state": {"text": view.state, "flags": {flag: flag in flags for flag in FLAGS}},
    }


def _temperatures(view: View, known_heaters: tuple[str, ...]) -> dict[str, Any]:
    taken: dict[str, Any] = {}
    for heater in known_heaters:
        actual = view.number(heater, "temperature")
        if actual is not None:
            name = heater_name(heater)
            taken[heater if name in taken else name] = {
                "actual": round(actual, 2), "offset": 0, "target": view.number(heater, "target") or 0.0,
            }  # fmt: skip
    return taken


def heater_name(heater: str) -> str:
    """OctoPrint's name: tool0 and so on, bed; others without their section, as in `chamber`."""
    if heater == "heater_bed":
        return "bed"
    if heater.startswith("extruder"):
        number = heater.removeprefix("extruder") or "0"
        return f"tool{number}" if number.isascii() and number.isdigit() else heater
    return heater.removeprefix("heater_generic ")


def job(view: View) -> dict[str, Any]:
    """GET /api/job. What is not known is null."""
    file = view.file
    of_print = file is not None and file == view.field("print_stats", "filename")
    progress = _progress(view) if of_print else _progress(View())
    left, elapsed = progress["printTimeLeft"], progress["printTime"]
    return {
        "job": {
            "file": _file(view, file, of_print),
            "estimatedPrintTime": None if left is None else elapsed + left,
            "filament": {"length": view.number("print_stats", "filament_used") if of_print else None},
            "user": None,
        },
        "progress": progress,
        "state": view.state,
    }


def _file(view: View, file: str | None, of_print: bool) -> dict[str, Any]:
    # Klipper's size is 0 once it has closed the file of a cancelled print.
    size = view.number("virtual_sdcard", "file_size") if of_print else None
    return {
        "name": None if file is None else file.rsplit("/", 1)[-1],
        "path": file,
        "origin": None if file is None else "local",
        "size": int(size) if size else None,
    }


def _progress(view: View) -> dict[str, Any]:
    done = view.number("virtual_sdcard", "progress")
    elapsed = view.number("print_stats", "print_duration")
    if done is not None:
        done = 1.0 if view.field("print_stats", "state") == "complete" else min(max(done, 0.0), 1.0)
    left = _left_s(view, done, elapsed)
    position = view.number("virtual_sdcard", "file_position")
    return {
        "completion": None if done is None else round(done * 100, 4),
        "filepos": None if position is None else int(position),
        "printTime": None if elapsed is None else int(elapsed),
        "printTimeLeft": left,
        "printTimeOrigin": None if left is None else "linear",
    }


def _left_s(view: View, done: float | None, elapsed_s: float | None) -> int | None:
    """As long as the rest of the file takes at the pace so far; None before there is a pace, and after a failure."""
    if done == 1.0 and elapsed_s is not None:
        return 0
    if not done or not elapsed_s or elapsed_s < 0 or not view.active:
        return None
    left_s = elapsed_s * (1.0 - done) / done
    return int(left_s) if left_s <= LARGEST else None
