"""Templates to messages, and which attachments may leave the house."""

from pathlib import Path
from typing import Any

import pytest

from services.notifier.compose import CannotCompose, attachment_at, compose

DATA = Path("/home/pi/printer_data")
SECRETS = {"telegram": {"token": "t0ken"}}
STATS = {"filename": "a <b>.gcode", "message": "oops"}
CONTEXT = {"event_name": "error", "event_args": [STATS, STATS], "event_message": ""}


def job(**parts: Any) -> dict[str, Any]:
    return {"url": "json://h", "title": None, "body": None, "attach": None, "notes": [], "context": CONTEXT, **parts}


def test_without_body_and_title_the_event_is_the_message() -> None:
    assert compose(job(), {}, DATA) == ("json://h", "", "error", (), ())


def test_all_parts_are_templates() -> None:
    message = compose(
        job(
            url="tgram://{secrets.telegram.token}/1",
            title="{event_name|upper}",
            body="\n{% set seen = 1 %}{% do seen %}{event_args[1].filename} {seen}\n",
            attach="\n  {event_args[0].message}.jpg\n\nhttp://cam/{secrets.telegram.token}",
        ),
        SECRETS,
        DATA,
    )
    assert message.url == "tgram://t0ken/1"
    assert (message.title, message.body) == ("ERROR", "a <b>.gcode 1")
    assert message.attachments == ("/home/pi/printer_data/oops.jpg", "http://cam/t0ken")


@pytest.mark.parametrize(
    "body",
    [
        "{event_args[5].filename}",
        "{1 // (event_args|length - 2)}",
        "{'%d' % event_name}",
        "{event_name.nosuch.thing}",
        "{().__class__.__mro__}",
        "{range(10**9)|list}",
    ],
)
def test_a_template_that_fails_names_itself(body: str) -> None:
    with pytest.raises(CannotCompose, match=r"the template of body failed"):
        compose(job(body=body), SECRETS, DATA)


def test_a_failure_without_words_is_named_by_its_kind() -> None:
    class Full(dict[str, str]):
        def __getitem__(self, key: str) -> str:
            raise MemoryError

    with pytest.raises(CannotCompose, match=r"^the template of body failed: MemoryError$"):
        compose(job(body="{secrets.telegram}"), Full(), DATA)


def test_a_failing_attach_template_costs_the_attachment_alone() -> None:
    message = compose(job(attach="{event_args[9].x}", notes=["(2 minutes late)"]), {}, DATA)
    assert message.attachments == ()
    assert message.notes == ("(2 minutes late)", "(attachment left out: its template failed)")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("gcodes/a.png", "/home/pi/printer_data/gcodes/a.png"),
        ("/home/pi/printer_data/x/../a b%.png", "/home/pi/printer_data/a b%.png"),
        ("file:///home/pi/printer_data/a.png", "/home/pi/printer_data/a.png"),
        ("HTTP://cam/a.jpg?x=1", "HTTP://cam/a.jpg?x=1"),
        ("/etc/passwd", None),
        ("gcodes/../../.ssh/id_rsa", None),
        ("/home/pi/printer_data_evil/a.png", None),
        ("ftp://host/a", "/home/pi/printer_data/ftp:/host/a"),
    ],
)
def test_attachments_stay_below_the_data_path(text: str, place: str | None) -> None:
    assert attachment_at(text, DATA) == place


def test_a_refused_attachment_is_told_to_the_reader() -> None:
    message = compose(job(attach="/etc/passwd"), {}, DATA)
    assert message.notes == ("(attachment left out: it is neither http(s) nor below the data path)",)
