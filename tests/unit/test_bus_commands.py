"""What the command line shows and what it makes of its words; without a bus."""

import io
from types import SimpleNamespace

import orjson
import pytest

from bus.api import METHODS
from bus.commands import api, call, services, tap
from bus.commands.table import table
from bus.envelope import Message
from bus.topics import TOPICS


def message(topic: str, value: object) -> Message:
    return Message(topic, 1, 7, 1_700_000_000.25, orjson.dumps(value))


def plain(text: str, _: int) -> str:
    return text


def test_a_pattern_chooses_topics() -> None:
    everything = tap.chosen("*", requests=False)
    assert set(TOPICS) - set(everything) == {n for n in TOPICS if n.endswith((".heartbeat", ".trace"))}
    assert tap.chosen("spoolman.*", requests=False) == [
        "spoolman.active",
        "spoolman.ledger",
        "spoolman.link",
        "spoolman.status",
    ]
    assert "spoolman_sync.trace" in tap.chosen("spoolman.*", requests=True)
    assert not any(n.startswith("notifier") for n in tap.chosen("spoolman.*", requests=True))
    assert tap.chosen("*.heartbeat", requests=False) == sorted(n for n in TOPICS if n.endswith(".heartbeat"))
    assert tap.chosen("nothing.*", requests=True) == []


def test_a_message_as_json_and_as_a_line() -> None:
    heard = message("spoolman.active", {"spool_id": 5})
    assert orjson.loads(tap.as_json(heard)) == {
        "topic": "spoolman.active", "at": 1_700_000_000.25, "number": 7, "full": False, "value": {"spool_id": 5},
    }  # fmt: skip
    line = tap.as_line(heard, plain)
    assert line.endswith('.250 spoolman.active #7 {"spool_id":5}')
    assert "\033[32mspoolman.active" in tap.as_line(heard, lambda text, code: f"\033[{code}m{text}")
    assert len(tap.as_line(message("printer.gcode", {"response": "x" * 9999}), plain)) < tap.WIDEST + 60


def test_a_request_as_a_line() -> None:
    trace = {"method": "server.info", "caller": "gateway", "duration_ms": 1.25, "outcome": "503 away"}
    line = tap.as_line(message("klipper_bridge.trace", trace), plain)
    assert line.endswith("server.info gateway → klipper_bridge 1.2 ms 503 away")


def test_words_become_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["id=5", "name=phone", "a=b=c", "none=null", 'objects={"fan": null}', "empty="]
    expected = {"id": 5, "name": "phone", "a": "b=c", "none": None, "objects": {"fan": None}, "empty": ""}
    assert call.read_params(words) == expected
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b'{"id": 5, "x": "y"}')))
    assert call.read_params(["-", "id=6"]) == {"id": 6, "x": "y"}


@pytest.mark.parametrize(("words", "stdin", "said"), [
    (["5"], b"", "KEY=VALUE"), (["=5"], b"", "KEY=VALUE"), (["-"], b"[1]", "JSON object"), (["-"], b"{", "not JSON"),
])  # fmt: skip
def test_wrong_words_are_told(words: list[str], stdin: bytes, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(stdin)))
    with pytest.raises(ValueError, match=said):
        call.read_params(words)


def test_columns_and_durations() -> None:
    assert table(("A", "B"), [("long one", "x"), ("y", "")]) == "A         B\nlong one  x\ny"
    spoken = ["0 s", "59 s", "3 min", "5 h 12 min", "2 d 4 h"]
    assert [services.duration(s) for s in (0.2, 59.4, 200.0, 18_725.0, 187_300.0)] == spoken


def test_optional_parameters_stand_in_brackets() -> None:
    assert api.parameters(METHODS["octoprint.select"]) == "[root] path command [print]"
