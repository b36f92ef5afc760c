"""One system with a simulated printer, Spoolman and push service around it: what a row of the table is played on."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from benchmarks.reliability.proxy import Proxy
from benchmarks.reliability.systems import CONFIG, Peer, System
from bus.rundir import CHECKOUT
from moonbus.demo import free_port
from simulators.klipper import SimulatedKlipper
from simulators.push_sink import PushSink
from simulators.spoolman import SimulatedSpoolman

SPOOL, OTHER_SPOOL = 1, 2
STEP_MM = 0.5
FEED_MM_S = 5.0
EQUAL_MM = 0.02
SETTLED_S = 12.0
"""Booked and extruded are equal for this long: two intervals of reporting, and a late second booking would show."""
STILL_S = 45.0
"""They differ, and nothing has changed for this long: nothing will."""
HEATING_S = 4.0
"""No printer extrudes at once; and a system that says ready may still subscribe."""


@dataclass(frozen=True)
class Booked:
    """What the extruders pushed, and what Spoolman says afterwards, in mm."""

    extruded_mm: float
    booked_mm: float

    @property
    def error_mm(self) -> float:
        return self.booked_mm - self.extruded_mm


class Spoolman:
    """A Spoolman in a process of its own, which can be frozen."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._process: asyncio.subprocess.Process

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "simulators.spoolman", "--port", str(self.port), cwd=CHECKOUT,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

    def freeze(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    async def stop(self) -> None:
        self._process.kill()
        await self._process.wait()


class Rig:
    """`spoolman` takes failures; `frozen` is the one that can be frozen, where a row asked for it."""

    def __init__(self, folder: Path, session: aiohttp.ClientSession, peer: Peer) -> None:
        self.data = folder
        self.session = session
        self.klipper = SimulatedKlipper(folder / "comms" / "klippy.sock", folder / "gcodes")
        self.spoolman = SimulatedSpoolman()
        self.frozen: Spoolman | None = None
        self.proxy = Proxy()
        self.sink = PushSink()
        self.system = System(peer, folder, free_port(0), session)
        self._spoolman_url = ""

    def configure(self, spoolman_url: str, read_url: str, notifiers: str) -> None:
        """`spoolman_url` for the system, `read_url` to see what is really booked; `{sink}` in the notifiers is the push
        service's address."""
        self._spoolman_url = read_url
        port = self.system.base.rpartition(":")[2]
        text = CONFIG.format(port=port, klippy=self.klipper.socket_path, spoolman=spoolman_url,
                             server=self.system.peer.options,
                             notifiers=notifiers.replace("{sink}", self.sink.apprise_url))  # fmt: skip
        (self.data / "config" / "moonraker.conf").write_text(text)

    # -- the printer ---------------------------------------------------------------------------------------------

    async def extrude(self, mm: float) -> None:
        """At 5 mm/s."""
        for _ in range(round(mm / STEP_MM)):
            await self.klipper.run_script(f"M83\nG1 E{STEP_MM} F{FEED_MM_S * 60}")

    @asynccontextmanager
    async def extruding(self) -> AsyncIterator[None]:
        """All the while."""
        task = asyncio.create_task(self.extrude(1e6))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def start_print(self, name: str, mm: float) -> None:
        moves = "\n".join([f"G1 E{STEP_MM} F{FEED_MM_S * 60}"] * round(mm / STEP_MM))
        (self.data / "gcodes" / name).write_text(f"M83\nG4 P2000\n{moves}\nG4 P1000\n")
        await self.system.post("/printer/print/start", {"filename": name})

    # -- the spools ----------------------------------------------------------------------------------------------

    async def choose(self, spool_id: int) -> None:
        await self.system.post("/server/spoolman/spool_id", {"spool_id": spool_id})

    @property
    def extruded_mm(self) -> float:
        return sum(self.klipper.extruded_mm.values())

    async def used_mm(self, spool_id: int) -> float:
        async with self.session.get(f"{self._spoolman_url}/api/v1/spool/{spool_id}") as answer:
            return float((await answer.json())["used_length"])

    async def settled(self, before_mm: float, spool_id: int = SPOOL, since_mm: float = 0.0) -> Booked:
        """What was extruded since `since_mm` and booked on a spool since `before_mm`, when that changes no more."""
        now = asyncio.get_running_loop().time
        last, still_since = None, now()
        while True:
            booked = Booked(self.extruded_mm - since_mm, await self.used_mm(spool_id) - before_mm)
            if booked != last:
                last, still_since = booked, now()
            if now() - still_since > (SETTLED_S if abs(booked.error_mm) < EQUAL_MM else STILL_S):
                return booked
            await asyncio.sleep(0.5)


@asynccontextmanager
async def rig(peer: Peer, notifiers: str = "", frozen: bool = False, proxied: bool = False) -> AsyncIterator[Rig]:
    """Everything runs, spool 1 is active. `frozen`: Spoolman can be frozen; `proxied`: a proxy is before it."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mb")))
        for name in ("config", "gcodes", "comms", "logs"):
            (folder / name).mkdir()
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)))
        made = Rig(folder, session, peer)
        for part in (made.sink, made.klipper, made.spoolman):
            await part.start()
            stack.push_async_callback(part.stop)
        read_url = spoolman_url = made.spoolman.url
        if frozen:
            made.frozen = Spoolman(free_port(0))
            await made.frozen.start()
            stack.push_async_callback(made.frozen.stop)
            read_url = spoolman_url = made.frozen.url
        if proxied:
            spoolman_url = await made.proxy.start(spoolman_url)
            stack.push_async_callback(made.proxy.stop)
        made.configure(spoolman_url, read_url, notifiers)
        stack.push_async_callback(made.system.stop)
        await made.system.start()
        await made.choose(SPOOL)
        await asyncio.sleep(HEATING_S)
        yield made
