"""G-code of the print job, and the macros that call remote methods. Each function is a `Handler`."""

import os
from pathlib import Path

from simulators.klipper.console import Console
from simulators.klipper.job import PrintStats
from simulators.klipper.motion import wait_for_motion
from simulators.klipper.parser import Line
from simulators.klipper.printer import GcodeError

PAUSE_RETRACT_MM = 2.0


def print_file(console: Console, line: Line, now: float) -> float:
    printer = console.printer
    if printer.sdcard.is_active:
        raise GcodeError("SD busy")
    name = line.params.get("FILENAME", "").lstrip("/")
    path = console.gcodes_dir / name
    if not os.path.isfile(path) or ".." in Path(name).parts:
        raise GcodeError("Unable to open file")
    reset_file(console, line, now)
    size = path.stat().st_size
    console.respond(f"File opened:{name} Size:{size}")
    console.respond("File selected")
    printer.sdcard.select(str(path), size)
    printer.print_stats.filename = name
    printer.start_print(now)
    return 0.0


def reset_file(console: Console, line: Line, now: float) -> float:
    printer = console.printer
    printer.sdcard.reset()
    printer.print_stats = PrintStats()
    printer.display_progress = None
    return 0.0


def print_info(console: Console, line: Line, now: float) -> float:
    stats = console.printer.print_stats
    total, current = int(line.number("TOTAL_LAYER", -1.0)), int(line.number("CURRENT_LAYER", -1.0))
    if total >= 0:
        stats.total_layer = total or None
        stats.current_layer = 0 if total else None
    if current >= 0 and stats.total_layer is not None:
        stats.current_layer = min(current, stats.total_layer)
    return 0.0


def pause(console: Console, line: Line, now: float) -> float:
    printer = console.printer
    if printer.is_paused:
        console.info("Print already paused")
        return 0.0
    printing = printer.sdcard.is_active
    printer.pause_print(now)
    printer.is_paused = True
    if not printing:
        console.info("action:paused")
    printer.extrude(-PAUSE_RETRACT_MM, PAUSE_RETRACT_MM / 25.0, now)
    return wait_for_motion(console, line, now)


def resume(console: Console, line: Line, now: float) -> float:
    printer = console.printer
    if not printer.is_paused:
        console.info("Print is not paused, resume aborted")
        return 0.0
    printer.extrude(PAUSE_RETRACT_MM, PAUSE_RETRACT_MM / 25.0, now)
    printer.is_paused = False
    if printer.sdcard.file_path is not None:
        printer.start_print(now)
    return 0.0


def cancel(console: Console, line: Line, now: float) -> float:
    printer = console.printer
    if printer.sdcard.file_path is not None:
        printer.end_print("cancelled", now)
    else:
        console.info("action:cancel")
    printer.is_paused = False
    return 0.0


def set_active_spool(console: Console, line: Line, now: float) -> float:
    text = line.params.get("ID")
    if text is None:
        console.info("Parameter 'ID' is required")
        return 0.0
    spool_id = int(text) if text.lstrip("-").isdecimal() else 0
    console.call_remote("spoolman_set_active_spool", {"spool_id": spool_id})
    return 0.0


def clear_active_spool(console: Console, line: Line, now: float) -> float:
    console.call_remote("spoolman_set_active_spool", {"spool_id": None})
    return 0.0


def notify(console: Console, line: Line, now: float) -> float:
    """An argument the macro was not given is undefined, which shuts Klipper down if somebody is registered."""
    if {"NAME", "MSG"} <= line.params.keys():
        console.call_remote("notify", {"name": line.params["NAME"], "message": line.params["MSG"]})
    elif console.call_remote("notify", None):
        console.shutdown("json encoding error: Encoding objects of type Undefined is unsupported", now)
    return 0.0
