"""The bridge between a simulated Klipper and a private bus."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bus.errors import Fault
from bus.journal import Cursor, Entry
from bus.mirror import Mirror
from bus.node import Node
from bus.testing import Bus, eventually, private_bus
from services.klipper_bridge.__main__ import start
from simulators.klipper import SimulatedKlipper

PRINT = "M83\nG28\n" + "".join(f"G1 X{20 + 60 * (n % 2)} E1 F12000\n" for n in range(400))


class Scene:
    """A Klipper, a bridge, and a service that hears everything."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        gcodes = bus.data / "gcodes"
        gcodes.mkdir()
        (gcodes / "a.gcode").write_text(PRINT)
        self.klipper = SimulatedKlipper(
            bus.data / "k.sock", gcodes, tick_s=0.05, speed=2.0, restart_s=0.1, startup_s=0.1
        )
        self.bridge: Node | None = None
        self.ear = bus.node("gateway")
        self.mirror = Mirror()
        self.states: list[str] = []
        self.lines: list[str] = []
        self.extruders: dict[str, Any] = {}
        self.jobs: list[dict[str, Any]] = []
        self.calls: list[dict[str, Any]] = []
        self.ear.subscribe("printer.state", lambda m: self.states.append(m.value["state"]))
        self.ear.subscribe("printer.gcode", lambda m: self.lines.append(m.value["response"]))
        self.ear.subscribe("printer.extruders", lambda m: self.extruders.update(m.value))
        self.ear.subscribe("printer.objects", lambda m: void(self.mirror.apply(m)))
        self.ear.follow("printer.jobs", Cursor(), keep(self.jobs))
        self.ear.follow("printer.remote_calls", Cursor(), keep(self.calls))

    async def bridge_up(self) -> None:
        self.bridge = self.bus.node("klipper_bridge", f"[server]\nklippy_uds_address: {self.klipper.socket_path}\n")
        await start(self.bridge)

    async def bridge_down(self) -> None:
        assert self.bridge is not None
        await self.bridge.close()

    async def until_state(self, state: str) -> None:
        await eventually(lambda: self.states[-1:] == [state])

    async def until_job(self, state: str) -> None:
        await eventually(lambda: self.mirror.status.get("print_stats", {}).get("state") == state)

    @property
    def events(self) -> list[str]:
        return [job["event"] for job in self.jobs]

    async def call(self, method: str, **params: Any) -> Any:
        return await self.ear.call(method, params)


def void(_: object) -> None:
    """Drops a value."""


def keep(values: list[dict[str, Any]]) -> Callable[[Entry], Awaitable[None]]:
    async def handle(entry: Entry) -> None:
        values.append(entry.value)

    return handle


def run(scenario: Callable[[Scene], Awaitable[None]], klipper: bool = True) -> None:
    async def main() -> None:
        with tempfile.TemporaryDirectory(prefix="mb") as folder:
            async with private_bus(Path(folder)) as bus:
                scene = Scene(bus)
                try:
                    if klipper:
                        await scene.klipper.start()
                        await scene.bridge_up()
                        await scene.until_state("ready")
                    await scenario(scene)
                    assert not scene.klipper.dropped and not [
                        r for r in scene.klipper.refused if r[0].method != "gcode/script"
                    ]
                finally:
                    await scene.klipper.stop()

    asyncio.run(main())


def test_any_order_of_start_and_calls_before_there_is_a_klipper() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.bridge_up()
        await scene.until_state("disconnected")
        with pytest.raises(Fault, match="Klippy Host not connected") as refused:
            await scene.call("printer.gcode.script", script="G28")
        assert refused.value.code == 503
        await scene.klipper.start()
        await scene.until_state("ready")
        assert (await scene.call("printer.info"))["state"] == "ready"
        assert "toolhead" in (await scene.call("printer.objects.list"))["objects"]
        assert await scene.call("printer.gcode.script", script="M118 hi") == "ok"
        await eventually(lambda: "echo: hi" in scene.lines)

    run(scenario, klipper=False)


def test_klippers_refusals_are_told_in_its_words() -> None:
    async def scenario(scene: Scene) -> None:
        with pytest.raises(Fault, match="Unable to open file") as refused:
            await scene.call("printer.print.start", filename="nope.gcode")
        assert refused.value.code == 400

    run(scenario)


def test_a_print_from_start_to_end() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.call("printer.print.start", filename="a.gcode")
        await scene.until_job("printing")
        await scene.call("printer.print.pause")
        await scene.until_job("paused")
        await scene.call("printer.print.resume")
        await scene.until_job("printing")
        await scene.call("printer.print.cancel")
        await scene.until_job("cancelled")
        await eventually(lambda: scene.events == ["started", "paused", "resumed", "cancelled"])
        assert scene.jobs[0]["current"]["filename"] == "a.gcode" and scene.jobs[0]["previous"]["state"] == "standby"
        assert scene.extruders["position"]["extruder"] == pytest.approx(scene.klipper.extruded_mm["extruder"])

    run(scenario)


def test_wants_grow_the_one_subscription_while_updates_flow() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.call("printer.print.start", filename="a.gcode")
        await scene.until_job("printing")
        scene.ear.publish("gateway.wants", {"heater_bed": ["temperature"], "nosuch": None})
        await eventually(lambda: scene.mirror.covered({"heater_bed": ["temperature"], "nosuch": None}))
        shim = scene.bus.node("octo_shim")
        shim.publish("octo_shim.wants", {"heater_bed": None})
        await eventually(lambda: scene.mirror.covered({"heater_bed": None}))
        assert scene.mirror.select({"heater_bed": ["target"], "nosuch": None})["nosuch"] == {}
        await scene.call("printer.print.cancel")
        await scene.until_job("cancelled")
        now = await scene.call("printer.objects.query", objects={"print_stats": None, "toolhead": ["position"]})
        await eventually(lambda: scene.mirror.select({"print_stats": None, "toolhead": ["position"]}) == now["status"])
        last = [r for r in scene.klipper.requests if r.method == "objects/subscribe"][-1]
        assert {"heater_bed", "nosuch", "print_stats", "toolhead"} <= set(last.params["objects"])

    run(scenario)


