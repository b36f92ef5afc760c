"""The print job as Klipper reports it: `print_stats` and `virtual_sdcard`. Pure; `now` is monotonic seconds."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class VirtualSdCard:
    """The selected G-code file. `file_path` is absolute, positions are bytes."""

    file_path: str | None = None
    file_size: int = 0
    file_position: int = 0
    is_active: bool = False

    @property
    def progress(self) -> float:
        return self.file_position / self.file_size if self.file_size else 0.0

    def select(self, path: str, size: int) -> None:
        self.file_path, self.file_size, self.file_position = path, size, 0

    def reset(self) -> None:
        self.file_path, self.file_size, self.file_position, self.is_active = None, 0, 0, False


@dataclass
class PrintStats:
    """States: standby, printing, paused, complete, cancelled, error.

    `e_mm` in the methods is the extrusion commanded so far, over all extruders. `filament_used` grows only when the status is
    read while printing, at a pause, a cancel and at completion; an error leaves it at what was read last.
    """

    filename: str = ""
    state: str = "standby"
    message: str = ""
    filament_used: float = 0.0
    total_duration: float = 0.0
    total_layer: int | None = None
    current_layer: int | None = None
    _started: float | None = None
    _paused_at: float | None = None
    _paused_s: float = 0.0
    _before_first_extrusion_s: float = 0.0
    _seen_e_mm: float = field(default=0.0)

    def start(self, now: float, e_mm: float) -> None:
        """Starts the print, or resumes it from a pause."""
        if self._started is None:
            self._started = now
        elif self._paused_at is not None:
            self._paused_s += now - self._paused_at
            self._paused_at = None
        self._seen_e_mm = e_mm
        self.state, self.message = "printing", ""

    def pause(self, now: float, e_mm: float, extrude_factor: float) -> None:
        if self.state != "printing":
            return
        self._count(e_mm, extrude_factor)
        self._paused_at = now
        self.state = "paused"

    def end(self, state: str, now: float, e_mm: float, extrude_factor: float, message: str = "") -> None:
        """`state` is complete, cancelled or error."""
        if self.state == "printing" and state != "error":
            self._count(e_mm, extrude_factor)
        if self._started is not None:
            self.total_duration = now - self._started
            if self._paused_at is not None:
                self._paused_s += now - self._paused_at
        self._started = self._paused_at = None
        self.state, self.message = state, message

    def status(self, now: float, e_mm: float, extrude_factor: float) -> dict[str, Any]:
        """The fields of the `print_stats` object. Reading counts filament, as in Klipper."""
        paused_s = self._paused_s
        if self._started is not None:
            self.total_duration = now - self._started
            if self._paused_at is not None:
                paused_s += now - self._paused_at
            elif self.state == "printing":
                self._count(e_mm, extrude_factor)
            if self.filament_used < 1e-7:
                self._before_first_extrusion_s = self.total_duration - paused_s
        return {
            "filename": self.filename,
            "total_duration": self.total_duration,
            "print_duration": max(0.0, self.total_duration - self._before_first_extrusion_s - paused_s),
            "filament_used": self.filament_used,
            "state": self.state,
            "message": self.message,
            "info": {"total_layer": self.total_layer, "current_layer": self.current_layer},
        }

    def _count(self, e_mm: float, extrude_factor: float) -> None:
        self.filament_used += (e_mm - self._seen_e_mm) / extrude_factor
        self._seen_e_mm = e_mm
