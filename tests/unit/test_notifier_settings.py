"""What a configuration makes: notifiers, and named problems that stop nothing else."""

from pathlib import Path

import pytest

from bus.config import read_config
from services.notifier.settings import Notifier, read_notifiers

GOOD = "[notifier good]\nurl: json://h/x\nevents: *\n"


def read(tmp_path: Path, text: str) -> tuple[dict[str, Notifier], list[str]]:
    path = tmp_path / "moonraker.conf"
    path.write_text(text)
    return read_notifiers(read_config(path))


def test_a_section_becomes_a_notifier(tmp_path: Path) -> None:
    notifiers, problems = read(
        tmp_path,
        """[notifier print done]
url: tgram://{secrets.t.token}/{secrets.t.chat}, json://h/x
    xml://h/y
events: started, complete
    gcode
title: {event_name}
body:
    {% if event_args %}{event_args[1].filename}{% endif %}
    second
body_format: markdown
attach:
    a.jpg
    http://cam/b.jpg
""",
    )
    assert problems == []
    made = notifiers["print done"]
    assert made.targets == ("tgram://{secrets.t.token}/{secrets.t.chat}", "json://h/x", "xml://h/y")
    assert made.events == ("started", "complete", "gcode")
    assert made.body == "\n{% if event_args %}{event_args[1].filename}{% endif %}\nsecond"
    assert (made.title, made.body_format, made.attach) == ("{event_name}", "markdown", "\na.jpg\nhttp://cam/b.jpg")


def test_what_is_not_configured_is_none(tmp_path: Path) -> None:
    notifiers, _ = read(tmp_path, GOOD)
    assert notifiers["good"] == Notifier("good", "json://h/x", ("json://h/x",), ("*",))


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("events: *", ["moonraker.conf:4: [notifier bad] url: this option is required"]),
        ("url:\nevents: *", ["moonraker.conf:5: [notifier bad] url: this option is required"]),
        ("url: json://h", ["moonraker.conf:4: [notifier bad] events: this option is required"]),
        ("url: json://h\nevents: started, stopped", ["moonraker.conf:6: [notifier bad] events:", "'stopped'"]),
        ("url: h.example/x\nevents: *", ["moonraker.conf:5: [notifier bad] url: expected scheme://"]),
        (
            "url: json://h\nevents: *\nbody_format: rtf",
            ["body_format: expected one of text, html, markdown, got 'rtf'"],
        ),
        ("url: json://h\nevents: *\nbody: {event_name", ["moonraker.conf:7: [notifier bad] body: the template"]),
        ("url: json://h\nevents: *\ntitle: {x | nosuch}", ["title: the template cannot be used", "nosuch"]),
        ("url: json://h\nevents: *\nattach: {% if %}", ["attach: the template cannot be used"]),
        ("url: json://{h\nevents: *", ["url: the template cannot be used"]),
    ],
)
def test_a_bad_section_is_one_named_problem(tmp_path: Path, lines: str, told: list[str]) -> None:
    notifiers, problems = read(tmp_path, f"{GOOD}[notifier bad]\n{lines}\n")
    assert list(notifiers) == ["good"]
    assert len(problems) == 1 and all(words in problems[0] for words in told), problems


def test_unknown_options_and_a_missing_name_are_told(tmp_path: Path) -> None:
    notifiers, problems = read(tmp_path, f"[notifier]\nurl: json://h\n{GOOD}bodyformat: html\n")
    assert list(notifiers) == ["good"]
    assert "moonraker.conf:1: [notifier]: expected a name" in problems[0]
    assert "moonraker.conf:6: [notifier good] bodyformat: unknown option" in problems[1]


def test_a_statement_over_several_urls_keeps_them_together(tmp_path: Path) -> None:
    url = "json://h/{% if 1 %}a, json://h/b{% endif %}"
    notifiers, problems = read(tmp_path, f"[notifier x]\nurl: {url}\nevents: *\n")
    assert problems == [] and notifiers["x"].targets == (url,)


def test_any_constant_that_fails_is_a_problem_not_an_end(tmp_path: Path) -> None:
    notifiers, problems = read(tmp_path, f"{GOOD}body: {{ 1 / 0 }}\n")
    assert len(notifiers) + len(problems) == 1
