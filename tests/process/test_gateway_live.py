"""The gateway with real HTTP, websocket and Unix-socket clients; the other services are played by the test."""

import asyncio
import stat
from typing import Any

import aiohttp
import orjson
import pytest

from bus.testing import PATIENCE_S, eventually
from tests.process.gateway_world import STRANGERS, Bridge, World, run, spoolman


def test_who_sets_a_spool_is_told_and_reads_it_back() -> None:
    async def scenario(world: World) -> None:
        spoolman(world.bus)
        async with world.websocket() as client:
            for spool_id in range(1, 20):
                reply = await client.call("server.spoolman.post_spool_id", {"spool_id": str(spool_id)}, id_=0)
                assert reply == {"jsonrpc": "2.0", "result": {"spool_id": spool_id}, "id": 0}
                assert ("notify_active_spool_set", [{"spool_id": spool_id}]) in client.told
                assert await world.http("GET", "/server/spoolman/spool_id") == (200, {"result": {"spool_id": spool_id}})
            assert (await client.call("server.spoolman.post_spool_id", {}))["result"] == {"spool_id": None}

    run(scenario)


def test_a_subscription_tells_what_it_was_asked_for_and_nothing_else() -> None:
    async def scenario(world: World) -> None:
        bridge = Bridge(world.bus)
        async with world.websocket() as client, world.websocket() as other:
            wanted = {"objects": {"toolhead": ["e", "nosuchfield"], "nosuchobject": None}}
            reply = await client.call("printer.objects.subscribe", wanted)
            status = {"toolhead": {"e": 1, "nosuchfield": None}, "nosuchobject": {}}
            assert reply["result"] == {"eventtime": 1.0, "status": status}
            await other.call("printer.objects.subscribe", {"objects": {"toolhead": None}})
            bridge.change(toolhead={"f": 3}, fan={"speed": 1})
            bridge.change(toolhead={"e": 4, "f": 5})
            assert await client.told_of("notify_status_update") == [{"toolhead": {"e": 4}}, 1.5]
            assert await other.told_of("notify_status_update") == [{"toolhead": {"f": 3}}, 1.25]
            assert await other.told_of("notify_status_update") == [{"toolhead": {"e": 4, "f": 5}}, 1.5]
            await client.call("printer.objects.subscribe", {"objects": {"toolhead": ["f"]}})
            bridge.change(toolhead={"e": 6, "f": 7})
            assert await client.told_of("notify_status_update") == [{"toolhead": {"f": 7}}, 1.75]
        await eventually(lambda: bridge.wanted == {"print_stats": ["filename", "state"]})

    run(scenario)


def test_subscriptions_survive_klipper_and_the_bridge() -> None:
    async def scenario(world: World) -> None:
        bridge = Bridge(world.bus)
        async with world.websocket() as client:
            await client.call("printer.objects.subscribe", {"objects": {"toolhead": ["e"]}})
            covers, bridge.covers, bridge.objects = bridge.covers, {}, {}
            bridge.state("disconnected")
            bridge.node.publish_full("printer.objects")
            assert await client.told_of("notify_klippy_disconnected") == "none"
            assert (await client.call("printer.objects.subscribe", {"objects": {}}))["error"]["code"] == 503
            bridge.covers, bridge.objects = covers, {"toolhead": {"e": 0, "f": 0}}
            bridge.node.publish_full("printer.objects")
            bridge.state("ready")
            assert await client.told_of("notify_status_update") == [{"toolhead": {"e": 0}}, 1.0]
            assert await client.told_of("notify_klippy_ready") == "none"
            await bridge.node.close()
            again = Bridge(world.bus)
            assert await client.told_of("notify_status_update") == [{"toolhead": {"e": 1}}, 1.0]
            again.change(toolhead={"e": 9})
            assert await client.told_of("notify_status_update") == [{"toolhead": {"e": 9}}, 1.25]
            assert not [name for name, _ in client.told if name.startswith("notify_klippy")]

    run(scenario)


def test_queries_come_from_the_mirror_when_it_has_the_objects() -> None:
    async def scenario(world: World) -> None:
        bridge = Bridge(world.bus)
        assert await world.http("GET", "/printer/objects/query?toolhead") == (200, {"result": "ok"}), "asked the bridge"
        bridge.cover({"toolhead": None, "nosuch": None})
        await eventually(lambda: world.gateway._printer.mirror.covered({"toolhead": None}))
        expected = {"eventtime": 1.0, "status": {"toolhead": {"e": 1}, "nosuch": {}}}
        assert await world.http("GET", "/printer/objects/query?toolhead=e&nosuch") == (200, {"result": expected})
        body = {"objects": {"toolhead": ["e"], "nosuch": None}}
        assert await world.http("POST", "/printer/objects/query", json=body) == (200, {"result": expected})
        code, refused = await world.http("POST", "/printer/objects/subscribe", json=body)
        assert code == 400 and "websocket" in refused["error"]["message"]
        bridge.state("disconnected")
        away = {"error": {"code": 503, "message": "Klippy Host not connected"}}
        await eventually(lambda: not world.gateway._printer.connected)
        assert await world.http("GET", "/printer/objects/query?toolhead=e") == (503, away)

    run(scenario)


