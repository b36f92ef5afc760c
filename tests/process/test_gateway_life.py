"""The gateway among the failing: owners that are away or hang, clients that do not read, ports that are taken."""

import asyncio
import os
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import pytest
from aiohttp import WSMsgType

import bus.services
from bus.api import METHODS
from bus.testing import PATIENCE_S, eventually, private_bus
from services.gateway.gateway import Gateway
from tests.process.gateway_world import CONFIG, Bridge, World, run, spoolman


def test_reads_go_on_while_an_owner_restarts_and_name_it_when_it_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World) -> None:
        owner = spoolman(world.bus)
        assert await world.http("GET", "/server/spoolman/spool_id") == (200, {"result": {"spool_id": None}})
        await owner.close()
        assert await world.http("GET", "/server/spoolman/spool_id") == (200, {"result": {"spool_id": None}})
        code, answer = await world.http("POST", "/server/spoolman/spool_id", json={"spool_id": 4})
        assert code == 503 and "spoolman_sync" in answer["error"]["message"]
        monkeypatch.setattr(bus.services, "SILENT_PERIODS", 0)
        await eventually(lambda: world.node.silent("spoolman_sync"))
        code, answer = await world.http("GET", "/server/spoolman/spool_id")
        assert code == 503 and answer["error"]["message"].startswith("spoolman_sync is not running")
        monkeypatch.undo()
        spoolman(world.bus)
        await eventually(lambda: not world.node.silent("spoolman_sync"))
        assert await world.http("GET", "/server/spoolman/spool_id") == (200, {"result": {"spool_id": None}})

    run(scenario)


def test_an_owner_without_a_first_value_is_asked_itself() -> None:
    async def scenario(world: World) -> None:
        node = world.bus.node("notifier")

        async def listed() -> dict[str, object]:
            return {"notifiers": []}

        async def unused(**_: object) -> None:
            raise AssertionError("nobody asked for this")

        others = {name for name, row in METHODS.items() if row.owner == "notifier"} - {"server.notifiers.list"}
        node.serve({"server.notifiers.list": listed, **dict.fromkeys(others, unused)})
        await eventually(lambda: not world.node.silent("notifier"))
        assert await world.http("GET", "/server/notifiers/list") == (200, {"result": {"notifiers": []}})

    run(scenario)


def test_a_hung_bridge_is_a_disconnected_klipper(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World) -> None:
        bridge = Bridge(world.bus)
        bridge.node.publish(
            "klipper_bridge.component", {"components": ["klippy_apis"], "failed": [], "warnings": ["w"]}
        )
        await eventually(lambda: world.gateway._info._components.get("klipper_bridge"))
        _, answer = await world.http("GET", "/server/info")
        info = answer["result"]
        assert info["klippy_connected"] and info["klippy_state"] == "ready" and "klippy_apis" in info["components"]
        assert "w" in info["warnings"] and info["failed_components"] == []
        async with world.websocket() as client:
            assert (await client.call("server.info"))["result"]["websocket_count"] == 1
            monkeypatch.setattr(bus.services, "SILENT_PERIODS", -1)
            assert await client.told_of("notify_klippy_disconnected") == "none"
            info = (await client.call("server.info"))["result"]
            assert not info["klippy_connected"] and info["klippy_state"] == "disconnected"
            assert "klippy_apis" in info["failed_components"] and "klipper_bridge is not running" in info["warnings"]
            monkeypatch.undo()
            assert await client.told_of("notify_klippy_ready") == "none"

    run(scenario)


def test_a_client_that_does_not_read_is_dropped_and_costs_nobody_else_anything() -> None:
    async def scenario(world: World) -> None:
        bridge, path = Bridge(world.bus), world.bus.data / "comms" / "moonraker.sock"
        await eventually(path.exists)
        lines = 6000
        async with world.websocket() as client:
            await client.call("server.info")
            deaf = socket.socket(socket.AF_UNIX)
            deaf.connect(str(path))
            await eventually(lambda: len(world.gateway._clients.connections) == 2)
            for number in range(lines):
                bridge.node.publish("printer.gcode", {"response": f"{number} {'x' * 500}"})
                if number % 100 == 0:
                    await asyncio.sleep(0)
            for number in range(lines):
                assert (await client.told_of("notify_gcode_response"))[0].startswith(f"{number} ")
            await eventually(lambda: len(world.gateway._clients.connections) == 1)
            deaf.close()

    run(scenario)


