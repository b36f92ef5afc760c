"""One process: reads the configuration, runs one service or several on one loop, ends on SIGTERM, ends itself when hung.

A service is `async def start(node)`: it subscribes, serves, spawns, and returns. What it must undo goes on `node.stack`.
"""

import asyncio
import contextlib
import ctypes
import faulthandler
import logging
import os
import signal
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Mapping

import zmq.asyncio

from bus.config import config_path, data_path, read_config
from bus.node import Node
from bus.rundir import RunDir, default_run_dir
from bus.services import HANG_S

Start = Callable[[Node], Awaitable[None]]

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
PR_SET_PDEATHSIG = 1
TICK_S = 0.5
NAME_IS_TAKEN = 3
"""Exit status when another process holds the service's name."""

log = logging.getLogger("moonbus")


def main(starts: Mapping[str, Start]) -> None:
    """Runs these services until SIGTERM or SIGINT."""
    names = " ".join(starts)
    level = os.environ.get("MOONBUS_LOG", "INFO").upper()
    if level not in LOG_LEVELS:
        sys.exit(f"MOONBUS_LOG: expected one of {', '.join(LOG_LEVELS)}, got {level!r}")
    logging.basicConfig(stream=sys.stderr, level=level, format=f"%(asctime)s %(levelname)s {names}: %(message)s")
    _die_with_parent()
    try:
        asyncio.run(_run(starts))
    except BlockingIOError:
        log.error("another process is %s in %s or on %s already: stop it, or set MOONBUS_RUN and MOONBUS_DATA",
                  names, default_run_dir(), data_path())  # fmt: skip
        sys.exit(NAME_IS_TAKEN)
    except (OSError, sqlite3.Error) as error:
        log.error("cannot start: %s", error)
        sys.exit(1)


async def _run(starts: Mapping[str, Start]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    run_dir, data = RunDir(default_run_dir()), data_path()
    config = read_config(config_path(data))
    context = zmq.asyncio.Context()
    nodes = [Node(name, context, run_dir, config, data) for name in starts]
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(context.destroy, linger=0)
        watch = asyncio.create_task(_watch_loop(nodes))
        stack.callback(watch.cancel)
        for node in nodes:
            node.start()
            stack.push_async_callback(node.close)
        await asyncio.gather(*(starts[node.name](node) for node in nodes))
        log.info("ready")
        await stopping.wait()
        log.info("stopping")


async def _watch_loop(nodes: list[Node]) -> None:
    """Measures how late the loop is, and re-arms the alarm that prints the guilty line and ends a hung process."""
    loop = asyncio.get_running_loop()
    try:
        while True:
            faulthandler.dump_traceback_later(HANG_S, exit=True)
            before = loop.time()
            await asyncio.sleep(TICK_S)
            for node in nodes:
                node.lag_s = max(0.0, loop.time() - before - TICK_S)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _die_with_parent() -> None:
    """supervisord's children survive its own kill -9; this makes the kernel end them with it."""
    if os.environ.get("SUPERVISOR_ENABLED"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() == 1:
            sys.exit("the supervisor ended before this service began")
