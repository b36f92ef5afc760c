"""For tests of the notifier: a sink of pushes, a bridge with journals, a gateway that asks."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bus.journal import Journal
from bus.node import Node
from bus.testing import Bus, eventually, private_bus
from services.notifier.__main__ import start
from simulators.push_sink import Push, PushSink

STATS = {"filename": "a.gcode", "state": "printing", "message": "", "filament_used": 1.0, "total_duration": 2.0}
FOREVER = "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}"


class World:
    """A sink, a bridge that keeps journals, a gateway that asks; `notifier` starts the service in this process."""

    def __init__(self, bus: Bus, sink: PushSink) -> None:
        self.bus, self.sink = bus, sink
        self.bridge = bus.node("klipper_bridge")
        self.bridge.journal = Journal(bus.data / "bridge.sqlite")
        self.bridge.stack.callback(self.bridge.journal.connection.close)
        self.gateway = bus.node("gateway")
        self.outbox: dict[str, Any] = {"pending": [], "failed": []}
        self.gateway.subscribe("notifier.outbox", lambda message: self.outbox.update(message.value))

    async def notifier(self, config: str) -> Node:
        node = self.bus.node("notifier", config.replace("SINK", self.sink.apprise_url).replace("HTTP", self.sink.url))
        await start(node)
        return node

    def job(self, event: str, at: float | None = None, **after: Any) -> None:
        value = {"event": event, "previous": STATS, "current": {**STATS, "state": event, **after}, "message": ""}
        self._append("printer.jobs", value, at)

    def macro(self, **params: Any) -> None:
        self._append("printer.remote_calls", {"method": "notify", "params": params, "extruders": {}}, None)

    def _append(self, topic: str, value: Any, at: float | None) -> None:
        entry = self.bridge.append(topic, value)
        if at is not None and self.bridge.journal is not None:
            self.bridge.journal.connection.execute(
                "UPDATE journal SET at = ?, boot_id = 'before' WHERE number = ?", (at, entry.position.number)
            )

    def posts(self, path: str) -> list[Push]:
        return [push for push in self.sink.pushes if push.path == path and push.method == "POST"]

    async def arrived(self, path: str, count: int = 1) -> list[Push]:
        await eventually(lambda: len(self.posts(path)) >= count)
        return self.posts(path)

    async def test(self, name: str) -> Any:
        return await self.gateway.call("debug.notifiers.test", {"name": name})


def run(scenario: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        sink = PushSink()
        await sink.start()
        try:
            with tempfile.TemporaryDirectory(prefix="mb") as folder:
                async with private_bus(Path(folder)) as bus:
                    await scenario(World(bus, sink))
        finally:
            await sink.stop()

    asyncio.run(main())


def workers(parent: int) -> list[int]:
    """Process ids of the send workers of one process."""
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(pid) for pid in listed if b"services.notifier.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
