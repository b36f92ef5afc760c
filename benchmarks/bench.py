"""Speed and footprint beside Moonraker: `python -m benchmarks.bench --moonraker PYTHON [--quick] [--write docs/benchmarks.md]`.

Both systems run in turn, round after round, on the same simulated printer and Spoolman, with the same load generator on
one core. What is told are ratios of the same round. A figure that misses its goal is told as such.
"""

import argparse
import asyncio
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks import bus_bench, floor, measures
from benchmarks.beside import LOAD_CORES, commands, printer, read, system
from benchmarks.figures import Figure, Row, markdown, rows
from benchmarks.load import get
from benchmarks.plot import svg
from benchmarks.tap import Passed, tapped
from benchmarks.troubles import troubles
from bus.process import new_loop

PEER = "Moonraker"
RESTARTED, ASKED = "klipper_bridge", "/printer/gcode/help"
"""A service with a read that only it can answer, when it is connected to Klipper again; reads wait for an owner that restarts."""
STARTED_S = 2.0
"""supervisord waits before it starts one again that did not live for its startsecs."""
TEXT = """# Benchmarks

Made by `{command}` in {minutes:.0f} minutes: {rounds} rounds of moonbus and {peer} {peer_version} with its `speedups`, in
turn, on the same simulated printer and Spoolman. The load generator and the
simulators keep to one core, the systems to the others. The values are medians of the
rounds, the ratios those of the same round. Machine: {machine}. Python {python}, aiohttp {aiohttp}, pyzmq {pyzmq}.

{table}
![the ratios](benchmarks.svg)

{notes}"""
NOTES = """Rows without a peer have nothing to be compared with there; their goal is for the value itself.

Status updates are timed from Klipper's socket to the client's. To one subscriber half of Moonraker's time is out of reach of
two processes: the two rows without a goal show what as many bytes take through processes that do nothing else. Waking up is what
costs, four times a second with nothing left in the processor's caches. Tried: the update published before anything else is made
of it (0.3 ms less), sockets drained without tasks, uvloop, Klipper's socket read without a stream (0.1 ms less), the other
services at a lower priority or without wake-up preemption (no difference). A Klipper connection of the gateway's own would
save one process, and be a second truth of what Klipper said. From some ten subscribers on, what each of them costs decides,
and that is less than half. One subscriber's p99 is the worst of
some sixty updates: what else the machine did.

The machine is a virtual one that others share: where the two ends of a spread lie far apart, its neighbours were measured, too.
"""


@dataclass(frozen=True)
class Pace:
    """`seconds` of each load, `rounds`, the uploads' sizes in MB, and how many subscribe: Moonraker asks Klipper for each,
    which answers four times a second."""

    seconds: float
    rounds: int
    uploads: tuple[int, ...]
    subscribers: tuple[int, ...]


LONG = Pace(2.0, 3, (200, 2000), (1, 50, 200, 1000))
QUICK = Pace(0.5, 1, (200,), (1, 50))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moonraker", required=True, help="python of an environment with moonraker[speedups]")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--write", type=Path, help="file for the page; its picture lies beside it")
    asked = parser.parse_args()
    pace = QUICK if asked.quick else LONG
    measures.many_files()
    os.sched_setaffinity(0, LOAD_CORES)
    began = time.monotonic()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        table = runner.run(measure(asked.moonraker, pace))
    text = markdown(table, PEER)
    print(text)
    if asked.write is not None:
        command = f"make bench{' QUICK=1' if asked.quick else ''}"
        asked.write.write_text(_page(text, asked.moonraker, pace, command, (time.monotonic() - began) / 60))
        asked.write.with_suffix(".svg").write_text(svg(table, f"moonbus beside {PEER}"))


async def measure(moonraker: str, pace: Pace) -> list[Row]:
    rounds = []
    for number in range(pace.rounds):
        sides: dict[str, Sequence[Figure]] = {}
        in_turn = list(commands(moonraker).items())
        for name, command in in_turn if number % 2 == 0 else reversed(in_turn):
            print(f"round {number + 1}: {name}", file=sys.stderr, flush=True)
            sides[name] = await one_side(name, command, pace)
        rounds.append((sides["moonbus"], sides[PEER]))
    alone = await floor.measure(10 * pace.seconds)
    alone += await bus_bench.measure(int(500 * pace.seconds), int(10 + 20 * pace.seconds))
    return [*rows(rounds), *rows([(alone, ())])]


async def one_side(name: str, command: list[str], pace: Pace) -> list[Figure]:
    """All figures of a system that was started for them."""
    with printer() as folder:
        async with tapped(folder / "klipper", folder / "tapped") as passed:
            found = await _of_one_printer(name, command, pace, folder, passed)
    with printer() as folder, system(command, name, folder, shared=name != PEER) as running:
        await running.ready()
        found += await measures.idle(running, pace.seconds, ", all services in one process", memory_goal=1.0)
    found += await troubles(name, command, pace.seconds)
    return found + (await restarted(command) if name != PEER else [])


async def _of_one_printer(name: str, command: list[str], pace: Pace, folder: Path, passed: Passed) -> list[Figure]:
    with system(command, name, folder, socket="tapped") as running:
        found = [Figure("start to ready", await running.ready(), "s", "less", 1.5)]
        found += await measures.idle(running, pace.seconds)
        found += await measures.routes(running, pace.seconds)
        found += await measures.calls(running, pace.seconds)
        await measures.start_print(running, folder, seconds=30 + sum(pace.subscribers) / 2)
        found += await measures.updates(running, passed, pace.seconds, pace.subscribers)
        for megabytes in pace.uploads:
            found += await measures.uploads(running, megabytes)
    return found


async def restarted(command: list[str]) -> list[Figure]:
    """From the end of one service's process to the first answer of the next one."""
    with printer() as folder, system(command, "moonbus", folder) as running:
        await running.ready()
        await get(running.port, ASKED, 1, STARTED_S)
        ended = next(pid for pid in running.processes() if f"services.{RESTARTED}" in _command_line(pid))
        os.kill(ended, signal.SIGTERM)
        began = time.monotonic()
        while _command_line(ended):
            await asyncio.sleep(0.005)
        await get(running.port, ASKED, 1, 0.0)
        took_s = time.monotonic() - began
    return [Figure(f"restart of {RESTARTED} to its first answer", took_s, "s", "less", 1.2, alone=True)]


def _command_line(pid: int) -> str:
    """Empty when the process has ended."""
    return read(Path(f"/proc/{pid}/cmdline"))


def _page(table: str, moonraker: str, pace: Pace, command: str, minutes: float) -> str:
    code = "from importlib.metadata import version; print(version('moonraker'))"
    peer_version = subprocess.run([moonraker, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()} {platform.release()}"
    return TEXT.format(command=command, minutes=minutes, rounds=pace.rounds, peer=PEER, peer_version=peer_version,
                       machine=machine, python=platform.python_version(), aiohttp=version("aiohttp"),
                       pyzmq=version("pyzmq"), table=table, notes=NOTES)  # fmt: skip


if __name__ == "__main__":
    main()