def test_a_restart_in_a_print_is_one_error_and_a_new_session() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.call("printer.print.start", filename="a.gcode")
        await eventually(lambda: scene.extruders["position"].get("extruder", 0) > 3)
        session = scene.extruders["session"]
        scene.states.clear()
        assert await scene.call("printer.restart") == "ok"
        await eventually(lambda: "disconnected" in scene.states and scene.states[-1] == "ready")
        await eventually(lambda: scene.extruders["session"] == session + 1)
        assert scene.extruders["position"] == {"extruder": 0.0}
        assert scene.extruders["previous"]["session"] == session
        await eventually(lambda: scene.events == ["started", "error"])
        assert scene.jobs[-1]["message"] == "Klipper disconnected during the print"
        assert scene.mirror.covered({"print_stats": None})
        await scene.klipper.run_script("SET_ACTIVE_SPOOL ID=7")
        await eventually(lambda: [call["params"] for call in scene.calls] == [{"spool_id": 7}])

    run(scenario)


def test_klipper_killed_in_a_print_and_back() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.call("printer.print.start", filename="a.gcode")
        await scene.until_job("printing")
        await scene.klipper.kill()
        await scene.until_state("disconnected")
        assert scene.mirror.status == {} and scene.mirror.covers == {}
        await scene.klipper.start()
        await scene.until_state("ready")
        await eventually(lambda: scene.events == ["started", "error"])

    run(scenario)


def test_an_emergency_stop_overtakes_what_runs_and_is_an_error() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.call("printer.print.start", filename="a.gcode")
        await scene.until_job("printing")
        waiting = asyncio.create_task(scene.call("printer.gcode.script", script="G4 P600000"))
        await eventually(lambda: any(r.params.get("script") == "G4 P600000" for r in scene.klipper.requests))
        assert await scene.call("printer.gcode.script", script="M112") == "ok"
        with pytest.raises(Fault):
            await waiting
        await scene.until_state("shutdown")
        await eventually(lambda: scene.mirror.status["print_stats"]["state"] == "paused")
        await scene.call("printer.firmware_restart")
        await scene.until_state("ready")
        await eventually(lambda: scene.events == ["started", "error"])
        assert "Shutdown due to webhooks request" in scene.jobs[-1]["message"]

    run(scenario)


def test_macros_calls_are_journaled_with_the_position_and_bad_ones_refused() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.klipper.run_script("G28\nM83\nG1 E5")
        await eventually(lambda: scene.extruders["position"].get("extruder") == 5.0)
        await scene.klipper.run_script(
            "SET_ACTIVE_SPOOL ID=0\nSET_ACTIVE_SPOOL ID=3\nCLEAR_ACTIVE_SPOOL\nNOTIFY NAME=phone MSG=hi"
        )
        await eventually(lambda: len(scene.calls) == 3)
        assert [call["params"] for call in scene.calls] == [
            {"spool_id": 3},
            {"spool_id": None},
            {"name": "phone", "message": "hi"},
        ]
        assert scene.calls[0]["extruders"]["position"] == {"extruder": 5.0}

    run(scenario)


def test_the_bridge_was_down_while_the_print_ended() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.call("printer.print.start", filename="a.gcode")
        await eventually(lambda: scene.events == ["started"])
        session = scene.extruders["session"]
        await scene.bridge_down()
        await scene.klipper.run_script("CANCEL_PRINT")
        await scene.bridge_up()
        await eventually(lambda: scene.events == ["started", "cancelled"])
        assert scene.extruders["session"] == session

    run(scenario)


def test_a_bridge_that_comes_back_to_a_printer_that_is_shut_down_keeps_the_session() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.klipper.run_script("G28\nM83\nG1 E5")
        await eventually(lambda: scene.extruders["position"].get("extruder") == 5.0)
        session = scene.extruders["session"]
        scene.klipper.shutdown("Lost communication with MCU 'mcu'")
        await scene.until_state("shutdown")
        await scene.bridge_down()
        scene.extruders.clear()
        await scene.bridge_up()
        await eventually(lambda: scene.extruders.get("position") == {"extruder": 5.0})
        assert scene.extruders["session"] == session

    run(scenario)


def test_klipper_restarted_while_the_bridge_was_down_in_a_print() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.call("printer.print.start", filename="a.gcode")
        await eventually(lambda: scene.events == ["started"])
        await scene.bridge_down()
        await scene.klipper.kill()
        await scene.klipper.start()
        await scene.bridge_up()
        await eventually(lambda: scene.events == ["started", "error"])
        assert scene.jobs[-1]["message"] == "Klipper was restarted during the print"

    run(scenario)


def test_a_configuration_error_is_told_and_mended() -> None:
    async def scenario(scene: Scene) -> None:
        scene.klipper.fail_config("Section 'fann' is not a valid config section", parsed=False)
        await scene.until_state("error")
        scene.klipper.config_error = None
        scene.klipper.config_parsed = True
        await scene.call("printer.restart")
        await scene.until_state("ready")
        await scene.until_job("standby")
        await eventually(lambda: scene.mirror.status["toolhead"].get("extruder") == "extruder")

    run(scenario)
