"""The machine: state, axes, extruders, heaters, and the job it prints. Pure: no I/O, no clock; `now` is monotonic seconds."""

import math
from collections.abc import Mapping

from simulators.klipper.job import PrintStats, VirtualSdCard

AMBIENT_C = 22.3
AXIS_MIN_MM = (0.0, 0.0, -5.0)
AXIS_MAX_MM = (300.0, 300.0, 300.0)
LOOKAHEAD_S = 0.5
"""Commands return while less than this much motion is queued, so commanded positions lead the motion."""

STARTUP_MESSAGE = (
    "\nPrinter is not ready\nThe klippy host software is attempting to connect.  Please\nretry in a few moments.\n"
)
READY_MESSAGE = "Printer is ready"
SHUTDOWN_HINT = (
    'Once the underlying issue is corrected, use the\n"FIRMWARE_RESTART" command to reset the firmware, reload the\n'
    "config, and restart the host software.\nPrinter is shutdown\n"
)
CONFIG_HINT = (
    'Once the underlying issue is corrected, use the "RESTART"\ncommand to reload the config and restart the host'
    " software.\nPrinter is halted\n"
)


class GcodeError(Exception):
    """A G-code command that failed. The text is what Klipper answers."""


class Heater:
    """Warms and cools in a straight line; `rate_c_s` degrees per second."""

    def __init__(self, rate_c_s: float) -> None:
        self.temperature = AMBIENT_C
        self.target = 0.0
        self.rate_c_s = rate_c_s

    def advance(self, elapsed_s: float) -> None:
        goal = max(self.target, AMBIENT_C)
        step = self.rate_c_s * elapsed_s
        self.temperature = (
            min(goal, self.temperature + step) if self.temperature < goal else max(goal, self.temperature - step)
        )

    def wait_s(self) -> float:
        """Seconds until it is as hot as asked; 0 when it is, or is off."""
        return max(0.0, self.target - self.temperature) / self.rate_c_s

    @property
    def power(self) -> float:
        if not self.target:
            return 0.0
        return 1.0 if self.temperature < self.target else 0.25


class Extruder:
    """One extruder with its own commanded position."""

    def __init__(self, heater: Heater) -> None:
        self.heater = heater
        self.position_mm = 0.0


