"""The simulated Klipper over its socket: framing, ticks, prints, scripts, slow readers."""

import asyncio
from pathlib import Path

import pytest

from simulators.klipper.printer import GcodeError
from tests.process.klipper_rig import PATIENCE_S, rig, run, said


def test_framing_ids_and_refusals(tmp_path: Path) -> None:
    async def test() -> None:
        async with rig(tmp_path) as r:
            client = await r.ready()
            for bad in (b"{", b"", b"[1]", b"\xff", b'{"id":9,"method":5}', b'{"id":9,"method":"info","params":[]}'):
                client.writer.write(bad + b"\x03")
            client.writer.write(b'{"id":0,"method":"inf')
            await client.writer.drain()
            client.writer.write(
                b'o"}\x03{"method":"info"}\x03{"id":null,"method":"nope"}\x03{"id":{"a":[1]},"method":"no/such"}\x03'
            )
            assert (await client.read())["id"] == 0
            message = "webhooks: No registered callback for path 'no/such'"
            assert await client.read() == {"id": {"a": [1]}, "error": {"error": "WebRequestError", "message": message}}
            refusals = [
                ("gcode/script", {}, "Missing Argument [script]"),
                ("gcode/script", {"script": 5}, "Invalid Argument Type [script]"),
                ("objects/query", {"objects": {"toolhead": "position"}}, "Invalid argument"),
                ("objects/query", {"objects": []}, "Invalid Argument Type [objects]"),
                ("register_remote_method", {"remote_method": "x"}, "Missing Argument [response_template]"),
            ]
            for method, params, text in refusals:
                assert (await client.call(method, params))["error"]["message"] == text
            assert len(r.klipper.dropped) == 6
            assert [text for _, text in r.klipper.refused][2:] == [text for _, _, text in refusals]
            assert [request.id for request in r.klipper.requests][1:4] == [0, None, None]

    run(test())


def test_startup_to_ready_on_one_connection(tmp_path: Path) -> None:
    async def test() -> None:
        async with rig(tmp_path, startup_s=0.2) as r:
            client = await r.connect()
            assert (await client.call("info"))["result"]["state"] == "startup"
            assert (await client.script("G28"))["error"]["message"].startswith("\nPrinter is not ready\n")
            await client.listen()
            wanted = {"objects": {"webhooks": None, "toolhead": ["position"]}, "response_template": {"method": "s"}}
            first = await client.call("objects/subscribe", wanted)
            assert first["result"]["status"]["toolhead"]["position"] == [0.0, 0.0, 0.0, 0.0]
            await client.call(
                "register_remote_method", {"remote_method": "spoolman_set_active_spool", "response_template": {}}
            )
            assert await client.status(lambda s: "webhooks" in s) == {
                "webhooks": {"state": "ready", "state_message": "Printer is ready"}
            }
            assert said(client) == ["// Klipper state: Ready"]
            await client.script("SET_ACTIVE_SPOOL ID=5")
            assert {"params": {"spool_id": 5}} in client.heard

    run(test())


def test_queries_and_subscriptions(tmp_path: Path) -> None:
    async def test() -> None:
        async with rig(tmp_path) as r:
            client = await r.ready()
            names = (await client.call("objects/list"))["result"]["objects"]
            assert {"webhooks", "print_stats", "toolhead", "extruder1", "virtual_sdcard"} <= set(names)
            assert "gcode/script" in (await client.call("list_endpoints"))["result"]["endpoints"]
            assert (await client.call("query_endstops/status"))["result"] == {"x": "open", "y": "open", "z": "open"}
            query = await client.call(
                "objects/query", {"objects": {"nosuch": None, "toolhead": ["nofield", "extruder"]}}
            )
            assert query["result"]["status"] == {"nosuch": {}, "toolhead": {"nofield": None, "extruder": "extruder"}}
            await client.call("objects/subscribe", {"objects": {"fan": None, "toolhead": ["position", "extruder"]}})
            await client.script("G1 E5")
            assert await client.status(bool) == {"toolhead": {"position": [0.0, 0.0, 0.0, 5.0]}}
            await client.call(
                "objects/subscribe", {"objects": {"fan": ["speed"]}, "response_template": {"method": "s"}}
            )
            await client.script("G1 E5\nM106 S255")
            assert await client.status(bool) == {"fan": {"speed": 1.0}}
            await client.call("objects/subscribe", {"objects": {}})
            await client.script("M107")
            heard = len(client.heard)
            await client.call("objects/query", {"objects": {"fan": None}})
            assert len(client.heard) == heard + 1

    run(test())


