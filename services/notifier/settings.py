"""The `[notifier NAME]` sections as values. One bad section is one named problem and nothing else."""

import re
from dataclasses import dataclass
from typing import Any

from bus.config import Config, ConfigError, Section
from bus.templates import TemplateError, environment

JOB_EVENTS = ("started", "paused", "resumed", "complete", "error", "cancelled", "standby")
ANY_EVENT = "*"
REMOTE_ONLY = "gcode"
EVENTS = (*JOB_EVENTS, ANY_EVENT, REMOTE_ONLY)
BODY_FORMATS = ("text", "html", "markdown")
OPTIONS = ("url", "events", "body", "body_format", "title", "attach", "ttl")
DEFAULT_TTL_S = 6 * 3600.0
DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")
UNIT_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

BETWEEN_URLS = re.compile(r"[\s,;]+(?=[A-Za-z0-9]{1,32}://)")
STARTS_LIKE_A_URL = re.compile(r"\{|[A-Za-z0-9]{1,32}://")
FILTER_OR_TEST_AT_PARSE = (TemplateError, ArithmeticError, LookupError, TypeError, ValueError)
"""Jinja2 works out constant expressions while it compiles, so `{ 1 / 0 }` fails there already."""


@dataclass(frozen=True, slots=True)
class Notifier:
    """One section. All texts are templates as configured; `targets` are the URLs of `url`, each sent to on its own. `ttl_s`:
    how long a push that cannot be delivered is tried."""

    name: str
    url: str
    targets: tuple[str, ...]
    events: tuple[str, ...]
    body: str | None = None
    body_format: str | None = None
    title: str | None = None
    attach: str | None = None
    ttl_s: float = DEFAULT_TTL_S


def read_notifiers(config: Config) -> tuple[dict[str, Notifier], list[str]]:
    """The usable notifiers by name, in the order of the file, and what is wrong with the others."""
    notifiers: dict[str, Notifier] = {}
    problems: list[str] = []
    if nameless := config.sections.get("notifier"):
        problems.append(f"{nameless.where}: [notifier]: expected a name, as in `[notifier phone]`; section left out")
    for name, section in config.named("notifier").items():
        try:
            notifiers[name] = _read(name, section)
        except ConfigError as error:
            problems.append(str(error))
        problems += [
            str(section.error(option, f"unknown option; known are {', '.join(OPTIONS)}; option left out"))
            for option in section.options
            if option not in OPTIONS
        ]
    return notifiers, problems


def _read(name: str, section: Section) -> Notifier:
    """Raises ConfigError."""
    events = tuple(section.words("events"))
    for event in events:
        if event not in EVENTS:
            raise section.error("events", f"expected some of {', '.join(EVENTS)}, got {event!r}")
    body_format = section.string("body_format", None, BODY_FORMATS)
    url = _template(section, "url")
    if not url:
        raise section.error("url", "this option is required")
    return Notifier(
        name, url, _targets(section, url), events, _template(section, "body"), body_format,
        _template(section, "title"), _template(section, "attach"), _duration_s(section, "ttl", DEFAULT_TTL_S),
    )  # fmt: skip


def _duration_s(section: Section, option: str, default_s: float) -> float:
    text = section.string(option, None)
    if text is None:
        return default_s
    found = DURATION.fullmatch(text.strip().lower())
    if found is None or float(found[1]) == 0:
        raise section.error(option, f"expected a duration like 90s, 30m, 6h or 1d, got {text!r}")
    return float(found[1]) * UNIT_S[found[2]]


def _template(section: Section, option: str) -> str | None:
    text: str = section.string(option, "")
    if fault := _syntax_fault(text):
        raise section.error(option, f"the template cannot be used: {fault}")
    return text or None


def _syntax_fault(text: str) -> str | None:
    nothing: dict[str, Any] = {}
    try:
        environment(nothing).from_string(text)
    except FILTER_OR_TEST_AT_PARSE as error:
        return str(error)
    return None


def _targets(section: Section, url: str) -> tuple[str, ...]:
    """Several URLs are separate targets, unless one template statement spans them."""
    pieces = tuple(piece.strip() for piece in BETWEEN_URLS.split(url.strip()))
    if any(_syntax_fault(piece) for piece in pieces):
        pieces = (url.strip(),)
    for piece in pieces:
        if not STARTS_LIKE_A_URL.match(piece):
            raise section.error(
                "url", "expected scheme://..., as in tgram://{secrets.telegram.token}/{secrets.telegram.chat}"
            )
    return pieces
