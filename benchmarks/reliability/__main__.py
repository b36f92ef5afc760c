"""What the two systems lose, double and block, in one run: `python -m benchmarks.reliability --moonraker PYTHON`.

PYTHON is the interpreter of a virtual environment in which `moonraker` is installed. Each row is played on both at the
same time, each with a simulated printer, Spoolman and push service of its own. Prints the table, or writes it into a file.
"""

import argparse
import asyncio
import logging
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.reliability import filament, pushes, requests
from benchmarks.reliability.systems import Peer, moonbus, moonraker
from benchmarks.reliability.table import QUICK, Cell, Pace, Row, markdown

AT_ONCE = 5
"""Rows; each starts two systems, and this runs on two cores."""
SECTIONS = (
    ("filament: extruded → booked: error", filament.ROWS),
    ("pushes", pushes.ROWS),
    ("requests", requests.ROWS),
)
TEXT = """# Reliability

Made by `make reliability` ({how}; {minutes:.0f} minutes, Python {python}, {cores} cores): moonbus beside Moonraker
{version}, each row on both at the same time, with the same configuration and each with its own simulated printer, Spoolman
and push service. What is wrong is **bold**. "The system" is all processes of it, supervisord included.

{table}
{notes}"""
NOTES = """Nobody is told of a few millimetres: what Klipper pushed after the last update before it was killed (an update comes
every 250 ms), and what an extruder pushed between its last update and a change to another tool until it is active
again, as Klipper shows the position of the active extruder alone.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moonraker", required=True, help="python of an environment with moonraker")
    parser.add_argument("--quick", action="store_true", help="shorter faults")
    parser.add_argument("--only", default="", help="rows with this text in their name")
    parser.add_argument("--write", type=Path, help="file for the page")
    asked = parser.parse_args()
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)  # of the simulators, whose clients are killed
    peers = (moonbus(), moonraker(asked.moonraker))
    began = time.monotonic()
    table = asyncio.run(measure(peers, QUICK if asked.quick else Pace(), asked.only))
    if asked.write is None:
        print(table)
        return
    how = "the short form" if asked.quick else "the long form"
    asked.write.write_text(TEXT.format(how=how, minutes=(time.monotonic() - began) / 60, table=table, notes=NOTES,
                                       python=platform.python_version(), cores=_cores(), version="0.11.0"))  # fmt: skip


async def measure(peers: Sequence[Peer], pace: Pace, only: str) -> str:
    """The table of all rows. Rows side by side first, those that need quiet afterwards."""
    places, alone = asyncio.Semaphore(AT_ONCE), asyncio.Lock()
    cells: dict[str, Sequence[Cell]] = {}

    async def play(row: Row) -> None:
        async with alone if row.alone else places:
            if row.alone:
                cells[row.what] = [await _played(row, peer, pace) for peer in peers]
            else:
                cells[row.what] = await asyncio.gather(*(_played(row, peer, pace) for peer in peers))
        print(f"{row.what}: {' | '.join(cell.text for cell in cells[row.what])}", file=sys.stderr, flush=True)

    rows = [row for _, section in SECTIONS for row in section if only in row.what]
    for quiet in (False, True):
        await asyncio.gather(*(play(row) for row in rows if row.alone is quiet))
    shown = [(title, [(r.what, cells[r.what]) for r in section if r in rows]) for title, section in SECTIONS]
    return markdown([peer.name for peer in peers], [(title, rows) for title, rows in shown if rows])


async def _played(row: Row, peer: Peer, pace: Pace) -> Cell:
    """Once more where the first try did not get so far: starts take long with so many beside."""
    try:
        return await row.play(peer, pace)
    except (AssertionError, OSError, TimeoutError) as error:
        print(f"{row.what}, {peer.name}: {error!r}; once more", file=sys.stderr, flush=True)
    try:
        return await row.play(peer, pace)
    except (AssertionError, OSError, TimeoutError) as error:
        return Cell(f"could not be measured: {error!r}", False)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


if __name__ == "__main__":
    main()
