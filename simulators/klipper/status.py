"""The printer's objects as clients see them, and what changed between two looks. Pure."""

from collections.abc import Mapping
from typing import Any

from simulators.klipper.printer import AXIS_MAX_MM, AXIS_MIN_MM, Heater, Printer

Status = dict[str, dict[str, Any]]
Wanted = Mapping[str, list[str] | None]
"""Object → fields; None = all its fields."""

UNPARSED_OBJECTS = ("gcode", "webhooks", "configfile")
"""All that exists while the configuration cannot even be read."""


def objects(printer: Printer, now: float, help_texts: Mapping[str, str], parsed: bool = True) -> Status:
    """All objects in full. `parsed` False = the configuration file could not be read."""
    full = _machine(printer, now) | _job(printer, now)
    full["gcode"] = {"commands": {name: {"help": text} for name, text in help_texts.items()}}
    full["webhooks"] = {"state": printer.state, "state_message": printer.state_message}
    full["configfile"] = _configfile(printer)
    if not parsed:
        return {name: full[name] for name in UNPARSED_OBJECTS}
    return full


def pick(full: Status, wanted: Wanted) -> Status:
    """The wanted part: an unknown object is {}, an unknown field None."""
    picked: Status = {}
    for name, fields in wanted.items():
        known = full.get(name, {})
        picked[name] = {field: known.get(field) for field in (known if fields is None else fields)}
    return picked


def changes(before: Status, after: Status) -> Status:
    """The fields of `after` that differ from `before`; objects without a change are absent."""
    different = {
        name: {field: value for field, value in fields.items() if before[name][field] != value}
        for name, fields in after.items()
    }
    return {name: fields for name, fields in different.items() if fields}


def _heater(heater: Heater) -> dict[str, Any]:
    return {"temperature": round(heater.temperature, 2), "target": heater.target, "power": heater.power}


def _machine(printer: Printer, now: float) -> Status:
    heater_names = list(printer.heaters())
    e_mm = printer.e_position_mm()
    position = [*printer.position_mm, e_mm]
    status: Status = {
        "mcu": {"mcu_version": "simulated", "mcu_build_versions": "", "mcu_constants": {}, "last_stats": {}},
        "heaters": {"available_heaters": heater_names, "available_sensors": heater_names, "available_monitors": []},
        "heater_bed": _heater(printer.bed),
        "fan": {"speed": printer.fan_speed, "rpm": None},
        "stepper_enable": {
            "steppers": dict.fromkeys(("stepper_x", "stepper_y", "stepper_z"), bool(printer.homed_axes))
        },
        "query_endstops": {"last_query": {}},
        "system_stats": {"sysload": 0.1, "cputime": float(round(now)), "memavail": 500000},
        "motion_report": {
            "live_position": position,
            "live_velocity": printer.feed_mm_s if printer.motion_end > now else 0.0,
            "live_extruder_velocity": 0.0,
            "steppers": ["stepper_x", "stepper_y", "stepper_z"],
            "trapq": ["toolhead", *printer.extruders],
        },
        "toolhead": {
            "homed_axes": printer.homed_axes,
            "axis_minimum": [*AXIS_MIN_MM, 0.0],
            "axis_maximum": [*AXIS_MAX_MM, 0.0],
            "print_time": printer.motion_end,
            "stalls": 0,
            "estimated_print_time": now,
            "extruder": printer.active,
            "position": position,
            "max_velocity": 300.0,
            "max_accel": 3000.0,
            "minimum_cruise_ratio": 0.5,
            "square_corner_velocity": 5.0,
        },
        "gcode_move": {
            "speed_factor": printer.speed_factor,
            "speed": printer.feed_mm_s * 60.0,
            "extrude_factor": printer.extrude_factor,
            "absolute_coordinates": printer.absolute_coordinates,
            "absolute_extrude": printer.absolute_extrude,
            "homing_origin": [0.0, 0.0, 0.0, 0.0],
            "position": position,
            "gcode_position": [at - base for at, base in zip(position, printer.base_mm, strict=True)],
        },
    }
    for name, extruder in printer.extruders.items():
        status[name] = _heater(extruder.heater) | {
            "can_extrude": True,
            "pressure_advance": 0.0,
            "smooth_time": 0.04,
            "motion_queue": None,
        }
    return status


def _job(printer: Printer, now: float) -> Status:
    busy = printer.is_busy(now)
    printer.was_busy = printer.was_busy or busy
    sdcard = printer.sdcard
    progress = printer.display_progress
    return {
        "print_stats": printer.print_stats_status(now),
        "virtual_sdcard": {
            "file_path": sdcard.file_path,
            "progress": sdcard.progress,
            "is_active": sdcard.is_active,
            "file_position": sdcard.file_position,
            "file_size": sdcard.file_size,
        },
        "pause_resume": {"is_paused": printer.is_paused},
        "idle_timeout": {
            "state": "Printing" if busy else "Ready" if printer.was_busy else "Idle",
            "printing_time": 0.0,
        },
        "display_status": {
            "progress": sdcard.progress if progress is None else progress,
            "message": printer.display_message,
        },
    }


def _configfile(printer: Printer) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "printer": {"kinematics": "cartesian", "max_velocity": 300.0, "max_accel": 3000.0},
        "virtual_sdcard": {"path": "gcodes"},
        "heater_bed": {"min_temp": 0.0, "max_temp": 130.0},
        "pause_resume": {"recover_velocity": 50.0},
        "display_status": {},
    }
    for name in printer.extruders:
        settings[name] = {"nozzle_diameter": 0.4, "filament_diameter": 1.75, "min_extrude_temp": 0.0, "max_temp": 300.0}
    return {
        "config": {section: {} for section in settings},
        "settings": settings,
        "warnings": [],
        "save_config_pending": False,
        "save_config_pending_items": {},
    }
