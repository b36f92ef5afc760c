"""The simulated Spoolman over HTTP and websockets, well and failing."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import (
    ClientConnectionError,
    ClientHandlerType,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientWebSocketResponse,
)

from simulators.spoolman import Fault, SimulatedSpoolman

PATIENCE_S = 10.0


class Cut(Exception):
    """The connection was closed without an answer."""


async def send_once(request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
    """aiohttp repeats a PUT whose connection was cut, which would hide what the simulator did."""
    try:
        return await send(request)
    except ClientConnectionError as error:
        raise Cut from error


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[tuple[SimulatedSpoolman, ClientSession]]:
    spoolman = SimulatedSpoolman(**options)
    await spoolman.start()
    async with ClientSession(middlewares=(send_once,)) as session:
        try:
            yield spoolman, session
        finally:
            await spoolman.stop()


def run(test: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(PATIENCE_S * 3):
            await test

    asyncio.run(limited())


async def ask(
    session: ClientSession, spoolman: SimulatedSpoolman, method: str, path: str, body: Any = None
) -> tuple[int, Any]:
    async with session.request(method, f"{spoolman.url}/api/v1{path}", json=body) as response:
        return response.status, await response.json()


async def use(session: ClientSession, spoolman: SimulatedSpoolman, mm: float) -> tuple[int, Any]:
    return await ask(session, spoolman, "PUT", "/spool/1/use", {"use_length": mm})


async def event(websocket: ClientWebSocketResponse) -> Any:
    return await websocket.receive_json(timeout=PATIENCE_S)


def test_rest() -> None:
    async def test() -> None:
        async with serving() as (spoolman, session):
            assert (await ask(session, spoolman, "GET", "/health")) == (200, {"status": "healthy"})
            assert (await ask(session, spoolman, "GET", "/info"))[1]["version"] == "0.26.1"
            assert (await ask(session, spoolman, "GET", "/setting/currency"))[1]["value"] == '"EUR"'
            async with session.get(f"{spoolman.url}/api/v1/spool", params={"limit": 2, "sort": "id:asc"}) as response:
                assert response.headers["X-Total-Count"] == "3"
                assert [spool["id"] for spool in await response.json()] == [1, 2]
            status, spool = await ask(session, spoolman, "POST", "/spool", {"filament_id": 1})
            assert (status, spool["id"]) == (200, 4)
            assert (await ask(session, spoolman, "PATCH", "/spool/4", {"comment": "hello"}))[1]["comment"] == "hello"
            assert await ask(session, spoolman, "DELETE", "/spool/4") == (200, {"message": "Success!"})
            assert await ask(session, spoolman, "GET", "/spool/4") == (404, {"message": "No spool with ID 4 found."})
            assert await ask(session, spoolman, "GET", "/nope") == (404, {"detail": "Not Found"})
            assert await ask(session, spoolman, "PUT", "/spool", {}) == (405, {"detail": "Method Not Allowed"})
            for path, where in (("/spool/x", ["path", "spool_id"]), ("/spool?limit=x", ["query", "limit"])):
                status, answer = await ask(session, spoolman, "GET", path)
                assert (status, answer["detail"][0]["loc"]) == (422, where)
            async with session.post(f"{spoolman.url}/api/v1/spool", data=b'{"filament_id"') as response:
                assert (response.status, (await response.json())["detail"][0]["type"]) == (422, "json_invalid")

    run(test())


def test_use_is_not_idempotent_and_is_announced() -> None:
    async def test() -> None:
        async with serving() as (spoolman, session):
            async with (
                session.ws_connect(f"{spoolman.url}/api/v1/") as everything,
                session.ws_connect(f"{spoolman.url}/api/v1/spool") as spools,
                session.ws_connect(f"{spoolman.url}/api/v1/spool/1") as first,
            ):
                assert (await use(session, spoolman, 10.5))[0] == 200
                assert (await use(session, spoolman, 10.5))[0] == 200
                for websocket in (everything, spools, first):
                    heard = [await event(websocket) for _ in range(2)]
                    assert [list(e) for e in heard] == [["type", "resource", "date", "payload"]] * 2
                    assert heard[1]["payload"]["used_length"] == pytest.approx(21.0)
                spool = spoolman.add("spool", filament_id=2)
                await spoolman.delete_spool(spool)
                await ask(session, spoolman, "POST", "/vendor", {"name": "New"})
                assert (await event(spools))["type"] == "deleted"
                assert [(e["type"], e["resource"]) for e in (await event(everything), await event(everything))] == [
                    ("deleted", "spool"),
                    ("added", "vendor"),
                ]
                spoolman.cut_websockets()
                for websocket in (everything, spools, first):
                    assert (await websocket.receive(timeout=PATIENCE_S)).data is None
            assert spoolman.used_mm == {1: pytest.approx(21.0), 2: 0.0, 3: 0.0}
            puts = [request for request in spoolman.requests if request.method == "PUT"]
            assert [(request.path, request.body) for request in puts] == [
                ("/api/v1/spool/1/use", {"use_length": 10.5})
            ] * 2

    run(test())


@pytest.mark.parametrize(
    ("fault", "used_mm"),
    [
        (Fault("status", "PUT", status=500), 0.0),
        (Fault("not_json", "PUT", status=502), 0.0),
        (Fault("cut", "PUT"), 0.0),
        (Fault("drop_reply", "PUT"), 5.0),
        (Fault("delay", "PUT", delay_s=0.05), 5.0),
        (Fault("late_reply", "PUT", delay_s=0.05), 5.0),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
def test_faults(fault: Fault, used_mm: float) -> None:
    async def test() -> None:
        async with serving() as (spoolman, session):
            spoolman.faults.append(fault)
            assert (await ask(session, spoolman, "GET", "/spool/1"))[0] == 200
            if fault.kind in ("cut", "drop_reply"):
                with pytest.raises(Cut):
                    await use(session, spoolman, 5.0)
            else:
                async with session.put(f"{spoolman.url}/api/v1/spool/1/use", json={"use_length": 5.0}) as response:
                    text = await response.text()
                    assert response.status == (200 if used_mm else fault.status)
                assert text.startswith("<html>" if fault.kind == "not_json" else "{")
            assert spoolman.used_mm[1] == pytest.approx(used_mm)
            assert spoolman.faults == []
            assert (await use(session, spoolman, 5.0))[0] == 200

    run(test())


def test_a_delayed_request_is_executed_although_the_client_has_gone() -> None:
    async def test() -> None:
        async with serving() as (spoolman, session):
            spoolman.faults.append(Fault("delay", "PUT", delay_s=0.2))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await use(session, spoolman, 5.0)
            assert spoolman.used_mm[1] == 0.0
            async with asyncio.timeout(PATIENCE_S):
                while not spoolman.used_mm[1]:
                    await asyncio.sleep(0.01)

    run(test())


def test_stop_ends_everything_and_start_goes_on_with_the_same_spools() -> None:
    async def test() -> None:
        async with serving() as (spoolman, session):
            await use(session, spoolman, 5.0)
            spoolman.faults.append(Fault("hang", "GET", "/info"))
            async with session.ws_connect(f"{spoolman.url}/api/v1/spool") as websocket:
                hanging = asyncio.create_task(ask(session, spoolman, "GET", "/info"))
                async with asyncio.timeout(PATIENCE_S):
                    while spoolman.faults or spoolman.websocket_count != 1:
                        await asyncio.sleep(0.005)
                url = spoolman.url
                await spoolman.stop()
                assert (await websocket.receive(timeout=PATIENCE_S)).data is None
            await asyncio.gather(hanging, return_exceptions=True)
            assert hanging.done()
            with pytest.raises(Cut):
                await use(session, spoolman, 5.0)
            await spoolman.start()
            assert spoolman.url == url
            assert (await use(session, spoolman, 5.0))[1]["used_length"] == pytest.approx(10.0)

    run(test())


def test_behind_a_proxy_with_a_password() -> None:
    async def test() -> None:
        async with serving(prefix="/spools/", basic_auth=("user", "pass")) as (spoolman, session):
            url = f"{spoolman.url}/api/v1/spool/1"
            assert spoolman.url.endswith("/spools")
            async with session.get(url) as response:
                assert response.status == 401
            async with session.get(url, headers={"Authorization": "Basic dXNlcjpwYXNz"}) as response:
                assert response.status == 200
            assert [request.path for request in spoolman.requests] == ["/api/v1/spool/1"] * 2

    run(test())


def test_state_file(tmp_path: Path) -> None:
    async def test() -> None:
        state_file = tmp_path / "spools.json"
        async with serving(state_file=state_file) as (spoolman, session):
            await use(session, spoolman, 5.0)
        async with serving(state_file=state_file) as (spoolman, _):
            assert spoolman.used_mm[1] == pytest.approx(5.0)
        state_file.write_text("[]")
        with pytest.raises(ValueError, match="expected an object with vendor"):
            SimulatedSpoolman(state_file=state_file)

    run(test())


@pytest.mark.parametrize("module", ["simulators.spoolman", "simulators.push_sink"])
def test_command_lines_end_cleanly(module: str) -> None:
    async def test() -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, "--port", "0"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            line = (await process.stdout.readline()).decode()
            address = next(word for word in line.replace(",", " ").split() if "://" in word)
            async with ClientSession() as session:
                url = address.replace("json://", "http://") + "/api/v1/health"
                async with session.post(url, json={"title": "T", "message": "M\nN"}) as response:
                    assert response.status in (200, 405)
        finally:
            process.send_signal(signal.SIGTERM)
        output, errors = await process.communicate()
        assert (process.returncode, errors) == (0, b"")
        assert output == (b"push: [T] M N\n" if module == "simulators.push_sink" else b"")

    run(test())
