"""Several services in one process, for boards with little memory: `python -m services notifier octo_shim`."""

import sys
from importlib import import_module

from bus.process import main
from bus.services import SERVICES

if __name__ == "__main__":
    chosen = sys.argv[1:]
    unknown = sorted(set(chosen) - set(SERVICES))
    if unknown or not chosen:
        sys.exit(
            f"usage: python -m services NAME...   of {', '.join(SERVICES)}" + (f"; not {unknown}" if unknown else "")
        )
    main({name: import_module(f"services.{name}.__main__").start for name in chosen})
