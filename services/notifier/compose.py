"""From templates to a message. Runs in the send worker, so a template that never ends costs its own push alone."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bus.templates import TemplateError, render

RENDER_ERRORS = (
    TemplateError, ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError,
)  # fmt: skip
"""What an expression of a user's can end in."""


class CannotCompose(Exception):
    """Names the template and what is wrong with it."""


class Message(NamedTuple):
    """`attachments` are absolute paths and http(s) URLs; `notes` tell the reader what is missing."""

    url: str
    title: str
    body: str
    attachments: tuple[str, ...]
    notes: tuple[str, ...]


def compose(job: Mapping[str, Any], secrets: Mapping[str, Any], data: Path) -> Message:
    """`job` has the templates `url`, `title`, `body`, `attach` (null where not configured), their `context` and `notes`.
    Raises CannotCompose."""
    url = _rendered("url", job, secrets)
    title = _rendered("title", job, secrets)
    body = job["context"]["event_name"] if job["body"] is None else _rendered("body", job, secrets)
    notes = list(job["notes"])
    attachments: list[str] = []
    try:
        lines = _rendered("attach", job, secrets).splitlines()
    except CannotCompose:
        lines, notes = [], [*notes, "(attachment left out: its template failed)"]
    for line in filter(None, map(str.strip, lines)):
        if attachment := attachment_at(line, data):
            attachments.append(attachment)
        else:
            notes.append("(attachment left out: it is neither http(s) nor below the data path)")
    return Message(url, title, body, tuple(attachments), tuple(notes))


def attachment_at(text: str, data: Path) -> str | None:
    """An http(s) URL as it is; a path, relative ones below `data`, as an absolute one. None: not to be sent.

    `..` is resolved, symbolic links are not: users link folders into their data path.
    """
    if text.lower().startswith(("http://", "https://")):
        return text
    path = os.path.normpath(data / os.path.expanduser(text.removeprefix("file://")))
    return path if Path(path).is_relative_to(os.path.normpath(data)) else None


def _rendered(part: str, job: Mapping[str, Any], secrets: Mapping[str, Any]) -> str:
    if job[part] is None:
        return ""
    try:
        return render(job[part], secrets, job["context"]).strip()
    except RENDER_ERRORS as error:
        raise CannotCompose(f"the template of {part} failed: {str(error) or type(error).__name__}") from None
