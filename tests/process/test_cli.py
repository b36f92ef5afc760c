"""`python -m bus` as people run it: real processes beside services on a private bus."""

import asyncio
import json
import os
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bus.errors import Fault
from bus.node import Node
from bus.rundir import CHECKOUT
from bus.services import SERVICES
from bus.testing import PATIENCE_S, Bus, eventually, private_bus


def run(scenario: Callable[[Bus], Awaitable[None]]) -> None:
    async def main() -> None:
        with tempfile.TemporaryDirectory(prefix="mb") as folder:
            async with asyncio.timeout(3 * PATIENCE_S), private_bus(Path(folder)) as bus:
                await scenario(bus)

    asyncio.run(main())


def spoolman(bus: Bus) -> Node:
    """An owner with the handlers its rows ask for."""
    node = bus.node("spoolman_sync")

    async def post(spool_id: int | None) -> dict[str, Any]:
        node.publish("spoolman.active", {"spool_id": spool_id})
        return {"spool_id": spool_id}

    async def refuse(**_: Any) -> None:
        raise Fault(503, "Spoolman is away")

    node.serve({
        "server.spoolman.post_spool_id": post, "server.spoolman.proxy": refuse, "server.spoolman.status": refuse,
        "server.spoolman.get_spool_id": refuse,
    })  # fmt: skip
    return node


async def begin(run_dir: Path, *words: str, stdout: int = PIPE, stdin: int = DEVNULL, no_color: str = "") -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bus", *words, cwd=CHECKOUT, stdin=stdin, stdout=stdout, stderr=PIPE,
        env={**os.environ, "MOONBUS_RUN": str(run_dir), "NO_COLOR": no_color},
    )  # fmt: skip


async def finished(process: Process, stdin: bytes | None = None) -> tuple[int, str, str]:
    out, err = await process.communicate(stdin)
    assert process.returncode is not None and b"Traceback" not in err
    return process.returncode, out.decode() if out else "", err.decode()


async def bus_command(bus: Bus, *words: str) -> tuple[int, str, str]:
    return await finished(await begin(bus.run_dir.path, *words))


@asynccontextmanager
async def tapping(bus: Bus, *words: str) -> AsyncIterator[tuple[Process, Callable[[], Awaitable[Any]]]]:
    """A tap into a pipe, and a function for its next line; interrupted at the end."""
    process = await begin(bus.run_dir.path, "tap", *words)
    assert process.stdout is not None
    read = process.stdout.readline

    async def line() -> Any:
        return json.loads(await read())

    yield process, line
    process.send_signal(signal.SIGINT)
    code, _, err = await finished(process)
    assert (code, err) == (0, "")


def test_the_tap_shows_retained_state_then_live_traffic() -> None:
    async def scenario(bus: Bus) -> None:
        node = spoolman(bus)
        node.publish("spoolman.active", {"spool_id": 1})
        async with tapping(bus, "spoolman.*") as (_, line):
            first = await line()
            assert set(first) == {"topic", "at", "number", "full", "value"}
            assert (first["topic"], first["number"], first["value"]) == ("spoolman.active", 1, {"spool_id": 1})
            node.publish("spoolman.link", {"spoolman_connected": True})
            node.publish("spoolman.active", {"spool_id": None})
            assert [(await line())["topic"] for _ in range(2)] == ["spoolman.link", "spoolman.active"]

    run(scenario)


def test_the_tap_waits_for_services_and_hears_each_life_of_them() -> None:
    async def scenario(bus: Bus) -> None:
        async with tapping(bus, "spoolman.active") as (_, line):
            for spool_id in (1, 2):
                node = spoolman(bus)
                node.publish("spoolman.active", {"spool_id": spool_id})
                assert (await line())["value"] == {"spool_id": spool_id}
                await node.close()

    run(scenario)


def test_the_tap_shows_mirrors_whole_first_and_heartbeats_when_asked() -> None:
    async def scenario(bus: Bus) -> None:
        bridge = bus.node("klipper_bridge")
        bridge.mirror("printer.objects", lambda: {"eventtime": 1.0, "status": {"fan": {}}, "covers": {"fan": None}})
        async with tapping(bus, "printer.*") as (_, line):
            assert (await line())["full"]
            bridge.publish("printer.objects", {"eventtime": 2.0, "status": {"fan": {"speed": 1.0}}})
            change = await line()
            assert not change["full"] and change["value"]["eventtime"] == 2.0
        async with tapping(bus, "*.heartbeat") as (_, line):
            assert (await line())["value"]["pid"] == os.getpid()

    run(scenario)


