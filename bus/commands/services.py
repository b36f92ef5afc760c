"""Who is there: each service with its process, how long it runs and how late its event loop is."""

import argparse
import asyncio
from typing import Any

from bus.calls import Calls
from bus.commands.asking import calls_to
from bus.commands.place import existing_run_dir
from bus.commands.table import table
from bus.errors import Fault
from bus.rundir import RunDir
from bus.services import SERVICES

PATIENCE_S = 1.0
"""A service that does not say within this time who it is hangs."""


def arguments(_: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(_: argparse.Namespace) -> int:
    rows = asyncio.run(_rows(existing_run_dir()))
    print(table(("SERVICE", "STATE", "PID", "UPTIME", "LAG", "OWNS"), rows))
    return 0


async def _rows(run_dir: RunDir) -> list[list[str]]:
    async with calls_to(run_dir) as calls:
        return list(await asyncio.gather(*(_row(calls, name) for name in SERVICES)))


async def _row(calls: Calls, name: str) -> list[str]:
    try:
        info: dict[str, Any] = (await calls.call(f"{name}.info", {}, PATIENCE_S)).result
        stats: dict[str, Any] = (await calls.call(f"{name}.stats", {}, PATIENCE_S)).result
    except Fault as fault:
        return [name, "hangs" if fault.code == 504 else "down", "-", "-", "-", SERVICES[name].owns]
    lag_ms = f"{stats['lag_s'] * 1000:.1f} ms"
    return [name, "up", str(info["pid"]), duration(info["uptime_s"]), lag_ms, info["owns"]]


def duration(seconds: float) -> str:
    """As people say it: 42 s, 3 min, 5 h 12 min, 2 d 4 h."""
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if minutes < 1:
        return f"{seconds:.0f} s"
    if hours < 1:
        return f"{minutes} min"
    return f"{hours} h {minutes % 60} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"
