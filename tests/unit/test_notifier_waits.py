"""Retry-After, the snapshots shared by an event's pushes, and the report for people."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.core import Outcome, Push
from services.notifier.patience import read_retry_after
from services.notifier.report import Report
from services.notifier.snapshots import clear, fetched_once, folder_of


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("Thu, 01 Jan 1970 00:20:00 GMT", 200.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
    ],
)
def test_how_long_a_service_wants_to_be_left_alone(text: str, expected_s: float) -> None:
    assert read_retry_after(text, 1000.0) == expected_s


@given(st.text(max_size=40))
def test_no_header_breaks_a_send(text: str) -> None:
    assert read_retry_after(text, 1000.0) >= 0.0


class Picture:
    """Stands for Apprise's attachment: its content is in a temporary file that is moved away."""

    name, mimetype = "snapshot.jpg", "image/jpeg"

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "download")
        Path(self.path).write_bytes(b"picture")


def test_a_picture_is_fetched_once_for_an_event(tmp_path: Path) -> None:
    fetches: list[str] = []

    def fetch(url: str) -> Picture:
        fetches.append(url)
        return Picture(tmp_path)

    def fetched(url: str) -> Any:
        return fetched_once(url, tmp_path / "event", fetch, lambda path, *about: (Path(path).read_bytes(), *about))

    assert (
        fetched("http://u:secret@h/a") == fetched("http://u:secret@h/a") == (b"picture", "snapshot.jpg", "image/jpeg")
    )
    assert fetched("http://h/b")[0] == b"picture" and fetches == ["http://u:secret@h/a", "http://h/b"]
    assert "secret" not in "".join(path.name for path in (tmp_path / "event").iterdir())


def test_a_fetch_that_failed_is_not_repeated(tmp_path: Path) -> None:
    fetches: list[str] = []
    for _ in range(2):
        assert fetched_once("http://h/", tmp_path, fetches.append, lambda *_: "found") is None
    assert len(fetches) == 1


def push(number: int, at: float, event: str = "started") -> Push:
    return Push(number, "phone", 0, event, at, 0.0, {})


def test_pictures_go_with_the_last_push_of_their_event(tmp_path: Path) -> None:
    pushes = [push(1, 10.0), push(2, 10.0), push(3, 11.0)]
    for one in pushes:
        folder_of(tmp_path, one).mkdir(exist_ok=True)
    assert len(list(tmp_path.iterdir())) == 2
    clear(tmp_path, pushes[1:])
    assert len(list(tmp_path.iterdir())) == 2
    clear(tmp_path, pushes[2:])
    assert [path.name for path in tmp_path.iterdir()] == ["11.000000-started"]
    clear(tmp_path / "none", [])


def test_what_people_see_of_a_notifier() -> None:
    dead = [push(9, 5.0, "error")]
    dead[0].error = "given up"
    report = Report(["phone", "idle"], {"phone": 50.0}, dead)
    waiting = [push(1, 10.0), push(2, 10.0)]
    waiting[0].state, waiting[0].due = "retry", 30.0
    report.take(waiting[0], Outcome("failed", "500"), 60.0)
    phone, idle = report.status(waiting, wall_at_boot=1000.0)["notifiers"]
    assert phone == {
        "name": "phone", "queued": 2, "sending": 0, "last_delivery": 50.0,
        "last_error": {"at": 60.0, "event": "started", "message": "500"}, "next_try": 1030,
        "dead_letters": [{"id": 9, "event": "error", "at": 5.0, "error": "given up"}],
    }  # fmt: skip
    assert idle == {"name": "idle", "queued": 0, "sending": 0, "last_delivery": None, "last_error": None,
                    "next_try": None, "dead_letters": []}  # fmt: skip
    report.take(waiting[0], Outcome("sent", ""), 70.0)
    assert report.status([], 0.0)["notifiers"][0]["last_delivery"] == 70.0
