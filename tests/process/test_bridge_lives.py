"""What the bridge makes of lives it did not see: its own deaths, Klipper's, and what begins in between."""

import asyncio

from bus.testing import eventually
from tests.process.test_bridge_live import Scene, run


def test_a_restart_that_nobody_saw_ends_the_print_and_a_reset_one_keeps_the_session() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.call("printer.print.start", filename="a.gcode")
        await eventually(lambda: scene.extruders["position"].get("extruder", 0) > 3)
        session = scene.extruders["session"]
        await scene.bridge_down()
        await scene.klipper.run_script("CANCEL_PRINT\nSDCARD_RESET_FILE")
        scene.extruders.clear()
        await scene.bridge_up()
        await eventually(lambda: scene.events == ["started", "standby"])
        assert scene.extruders["session"] == session and scene.extruders["position"]["extruder"] > 3
        await scene.call("printer.print.start", filename="a.gcode")
        await eventually(lambda: scene.events[2:] == ["started"])
        await scene.bridge_down()
        await scene.klipper.run_script("RESTART")
        await eventually(lambda: scene.klipper.printer.state == "startup")
        await eventually(lambda: scene.klipper.printer.state == "ready")
        await scene.bridge_up()
        await eventually(lambda: scene.events[3:] == ["error"])
        assert scene.jobs[-1]["message"] == "Klipper was restarted during the print"
        await eventually(lambda: scene.extruders["session"] == session + 1)

    run(scenario)


def test_a_connection_that_broke_is_not_a_restart() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.call("printer.print.start", filename="a.gcode")
        await eventually(lambda: scene.events == ["started"])
        session = scene.extruders["session"]
        for connection in list(scene.klipper._current().connections):
            connection.abort()
        await eventually(lambda: scene.events == ["started", "error", "resumed"])
        await scene.call("printer.print.cancel")
        await eventually(lambda: scene.events[3:] == ["cancelled"])
        assert scene.extruders["session"] == session

    run(scenario)


def test_a_shutdown_in_a_print_is_told_once_also_by_the_next_bridge() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.call("printer.print.start", filename="a.gcode")
        await eventually(lambda: scene.events == ["started"])
        scene.klipper.shutdown("MCU 'mcu' shutdown: ADC out of range")
        await eventually(lambda: scene.events == ["started", "error"])
        assert scene.jobs[-1]["message"].startswith("MCU 'mcu' shutdown: ADC out of range")
        await eventually(lambda: scene.mirror.status["print_stats"]["state"] == "paused")
        await scene.bridge_down()
        scene.states.clear()
        await scene.bridge_up()
        await scene.until_state("shutdown")
        await scene.call("printer.firmware_restart")
        await scene.until_state("ready")
        await scene.call("printer.print.start", filename="a.gcode")
        await eventually(lambda: scene.events[2:] == ["started"])

    run(scenario)


def test_a_print_that_ended_well_before_the_printer_was_switched_off() -> None:
    async def scenario(scene: Scene) -> None:
        (scene.klipper.gcodes_dir / "short.gcode").write_text("M83\nG1 E1\nG4 P500\n")
        await scene.call("printer.print.start", filename="short.gcode")
        await eventually(lambda: scene.events == ["started"])
        await scene.bridge_down()
        await eventually(lambda: scene.klipper.printer.print_stats.state == "complete")
        scene.klipper.shutdown("Lost communication with MCU 'mcu'")
        await scene.bridge_up()
        await eventually(lambda: scene.events == ["started", "complete"])

    run(scenario)


def test_a_macro_that_prints_klippers_line_silences_nothing() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.call("printer.print.start", filename="a.gcode")
        await eventually(lambda: scene.events == ["started"])
        scene.klipper._current().respond("// Klipper state: Shutdown")
        await eventually(lambda: "// Klipper state: Shutdown" in scene.lines)
        await scene.call("printer.print.pause")
        await eventually(lambda: scene.events == ["started", "paused"])

    run(scenario)


def test_wants_that_come_while_the_first_subscription_is_under_way() -> None:
    async def scenario(scene: Scene) -> None:
        scene.klipper._tick_s = 0.5
        await scene.klipper.start()
        reader, writer = await asyncio.open_unix_connection(scene.klipper.socket_path)
        writer.write(b'{"id":1,"method":"objects/query","params":{"objects":{}}}\x03')
        await reader.readuntil(b"\x03")  # a tick: the next one, with the subscription's answer, is half a second off
        await scene.bridge_up()
        await eventually(lambda: any(r.method == "objects/subscribe" for r in scene.klipper.requests))
        assert scene.mirror.covers == {}
        scene.ear.publish("gateway.wants", {"fan": None})
        scene.bus.node("notifier").publish("notifier.wants", {"print_stats": "wrong"})
        await eventually(lambda: scene.mirror.covered({"fan": None, "print_stats": None}))
        writer.close()
        await writer.wait_closed()

    run(scenario, klipper=False)


def test_a_macros_call_before_the_positions_are_known_waits_for_them() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.klipper.run_script("G28\nM83\nG1 E5")
        await eventually(lambda: scene.extruders["position"].get("extruder") == 5.0)
        await scene.bridge_down()
        scene.klipper.requests.clear()
        await scene.bridge_up()
        await eventually(lambda: [r.method for r in scene.klipper.requests].count("register_remote_method") == 2)
        await scene.klipper.run_script("SET_ACTIVE_SPOOL ID=4")
        await eventually(lambda: scene.calls)
        assert scene.calls[0]["extruders"]["position"] == {"extruder": 5.0}

    run(scenario)


def test_an_answer_larger_than_any_buffer() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.call("printer.gcode.script", script=f"M118 {'x' * 500_000}")
        await eventually(lambda: any(len(line) > 500_000 for line in scene.lines))

    run(scenario)
