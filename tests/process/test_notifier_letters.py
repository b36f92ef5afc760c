"""What waits, what was given up and put back, and the pictures an event's pushes share."""

import logging
import time
from typing import Any

import pytest

from bus.errors import Fault
from bus.node import Node
from bus.testing import eventually
from services.notifier import core
from simulators.push_sink import RETRY_AFTER_S
from tests.process.notifier_world import World, run

PHONE = "[notifier phone]\nurl: SINK/phone\nevents: *\nbody: {event_name}\n"


def reported(node: Node, name: str = "phone") -> dict[str, Any]:
    message = node.outbox.last("notifier.status")
    rows = message.value["notifiers"] if message is not None else []
    return next((row for row in rows if row["name"] == name), {})


def test_a_dead_letter_is_listed_put_back_and_delivered_also_by_the_next_process() -> None:
    async def scenario(world: World) -> None:
        bad = PHONE.replace("{event_name}", "{nothing.at.all}")
        node = await world.notifier(bad)
        world.job("error")
        await eventually(lambda: reported(node).get("dead_letters"))
        (letter,) = reported(node)["dead_letters"]
        assert letter["event"] == "error" and letter["error"].startswith("the template of body failed")
        assert reported(node)["last_error"]["event"] == "error" and reported(node)["last_delivery"] is None
        await node.close()

        node = await world.notifier(PHONE)
        await eventually(lambda: reported(node).get("dead_letters") == [letter])
        for params, message in (({"name": "other"}, "'other' not found"), ({"id": 99}, "has the id 99")):
            with pytest.raises(Fault, match=message) as fault:
                await world.gateway.call("server.notifiers.retry", params)
            assert fault.value.code == 404
        before = time.time()
        assert await world.gateway.call("server.notifiers.retry", {"name": "phone", "id": letter["id"]}) == {
            "retried": 1
        }
        (push,) = await world.arrived("/phone")
        assert push.message == "error"
        await eventually(lambda: (reported(node)["last_delivery"] or 0) >= before)
        assert reported(node)["dead_letters"] == [] and reported(node)["queued"] == 0
        assert await world.gateway.call("server.notifiers.retry") == {"retried": 0}
        delivered = reported(node)["last_delivery"]
        await node.close()
        node = await world.notifier(PHONE)
        await eventually(lambda: reported(node).get("last_delivery") == delivered)

    run(scenario)


def test_a_service_that_asks_for_time_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World) -> None:
        monkeypatch.setattr(core, "RETRY_AFTER_S", (0.05,))
        world.sink.modes["/phone"] = "busy"
        node = await world.notifier(PHONE + "[notifier other]\nurl: SINK/other\nevents: *\n")
        before = time.time()
        world.job("started")
        await world.arrived("/other")
        await eventually(lambda: reported(node).get("next_try"))
        assert reported(node)["next_try"] >= before + RETRY_AFTER_S - 1 and reported(node)["queued"] == 1
        assert len(world.posts("/phone")) == 1

    run(scenario)


def test_the_pushes_of_an_event_share_one_picture_over_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World) -> None:
        monkeypatch.setattr(core, "RETRY_AFTER_S", (0.05,))
        world.sink.modes["/two"] = "error"
        attach = "attach: HTTP/snapshot.jpg\n"
        await world.notifier(
            f"[notifier one]\nurl: SINK/one, SINK/two\nevents: *\n{attach}[notifier three]\nurl: SINK/three\nevents: *\n{attach}"
        )
        world.job("complete")
        await world.arrived("/two", 2)
        world.sink.modes.clear()
        await eventually(lambda: not world.outbox["pending"])
        pictures = [p for path in ("/one", "/three") for p in world.posts(path)] + world.posts("/two")[:2]
        assert {(len(p.body["attachments"]), p.body["attachments"][0]["filename"]) for p in pictures} == {
            (1, "snapshot.jpg")
        }
        assert len([p for p in world.sink.pushes if p.path == "/snapshot.jpg"]) == 1
        await eventually(lambda: not list((world.bus.data / "moonbus" / "snapshots").glob("*")))
        world.job("started")
        await world.arrived("/three", 2)
        assert len([p for p in world.sink.pushes if p.path == "/snapshot.jpg"]) == 2

    run(scenario)


def test_ttl_is_per_notifier_and_a_bad_one_is_named(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(world: World) -> None:
        await world.notifier(
            PHONE + "ttl: 1d\n[notifier short]\nurl: SINK/short\nevents: *\nttl: 10m\n"
            "[notifier bad]\nurl: SINK/bad\nevents: *\nttl: soon\n"
        )
        database = world.bus.data / "moonbus" / "notifier.sqlite"
        assert database.exists() and "[notifier bad] ttl: expected a duration like 90s, 30m, 6h or 1d" in caplog.text
        component = world.bus.nodes[-1].outbox.last("notifier.component")
        assert component is not None and component.value["failed"] == ["notifier bad"]

    with caplog.at_level(logging.WARNING):
        run(scenario)
