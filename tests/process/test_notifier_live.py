"""Real pushes through Apprise: recorded events, hanging targets, retries, attachments, bad configuration."""

import json
import logging
import re
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from bus.errors import Fault
from bus.rundir import CHECKOUT
from bus.testing import eventually
from services.notifier import core
from tests.process.notifier_world import FOREVER, STATS, World, run

GOLDEN = CHECKOUT / "tests" / "golden"
EVERY = re.compile(
    r"event=(?P<event>.*) message=\nprev=(?P<prev>\w+) new=(?P<new>\w+)\n"
    r"file=(?P<file>.*) used=(?P<used>[\d.]+)\ntotal=(?P<total>[\d.]+) msg=(?P<msg>.*)"
)


def golden(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (GOLDEN / name).read_text().splitlines()]


def recorded_config() -> str:
    """The recorded notifiers as configuration, with the attachments that were seen."""
    sections = []
    for row in golden("notifiers_list_noattach.jsonl")[0]["response"]["body"]["result"]["notifiers"]:
        lines = [f"[notifier {row['name']}]", f"events: {', '.join(row['events'])}"]
        lines += [
            f"{part}: {row[part]}".replace("\n", "\n    ") for part in ("title", "body", "body_format") if row[part]
        ]
        lines.append("url: " + re.sub(r"json://127.0.0.1:\{?7950\}?", "SINK", row["url"]))
        if row["name"] in ("print_error", "print_complete"):
            lines.append("attach: HTTP/snapshot.jpg")
        sections.append("\n".join(lines))
    return "\n".join(sections)


def test_recorded_events_make_the_recorded_pushes() -> None:
    async def scenario(world: World) -> None:
        await world.notifier(recorded_config())
        compared = 0
        for step in golden("notifier.jsonl"):
            recorded = {p["path"]: p["body"] for p in step["sink"] if p["method"] == "POST"}
            world.sink.pushes.clear()
            if "/every" in recorded:
                told = EVERY.fullmatch(recorded["/every"]["message"])
                assert told is not None
                before = {**STATS, "state": told["prev"]}
                after = {"filename": told["file"], "state": told["new"], "message": told["msg"],
                         "filament_used": float(told["used"]), "total_duration": float(told["total"])}  # fmt: skip
                value = {"event": told["event"], "previous": before, "current": after, "message": ""}
                world.bridge.append("printer.jobs", value)
            elif step["id"] == "standby":
                world.job("standby")
            elif "no body configured" in step["id"]:
                world.macro(name="bare", message="x")
            for path in recorded:
                await world.arrived(path)
            await eventually(lambda: not world.outbox["pending"])
            got = {push.path: push.body for push in world.sink.pushes if push.method == "POST"}
            for body in (*got.values(), *recorded.values()):
                for attachment in body["attachments"]:
                    del attachment["base64"]
            assert got == recorded, step["id"]
            compared += len(recorded)
        assert compared == 29

    run(scenario)


def test_the_list_shows_what_is_configured() -> None:
    async def scenario(world: World) -> None:
        text = recorded_config().replace("attach: HTTP/snapshot.jpg", "").replace("SINK", "json://127.0.0.1:7950")
        await world.notifier(text.replace("7950/tpl", "{7950}/tpl"))
        for answer in golden("notifiers_list_noattach.jsonl"):
            expected = answer["response"]["body"]["result"]
            assert await world.gateway.call("server.notifiers.list") == expected

    run(scenario)


def test_one_target_that_hangs_delays_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World) -> None:
        monkeypatch.setattr(core, "RETRY_AFTER_S", (600.0,))
        world.sink.modes["/hangs"] = "hang"
        await world.notifier(
            "[notifier first]\nurl: SINK/hangs?rto=0.3, SINK/other\nevents: *\n[notifier second]\nurl: SINK/second\nevents: *\n"
        )
        for event in ("started", "complete"):
            world.job(event)
        for path in ("/other", "/second"):
            assert [p.message for p in await world.arrived(path, 2)] == ["started", "complete"]
        waiting = [(0, "started"), (0, "complete")]
        await eventually(lambda: [(p["target"], p["event"]) for p in world.outbox["pending"]] == waiting)
        assert [p.message for p in world.posts("/hangs")] == ["started"], "the next of its line waits"
        await eventually(lambda: world.outbox["pending"][0]["state"] == "retry")
        assert "Connection error" in world.outbox["pending"][0]["error"]

    run(scenario)


