"""One process: reads the configuration, runs one service or several on one loop, ends on SIGTERM.

A service is `async def start(node)`: it subscribes, serves, spawns, and returns. What it must undo goes on `node.stack`.
"""

import asyncio
import contextlib
import ctypes
import faulthandler
import gc
import logging
import os
import signal
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Mapping

import zmq

from bus.config import config_path, data_path, read_config
from bus.envelope import until_next
from bus.node import Node
from bus.rundir import RunDir, default_run_dir
from bus.services import HANG_S
from bus.watchdog import Watchdog

new_loop: Callable[[], asyncio.AbstractEventLoop]
try:
    from uvloop import new_event_loop as new_loop
except ImportError:  # where there is no build of it
    new_loop = asyncio.new_event_loop

Start = Callable[[Node], Awaitable[None]]

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
PR_SET_PDEATHSIG = 1
TICK_S = 2.0
MEMORY_MIB = 512
"""What a process may grow to: several times what any of them needs."""
LEAST_MEMORY_MIB = 64
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
    faulthandler.enable()
    most_bytes = _memory_cap()
    _die_with_parent()
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(_run(starts, most_bytes))
    except BlockingIOError:
        log.error("another process is %s in %s or on %s already: stop it, or set MOONBUS_RUN and MOONBUS_DATA",
                  names, default_run_dir(), data_path())  # fmt: skip
        sys.exit(NAME_IS_TAKEN)
    except (OSError, sqlite3.Error) as error:
        log.error("cannot start: %s", error)
        sys.exit(1)


async def _run(starts: Mapping[str, Start], most_bytes: int) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    run_dir, data = RunDir(default_run_dir()), data_path()
    config = read_config(config_path(data))
    context = zmq.Context()
    nodes = [Node(name, context, run_dir, config, data) for name in starts]

    def tell(reason: str) -> None:
        for node in nodes:
            node.life.tell(reason)

    async with contextlib.AsyncExitStack() as stack:
        stack.callback(context.destroy, linger=0)
        for node in nodes:
            node.start()
            stack.push_async_callback(node.close)
        stack.push(lambda kind, error, _: tell(f"{kind.__name__}: {error}") if kind is not None else None)
        watchdog = Watchdog(HANG_S, TICK_S, most_bytes, tell)
        watchdog.start()
        stack.callback(watchdog.stop)
        ticking = asyncio.create_task(_tick(nodes, watchdog))
        stack.callback(ticking.cancel)
        await asyncio.gather(*(starts[node.name](node) for node in nodes))
        # What the start made stays: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        log.info("ready")
        await stopping.wait()
        log.info("stopping")


async def _tick(nodes: list[Node], watchdog: Watchdog) -> None:
    """Measures how late the loop is, and tells the watchdog that it runs."""
    loop = asyncio.get_running_loop()
    while True:
        watchdog.alive()
        due_at = loop.time() + (left_s := until_next(TICK_S))
        await asyncio.sleep(left_s)
        for node in nodes:
            node.lag_s = max(0.0, loop.time() - due_at)


def _memory_cap() -> int:
    """Bytes of resident memory; from MiB in the environment. Exits with what was wrong."""
    text = os.environ.get("MOONBUS_MEMORY") or str(MEMORY_MIB)
    if not text.isdecimal() or int(text) < LEAST_MEMORY_MIB:
        sys.exit(f"MOONBUS_MEMORY: expected MiB, a whole number of at least {LEAST_MEMORY_MIB}, got {text!r}")
    return int(text) << 20


def _die_with_parent() -> None:
    """supervisord's children survive its own kill -9; this makes the kernel end them with it."""
    if os.environ.get("SUPERVISOR_ENABLED"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() == 1:
            sys.exit("the supervisor ended before this service began")
