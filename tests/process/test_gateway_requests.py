"""Every row of the table over HTTP and JSON-RPC with what clients get wrong: 4xx with a reason, never a 500."""

import asyncio
import contextlib
import io
import logging
from typing import Any

import orjson
import pytest

from bus.api import METHODS, Method
from bus.params import REQUIRED
from bus.testing import PATIENCE_S, eventually
from services.gateway.routes import available, routes
from tests.process.gateway_world import CONFIG, Bridge, World, canned, run

VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    1.5,
    2**70,
    "",
    "x" * 70_000,
    "\0",
    [],
    {},
    [1],
    {"a": 1},
    ["x", 1],
    {"": None},
    {"a": "b"},
)
BODIES = (b"{", b"[]", b'"x"', b"5", b"null", b"\xff\xfe", b'{"a":1e999}', b"[" * 2000, b"{}")


def owners(world: World) -> None:
    Bridge(world.bus)
    for name in ("notifier", "spoolman_sync", "octo_shim"):
        world.bus.node(name).serve(canned(name))


def rows() -> list[Method]:
    return [row for row in METHODS.values() if not row.raw and not row.debug]


def check(status: int, answer: Any) -> None:
    assert status < 500 or status == 503, answer
    if status >= 400:
        assert set(answer) == {"error"} and set(answer["error"]) == {"code", "message"}
        assert answer["error"]["code"] == status and answer["error"]["message"]


def test_every_route_survives_every_body() -> None:
    async def scenario(world: World) -> None:
        owners(world)
        for route in routes(available(world.node.config, debug=False).values()):
            if route.method.raw or route.verb == "HEAD":
                continue
            path = route.path.replace("{root}", "gcodes").replace("{path:.+}", "a")
            for body in BODIES:
                for kind in ("application/json", "application/x-www-form-urlencoded", "text/plain", "image/png"):
                    status, answer = await world.http(route.verb, path, data=body, headers={"Content-Type": kind})
                    check(status, answer)
                    if kind == "application/json" and body != b"{}":
                        assert status == 400, (route, body, answer)

    run(scenario)


def test_every_parameter_survives_every_value_over_http_and_jsonrpc() -> None:
    async def scenario(world: World) -> None:
        owners(world)
        async with world.websocket() as client:
            for row in rows():
                good = {param.name: "x" for param in row.params}
                for param in row.params:
                    for value in VALUES:
                        given = {**good, param.name: value}
                        if row.rpc:
                            answer = await client.call(row.name, given)
                            assert "result" in answer or answer["error"]["code"] != 500, answer
                        for verb, path in (route.split() for route in row.http):
                            if "{" not in path:
                                check(*await world.http(verb, path, json=given))
                    given = {name: value for name, value in good.items() if name != param.name}
                    if row.rpc and param.default is REQUIRED:
                        error = (await client.call(row.name, given))["error"]
                        assert error["code"] == 400 and "No data for argument" in error["message"]

    run(scenario)


def test_what_is_nested_too_deep_is_the_callers_fault() -> None:
    async def scenario(world: World) -> None:
        owners(world)
        body = {"request_method": "POST", "path": "/v1/x", "body": {}}
        text = orjson.dumps(body).replace(b"{}", b"[" * 300 + b"]" * 300)
        status, answer = await world.http("POST", "/server/spoolman/proxy", data=text)
        assert status == 400 and "cannot be passed on" in answer["error"]["message"]

    run(scenario)


def test_verbs_and_paths_that_do_not_exist() -> None:
    async def scenario(world: World) -> None:
        owners(world)
        async with world.session.delete(world.base + "/server/spoolman/spool_id") as answer:
            error = (await answer.json())["error"]
            assert answer.status == 405 and set(answer.headers["Allow"].split(",")) == {"GET", "HEAD", "POST"}
            assert "GET, HEAD, POST" in error["message"]
        for path in ("/server/inf", "/server/info/", "/debug/notifiers/test", "/%2e%2e/x", "/ü", "/" + "x" * 5000):
            status, body = await world.http("GET", path)
            assert status == 404 and body["error"]["code"] == 404
        assert (await world.http("GET", "/websocket"))[0] == 400
        async with world.session.head(world.base + "/server/files/list") as answer:
            assert answer.status == 200
        async with world.session.head(world.base + "/printer/gcode/script?script=M112") as answer:
            assert answer.status == 405
        async with world.session.get(world.base + "/") as answer:
            assert answer.status == 200 and "moonbus" in await answer.text()

    run(scenario)


def test_bodies_too_large_or_broken() -> None:
    async def scenario(world: World) -> None:
        owners(world)
        big = b'{"script":"' + b"x" * (8 * 2**20) + b'"}'
        assert (await world.http("POST", "/printer/gcode/script", data=io.BytesIO(big)))[0] == 413
        broken = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        status, answer = await world.http("POST", "/printer/gcode/script", data=b"no gzip", headers=broken)
        check(status, answer)
        assert status == 400

    run(scenario)