def test_a_print_to_its_end_and_the_same_again(tmp_path: Path) -> None:
    async def test() -> None:
        async with rig(tmp_path) as r:
            r.write("a.gcode", "M83\n" + "G1 E1 F600\n" * 20 + "T1\nG1 E3\nT0\nG4 P2000\n")
            client = await r.ready()
            await client.listen()
            await client.call(
                "objects/subscribe", {"objects": {"print_stats": None, "virtual_sdcard": None, "toolhead": None}}
            )
            assert (await client.script("SDCARD_PRINT_FILE FILENAME=a.gcode"))["result"] == {}
            assert "print_stats" not in str(client.heard[-1])
            started = await client.status(lambda s: "state" in s.get("print_stats", {}))
            assert (started["print_stats"]["filename"], started["print_stats"]["state"]) == ("a.gcode", "printing")
            ended = await client.status(lambda s: "state" in s.get("print_stats", {}))
            assert ended["print_stats"]["state"] == "complete"
            assert ended["virtual_sdcard"]["is_active"] is False
            assert r.klipper.extruded_mm == {"extruder": pytest.approx(20.0), "extruder1": pytest.approx(3.0)}
            query = await client.call(
                "objects/query", {"objects": {"print_stats": None, "virtual_sdcard": ["progress"]}}
            )
            assert query["result"]["status"]["print_stats"]["filament_used"] == pytest.approx(23.0)
            assert query["result"]["status"]["virtual_sdcard"] == {"progress": 1.0}
            assert said(client)[-1] == "Done printing file"
            await client.script("SDCARD_PRINT_FILE FILENAME=a.gcode")
            again = await client.status(lambda s: "state" in s.get("print_stats", {}))
            assert "filename" not in again["print_stats"]
            assert r.klipper.printer.e_position_mm() >= 20.0

    run(test())


def test_pause_resume_and_an_error_in_the_file(tmp_path: Path) -> None:
    async def test() -> None:
        async with rig(tmp_path, speed=5.0) as r:
            r.write("a.gcode", "M83\n" + "G1 E1 F600\n" * 30 + "G1 X999\nG1 E100\n")
            client = await r.ready()
            await client.listen()
            await client.call("objects/subscribe", {"objects": {"print_stats": ["state"], "pause_resume": None}})
            await client.script("SDCARD_PRINT_FILE FILENAME=a.gcode")
            await client.status(lambda s: s.get("print_stats") == {"state": "printing"})
            assert (await client.call("pause_resume/pause"))["result"] == {}
            assert r.klipper.printer.print_stats.state == "paused"
            at = r.klipper.printer.sdcard.file_position
            await client.call("gcode/script", {"script": "G4 P100"})
            assert r.klipper.printer.sdcard.file_position == at
            await client.call("pause_resume/resume")
            await client.status(lambda s: s.get("print_stats") == {"state": "error"})
            assert any(line.startswith("!! Must home axis first") for line in said(client))
            assert r.klipper.printer.state == "ready"
            assert r.klipper.extruded_mm["extruder"] == pytest.approx(30.0)

    run(test())


def test_scripts_queue_but_emergency_stop_does_not(tmp_path: Path) -> None:
    async def test() -> None:
        async with rig(tmp_path, speed=1.0) as r:
            client, other = await r.ready(), await r.connect()
            await other.listen()
            homing = client.send("gcode/script", {"script": "G28"})
            queued = client.send("gcode/script", {"script": "M118 later"})
            await client.call("info")
            assert (await other.call("emergency_stop"))["result"] == {}
            first, second = await client.read(), await client.read()
            assert (first["id"], first["error"]["message"]) == (homing, "Homing failed due to printer shutdown")
            assert second == {"id": queued, "result": {}}
            assert (
                said(other)
                == [
                    "// Klipper state: Shutdown",
                    "!! Homing failed due to printer shutdown",
                    "echo: later",
                ][: len(said(other))]
            )
            failed = (await client.script("PAUSE"))["error"]["message"]
            assert failed.startswith("Shutdown due to webhooks request\n")

    run(test())


def test_script_stops_at_the_first_error(tmp_path: Path) -> None:
    async def test() -> None:
        async with rig(tmp_path) as r:
            client = await r.ready()
            await client.listen()
            failed = await client.script("G1 E1\nFOOBAR\nG1 X1\nG1 E1")
            assert failed["error"]["message"] == "Must home axis first: 1.000 0.000 0.000 [1.000]"
            assert said(client) == ['// Unknown command:"FOOBAR"', f"!! {failed['error']['message']}"]
            assert r.klipper.extruded_mm["extruder"] == 1.0

    run(test())


def test_slow_reader_is_cut_off_and_others_go_on(tmp_path: Path) -> None:
    async def test() -> None:
        async with rig(tmp_path, patience_s=0.2) as r:
            slow, client = await r.ready(), await r.connect()
            await slow.listen()
            await client.call("info")
            assert r.klipper.connection_count == 2
            async with asyncio.timeout(PATIENCE_S):
                while r.klipper.connection_count == 2:
                    await r.klipper.run_script("M118 " + "x" * 50_000)
                    await asyncio.sleep(0.001)
            assert (await client.call("info"))["result"]["state"] == "ready"

    run(test())


def test_direct_control_reports_errors(tmp_path: Path) -> None:
    async def test() -> None:
        async with rig(tmp_path) as r:
            await r.ready()
            with pytest.raises(GcodeError, match="Unable to open file"):
                await r.klipper.run_script("SDCARD_PRINT_FILE FILENAME=nope.gcode")

    run(test())
