"""spoolman_sync between a simulated Spoolman and a bridge that says what the test wants: a Klipper that only extrudes."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bus.errors import Fault
from bus.journal import Journal
from bus.node import Node
from bus.rundir import CHECKOUT
from bus.testing import Bus, eventually, private_bus
from services.spoolman_sync.__main__ import run as run_sync
from services.spoolman_sync.settings import PACE, Pace, read_settings
from services.spoolman_sync.store import Store
from simulators.spoolman import SimulatedSpoolman

QUICK = replace(
    PACE,
    settle_s=0.3,
    report_timeout_s=5.0,
    read_timeout_s=0.5,
    connect_timeout_s=0.5,
    proxy_timeout_s=0.5,
    ping_s=0.4,
    close_s=0.1,
    reconnect_s=0.05,
    reconnect_most_s=0.1,
    status_s=0.02,
)
"""The product's times, divided."""


class World:
    """`truth_mm` is what was extruded; `spool` is a spool of Spoolman's that nobody else uses."""

    def __init__(self, bus: Bus, spoolman: SimulatedSpoolman) -> None:
        self.bus = bus
        self.spoolman = spoolman
        self.spool, self.other_spool = (spoolman.add("spool", filament_id=1) for _ in range(2))
        self.session = 1
        self.position_mm: dict[str, float] = {"extruder": 0.0}
        self.truth_mm = 0.0
        self.sync: Node
        self.bridge: Node
        self.gateway = bus.node("gateway")
        self.heard: dict[str, list[Any]] = {}
        for topic in ("spoolman.active", "spoolman.link", "spoolman.status", "spoolman.ledger"):
            self.heard[topic] = []
            self.gateway.subscribe(topic, lambda m: self.heard[m.topic].append(m.value))

    # -- Klipper and its bridge ----------------------------------------------------------------------------------

    @property
    def extruders(self) -> dict[str, Any]:
        return {"session": self.session, "active": "extruder", "position": dict(self.position_mm)}

    def start_bridge(self) -> None:
        self.bridge = self.bus.node("klipper_bridge")
        self.bridge.journal = Journal(self.bus.data / "moonbus" / "klipper_bridge.sqlite")
        self.bridge.stack.callback(self.bridge.journal.connection.close)
        self.bridge.publish("printer.extruders", self.extruders)

    async def restart_bridge(self) -> None:
        await self.bridge.close()
        self.start_bridge()

    def extrude(self, mm: float, extruder: str = "extruder", tell: bool = True) -> None:
        self.position_mm[extruder] = self.position_mm.get(extruder, 0.0) + mm
        self.truth_mm += mm
        if tell:
            self.bridge.publish("printer.extruders", self.extruders)

    def restart_klipper(self) -> None:
        self.session += 1
        self.position_mm = {"extruder": 0.0}
        self.bridge.publish("printer.extruders", self.extruders)

    def set_active_spool(self, **params: Any) -> None:
        """A macro does."""
        call = {"method": "spoolman_set_active_spool", "params": params, "extruders": self.extruders}
        self.bridge.append("printer.remote_calls", call)

    def print_event(self, event: str, filename: str) -> None:
        """A print began, ended or paused."""
        job = {"event": event, "previous": {}, "current": {"filename": filename}, "message": ""}
        self.bridge.append("printer.jobs", {**job, "extruders": self.extruders})

    # -- the service ---------------------------------------------------------------------------------------------

    def start_sync(self, pace: Pace = QUICK, server: str = "", sync_rate_s: float = 0.05) -> None:
        self.sync = self.bus.node("spoolman_sync", f"[spoolman]\nserver: {server or self.spoolman.url}\n")
        settings = replace(read_settings(self.sync.config.section("spoolman")), sync_rate_s=sync_rate_s)
        run_sync(self.sync, Store(self.database), settings, pace)

    @property
    def database(self) -> Path:
        return self.bus.data / "moonbus" / "spoolman_sync.sqlite"

    async def back(self) -> None:
        """Waits until the gateway has found the service's next life."""

        async def answers() -> bool:
            with contextlib.suppress(Fault):
                return bool(await self.gateway.call("spoolman_sync.ping"))
            return False

        while not await answers():
            await asyncio.sleep(0.01)

    async def seen(self) -> None:
        """Waits until the service knows this session: what is extruded before its first look ever is not its own."""
        reader = sqlite3.connect(self.database)
        with contextlib.closing(reader):
            await eventually(lambda: reader.execute("SELECT session FROM ledger").fetchone() == (self.session,))

    async def choose(self, spool_id: int | None) -> None:
        assert await self.call("post_spool_id", spool_id=spool_id) == {"spool_id": spool_id}

    async def call(self, name: str, **params: Any) -> Any:
        return await self.gateway.call(f"server.spoolman.{name}", params)

    async def proxy(self, method: str, path: str, **params: Any) -> Any:
        return await self.call("proxy", request_method=method, path=path, **params)

    async def linked(self, up: bool = True) -> None:
        await eventually(lambda: self.heard["spoolman.link"][-1:] == [{"spoolman_connected": up}])

    async def counted(self) -> None:
        """Waits until the service knows of all that was extruded."""
        await eventually(lambda: abs(self.waiting_mm + self.used() - self.truth_mm) < 0.01)

    @property
    def status(self) -> dict[str, Any]:
        """The last one told; before, one that says nothing."""
        nothing: dict[str, Any] = {"pending_reports": [], "uncertain": [], "last_error": None, "next_try": None}
        return (self.heard["spoolman.status"] or [nothing])[-1]  # type: ignore[no-any-return]

    @property
    def ledger(self) -> dict[str, float]:
        """The sums told last."""
        return (self.heard["spoolman.ledger"] or [{}])[-1]  # type: ignore[no-any-return]

    @property
    def waiting_mm(self) -> float:
        return float(sum(report["filament_used"] for report in self.status["pending_reports"]))

    # -- Spoolman ------------------------------------------------------------------------------------------------

    def used(self, *spools: int) -> float:
        return sum(self.spoolman.used_mm.get(spool, 0.0) for spool in spools or (self.spool, self.other_spool))

    async def booked(self, mm: float | None = None, spool: int | None = None, timeout_s: float = 10.0) -> None:
        """Waits until everything was reported and confirmed, and then demands that it is right to 0.01 mm."""
        await eventually(lambda: self.waiting_mm == 0 and self.used() > self.truth_mm - 0.01, timeout_s)
        used_mm = self.used(*([] if spool is None else [spool]))
        wanted_mm = self.truth_mm if mm is None else mm
        assert abs(used_mm - wanted_mm) < 0.01, f"{wanted_mm} mm extruded, {used_mm} mm booked"

    @property
    def reports(self) -> list[float]:
        """Lengths of the reports Spoolman got, executed or not."""
        return [r.body["use_length"] for r in self.spoolman.requests if r.method == "PUT"]


