"""How a simulated Klipper ends and begins again: restarts, broken configuration, death, its command line."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from simulators.klipper import SimulatedKlipper
from tests.process.klipper_rig import PATIENCE_S, rig, run


@pytest.mark.parametrize("method", ["gcode/restart", "gcode/firmware_restart"])
def test_restart_forgets_everything(tmp_path: Path, method: str) -> None:
    async def test() -> None:
        async with rig(tmp_path) as r:
            r.write("a.gcode", "M83\n" + "G1 E1 F60\n" * 100)
            client = await r.ready()
            await client.listen()
            await client.script("G1 E7\nSDCARD_PRINT_FILE FILENAME=a.gcode")
            assert (await client.call(method))["result"] == {}
            assert (await client.gone())[-1]["params"]["response"] == "// Klipper state: Disconnect"
            extruded = r.klipper.extruded_mm["extruder"]
            assert extruded >= 7.0
            with pytest.raises(ConnectionRefusedError):
                while True:
                    _, writer = await asyncio.open_unix_connection(r.klipper.socket_path)
                    writer.close()
            client = await r.connect()
            assert (await client.call("info"))["result"]["state"] == "startup"
            await client.call("objects/subscribe", {"objects": {"webhooks": None}})
            await client.status(lambda s: s["webhooks"]["state"] == "ready")
            query = await client.call(
                "objects/query", {"objects": {"toolhead": ["position"], "print_stats": ["state"]}}
            )
            position = query["result"]["status"]["toolhead"]["position"]
            assert (position[3], query["result"]["status"]["print_stats"]) == (0.0, {"state": "standby"})
            assert r.klipper.extruded_mm["extruder"] == extruded

    run(test())


def test_only_firmware_restart_mends_a_shutdown(tmp_path: Path) -> None:
    async def test() -> None:
        async with rig(tmp_path) as r:
            for command, state in (("RESTART", "error"), ("FIRMWARE_RESTART", "ready")):
                client = await r.ready()
                if command == "RESTART":
                    r.klipper.shutdown("MCU 'mcu' shutdown: ADC out of range")
                client.send("gcode/script", {"script": command})
                await client.gone()
                await r.connect()
                info = await (await r.ready()).call("info")
                assert info["result"]["state"] == state

    run(test())


def test_configuration_errors(tmp_path: Path) -> None:
    async def test() -> None:
        async with rig(tmp_path) as r:
            client = await r.ready()
            r.klipper.fail_config("Section 'fann' is not a valid config section", parsed=False)
            assert (await client.call("info"))["result"]["state"] == "error"
            await client.script("RESTART")
            await client.gone()
            client = await r.connect()
            names = (await client.call("objects/list"))["result"]["objects"]
            assert names == ["gcode", "webhooks", "configfile"]
            wanted = {"objects": {"toolhead": ["position"], "print_stats": None}}
            answer = await client.call("objects/subscribe", wanted)
            assert answer["result"]["status"] == {"toolhead": {"position": None}, "print_stats": {}}
            assert (await client.call("pause_resume/pause"))["error"]["message"].startswith("webhooks: No registered")
            r.klipper.config_error = None
            await client.script("RESTART")
            await client.gone()
            await r.connect()
            assert (await (await r.ready()).call("info"))["result"]["state"] == "ready"

    run(test())


def test_kill_leaves_a_stale_socket_and_remembers_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        async with rig(tmp_path) as r:
            client = await r.ready()
            await client.script("G1 E3")
            before = await client.call("info")
            await r.klipper.kill()
            assert (await client.gone())[-1] == before
            assert r.klipper.socket_path.exists()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_unix_connection(r.klipper.socket_path)
            await r.klipper.start()
            after = await (await r.ready()).call("info")
            assert after["result"]["process_id"] != before["result"]["process_id"]
            assert (r.klipper.printer.e_position_mm(), r.klipper.extruded_mm["extruder"]) == (0.0, 3.0)

    run(test())


def test_a_served_socket_is_not_taken(tmp_path: Path) -> None:
    async def test() -> None:
        async with rig(tmp_path) as r:
            with pytest.raises(OSError, match="another process serves this socket"):
                await SimulatedKlipper(r.klipper.socket_path, r.gcodes).start()
            assert (await (await r.ready()).call("info"))["result"]["state"] == "ready"

    run(test())


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_command_line_ends_cleanly(tmp_path: Path, ending: signal.Signals) -> None:
    async def test() -> None:
        path = tmp_path / "k.sock"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "simulators.klipper", "--socket", str(path), "--gcodes", str(tmp_path / "g")),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(PATIENCE_S):
                assert b"simulated Klipper on" in await process.stdout.readline()
                _, writer = await asyncio.open_unix_connection(path)
        finally:
            process.send_signal(ending)
        _, errors = await process.communicate()
        writer.close()
        assert (process.returncode, errors, os.path.exists(path)) == (0, b"", False)

    run(test())
