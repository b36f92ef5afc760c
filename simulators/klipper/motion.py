"""G-code of the machine: axes, extruders, heaters, display. Each function is a `Handler` or makes one."""

from simulators.klipper.console import Console, Handler
from simulators.klipper.parser import Line
from simulators.klipper.printer import GcodeError, Heater

FIRMWARE_RETRACT_MM = 1.0
HOMING_S = 1.0


def move(console: Console, line: Line, now: float) -> float:
    console.printer.move({key: line.number(key) for key in line.params if key in "XYZEF"}, now)
    return console.printer.queue_wait_s(now)


def firmware_retract(mm: float) -> Handler:
    def handler(console: Console, line: Line, now: float) -> float:
        console.printer.extrude(mm, abs(mm) / 25.0, now)
        return console.printer.queue_wait_s(now)

    return handler


def dwell(console: Console, line: Line, now: float) -> float:
    return line.number("P", 0.0) / 1000.0 / console.printer.speed


def wait_for_motion(console: Console, line: Line, now: float) -> float:
    return max(0.0, console.printer.motion_end - now)


def home(console: Console, line: Line, now: float) -> float:
    printer = console.printer
    axes = [axis for axis in "xyz" if axis.upper() in line.params] or list("xyz")
    printer.homed_axes = "".join(axis for axis in "xyz" if axis in axes or axis in printer.homed_axes)
    for axis in axes:
        printer.position_mm["xyz".index(axis)] = 0.0
    return HOMING_S / printer.speed


def motors_off(console: Console, line: Line, now: float) -> float:
    console.printer.homed_axes = ""
    return 0.0


def set_position(console: Console, line: Line, now: float) -> float:
    printer = console.printer
    at = [*printer.position_mm, printer.e_position_mm()]
    for index, axis in enumerate("XYZE"):
        if axis in line.params or not line.params:
            scale = printer.extrude_factor if axis == "E" else 1.0
            printer.base_mm[index] = at[index] - line.number(axis, 0.0) * scale
    return 0.0


def set_value(name: str, value: object) -> Handler:
    def handler(console: Console, line: Line, now: float) -> float:
        setattr(console.printer, name, value)
        return 0.0

    return handler


def set_factor(name: str, key: str, scale: float) -> Handler:
    def handler(console: Console, line: Line, now: float) -> float:
        value = line.number(key, 1.0 / scale)
        if value <= 0.0 and line.command != "M106":
            raise GcodeError(f"Error on '{line.command} {line.rest}': {key} must be above 0")
        setattr(console.printer, name, value * scale)
        return 0.0

    return handler


def _heater(console: Console, line: Line) -> Heater:
    if line.command in ("M140", "M190"):
        return console.printer.bed
    tool = int(line.number("T", -1.0))
    name = console.printer.active if tool < 0 else f"extruder{tool or ''}"
    if name not in console.printer.extruders:
        raise GcodeError("Extruder not configured")
    return console.printer.extruders[name].heater


def _target(celsius: float) -> float:
    if not 0.0 <= celsius <= 300.0:
        raise GcodeError(f"Requested temperature ({celsius:.1f}) out of range (0.0:300.0)")
    return celsius


def set_temperature(console: Console, line: Line, now: float) -> float:
    heater = _heater(console, line)
    heater.target = _target(line.number("S", 0.0))
    return heater.wait_s() if line.command in ("M109", "M190") else 0.0


def set_heater(console: Console, line: Line, now: float) -> float:
    heater = console.printer.heaters().get(line.params.get("HEATER", ""))
    if heater is None:
        raise GcodeError(f"The value '{line.params.get('HEATER', '')}' is not valid for HEATER")
    heater.target = _target(line.number("TARGET", 0.0))
    return 0.0


def heaters_off(console: Console, line: Line, now: float) -> float:
    for heater in console.printer.heaters().values():
        heater.target = 0.0
    return 0.0


def report_temperatures(console: Console, line: Line, now: float) -> float:
    heaters = console.printer.heaters().items()
    labels = {name: "B" if name == "heater_bed" else f"T{name.removeprefix('extruder') or 0}" for name, _ in heaters}
    console.respond(" ".join(f"{labels[name]}:{h.temperature:.1f} /{h.target:.1f}" for name, h in heaters))
    return 0.0


def activate(console: Console, line: Line, now: float) -> float:
    name = line.params.get("EXTRUDER", "")
    if line.command.startswith("T"):
        name = f"extruder{line.command[1:].lstrip('0')}"
    if name not in console.printer.extruders:
        raise GcodeError(f"'{name}' is not a valid extruder.")
    if name == console.printer.active:
        console.info(f"Extruder {name} already active")
    else:
        console.info(f"Activating extruder {name}")
        console.printer.activate(name)
    return 0.0


def emergency_stop(console: Console, line: Line, now: float) -> float:
    console.shutdown("Shutdown due to M112 command", now)
    return 0.0


def show(console: Console, line: Line, now: float) -> float:
    console.printer.display_message = line.rest or None
    return 0.0


def show_progress(console: Console, line: Line, now: float) -> float:
    console.printer.display_progress = line.number("P", 0.0) / 100.0
    return 0.0


def echo(console: Console, line: Line, now: float) -> float:
    console.respond(f"echo: {line.rest}")
    return 0.0


def status(console: Console, line: Line, now: float) -> float:
    console.info("Klipper state: Ready")
    return 0.0


def firmware_version(console: Console, line: Line, now: float) -> float:
    console.respond("FIRMWARE_NAME:Klipper FIRMWARE_VERSION:simulated")
    return 0.0


def nothing(console: Console, line: Line, now: float) -> float:
    return 0.0
