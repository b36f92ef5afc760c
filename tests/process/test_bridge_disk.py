"""The bridge on a disk that refuses, and what is no new session though it looks like one."""

from collections.abc import Iterator

import pytest

import services.klipper_bridge.__main__ as process
from bus.testing import eventually
from services.klipper_bridge import bridge
from tests.process.test_bridge_live import Scene, run


@pytest.fixture(autouse=True)
def tries_again_soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(process, "DISK_RETRY_S", 0.02)
    monkeypatch.setattr(bridge, "DISK_RETRY_S", 0.02)
    yield


def test_a_bridge_that_cannot_open_its_journal_serves_the_printer_and_tells_the_events_later() -> None:
    async def scenario(scene: Scene) -> None:
        in_the_way = scene.bus.data / "moonbus" / "klipper_bridge.sqlite"
        in_the_way.mkdir(parents=True)
        warnings: list[str] = []
        scene.ear.subscribe("klipper_bridge.component", lambda m: warnings.extend(m.value["warnings"]))
        await scene.klipper.start()
        await scene.bridge_up()
        await scene.until_state("ready")
        await scene.call("printer.print.start", filename="a.gcode")
        await scene.until_job("printing")
        await scene.call("printer.emergency_stop")
        await scene.until_state("shutdown")
        assert scene.jobs == [] and len(warnings) == 1 and str(in_the_way) in warnings[0]
        in_the_way.rmdir()
        await eventually(lambda: scene.events == ["started", "error"])

    run(scenario, klipper=False)


def test_events_a_full_disk_refused_are_told_when_it_has_room_without_another_event() -> None:
    async def scenario(scene: Scene) -> None:
        assert scene.bridge is not None and scene.bridge.journal is not None
        disk = scene.bridge.journal.connection
        disk.execute("PRAGMA query_only=1")
        await scene.call("printer.print.start", filename="a.gcode")
        await scene.until_job("printing")
        await scene.call("printer.print.cancel")
        await scene.until_job("cancelled")
        scene.states.clear()
        await scene.call("printer.restart")
        await eventually(lambda: "disconnected" in scene.states and scene.states[-1] == "ready")
        assert scene.jobs == []
        disk.execute("PRAGMA query_only=0")
        await eventually(lambda: scene.events == ["started", "cancelled"])

    run(scenario)


def test_a_connection_that_klipper_cut_in_a_retraction_is_no_new_session() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.klipper.run_script("G28\nM83\nG1 E50")
        await eventually(lambda: scene.extruders["position"].get("extruder") == 50.0)
        session = scene.extruders["session"]
        for connection in list(scene.klipper._current().connections):
            connection.close()
        await scene.klipper.run_script("G1 E-2")
        await scene.until_state("disconnected")
        await scene.until_state("ready")
        assert scene.extruders["session"] == session and scene.extruders["position"] == {"extruder": 48.0}

    run(scenario)


def test_a_print_that_ended_and_was_reset_while_the_bridge_was_down_is_no_new_session() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.call("printer.print.start", filename="a.gcode")
        await eventually(lambda: scene.events == ["started"] and scene.extruders["position"].get("extruder", 0) > 3)
        session = scene.extruders["session"]
        await scene.bridge_down()
        await scene.klipper.run_script("CANCEL_PRINT\nSDCARD_RESET_FILE")
        scene.extruders.clear()
        await scene.bridge_up()
        await eventually(lambda: scene.extruders.get("position", {}).get("extruder", 0) > 3)
        assert scene.extruders["session"] == session

    run(scenario)
