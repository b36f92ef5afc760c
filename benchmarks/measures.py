"""What is measured of a running system. Each function returns figures; `seconds` is how long each load goes on."""

import asyncio
import resource
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import aiohttp

from benchmarks.beside import System
from benchmarks.figures import Figure
from benchmarks.load import Load, ask, get, watch
from benchmarks.tap import Passed

CONNECTIONS, SOCKETS, AHEAD = 16, 32, 8
RETAINED = ("/server/info", "/server/spoolman/status", "/server/notifiers/list", "/printer/objects/query?print_stats")
"""Answered by the gateway itself."""
OWNED = ("/server/spoolman/spool_id", "/api/version", "/api/job", "/api/printer", "/api/settings", "/api/server")
"""Their owner may have to be asked."""
WATCHED: dict[str, object] = {"print_stats": None, "toolhead": None, "extruder": None, "heater_bed": None}
SETTLE_S = 1.5


async def routes(system: System, seconds: float) -> list[Figure]:
    """Each read route with many connections and with one."""
    found = []
    for path in (*RETAINED, *OWNED):
        load = await get(system.port, path, CONNECTIONS, seconds)
        found.append(Figure(f"GET {path}, {CONNECTIONS} connections", load.rate, "/s", "more", 4.0))
    for path in (*RETAINED, *OWNED):
        load = await get(system.port, path, 1, seconds)
        goal = 1.0 if path in RETAINED else 1.5
        found.append(Figure(f"GET {path}, 1 connection, p50", load.percentile_ms(50), "ms", "less", goal))
    return found


async def calls(system: System, seconds: float) -> list[Figure]:
    """JSON-RPC over websockets."""
    asked: tuple[tuple[str, dict[str, object], float], ...] = (
        ("server.info", {}, 3.0),
        ("server.spoolman.status", {}, 3.0),
        ("printer.objects.query", {"objects": {"print_stats": None}}, 3.0),
        ("server.spoolman.get_spool_id", {}, 1.3),
    )
    found = []
    for method, params, goal in asked:
        load = await ask(system.port, method, params, SOCKETS, seconds, AHEAD)
        found.append(Figure(f"JSON-RPC {method}, {SOCKETS} websockets", load.rate, "/s", "more", goal))
    return found


async def updates(system: System, passed: Passed, seconds: float, subscribers: Sequence[int]) -> list[Figure]:
    """Status updates of a print, from Klipper's socket to more and more subscribers; and what 50 of them cost."""
    found = []
    for count in subscribers:
        load, cpu = await watch(system.port, WATCHED, count, 8 * seconds, SETTLE_S, system.cpu_s, passed)
        for percent in (50, 99):
            what = f"status update to {count} subscriber{'s' if count > 1 else ''}, p{percent}"
            found.append(Figure(what, load.percentile_ms(percent), "ms", "less", 0.5))
        if count == 50:
            found.append(Figure("CPU while printing, 50 subscribers", 100 * cpu, "%", "less", 1.0))
    return found


async def idle(system: System, seconds: float, form: str = "", memory_goal: float = 2.0) -> list[Figure]:
    """What it takes when nobody asks; `form` are words behind the names."""
    await asyncio.sleep(2.0)
    cpu_s, for_s = system.cpu_s(), max(6.0, 10 * seconds)
    await asyncio.sleep(for_s)
    cpu = 100 * (system.cpu_s() - cpu_s) / for_s
    return [
        Figure(f"CPU idle{form}", cpu, "%", "less", 1.0),
        Figure(f"memory idle (PSS){form}", system.memory_mb(), "MB", "less", memory_goal),
    ]


async def uploads(system: System, megabytes: int) -> list[Figure]:
    """One large upload, with somebody else asking meanwhile."""
    before_mb = system.memory_mb()
    size = megabytes * 1_000_000
    part = b"G1 X10.125 Y20.250 E0.03125 F3000 ;\n" * 29_000

    async def body() -> AsyncIterator[bytes]:
        sent = 0
        while sent < size:
            piece = part[: size - sent]
            sent += len(piece)
            yield piece

    took_s, most_mb = 0.0, before_mb
    asked = Load()

    async def send() -> None:
        nonlocal took_s
        form = aiohttp.FormData()
        form.add_field("file", body(), filename="big.gcode", content_type="application/octet-stream")
        async with aiohttp.ClientSession() as session:
            began = time.perf_counter()
            async with session.post(f"http://127.0.0.1:{system.port}/server/files/upload", data=form) as answer:
                assert answer.status == 201, await answer.text()
            took_s = time.perf_counter() - began

    sending = asyncio.create_task(send())
    while not sending.done():
        part_of = await get(system.port, "/server/info", 1, 0.2)
        asked.took_s += part_of.took_s
        most_mb = max(most_mb, system.memory_mb())
    await sending
    return [
        Figure(f"upload of {megabytes} MB", megabytes / took_s, "MB/s", "more", 2.0),
        Figure(f"memory an upload of {megabytes} MB adds", most_mb - before_mb, "MB", "less", 8.0, alone=True),
        Figure(f"server.info during it ({megabytes} MB), p99", asked.percentile_ms(99), "ms", "less", 10.0, alone=True),
    ]


async def start_print(system: System, folder: Path, seconds: float) -> None:
    """A print that takes at least so long."""
    moves = [f"G1 X{20 + 60 * (n % 2)} Y{20 + n % 50} E0.5 F6000" for n in range(int(seconds * 4))]
    (folder / "gcodes" / "long.gcode").write_text("M83\nG28\n" + "\n".join(moves) + "\n")
    url = f"http://127.0.0.1:{system.port}/printer/print/start?filename=long.gcode"
    async with aiohttp.ClientSession() as session, session.post(url) as answer:
        assert answer.status == 200, await answer.text()


def many_files() -> None:
    """A thousand sockets need as many."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