def test_what_fails_is_tried_again_and_told_when_late(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World) -> None:
        monkeypatch.setattr(core, "RETRY_AFTER_S", (0.05,))
        world.sink.modes["/phone"] = "error"
        await world.notifier(
            "[notifier phone]\nurl: SINK/phone\nevents: *\nbody: {event_name} of {event_args[1].filename}\n"
            "attach: HTTP/a.jpg\n"
        )
        world.job("started")
        await world.arrived("/phone", 2)
        world.sink.modes["/phone"] = "cut"
        seen = len(world.posts("/phone"))
        await world.arrived("/phone", seen + 2)
        world.sink.modes.clear()
        await eventually(lambda: not world.outbox["pending"])
        pushes = world.posts("/phone")
        assert [len(p.body["attachments"]) for p in pushes[:2]] == [1, 1]
        expected = "started of a.gcode\n(attachment left out: the message did not get through with it)"
        assert pushes[-1].message == expected and pushes[-1].mode == "ok"
        assert world.outbox["failed"] == []

    run(scenario)


def test_late_is_sent_and_told_stale_is_dropped_and_listed() -> None:
    async def scenario(world: World) -> None:
        config = "[notifier phone]\nurl: SINK/phone\nevents: *\nbody: {event_name}\n"
        await (await world.notifier(config)).close()
        now = time.time()
        database = world.bus.data / "moonbus" / "notifier.sqlite"
        set_known_since(database, now - 86400)
        world.job("error", at=now - 7 * 3600)
        world.job("started", at=now - 12 * 60)
        await world.notifier(config)
        assert (await world.arrived("/phone"))[0].message == "started\n(12 minutes late)"
        await eventually(lambda: not world.outbox["pending"])
        assert [(p["event"], p["error"]) for p in world.outbox["failed"]] == [
            ("error", "given up after 6 h: never sent")
        ]
        assert len(world.posts("/phone")) == 1

    run(scenario)


def set_known_since(database: Path, at: float) -> None:
    connection = sqlite3.connect(database)
    with connection:
        connection.execute("UPDATE known SET since = ?", (at,))
    connection.close()


def test_a_notifier_new_in_the_configuration_is_not_told_of_the_past() -> None:
    async def scenario(world: World) -> None:
        old = "[notifier old]\nurl: SINK/old\nevents: *\n"
        await (await world.notifier(old)).close()
        world.job("started")
        await world.notifier(old + "[notifier new]\nurl: SINK/new\nevents: *\n")
        await world.arrived("/old")
        world.job("complete")
        await world.arrived("/new")
        assert [p.message for p in world.posts("/new")] == ["complete"]
        assert [p.message for p in await world.arrived("/old", 2)] == ["started", "complete"]

    run(scenario)


def test_bad_sections_and_templates_cost_themselves_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(world: World) -> None:
        (world.bus.data / "moonraker.secrets").write_text('{"t": {"token": "s3cr3t-t0ken"}}')
        component: list[Any] = []
        world.gateway.subscribe("notifier.component", lambda message: component.append(message.value))
        await world.notifier(
            "[notifier nowhere]\nevents: *\n"
            "[notifier bad]\nurl: SINK/bad\nevents: *\nbody: {[][secrets.t.token].x}\n"
            "[notifier alien]\nurl: nosuch://{secrets.t.token}/x\nevents: *\n"
            "[notifier good]\nurl: SINK/good?+X-Token={secrets.t.token}\nevents: *\nbody: {secrets.t.token}\n"
        )
        world.job("started")
        (push,) = await world.arrived("/good")
        assert push.message == push.headers["X-Token"] == "s3cr3t-t0ken"
        await eventually(lambda: len(world.outbox["failed"]) == 2)
        failed = {p["notifier"]: p["error"] for p in world.outbox["failed"]}
        assert failed["bad"].startswith("the template of body failed")
        assert "nosuch" in failed["alien"]
        (value,) = component
        assert (value["components"], value["failed"]) == (["notifier"], ["notifier nowhere"])
        assert value["warnings"] == ["notifier.conf:1: [notifier nowhere] url: this option is required"]
        for name in ("bad", "alien"):
            with pytest.raises(Fault) as fault:
                await world.test(name)
            assert fault.value.code == 503 and f"Notifier '{name}'" in fault.value.message
            assert "s3cr3t-t0ken" not in fault.value.message
        assert "bad: started given up" in caplog.text
        assert "s3cr3t-t0ken" not in caplog.text + str(world.outbox)

    with caplog.at_level(logging.INFO):
        run(scenario)