def test_an_emergency_stop_overtakes_a_script_and_errors_keep_their_words() -> None:
    async def scenario(world: World) -> None:
        Bridge(world.bus)
        async with world.websocket() as client:
            await client.websocket.send_str(
                '{"jsonrpc":"2.0","method":"printer.gcode.script","params":{"script":"WAIT"},"id":1}'
            )
            assert (await client.call("printer.emergency_stop"))["result"] == "ok"
            failed = await client.call("printer.gcode.script", {"script": "FAIL"})
            assert failed["error"] == {"code": 400, "message": "Must home axis first"}
            missing = (await client.call("printer.gcode.script"))["error"]
            assert missing["code"] == 400 and missing["message"].startswith("No data for argument: script")
            assert (await client.call("no.such"))["error"] == {"code": -32601, "message": "Method not found"}
            assert (await client.call("debug.notifiers.test", {"name": "phone"}))["error"]["code"] == -32601
            assert (await client.call("octoprint.version"))["error"]["code"] == -32601

    run(scenario)


def test_a_thousand_messages_at_once_are_all_answered() -> None:
    async def scenario(world: World) -> None:
        spoolman(world.bus)
        async with world.websocket() as client:
            assert "result" in await client.call("server.spoolman.get_spool_id")
            for number in range(1000):
                await client.websocket.send_json(
                    {"jsonrpc": "2.0", "method": "server.spoolman.get_spool_id", "id": number}
                )
            replies: dict[int, Any] = {}
            while len(replies) < 1000:
                message = await client.receive()
                if "id" in message:
                    replies[message["id"]] = message
            assert all(reply.get("result") == {"spool_id": None} for reply in replies.values())

    run(scenario)


def test_strangers_hear_and_learn_nothing_until_they_show_the_key() -> None:
    async def scenario(world: World) -> None:
        bridge = Bridge(world.bus)
        key = world.gateway._access.api_key()
        for path in ("/server/info", "/no/such", "/api/version", "/server/files/gcodes/x"):
            assert await world.http("GET", path) == (401, {"error": {"code": 401, "message": "Unauthorized"}})
        assert (await world.http("GET", "/access/info"))[0] == 200
        assert (await world.http("GET", "/server/info", headers={"X-Api-Key": key}))[0] == 200
        async with world.websocket() as client, world.websocket(headers={"X-Api-Key": key}) as friend:
            assert (await client.call("server.info"))["error"] == {"code": -32602, "message": "Unauthorized"}
            assert (await client.call("no.such"))["error"]["code"] == -32602
            who: dict[str, Any] = {"client_name": "test", "version": "1", "type": "web", "url": "http://x"}
            assert (await client.call("server.connection.identify", who | {"api_key": "wrong"}))["error"][
                "code"
            ] == -32602
            bridge.node.publish("printer.gcode", {"response": "secret"})
            assert await friend.told_of("notify_gcode_response") == ["secret"]
            assert (
                "connection_id" in (await client.call("server.connection.identify", who | {"api_key": key}))["result"]
            )
            assert client.told == []
            assert (await client.call("server.info"))["result"]["websocket_count"] == 2
            bridge.node.publish("printer.gcode", {"response": "hello"})
            assert await client.told_of("notify_gcode_response") == ["hello"]
            assert "cpu_temp" in (await client.told_of("notify_proc_stat_update"))[0]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with world.websocket(headers={"X-Api-Key": "wrong"}):
                pass
        assert refused.value.status == 401

    run(scenario, STRANGERS)


def test_the_unix_socket_speaks_the_same() -> None:
    async def scenario(world: World) -> None:
        bridge, path = Bridge(world.bus), world.bus.data / "comms" / "moonraker.sock"
        await eventually(path.exists)
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        reader, writer = await asyncio.open_unix_connection(path)

        async def receive() -> Any:
            async with asyncio.timeout(PATIENCE_S):
                return orjson.loads((await reader.readuntil(b"\x03"))[:-1])

        async def reply() -> Any:
            while "id" not in (message := await receive()):
                pass
            return message

        writer.write(b'{"jsonrpc":"2.0","method":"server.websocket.id","id":"a"}\x03{"jsonrpc":"2.0",')
        assert "websocket_id" in (await reply())["result"]
        writer.write(b'"method":"printer.objects.subscribe","params":{"objects":{"toolhead":["e"]}},"id":0}\x03')
        assert (await reply())["result"]["status"] == {"toolhead": {"e": 1}}
        bridge.change(toolhead={"e": 2})
        while (message := await receive())["method"] != "notify_status_update":
            pass
        assert message["params"] == [{"toolhead": {"e": 2}}, 1.25]
        writer.write(b"\xff\x03")
        assert (await reply())["error"]["code"] == -32700
        await world.node.close()
        async with asyncio.timeout(PATIENCE_S):
            while not reader.at_eof():
                await reader.read(65_536)
        assert not path.exists()
        writer.close()

    run(scenario)
