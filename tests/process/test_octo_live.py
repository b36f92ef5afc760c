"""The service on a real bus beside a bridge that records what it is asked to do."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bus.api import METHODS
from bus.errors import Fault
from bus.node import Node
from bus.testing import Bus, eventually, private_bus
from services.octo_shim.__main__ import start

CONFIG = "[octoprint_compat]\nenable_ufp: False\n"
READY = {"connected": True, "state": "ready", "message": "", "software_version": "v1", "ever_connected": True}
GONE = {**READY, "connected": False, "state": "disconnected"}
WARM = {"temperature": 21.0, "target": 0.0}


class Bridge:
    """`objects` is Klipper; `fault` is what the next calls fail with; `hold` keeps calls waiting."""

    def __init__(self, bus: Bus) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.fault: Fault | None = None
        self.hold = asyncio.Event()
        self.hold.set()
        self.objects: dict[str, Any] = {"heaters": {"available_heaters": ["extruder", "heater_generic chamber"]}}
        self.wants: dict[str, Any] = {}
        self.connected = True
        self.node: Node = bus.node("klipper_bridge")
        rows = [row for row in METHODS.values() if row.owner == "klipper_bridge"]
        self.node.serve({row.name: self.handler(row.name) for row in rows})
        self.node.mirror("printer.objects", self.full_copy)
        self.node.subscribe("octo_shim.wants", lambda m: self.grow(m.value))
        self.node.publish("printer.state", READY)
        self.report(print_stats={"state": "standby", "filename": ""}, extruder=WARM, **{"heater_generic chamber": WARM})

    def handler(self, method: str) -> Callable[..., Awaitable[str]]:
        async def record(**params: Any) -> str:
            self.calls.append((method, params))
            await self.hold.wait()
            if self.fault is not None:
                raise self.fault
            return "ok"

        return record

    def full_copy(self) -> dict[str, Any]:
        if not self.connected:
            return {"eventtime": 0.0, "status": {}, "covers": {}}
        status = {name: fields for name, fields in self.objects.items() if name in self.wants}
        return {"eventtime": 1.0, "status": status, "covers": self.wants}

    def grow(self, wants: dict[str, Any]) -> None:
        self.wants = wants
        self.node.publish_full("printer.objects")

    def report(self, **objects: Any) -> None:
        self.objects.update(objects)
        self.node.publish_full("printer.objects")

    def connect(self, connected: bool) -> None:
        self.connected = connected
        self.node.publish_full("printer.objects")
        self.node.publish("printer.state", READY if connected else GONE)


def run(scenario: Callable[[Bus, Bridge, Node], Awaitable[None]]) -> None:
    async def main() -> None:
        with tempfile.TemporaryDirectory(prefix="mb") as folder:
            async with private_bus(Path(folder)) as bus:
                (bus.data / "gcodes").mkdir()
                (bus.data / "gcodes" / "cube.gcode").touch()
                await start(bus.node("octo_shim", CONFIG))
                await scenario(bus, Bridge(bus), bus.node("gateway"))

    asyncio.run(main())


async def state(gateway: Node, text: str) -> dict[str, Any]:
    """Waits until the printer's state has this text."""
    async with asyncio.timeout(10):
        while True:
            answer: dict[str, Any] = await gateway.call("octoprint.printer")
            if answer["state"]["text"] == text:
                return answer
            await asyncio.sleep(0.01)


async def refused(gateway: Node, code: int, method: str, **params: Any) -> str:
    with pytest.raises(Fault) as fault:
        await gateway.call(method, params)
    assert fault.value.code == code
    return fault.value.message


def test_a_print_as_an_octoprint_client_sees_it() -> None:
    async def scenario(bus: Bus, bridge: Bridge, gateway: Node) -> None:
        await state(gateway, "Operational")
        await eventually(lambda: "heater_generic chamber" in bridge.wants)
        shown = (await state(gateway, "Operational"))["temperature"]
        assert set(shown) == {"tool0", "chamber"} and shown["tool0"]["actual"] == 21.0
        path = {"root": "gcodes", "path": "cube.gcode", "command": "select"}
        await gateway.call("octoprint.select", path)
        assert (await gateway.call("octoprint.job"))["job"]["file"]["name"] == "cube.gcode"
        await gateway.call("octoprint.job_command", {"command": "start"})
        assert bridge.calls == [("printer.print.start", {"filename": "cube.gcode"})]
        stats = {"state": "printing", "filename": "cube.gcode", "print_duration": 30.0, "filament_used": 5.0}
        bridge.report(print_stats=stats, virtual_sdcard={"progress": 0.5, "file_position": 50, "file_size": 100})
        await state(gateway, "Printing")
        progress = (await gateway.call("octoprint.job"))["progress"]
        assert (progress["completion"], progress["printTimeLeft"]) == (50.0, 30)
        await refused(gateway, 409, "octoprint.select", **path, print=True)
        bridge.hold.clear()
        cancel = asyncio.create_task(gateway.call("octoprint.job_command", {"command": "cancel"}))
        assert (await state(gateway, "Cancelling"))["state"]["flags"]["cancelling"]
        bridge.report(print_stats={**stats, "state": "cancelled"})
        bridge.hold.set()
        await cancel
        assert (await state(gateway, "Operational"))["state"]["flags"]["ready"]
        assert bridge.calls[-1] == ("printer.print.cancel", {}) and len(bridge.calls) == 2

    run(scenario)


