"""Does it cost anybody anything when Spoolman is frozen and 32 pushes hang?"""

import asyncio
import os
import signal
import statistics
import time
from urllib.parse import quote

import aiohttp

from benchmarks.beside import System, printer, system
from benchmarks.figures import Figure
from benchmarks.load import get

HANGING = 32
MEGABYTE = b"; a line of G-code \n" * 50_000
GOAL = 1.2
TIMES = 25
QUIET_S = 2.0
"""Without a new push: the rest waits for those that hang."""


async def troubles(name: str, command: list[str], seconds: float) -> list[Figure]:
    """The times of others in trouble, as multiples of their times when all is well."""
    began: list[float] = []

    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        began.append(time.monotonic())
        await reader.read()
        writer.close()

    server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sections = "".join(
        f"[notifier hanging{n}]\nurl: json://127.0.0.1:{port}/{n}\nevents: gcode\n" for n in range(HANGING)
    )
    async with server:
        with printer() as folder, system(command, name, folder, sections) as running:
            await running.ready()
            (folder / "gcodes" / "big.gcode").write_bytes(MEGABYTE)
            calm = await _times(running, seconds)
            stopped = int((folder / "spoolman.pid").read_text())
            os.kill(stopped, signal.SIGSTOP)
            try:
                await _notify(running)
                await _until_quiet(began)
                troubled = await _times(running, seconds)
            finally:
                os.kill(stopped, signal.SIGCONT)
    names = ("server.info p99", "download of 1 MB", "upload of 1 MB")
    return [
        Figure(f"{what} while Spoolman is frozen and {HANGING} pushes hang, against calm", bad / good, "×", "less",
               GOAL, alone=True)
        for what, good, bad in zip(names, calm, troubled, strict=True)
    ]  # fmt: skip


async def _until_quiet(began: list[float]) -> None:
    """Until all pushes hang that are sent at once."""
    while not began or (len(began) < HANGING and time.monotonic() - began[-1] < QUIET_S):
        await asyncio.sleep(0.1)


async def _notify(running: System) -> None:
    script = quote("\n".join(f"NOTIFY NAME=hanging{n} MSG=hello" for n in range(HANGING)))
    url = f"http://127.0.0.1:{running.port}/printer/gcode/script?script={script}"
    async with aiohttp.ClientSession() as session, session.post(url) as answer:
        assert answer.status == 200, await answer.text()


async def _times(running: System, seconds: float) -> tuple[float, float, float]:
    """p99 of server.info; the median download and upload, s."""
    info = await get(running.port, "/server/info", 1, max(2.0, 2 * seconds))
    base, down, up = f"http://127.0.0.1:{running.port}/server/files", [], []
    async with aiohttp.ClientSession() as session:
        for _ in range(TIMES):
            began = time.perf_counter()
            async with session.get(f"{base}/gcodes/big.gcode") as answer:
                assert len(await answer.read()) == len(MEGABYTE)
            middle = time.perf_counter()
            form = aiohttp.FormData()
            form.add_field("file", MEGABYTE, filename="other.gcode")
            async with session.post(f"{base}/upload", data=form) as answer:
                assert answer.status == 201, await answer.text()
            down.append(middle - began)
            up.append(time.perf_counter() - middle)
    return info.percentile_ms(99) / 1000, statistics.median(down), statistics.median(up)