@asynccontextmanager
async def world(folder: Path, **options: Any) -> AsyncIterator[World]:
    spoolman = SimulatedSpoolman(**options)
    await spoolman.start()
    try:
        async with private_bus(folder) as bus:
            yield World(bus, spoolman)
    finally:
        await spoolman.stop()


def play(scenario: Callable[[World], Awaitable[None]], **options: Any) -> None:
    """Runs a scenario in a world with nothing started but Spoolman."""

    async def main() -> None:
        with tempfile.TemporaryDirectory(prefix="mb") as folder:
            async with world(Path(folder), **options) as made:
                await scenario(made)

    asyncio.run(main())


async def ready(made: World, pace: Pace = QUICK) -> None:
    """Everything runs, and `spool` is active."""
    made.start_bridge()
    made.start_sync(pace)
    await made.linked()
    await made.seen()
    await made.choose(made.spool)


@asynccontextmanager
async def relay(url: str) -> AsyncIterator[str]:
    """A proxy before Spoolman that knows nothing: it accepts, passes bytes on, and waits for ever. Yields its URL."""
    host, port = url.removeprefix("http://").split(":")
    pairs: set[asyncio.Task[Any]] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = await asyncio.open_connection(host, int(port))
        pairs.update(asyncio.create_task(copy(*ends)) for ends in ((reader, upstream[1]), (upstream[0], writer)))

    async with await asyncio.start_server(join, "127.0.0.1", 0) as listener:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        for task in pairs:
            task.cancel()


class Process:
    """spoolman_sync as a process of its own, with the product's times."""

    def __init__(self, made: World) -> None:
        self._made = made
        self._config = made.bus.data / "moonraker.conf"
        self._config.write_text(f"[spoolman]\nserver: {made.spoolman.url}\nsync_rate: 1\n")
        self._process: asyncio.subprocess.Process

    async def start(self) -> None:
        places = {"MOONBUS_RUN": self._made.bus.run_dir.path, "MOONBUS_DATA": self._made.bus.data}
        environment = {**os.environ, **{k: str(v) for k, v in places.items()}, "MOONBUS_CONFIG": str(self._config)}
        self._made.heard["spoolman.link"].clear()
        self._made.heard["spoolman.status"].clear()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.spoolman_sync", cwd=CHECKOUT, env=environment
        )

    async def end(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            self._process.send_signal(number)
        await self._process.wait()


@asynccontextmanager
async def process(made: World) -> AsyncIterator[Process]:
    """Started, linked, with `spool` active; gone at the end."""
    made.start_bridge()
    service = Process(made)
    await service.start()
    try:
        await made.linked()
        await made.seen()
        await made.choose(made.spool)
        yield service
    finally:
        await service.end(signal.SIGKILL)
