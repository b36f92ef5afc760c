"""Services in this process: `python -m services NAME...`; several of them on boards with little memory."""

import sys
from collections.abc import Sequence
from importlib import import_module

from bus.process import main
from bus.services import SERVICES


def run(names: Sequence[str]) -> None:
    """Until they are told to end. SystemExit for a name that is no service's, and for what they end with."""
    unknown = sorted(set(names) - set(SERVICES))
    if unknown or not names:
        sys.exit(
            f"usage: python -m services NAME...   of {', '.join(SERVICES)}" + (f"; not {unknown}" if unknown else "")
        )
    main({name: import_module(f"services.{name}.__main__").start for name in names})


if __name__ == "__main__":
    run(sys.argv[1:])
