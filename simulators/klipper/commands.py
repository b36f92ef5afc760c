"""The G-code commands the simulated printer understands, as one visible table: `COMMANDS`."""

from simulators.klipper import motion, printing
from simulators.klipper.console import Command, Console
from simulators.klipper.parser import Line
from simulators.klipper.printer import GcodeError

WORKS_IN_ANY_STATE = frozenset({"RESTART", "FIRMWARE_RESTART", "M112", "M118"})

COMMANDS: dict[str, Command] = {
    "G0": Command(motion.move, "Move"),
    "G1": Command(motion.move, "Move"),
    "G4": Command(motion.dwell, "Wait P milliseconds"),
    "G10": Command(motion.firmware_retract(-motion.FIRMWARE_RETRACT_MM), "Retract"),
    "G11": Command(motion.firmware_retract(motion.FIRMWARE_RETRACT_MM), "Unretract"),
    "G21": Command(motion.nothing, "Millimetres"),
    "G28": Command(motion.home, "Home"),
    "G90": Command(motion.set_value("absolute_coordinates", True), "Absolute coordinates"),
    "G91": Command(motion.set_value("absolute_coordinates", False), "Relative coordinates"),
    "G92": Command(motion.set_position, "Set the position"),
    "M18": Command(motion.motors_off, "Motors off"),
    "M82": Command(motion.set_value("absolute_extrude", True), "Absolute extrusion"),
    "M83": Command(motion.set_value("absolute_extrude", False), "Relative extrusion"),
    "M84": Command(motion.motors_off, "Motors off"),
    "M104": Command(motion.set_temperature, "Set the extruder temperature"),
    "M105": Command(motion.report_temperatures, "Report temperatures"),
    "M106": Command(motion.set_factor("fan_speed", "S", 1.0 / 255.0), "Fan on"),
    "M107": Command(motion.set_value("fan_speed", 0.0), "Fan off"),
    "M109": Command(motion.set_temperature, "Heat the extruder and wait"),
    "M112": Command(motion.emergency_stop, "Emergency stop"),
    "M115": Command(motion.firmware_version, "Firmware version"),
    "M117": Command(motion.show, "Show a message"),
    "M118": Command(motion.echo, "Echo a message"),
    "M140": Command(motion.set_temperature, "Set the bed temperature"),
    "M190": Command(motion.set_temperature, "Heat the bed and wait"),
    "M220": Command(motion.set_factor("speed_factor", "S", 0.01), "Speed in percent"),
    "M221": Command(motion.set_factor("extrude_factor", "S", 0.01), "Extrusion in percent"),
    "M400": Command(motion.wait_for_motion, "Wait until all motion ended"),
    "M73": Command(motion.show_progress, "Show the progress"),
    "ACTIVATE_EXTRUDER": Command(motion.activate, "Change the active extruder"),
    "T0": Command(motion.activate, "Extruder 0"),
    "T1": Command(motion.activate, "Extruder 1"),
    "T2": Command(motion.activate, "Extruder 2"),
    "T3": Command(motion.activate, "Extruder 3"),
    "SET_HEATER_TEMPERATURE": Command(motion.set_heater, "Set a heater's temperature"),
    "TURN_OFF_HEATERS": Command(motion.heaters_off, "All heaters off"),
    "SDCARD_PRINT_FILE": Command(printing.print_file, "Print a file"),
    "SDCARD_RESET_FILE": Command(printing.reset_file, "Forget the file"),
    "SET_PRINT_STATS_INFO": Command(printing.print_info, "Layers of the print"),
    "PAUSE": Command(printing.pause, "Pause the print"),
    "RESUME": Command(printing.resume, "Resume the print"),
    "CANCEL_PRINT": Command(printing.cancel, "Cancel the print"),
    "SET_ACTIVE_SPOOL": Command(printing.set_active_spool, "Macro: choose the spool"),
    "CLEAR_ACTIVE_SPOOL": Command(printing.clear_active_spool, "Macro: no spool"),
    "NOTIFY": Command(printing.notify, "Macro: send a push"),
    "STATUS": Command(motion.status, "Report Klipper's state"),
    "RESTART": Command(motion.nothing, "Restart the host software"),
    "FIRMWARE_RESTART": Command(motion.nothing, "Restart firmware and host software"),
}


def execute(console: Console, line: Line, now: float) -> float:
    """Executes one command and returns the seconds it holds the mutex. GcodeError when it fails."""
    if console.printer.state != "ready" and line.command not in WORKS_IN_ANY_STATE:
        raise GcodeError(console.printer.state_message)
    command = COMMANDS.get(line.command)
    if command is None:
        console.info(f'Unknown command:"{line.command}"')
        return 0.0
    return command.handler(console, line, now)


def help_texts() -> dict[str, str]:
    """Command → one line of help, for gcode/help."""
    return {name: command.help for name, command in COMMANDS.items()}