def test_what_clients_ask_for_is_said_before_they_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(bus: Bus, bridge: Bridge, gateway: Node) -> None:
        heard: dict[str, Any] = {}
        rows = {row.name: row.answer for row in METHODS.values() if row.owner == "octo_shim" and row.answer}
        for topic in set(rows.values()):
            gateway.subscribe(topic, lambda message: heard.update({message.topic: message.value}))
        await eventually(lambda: heard.get("octoprint.printer", {}).get("state", {}).get("text") == "Operational")
        path = {"root": "gcodes", "path": "cube.gcode", "command": "select"}
        await gateway.arrival((await gateway.ask("octoprint.select", path)).caused)
        assert heard["octoprint.job"]["job"]["file"]["name"] == "cube.gcode"
        await eventually(lambda: heard["octoprint.printer"]["temperature"].get("chamber"))
        for method, topic in rows.items():
            assert await gateway.call(method) == heard[topic]
        await bridge.node.close()
        monkeypatch.setattr("bus.services.SILENT_PERIODS", 0)
        await eventually(lambda: heard["octoprint.job"]["state"] == "Offline")

    run(scenario)


def test_temperatures_go_with_klipper_and_with_the_bridge(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(bus: Bus, bridge: Bridge, gateway: Node) -> None:
        await state(gateway, "Operational")
        bridge.connect(False)
        assert (await state(gateway, "Offline"))["temperature"] == {}
        assert (await gateway.call("octoprint.server"))["safemode"] == "settings"
        await refused(gateway, 409, "octoprint.printer_command", commands=["G28"])
        await refused(gateway, 409, "octoprint.select", root="gcodes", path="cube.gcode", command="select", print=True)
        assert bridge.calls == []
        bridge.connect(True)
        await state(gateway, "Operational")
        assert (await gateway.call("octoprint.server"))["safemode"] is None
        await bridge.node.close()
        monkeypatch.setattr("bus.services.SILENT_PERIODS", 0)
        assert (await state(gateway, "Offline"))["temperature"] == {}
        assert (await gateway.call("octoprint.job"))["state"] == "Offline"

    run(scenario)


def test_gcode_in_order_until_the_first_failure() -> None:
    async def scenario(bus: Bus, bridge: Bridge, gateway: Node) -> None:
        await state(gateway, "Operational")
        for params in ({"commands": ["G28", "M117 a"]}, {"commands": "M117 b"}, {"command": "M117 c"}):
            assert await gateway.call("octoprint.printer_command", params) == {}
        sent = [params["script"] for _, params in bridge.calls]
        assert sent == ["G28", "M117 a", "M117 b", "M117 c"]
        bridge.fault = Fault(400, "Must home axis first")
        message = await refused(gateway, 400, "octoprint.printer_command", commands=["G1 X1", "G1 X2"])
        assert message.startswith("Must home axis first") and len(bridge.calls) == 5
        await refused(gateway, 400, "octoprint.printer_command")

    run(scenario)


def test_files_outside_the_root_and_missing_ones_are_not_selected() -> None:
    async def scenario(bus: Bus, bridge: Bridge, gateway: Node) -> None:
        await state(gateway, "Operational")
        (bus.data / "secret.gcode").touch()
        for path in ("../secret.gcode", "no.gcode", ".", "x" * 300, "a\0b", str(bus.data / "secret.gcode")):
            message = await refused(gateway, 400, "octoprint.select", root="gcodes", path=path, command="select")
            assert message == "File does not exist"
        assert (await gateway.call("octoprint.job"))["job"]["file"]["name"] is None

    run(scenario)


def test_without_its_section_the_service_idles() -> None:
    async def scenario() -> None:
        with tempfile.TemporaryDirectory(prefix="mb") as folder:
            async with private_bus(Path(folder)) as bus:
                node = bus.node("octo_shim")
                await start(node)
                component = node.outbox.last("octo_shim.component")
                assert component is not None and component.value == {"components": [], "failed": [], "warnings": []}
                assert node.outbox.last("octo_shim.wants") is None

    asyncio.run(scenario())
