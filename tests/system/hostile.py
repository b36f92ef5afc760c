"""A real service with an enemy inside: `python -m tests.system.hostile SERVICE`. It waits for SIGUSR1, reads which fault it is
to be from $HOSTILE_FAULT's file, and is it."""

import asyncio
import importlib
import os
import resource
import signal
import sys
import time
from pathlib import Path

import bus.process
from bus.node import Node

FILES = 256
"""Fewer than a service has, so that they are soon used up."""

kept: list[object] = []


async def spin() -> None:
    while True:
        pass


async def sleep() -> None:
    time.sleep(3600)  # noqa: ASYNC251


async def grow() -> None:
    while True:
        kept.append(bytes(range(256)) * 40_000)
        await asyncio.sleep(0)


async def files() -> None:
    while True:
        try:
            kept.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            await asyncio.sleep(0.01)


FAULTS = {"spin": spin, "sleep": sleep, "grow": grow, "files": files}


def main() -> None:
    name = sys.argv[1]
    start = importlib.import_module(f"services.{name}.__main__").start
    vars(bus.process).update(HANG_S=2.0, TICK_S=0.1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))

    async def start_with_enemy(node: Node) -> None:
        def begin() -> None:
            node.spawn(FAULTS[Path(os.environ["HOSTILE_FAULT"]).read_text()]())

        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, begin)
        await start(node)

    bus.process.main({name: start_with_enemy})


if __name__ == "__main__":
    main()