def test_one_websocket_too_many_is_told_so() -> None:
    async def scenario(world: World) -> None:
        Bridge(world.bus)
        async with world.websocket(), world.websocket(), world.websocket() as client:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with world.websocket():
                    pass
            assert refused.value.status == 503
            await client.websocket.close()
            await eventually(lambda: len(world.gateway._websockets) == 2)
            async with world.websocket() as again:
                assert "result" in await again.call("server.info")

    run(scenario)


def test_clients_are_told_goodbye() -> None:
    async def scenario(world: World) -> None:
        Bridge(world.bus)
        async with world.websocket() as client:
            await client.call("server.info")
            closing = asyncio.create_task(world.node.close())
            async with asyncio.timeout(PATIENCE_S):
                while (message := await client.websocket.receive()).type is WSMsgType.TEXT:
                    pass
            assert (message.type, message.data) == (WSMsgType.CLOSE, 1001)
            await closing

    run(scenario)


def test_a_port_that_is_taken_is_tried_again() -> None:
    async def main() -> None:
        with tempfile.TemporaryDirectory(prefix="mb") as folder, socket.socket() as holder:
            holder.bind(("127.0.0.1", 0))
            holder.listen()
            port = holder.getsockname()[1]
            async with private_bus(Path(folder)) as private, aiohttp.ClientSession() as session:
                gateway = Gateway(private.node("gateway", CONFIG.replace("port: 0", f"port: {port}")))
                await gateway.start()
                assert gateway.runner.addresses == []
                holder.close()
                await eventually(lambda: gateway.runner.addresses)
                async with session.get(f"http://127.0.0.1:{port}/server/info") as answer:
                    assert answer.status == 200

    asyncio.run(main())


def test_a_socket_file_left_behind_is_replaced_but_not_a_live_one() -> None:
    async def main() -> None:
        with tempfile.TemporaryDirectory(prefix="mb") as folder:
            path = Path(folder) / "data" / "comms" / "moonraker.sock"
            path.parent.mkdir(parents=True)
            with socket.socket(socket.AF_UNIX) as live:
                live.bind(str(path))
                live.listen()
                async with private_bus(Path(folder)) as private:
                    gateway = Gateway(private.node("gateway", CONFIG))
                    with pytest.raises(OSError, match="another program"):
                        await gateway._unix_socket.listen()
                    live.close()
                    await gateway.start()
                    await eventually(lambda: gateway._unix_socket._server)
                    reader, writer = await asyncio.open_unix_connection(path)
                    writer.write(b'{"jsonrpc":"2.0","method":"server.info","id":1}\x03')
                    while b'"id":1' not in (frame := await reader.readuntil(b"\x03")):
                        assert b"notify_" in frame
                    assert b"klippy_state" in frame
                    writer.write(b'{"jsonrpc":"2.0","method":"server.info","id":2}\x03')
                    writer.write_eof()  # as a shell's pipe does: the answer comes all the same
                    assert b'"id":2' in await reader.read()
                    writer.close()

    asyncio.run(main())


def test_the_process_starts_and_ends_quickly() -> None:
    with tempfile.TemporaryDirectory(prefix="mb") as folder:
        config = Path(folder) / "moonbus.conf"
        config.write_text(CONFIG)
        environment = os.environ | {
            "MOONBUS_DATA": folder,
            "MOONBUS_RUN": f"{folder}/run",
            "MOONBUS_CONFIG": str(config),
        }
        with open(f"{folder}/log", "wb") as log:
            process = asyncio.run(_start_and_stop(environment, log.fileno(), Path(folder)))
        text = Path(f"{folder}/log").read_text()
        assert process == 0 and "Traceback" not in text and "stopping" in text
        assert (Path(folder) / "moonbus" / "api_key").read_text().strip() not in text


async def _start_and_stop(environment: dict[str, str], log: int, folder: Path) -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.gateway", env=environment, stdout=log, stderr=log
    )
    path = folder / "comms" / "moonraker.sock"
    await eventually(path.exists)
    _, writer = await asyncio.open_unix_connection(path)
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    status = await process.wait()
    assert time.monotonic() - started < PATIENCE_S and not path.exists()
    writer.close()
    return status
