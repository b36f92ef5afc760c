"""Published values and the notifications clients know them by."""

import orjson

from bus.topics import TOPICS
from services.gateway.notifications import Announcer, announced


def said(frame: bytes | None) -> tuple[str, object] | None:
    if frame is None:
        return None
    message = orjson.loads(frame)
    assert message.pop("jsonrpc") == "2.0" and "id" not in message
    return message["method"], message.get("params", "no params key")


def test_every_topic_with_a_notification_has_a_way_to_clients() -> None:
    others = {"printer.state", "printer.objects"}
    assert set(announced()) | others == {name for name, topic in TOPICS.items() if topic.notification}


def test_a_state_is_announced_when_it_changed() -> None:
    announcer = Announcer()
    bodies = [b'{"spool_id":1}', b'{"spool_id":1}', b'{"spool_id":null}', b'{"spool_id":1}']
    frames = [said(announcer.frame("spoolman.active", body)) for body in bodies]
    spool = "notify_active_spool_set"
    assert frames == [(spool, [{"spool_id": 1}]), None, (spool, [{"spool_id": None}]), (spool, [{"spool_id": 1}])]


def test_an_event_is_announced_each_time() -> None:
    announcer = Announcer()
    for _ in range(2):
        assert said(announcer.frame("printer.gcode", b'{"response":"// hello"}')) == (
            "notify_gcode_response",
            ["// hello"],
        )
        assert said(announcer.frame("files.changed", b'{"action":"create_file"}')) == (
            "notify_filelist_changed",
            [{"action": "create_file"}],
        )


def test_klippers_state_is_announced_without_params_when_it_becomes_another() -> None:
    announcer = Announcer()
    states = ["disconnected", "startup", "ready", "ready", "shutdown", "disconnected", "startup", "error", "ready"]
    frames = [said(announcer.printer_state(state)) for state in states]
    assert [frame[0] if frame else None for frame in frames] == [
        None, None, "notify_klippy_ready", None, "notify_klippy_shutdown", "notify_klippy_disconnected", None, None,
        "notify_klippy_ready",
    ]  # fmt: skip
    assert all(frame[1] == "no params key" for frame in frames if frame)
