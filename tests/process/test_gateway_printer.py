"""A web client's view of a simulated printer through the bridge and the gateway."""

from typing import Any

import aiohttp

from bus.testing import eventually
from services.klipper_bridge.__main__ import start
from simulators.klipper import SimulatedKlipper
from tests.process.gateway_world import CONFIG, Client, World, run

GCODE = "G28\nM118 here we go\nG1 X10 E5 F6000\nG1 X20 E5 F6000\n"


async def status_of(client: Client, known: dict[str, Any], **wanted: Any) -> None:
    """Reads updates into `known` until print_stats has these values."""
    while not wanted.items() <= known["print_stats"].items():
        status, _ = await client.told_of("notify_status_update")
        for name, fields in status.items():
            known.setdefault(name, {}).update(fields)


def test_a_print_as_a_web_client_sees_it() -> None:
    async def scenario(world: World) -> None:
        address = world.bus.data / "comms" / "klippy.sock"
        klipper = SimulatedKlipper(
            address, world.bus.data / "gcodes", tick_s=0.02, speed=200.0, restart_s=0.1, startup_s=0.05
        )
        await klipper.start()
        bridge = world.bus.node("klipper_bridge", CONFIG.replace("port: 0", f"klippy_uds_address: {address}"))
        await start(bridge)
        await eventually(lambda: world.gateway._printer.state == "ready")
        async with world.websocket() as client:
            objects = {"print_stats": None, "toolhead": ["position"], "nosuchobject": None}
            reply = await client.call("printer.objects.subscribe", {"objects": objects})
            known = reply["result"]["status"]
            assert known["nosuchobject"] == {} and known["print_stats"]["state"] == "standby"

            form = aiohttp.FormData({"print": "true"})
            form.add_field("file", GCODE.encode(), filename="part.gcode")
            status, answer = await world.http("POST", "/server/files/upload", data=form)
            assert status == 201 and answer["print_started"] is True
            assert (await client.told_of("notify_filelist_changed"))[0]["item"]["path"] == "part.gcode"
            await status_of(client, known, state="complete", filename="part.gcode")

            reply = await client.call("printer.gcode.script", {"script": "M118 hello"})
            assert reply["result"] == "ok" and any("hello" in str(params) for _, params in client.told)
            _, answer = await world.http("GET", "/printer/objects/query?print_stats=state,filename")
            assert answer["result"]["status"]["print_stats"] == {"state": "complete", "filename": "part.gcode"}

            assert (await client.call("printer.restart"))["result"] == "ok"
            assert await client.told_of("notify_klippy_disconnected") == "none"
            assert await client.told_of("notify_klippy_ready") == "none"
            client.told.clear()
            await client.call("printer.print.start", {"filename": "part.gcode"})
            known["print_stats"] = {}
            await status_of(client, known, state="complete")

            await klipper.kill()
            await client.told_of("notify_klippy_disconnected")
            error = (await client.call("printer.info"))["error"]
            assert error == {"code": 503, "message": "Klippy Host not connected"}
        await bridge.close()
        await klipper.stop()

    run(scenario)
