"""Nodes on a real ZeroMQ bus: late joiners, mirrors, journals, calls, deaths."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bus.errors import Fault
from bus.journal import Cursor, Entry, Journal
from bus.mirror import Mirror
from bus.node import Node
from bus.testing import Bus, eventually, private_bus


def run(scenario: Callable[[Bus], Awaitable[None]]) -> None:
    async def main() -> None:
        with tempfile.TemporaryDirectory(prefix="mb") as folder:
            async with private_bus(Path(folder)) as bus:
                await scenario(bus)

    asyncio.run(main())


def void(_: object) -> None:
    """Drops a value."""


def spoolman(bus: Bus, released: asyncio.Event | None = None) -> Node:
    """An owner with the four handlers its rows ask for. One of them hangs, until `released`."""
    node = bus.node("spoolman_sync")

    async def post(spool_id: int | None) -> dict[str, Any]:
        node.publish("spoolman.active", {"spool_id": spool_id})
        return {"spool_id": spool_id}

    async def proxy(**params: Any) -> Any:
        if params["path"] == "/v1/hang":
            await (released or asyncio.Event()).wait()
        raise Fault(404, "No spool with ID 9 found.")

    async def active() -> Any:
        return None

    node.serve(
        {
            "server.spoolman.post_spool_id": post,
            "server.spoolman.proxy": proxy,
            "server.spoolman.status": active,
            "server.spoolman.get_spool_id": active,
        }
    )
    return node


def test_a_late_subscriber_gets_the_retained_value_once() -> None:
    async def scenario(bus: Bus) -> None:
        owner = bus.node("spoolman_sync")
        owner.publish("spoolman.active", {"spool_id": 1})
        first, second = bus.node("gateway"), bus.node("notifier")
        heard: dict[str, list[Any]] = {"gateway": [], "notifier": []}
        first.subscribe("spoolman.active", lambda m: heard["gateway"].append(m.value))
        await eventually(lambda: heard["gateway"])
        second.subscribe("spoolman.active", lambda m: heard["notifier"].append(m.value))
        await eventually(lambda: heard["notifier"])
        owner.publish("spoolman.active", {"spool_id": 1})
        owner.publish("spoolman.active", {"spool_id": 2})
        await eventually(lambda: len(heard["gateway"]) == 2 and len(heard["notifier"]) == 2)
        assert heard["gateway"] == heard["notifier"] == [{"spool_id": 1}, {"spool_id": 2}]

    run(scenario)


def test_a_client_that_waits_for_what_it_caused_reads_its_own_write() -> None:
    async def scenario(bus: Bus) -> None:
        spoolman(bus)
        gateway = bus.node("gateway")
        seen: list[Any] = []
        gateway.subscribe("spoolman.active", lambda m: seen.append(m.value))
        for spool_id in range(1, 30):
            reply = await gateway.ask("server.spoolman.post_spool_id", {"spool_id": str(spool_id)})
            await gateway.arrival(reply.caused)
            assert seen[-1] == {"spool_id": spool_id}

    run(scenario)


def test_calls_fail_with_whose_fault_it_is() -> None:
    async def scenario(bus: Bus) -> None:
        owner, gateway = spoolman(bus), bus.node("gateway")
        for params, code in (({"spool_id": "x"}, 400), ({"spool_id": 0}, 400)):
            with pytest.raises(Fault) as bad:
                await gateway.call("server.spoolman.post_spool_id", params)
            assert bad.value.code == code and "spool_id" in bad.value.message
        with pytest.raises(Fault) as missing:
            await gateway.call("server.spoolman.proxy", {"request_method": "GET", "path": "/v1/spool/9"})
        assert (missing.value.code, missing.value.message) == (404, "No spool with ID 9 found.")
        hang = {"request_method": "GET", "path": "/v1/hang"}
        with pytest.raises(Fault) as late:
            await gateway.call("server.spoolman.proxy", hang, deadline_s=0.05)
        assert late.value.code == 504
        call = asyncio.create_task(gateway.call("server.spoolman.proxy", hang))
        await eventually(lambda: owner.dispatch.under_way == 1)
        await owner.close()
        with pytest.raises(Fault) as died:
            await call
        assert died.value.code == 503
        with pytest.raises(Fault) as away:
            await gateway.call("spoolman_sync.ping")
        assert away.value.code == 503
        spoolman(bus)
        await eventually(gateway.calls.link("spoolman_sync").connected.is_set)
        assert await gateway.call("spoolman_sync.ping") == "pong"

    run(scenario)


def test_what_is_answered_when_the_owner_ends_is_not_told_of_what_it_takes_down() -> None:
    async def scenario(bus: Bus) -> None:
        taken_down = asyncio.Event()

        async def take_down() -> None:
            taken_down.set()
            await asyncio.sleep(0.01)

        owner, gateway = spoolman(bus, taken_down), bus.node("gateway")
        owner.stack.push_async_callback(take_down)
        hang = {"request_method": "POST", "path": "/v1/hang"}
        call = asyncio.create_task(gateway.call("server.spoolman.proxy", hang))
        await eventually(lambda: owner.dispatch.under_way == 1)
        await owner.close()
        with pytest.raises(Fault, match="stopped before it answered"):
            await call

    run(scenario)


def test_a_mirror_is_in_step_over_a_restart_of_its_owner() -> None:
    async def scenario(bus: Bus) -> None:
        objects: dict[str, dict[str, Any]] = {"toolhead": {"e": 1}}

        def owner() -> Node:
            node = bus.node("klipper_bridge")
            node.mirror("printer.objects", lambda: {"eventtime": 1.0, "status": objects, "covers": {"toolhead": None}})
            return node

        first, gateway, mirror = owner(), bus.node("gateway"), Mirror()
        gateway.subscribe("printer.objects", lambda m: void(mirror.apply(m)))
        await eventually(lambda: mirror.status == {"toolhead": {"e": 1}})
        first.publish("printer.objects", {"eventtime": 2.0, "status": {"toolhead": {"e": 2}}})
        await eventually(lambda: mirror.status == {"toolhead": {"e": 2}})
        assert mirror.covered({"toolhead": ["e"]}) and not mirror.covered({"fan": None})
        await first.close()
        objects["toolhead"] = {"e": 3}
        owner()
        await eventually(lambda: mirror.status == {"toolhead": {"e": 3}})

    run(scenario)


def test_a_journal_reaches_a_follower_that_was_away_and_in_order() -> None:
    async def scenario(bus: Bus) -> None:
        def owner() -> Node:
            node = bus.node("klipper_bridge")
            node.journal = Journal(bus.data / "bridge.sqlite")
            node.stack.callback(node.journal.connection.close)
            return node

        first = owner()
        for number in range(3):
            first.append("printer.jobs", {"event": number})
        follower = bus.node("notifier")
        handled: list[Entry] = []

        async def handle(entry: Entry) -> None:
            handled.append(entry)

        follower.follow("printer.jobs", Cursor(), handle)
        await eventually(lambda: len(handled) == 3)
        await first.close()
        second = owner()
        second.append("printer.remote_calls", {"method": "notify"})
        second.append("printer.jobs", {"event": 3})
        await eventually(lambda: len(handled) == 4)
        assert [entry.value["event"] for entry in handled] == [0, 1, 2, 3]
        await follower.close()
        again: list[Any] = []

        async def take(entry: Entry) -> None:
            again.append(entry.value["event"])

        bus.node("notifier").follow("printer.jobs", handled[1].position, take)
        await eventually(lambda: again == [2, 3])

    run(scenario)


def test_a_name_is_held_by_one_process() -> None:
    async def scenario(bus: Bus) -> None:
        first = bus.node("notifier")
        with pytest.raises(BlockingIOError):
            Node("notifier", bus._context, bus.run_dir, first.config, bus.data).start()

    run(scenario)