def test_the_tap_shows_requests_with_their_outcome() -> None:
    async def scenario(bus: Bus) -> None:
        node = spoolman(bus)
        async with tapping(bus, "spoolman.active", "--requests") as (_, line):
            await eventually(lambda: node.listeners("spoolman_sync.trace"))
            gateway = bus.node("gateway")
            await gateway.call("server.spoolman.post_spool_id", {"spool_id": 3})
            heard = {m["topic"]: m["value"] for m in [await line(), await line()]}
            assert heard["spoolman.active"] == {"spool_id": 3}
            trace = heard["spoolman_sync.trace"]
            assert (trace["method"], trace["caller"], trace["outcome"]) == (
                "server.spoolman.post_spool_id",
                "gateway",
                "ok",
            )
            assert trace["duration_ms"] >= 0

    run(scenario)


def test_the_tap_ends_with_the_reader_of_its_pipe() -> None:
    async def scenario(bus: Bus) -> None:
        reader, writer = os.pipe()
        process = await begin(bus.run_dir.path, "tap", stdout=writer)
        os.close(writer)
        os.close(reader)
        assert await finished(process) == (0, "", "")

    run(scenario)


def test_the_tap_on_a_terminal_is_coloured_unless_told_otherwise() -> None:
    async def shown(bus: Bus, no_color: str) -> str:
        terminal, side = os.openpty()
        process = await begin(bus.run_dir.path, "tap", "spoolman.active", stdout=side, no_color=no_color)
        os.close(side)
        text = await asyncio.to_thread(os.read, terminal, 1000)
        process.send_signal(signal.SIGINT)
        assert (await finished(process))[0] == 0
        os.close(terminal)
        return text.decode()

    async def scenario(bus: Bus) -> None:
        spoolman(bus).publish("spoolman.active", {"spool_id": 1})
        assert "\033[32mspoolman.active\033[0m" in await shown(bus, "")
        plain = await shown(bus, "1")
        assert "\033" not in plain and 'spoolman.active #1 {"spool_id":1}' in plain

    run(scenario)


def test_calls_and_their_failures() -> None:
    async def scenario(bus: Bus) -> None:
        spoolman(bus)
        assert await bus_command(bus, "call", "spoolman_sync.ping") == (0, '"pong"\n', "")
        code, out, _ = await bus_command(bus, "call", "server.spoolman.post_spool_id", "spool_id=5")
        assert code == 0 and json.loads(out) == {"spool_id": 5}
        piped = await begin(bus.run_dir.path, "call", "server.spoolman.post_spool_id", "-", stdin=PIPE)
        code, out, _ = await finished(piped, b'{"spool_id": 6}')
        assert code == 0 and json.loads(out) == {"spool_id": 6}
        for words, said in (
            (("server.spoolman.post_spool_id", "spool_id=x"), "400 Invalid argument spool_id: expected an integer"),
            (("server.spoolman.status",), "503 Spoolman is away"),
            (("notifier.ping",), "503 notifier is not running"),
            (("no.such",), "404 Method not found: no.such"),
        ):
            code, out, err = await bus_command(bus, "call", *words)
            assert (code, out) == (1, "") and err.startswith(said)
        code, _, err = await bus_command(bus, "call", "spoolman_sync.ping", "oops")
        assert code == 2 and "KEY=VALUE" in err

    run(scenario)


def test_services_tells_who_is_up() -> None:
    async def scenario(bus: Bus) -> None:
        bus.node("notifier")
        code, out, _ = await bus_command(bus, "services")
        states = {line.split()[0]: line.split()[1:3] for line in out.splitlines()[1:]}
        assert code == 0 and set(states) == set(SERVICES)
        assert states["notifier"] == ["up", str(os.getpid())] and states["gateway"] == ["down", "-"]

    run(scenario)


def test_tables_and_pages_need_no_bus() -> None:
    async def scenario(bus: Bus) -> None:
        for words, said in (
            (("topics",), "printer.objects"), (("api",), "server.spoolman.proxy"), (("docs", "--check"), ""),
        ):  # fmt: skip
            code, out, err = await finished(await begin(bus.data / "nowhere", *words))
            assert code == 0 and said in out and err == ""

    run(scenario)


def test_what_cannot_be_done_is_said_in_a_sentence() -> None:
    async def scenario(bus: Bus) -> None:
        nowhere = bus.data / "nowhere"
        for words in (("tap",), ("services",), ("call", "notifier.ping")):
            code, _, err = await finished(await begin(nowhere, *words))
            assert code == 1 and f"the run directory {nowhere} does not exist" in err and not nowhere.exists()
        code, _, err = await bus_command(bus, "tap", "nothing.*")
        assert code == 1 and "no topic is called 'nothing.*'" in err

    run(scenario)
