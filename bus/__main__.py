"""`python -m bus COMMAND`: what crosses the bus, what can be asked, who is there."""

import argparse
import contextlib
import os
import sys
from types import ModuleType

from bus.commands import api, call, docs, services, tap, topics

COMMANDS: dict[str, ModuleType] = {
    "tap": tap,
    "call": call,
    "services": services,
    "topics": topics,
    "api": api,
    "docs": docs,
}


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0, 1 with a sentence on stderr where it did not go well, 2 for wrong arguments, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m bus", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module in COMMANDS.items():
        summary = (module.__doc__ or "").partition("\n")[0]
        module.arguments(commands.add_parser(name, help=summary, description=module.__doc__))
    given = parser.parse_args(arguments)
    try:
        status = int(COMMANDS[given.command].run(given))
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does. Python would complain of it once more while it exits.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"python -m bus {given.command}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