async def send(world: World, text: bytes) -> bytes:
    """The answer's first line to bytes on the wire; none when nothing is asked for."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.gateway.runner.addresses[0][1])
    writer.write(text)
    async with asyncio.timeout(PATIENCE_S):
        line = await reader.readline()
    await close(writer)
    return line


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def test_a_length_that_is_too_much_is_refused_before_the_body_comes() -> None:
    async def scenario(world: World) -> None:
        owners(world)
        for path in (b"/printer/gcode/script", b"/server/jsonrpc"):
            head = b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n{"
            assert (await send(world, head)).startswith(b"HTTP/1.1 413 ")

    run(scenario)


def test_a_script_in_the_query_may_be_long() -> None:
    async def scenario(world: World) -> None:
        bridge = Bridge(world.bus)
        script = "M118 " + "x" * 50_000
        assert await world.http("GET", "/printer/gcode/script", params={"script": script}) == (200, {"result": "ok"})
        assert bridge.scripts == [script]

    run(scenario)


def test_strangers_write_no_tracebacks_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Neither does a client that goes away in the middle of its request; nor is anything told of what it sent."""

    async def scenario(world: World) -> None:
        owners(world)
        for text in (b"hunter2\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nX-Api-Key: hunter2\0\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: x\r\nX-Api-Key: " + b"hunter2" * 10_000 + b"\r\n\r\n"):  # fmt: skip
            assert b" 400 " in await send(world, text)
        reader, writer = await asyncio.open_connection("127.0.0.1", world.gateway.runner.addresses[0][1])
        writer.write(b"POST /server/info HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n{")
        assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
        await close(writer)
        server = world.gateway.runner._server
        assert server is not None
        await eventually(lambda: not server.connections)

    with caplog.at_level(logging.INFO):
        run(scenario)
    assert "Error handling request from 127.0.0.1: LineTooLong" in caplog.text
    assert "Traceback" not in caplog.text and "hunter2" not in caplog.text
    assert not [record for record in caplog.records if record.levelno > logging.WARNING]


def test_jsonrpc_over_http() -> None:
    async def scenario(world: World) -> None:
        owners(world)

        async def post(message: Any) -> tuple[int, Any]:
            return await world.http("POST", "/server/jsonrpc", data=orjson.dumps(message))

        call = {"jsonrpc": "2.0", "method": "printer.info", "id": 0}
        assert await post(call) == (200, {"jsonrpc": "2.0", "result": "ok", "id": 0})
        assert await post([call, call]) == (200, [{"jsonrpc": "2.0", "result": "ok", "id": 0}] * 2)
        assert await post({"jsonrpc": "2.0", "method": "printer.info"}) == (200, None)
        assert (await post([]))[1]["error"]["code"] == -32600
        needs_connection = {"jsonrpc": "2.0", "method": "printer.objects.subscribe", "params": {"objects": {}}, "id": 1}
        assert "websocket" in (await post(needs_connection))[1]["error"]["message"]
        await asyncio.gather(*(post(call) for _ in range(50)))

    run(scenario)


def test_answers_begin_with_their_result_and_octoprints_are_bare() -> None:
    async def scenario(world: World) -> None:
        owners(world)
        async with world.session.get(world.base + "/server/info") as answer:
            assert (await answer.read()).startswith(b'{"result":{"klippy_connected"')
            assert answer.headers["Content-Type"] == "application/json; charset=UTF-8"
        assert await world.http("GET", "/api/version") == (200, "ok")
        assert await world.http("POST", "/api/job", json={"command": "pause"}) == (204, None)
        assert (await world.http("POST", "/api/job", json={}))[0] == 400

    run(scenario)


def test_pages_of_other_origins() -> None:
    async def scenario(world: World) -> None:
        owners(world)
        for origin, allowed in (("http://printer.local", "http://printer.local"), ("http://evil.example", None)):
            for path in ("/server/info", "/no/such"):
                async with world.session.get(world.base + path, headers={"Origin": origin}) as answer:
                    assert answer.headers.get("Access-Control-Allow-Origin") == allowed
                    assert answer.headers["Vary"] == "Origin"
            async with world.session.options(world.base + "/server/info", headers={"Origin": origin}) as answer:
                assert answer.status == 204 and answer.headers["Allow"] == "GET, POST, OPTIONS"
                assert ("Access-Control-Allow-Methods" in answer.headers) == (allowed is not None)
        async with world.websocket(origin="http://printer.local") as client:
            assert "result" in await client.call("server.info")
        async with world.session.get(
            world.base + "/websocket",
            headers={"Origin": "http://evil.example", "Upgrade": "websocket", "Connection": "Upgrade"},
        ) as answer:
            assert answer.status == 403 and "cors_domains" in (await answer.json())["error"]["message"]

    run(scenario)


def test_a_prefix_goes_before_every_path() -> None:
    async def scenario(world: World) -> None:
        assert (await world.http("GET", "/one/server/info"))[0] == 200
        assert (await world.http("GET", "/server/info"))[0] == 404

    run(scenario, CONFIG.replace("port: 0", "port: 0\nroute_prefix: /one"))