def test_macros_reach_the_notifier_they_name(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(world: World) -> None:
        await world.notifier("[notifier words]\nurl: SINK/words\nevents: gcode\nbody: {event_message}\n")
        world.job("started")
        world.macro(name="nobody", message="x")
        world.macro(name="words", message="100% \u00e4 {event_name}")
        (push,) = await world.arrived("/words")
        assert push.message == "100% \u00e4 {event_name}"
        assert "notifier 'nobody', which is not configured; there are: words" in caplog.text

    run(scenario)


def test_attachments_that_cannot_be_had_do_not_hold_the_push() -> None:
    async def scenario(world: World) -> None:
        (world.bus.data / "a b%20?.txt").write_text("hello")
        await world.notifier(
            "[notifier phone]\nurl: SINK/phone\nevents: *\nbody:\nattach:\n    a b%20?.txt\n    nosuch.png\n"
            "    /etc/passwd\n    HTTP/s.jpg\n    HTTP/hangs.jpg?rto=0.3\n    http://127.0.0.1:9/refused.jpg\n"
        )
        world.sink.modes["/hangs.jpg"] = "hang"
        world.job("complete")
        (push,) = await world.arrived("/phone")
        assert [a["filename"] for a in push.body["attachments"]] == ["a b%20?.txt", "s.jpg"]
        told = push.message.splitlines()
        assert told[0] == "complete" and told.count("(attachment left out: it cannot be reached)") == 3
        assert "(attachment left out: it is neither http(s) nor below the data path)" in told

    run(scenario)


def test_the_test_call_tells_what_really_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World) -> None:
        await world.notifier(
            "[notifier phone]\nurl: SINK/one, SINK/two\nevents: complete\nbody: {event_name} {event_args[1].filename}\n"
            f"[notifier endless]\nurl: SINK/endless\nevents: *\nbody: {FOREVER}\n"
        )
        full = {"print_duration": 0.0, "total_duration": 0.0, "filament_used": 0.0, "filename": "notifier_test.gcode",
                "state": "standby", "message": "", "info": {"total_layer": None, "current_layer": None}}  # fmt: skip
        assert await world.test("phone") == {"status": "success", "stats": full}
        assert {p.path: p.message for p in world.sink.pushes} == dict.fromkeys(
            ("/one", "/two"), "complete notifier_test.gcode"
        )
        objects = {"print_stats": {"state": "printing", "filament_used": 5.5, "filename": "x.gcode"}}
        world.bridge.mirror("printer.objects", lambda: {"eventtime": 1.0, "status": objects, "covers": {}})
        world.bridge.publish_full("printer.objects")
        answer = await world.test("phone")
        assert answer["stats"] == {**full, "state": "printing", "filament_used": 5.5}
        world.sink.modes["/two"] = "error"
        for name, code, words in (("phone", 503, "500"), ("nobody", 404, "Notifier 'nobody' not found")):
            with pytest.raises(Fault) as fault:
                await world.test(name)
            assert fault.value.code == code and words in fault.value.message
        monkeypatch.setattr("services.notifier.__main__.TEST_S", 0.5)
        with pytest.raises(Fault) as endless:
            await world.test("endless")
        assert endless.value.code == 504

    run(scenario)


def test_without_a_section_nothing_is_done() -> None:
    async def scenario(world: World) -> None:
        node = await world.notifier("[server]\nport: 7125\n")
        assert await world.gateway.call("server.notifiers.list") == {"notifiers": []}
        with pytest.raises(Fault) as fault:
            await world.test("phone")
        assert fault.value.code == 404
        component = node.outbox.last("notifier.component")
        assert component is not None and component.value == {"components": [], "failed": [], "warnings": []}
        assert not list((world.bus.data / "moonbus").glob("*.sqlite*"))

    run(scenario)
