"""The command `moonbus`: `up` becomes supervisord, `ctl` is supervisorctl, `demo` runs without a printer."""

import argparse
import os
import sys

from moonbus.instance import configuration, prepare, supervisor_command


def main() -> None:
    """Ends with the status of what it ran; 1 with a sentence where it could not."""
    parser = argparse.ArgumentParser(prog="moonbus", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="run everything in the foreground, under supervisord")
    ctl = commands.add_parser("ctl", help="supervisorctl for this instance: status, restart notifier, tail gateway, …")
    ctl.add_argument("arguments", nargs=argparse.REMAINDER)
    demo = commands.add_parser("demo", help="everything with a simulated printer, Spoolman and push service")
    demo.add_argument("--port", type=int, default=7125, help="of the gateway (7125)")
    given = parser.parse_args()
    try:
        if given.command == "demo":
            # The demo alone needs the simulators and what they import.
            from moonbus.demo import run

            sys.exit(run(given.port))
        conf = configuration()
        environment = prepare(conf)
    except OSError as error:
        sys.exit(f"moonbus: {error}")
    arguments = ("-n",) if given.command == "up" else tuple(given.arguments)
    program = "supervisord" if given.command == "up" else "supervisorctl"
    command = supervisor_command(program, conf, *arguments)
    os.execve(command[0], command, environment)


if __name__ == "__main__":
    main()
