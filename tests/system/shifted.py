"""A real service whose wall clock can be set while it runs: `python -m tests.system.shifted SERVICE`. The clock is off by the
seconds in the file SERVICE below $SHIFTED_CLOCKS, read at each look; the machine's own clock stays as it is."""

import importlib
import os
import sys
import time
from pathlib import Path

import bus.process


def main() -> None:
    name = sys.argv[1]
    shift, look = Path(os.environ["SHIFTED_CLOCKS"]) / name, time.time
    # Before a service is imported, which may keep the function.
    time.time = lambda: look() + float(shift.read_text())
    bus.process.main({name: importlib.import_module(f"services.{name}.__main__").start})


if __name__ == "__main__":
    main()
