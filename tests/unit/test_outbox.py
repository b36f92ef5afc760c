"""The publisher's memory."""

import orjson
import pytest

from bus.envelope import read_message, read_reply, read_request
from bus.outbox import Outbox


def test_only_states_and_mirrors_are_kept_and_numbers_count_per_topic() -> None:
    outbox = Outbox("klipper_bridge", epoch=7)
    outbox.mirror("printer.objects", lambda: {"status": {"fan": {}}})
    outbox.publish("printer.gcode", {"response": "ok"}, 1.0)
    outbox.publish("printer.state", {"state": "startup"}, 2.0)
    second = outbox.publish("printer.state", {"state": "ready"}, 3.0)
    assert (second.epoch, second.number, second.at) == (7, 2, 3.0)
    kept = outbox.retained(b"", 4.0)
    assert [(m.topic, m.number, m.full) for m in kept] == [("printer.state", 2, False), ("printer.objects", 0, True)]
    assert kept[0].value == {"state": "ready"}
    assert outbox.full_copy("printer.objects", 5.0).number == 1


def test_a_state_said_before_is_no_news() -> None:
    outbox = Outbox("klipper_bridge", epoch=7)
    assert outbox.publish_news("printer.state", {"state": "ready"}, 1.0) is not None
    assert outbox.publish_news("printer.state", {"state": "ready"}, 2.0) is None
    assert outbox.publish_news("printer.state", {"state": "error"}, 3.0) is not None
    assert outbox.publish_news("printer.gcode", {"response": "ok"}, 1.0) is not None
    assert outbox.publish_news("printer.gcode", {"response": "ok"}, 2.0) is not None


def test_a_prefix_ends_with_the_name() -> None:
    outbox = Outbox("spoolman_sync", 1)
    outbox.publish("spoolman.status", {}, 0.0)
    assert outbox.retained(b"spoolman.stat\0", 0.0) == []
    assert len(outbox.retained(b"spoolman.stat", 0.0)) == 1
    assert len(outbox.retained(b"spoolman.status\0", 0.0)) == 1


@pytest.mark.parametrize("topic", ["spoolman.active", "printer.statement", "gateway.wants"])
def test_a_topic_of_somebody_else_is_a_bug(topic: str) -> None:
    with pytest.raises(ValueError, match=topic):
        Outbox("klipper_bridge", 1).publish(topic, {}, 0.0)


def test_what_is_sent_is_what_is_read() -> None:
    sent = Outbox("notifier", 3).publish("notifier.list", {"notifiers": ["ü"]}, 1.5)
    assert read_message(sent.frames()) == sent


@pytest.mark.parametrize(
    "frames", [[], [b"a"], [b"a\0", b"{}", b""], [b"\xff\0", b"{", b""], [b"a", orjson.dumps([]), b""]]
)
def test_foreign_frames_are_told_apart(frames: list[bytes]) -> None:
    for read in (read_message, read_request, read_reply):
        with pytest.raises(ValueError, match="not a"):
            read(frames)