class Printer:
    """One life of the machine, from Klipper's start to its end.

    `odometer_mm` is shared over lives: what each extruder pushed in all, retractions counted down. `speed` divides the time that
    motion and heating take.
    """

    def __init__(self, odometer_mm: dict[str, float], speed: float, now: float) -> None:
        self.state = "startup"
        self.state_message = STARTUP_MESSAGE
        self.speed = speed
        self.odometer_mm = odometer_mm
        self.extruders = {name: Extruder(Heater(10.0 * speed)) for name in odometer_mm}
        self.active = next(iter(self.extruders))
        self.bed = Heater(4.0 * speed)
        self.position_mm = [0.0, 0.0, 0.0]
        self.base_mm = [0.0, 0.0, 0.0, 0.0]
        self.homed_axes = ""
        self.absolute_coordinates = True
        self.absolute_extrude = True
        self.extrude_factor = 1.0
        self.speed_factor = 1.0
        self.feed_mm_s = 25.0
        self.motion_end = now
        self.fan_speed = 0.0
        self.display_message: str | None = None
        self.display_progress: float | None = None
        self.is_paused = False
        self.was_busy = False
        self.print_stats = PrintStats()
        self.sdcard = VirtualSdCard()
        self._commanded_e_mm = 0.0
        self._now = now

    def heaters(self) -> dict[str, Heater]:
        """Heaters by Klipper's names: heater_bed, extruder, extruder1 ..."""
        return {"heater_bed": self.bed} | {name: extruder.heater for name, extruder in self.extruders.items()}

    def advance(self, now: float) -> None:
        """Lets time pass: heaters warm and cool."""
        for heater in self.heaters().values():
            heater.advance(max(0.0, now - self._now))
        self._now = max(self._now, now)

    def e_position_mm(self) -> float:
        return self.extruders[self.active].position_mm

    def is_busy(self, now: float) -> bool:
        return self.sdcard.is_active or self.motion_end > now

    def set_ready(self) -> None:
        self.state, self.state_message = "ready", READY_MESSAGE

    def set_error(self, message: str) -> None:
        self.state, self.state_message = "error", message

    def shutdown(self, message: str, now: float) -> None:
        """Klipper's shutdown: everything stops; a running print is seen as paused."""
        if self.state == "shutdown":
            return
        self.state, self.state_message = "shutdown", f"{message}\n{SHUTDOWN_HINT}"
        self.sdcard.is_active = False
        self.print_stats.pause(now, self._commanded_e_mm, self.extrude_factor)
        self.motion_end = now
        for heater in self.heaters().values():
            heater.target = 0.0

    def activate(self, name: str) -> None:
        """Changes the active extruder: position[3] jumps to that extruder's own, E as seen by G-code becomes 0."""
        self.active = name
        self.base_mm[3] = self.e_position_mm()
        self.extrude_factor = 1.0

    def extrude(self, mm: float, duration_s: float, now: float) -> None:
        """Commands `mm` (after the extrude factor) at the active extruder, taking `duration_s` of motion."""
        self.extruders[self.active].position_mm += mm
        self.odometer_mm[self.active] += mm
        self._commanded_e_mm += mm
        self.motion_end = max(self.motion_end, now) + duration_s / self.speed

    def move(self, axes: Mapping[str, float], now: float) -> None:
        """One G0/G1. `axes` holds X, Y, Z, E in mm and F in mm/min as given. GcodeError when the move is refused."""
        target = list(self.position_mm)
        for index, axis in enumerate("XYZ"):
            if axis in axes:
                target[index] = axes[axis] + (self.base_mm[index] if self.absolute_coordinates else target[index])
        e_mm = 0.0
        if "E" in axes:
            e_mm = axes["E"] * self.extrude_factor
            if self.absolute_extrude and self.absolute_coordinates:
                e_mm += self.base_mm[3] - self.e_position_mm()
        if axes.get("F", 0.0) > 0.0:
            self.feed_mm_s = axes["F"] / 60.0
        self._check_reachable(target, e_mm)
        distance_mm = math.dist(target, self.position_mm) or abs(e_mm)
        self.position_mm = target
        self.extrude(e_mm, distance_mm / (self.feed_mm_s * self.speed_factor), now)

    def _check_reachable(self, target: list[float], e_mm: float) -> None:
        where = "{:.3f} {:.3f} {:.3f} [{:.3f}]".format(*target, self.e_position_mm() + e_mm)
        for index, axis in enumerate("xyz"):
            if target[index] == self.position_mm[index]:
                continue
            if axis not in self.homed_axes:
                raise GcodeError(f"Must home axis first: {where}")
            if not AXIS_MIN_MM[index] <= target[index] <= AXIS_MAX_MM[index]:
                raise GcodeError(f"Move out of range: {where}")

    def queue_wait_s(self, now: float) -> float:
        """How long a command that queued motion holds the G-code mutex."""
        return max(0.0, self.motion_end - now - LOOKAHEAD_S)

    def start_print(self, now: float) -> None:
        self.sdcard.is_active = True
        self.print_stats.start(now, self._commanded_e_mm)

    def pause_print(self, now: float) -> None:
        self.sdcard.is_active = False
        self.print_stats.pause(now, self._commanded_e_mm, self.extrude_factor)

    def end_print(self, state: str, now: float, message: str = "") -> None:
        """`state` is complete, cancelled or error. Only a cancelled file is forgotten."""
        self.sdcard.is_active = False
        if state == "cancelled":
            self.sdcard.reset()
        if state == "complete":
            self.sdcard.file_path = None
        self.print_stats.end(state, now, self._commanded_e_mm, self.extrude_factor, message)

    def print_stats_status(self, now: float) -> dict[str, object]:
        return self.print_stats.status(now, self._commanded_e_mm, self.extrude_factor)
