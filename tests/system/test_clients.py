"""Libraries that real programs use, unmodified, against the running system."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import octorest
import pyoctoprintapi
import pytest
from moonraker_api import MoonrakerClient, MoonrakerListener
from moonrakerpy import MoonrakerPrinter

from tests.system.conftest import World, wait_for

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:moonraker_api", "ignore:float parameter 'receive_timeout'"
)
"""Of the libraries, not ours."""

GCODE = "M83\nG28\n" + "G1 X10 E1 F6000\nG1 X50 E1\n" * 40


class Heard(MoonrakerListener):  # type: ignore[misc]  # the library has no types
    def __init__(self) -> None:
        self.notifications: list[tuple[str, Any]] = []

    async def on_notification(self, method: str, data: Any) -> None:
        self.notifications.append((method, data))

    async def on_exception(self, exception: type | BaseException) -> None:
        raise AssertionError(exception)


def with_moonraker_api(system: World, work: Callable[[Any, Heard], Awaitable[None]]) -> None:
    async def main() -> None:
        heard = Heard()
        async with aiohttp.ClientSession() as session:
            client = MoonrakerClient(heard, "127.0.0.1", system.ports["gateway"], session=session, timeout=10)
            assert await client.connect()
            try:
                await work(client, heard)
            finally:
                await client.disconnect()

    asyncio.run(main())


def test_moonraker_api_as_home_assistant_uses_it(system: World) -> None:
    async def work(client: Any, heard: Heard) -> None:
        assert await client.get_klipper_status() == "ready"
        assert (await client.get_host_info())["hostname"]
        assert "toolhead" in await client.get_supported_modules()
        assert {"spoolman", "notifier", "octoprint_compat"} <= set((await client.get_server_info())["components"])
        assert (await client.get_websocket_id())["websocket_id"] > 0
        assert "print_stats" in (await client.call_method("printer.objects.list"))["objects"]
        wanted = {"print_stats": None, "s": None, "q": None, "toolhead": ["position"]}
        status = (await client.call_method("printer.objects.query", objects=wanted))["status"]
        assert status["s"] == {} and status["print_stats"]["state"] and len(status["toolhead"]["position"]) == 4
        assert (await client.call_method("machine.system_info"))["system_info"]
        assert "error" in await client.call_method("server.history.totals")

    with_moonraker_api(system, work)


def test_moonraker_api_hears_what_changes(system: World) -> None:
    async def work(client: Any, heard: Heard) -> None:
        await client.call_method("server.spoolman.post_spool_id", spool_id=1)
        await client.call_method("server.spoolman.post_spool_id", spool_id=2)
        assert ("notify_active_spool_set", [{"spool_id": 2}]) in heard.notifications
        assert (await client.call_method("server.spoolman.get_spool_id")) == {"spool_id": 2}
        assert (await client.call_method("server.spoolman.post_spool_id")) == {"spool_id": None}

    with_moonraker_api(system, work)


def test_moonrakerpy(system: World) -> None:
    printer = MoonrakerPrinter(system.base)
    assert printer.send_gcode("M117 hello")
    assert printer.query_status("print_stats")["state"]
    assert set(printer.query_temperatures()) >= {"extruder", "heater_bed"}


def test_octorest_uploads_selects_and_prints(system: World) -> None:
    client = octorest.OctoRest(url=system.base, apikey="a dummy, as slicers send")
    assert client.version["text"].startswith("OctoPrint")
    assert client.printer()["state"]["flags"]["operational"]
    client.gcode("M117 one line")
    client.gcode(["M117 one", "M117 two"])
    assert client.printer_profiles()["profiles"]["_default"]["heatedBed"] is True
    done = client.upload(("octorest.gcode", io.BytesIO(GCODE.encode())), print=False)
    assert done["item"]["path"] == "octorest.gcode"
    assert (system.data / "gcodes" / "octorest.gcode").read_text() == GCODE
    client.upload(("octorest print.gcode", io.BytesIO(GCODE.encode())))
    client.select("octorest print.gcode")
    client.start()
    job = wait_for(lambda: (info := client.job_info())["progress"]["completion"] and info, "the job goes on")
    assert job["job"]["file"] == job["job"]["file"] | {"name": "octorest print.gcode", "size": len(GCODE)}
    assert job["state"] == "Printing"
    client.cancel()
    wait_for(lambda: system.print_state() == "cancelled", "cancelled")
    assert client.printer()["state"]["text"] == "Operational"


def test_pyoctoprintapi_as_home_assistant_uses_it(system: World) -> None:
    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            client = pyoctoprintapi.OctoprintClient("127.0.0.1", session, system.ports["gateway"])
            client.set_api_key("a dummy")
            printer, job, server = await asyncio.gather(
                client.get_printer_info(), client.get_job_info(), client.get_server_info()
            )
            assert printer.state.flags.operational and not printer.state.flags.closed_or_error
            assert {"bed", "tool0"} <= {temperature.name for temperature in printer.temperatures}
            assert job.state == "Operational" and server.safe_mode is None
            webcam = await client.get_webcam_info()
            assert webcam is not None

    asyncio.run(main())


def test_a_wrong_key_from_outside_is_refused_by_name(system: World) -> None:
    # The address is loopback, but not the one trusted in the configuration.
    async def status(key: str) -> int:
        connector = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
        async with (
            aiohttp.ClientSession(connector=connector, headers={"X-Api-Key": key}) as session,
            session.get(f"{system.base}/server/info") as answer,
        ):
            return answer.status

    assert asyncio.run(status("wrong")) == 401
    key = system.get("/access/api_key")
    assert asyncio.run(status(str(key))) == 200
    with pytest.raises(AssertionError):
        assert asyncio.run(status("")) == 200
