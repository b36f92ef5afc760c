"""What of a push URL may be shown. Its parts are credentials for most services: the token of a bot, a hook's secret path."""

import re
from urllib.parse import unquote

from services.notifier.settings import BETWEEN_URLS

HOST_SCHEMES = frozenset({"json", "jsons", "xml", "xmls", "form", "forms"})
"""Plain web targets: host and path are no secret, user info and query values are."""

EXPRESSION = re.compile(r"(\{[^{}]*\})")
SHORTEST_SECRET = 4


def shown_urls(text: str) -> str:
    """The configured `url` for clients: templates stay templates, what is written out as credentials is `***`."""
    shown, end = "", 0
    for gap in BETWEEN_URLS.finditer(text):
        shown += _shown_url(text[end : gap.start()]) + gap[0]
        end = gap.end()
    return shown + _shown_url(text[end:])


def shown_attach(text: str | None) -> str | None:
    """Attachments for clients, one a line: without the user info of their URLs."""
    return text and re.sub(r"(?<=://)[^/\s@]+(?=@)", lambda m: _hide(m[0]), text)


def hidden_parts(url: str) -> set[str]:
    """The parts of a rendered URL that must not be shown, as they are and percent-decoded."""
    scheme, _, rest = url.partition("://")
    if scheme.strip().lower() in HOST_SCHEMES:
        user_info, _, query = _host_parts(rest)
        rest = f"{user_info}&{query}"
    parts = {part for part in re.split(r"[/:@?&=,;\s]+", rest) if part}
    parts |= {unquote(part) for part in parts}
    return {part for part in parts if len(part) >= SHORTEST_SECRET}


def mask(text: str, hidden: set[str]) -> str:
    """The text with each of these parts replaced, the longest first."""
    for part in sorted(hidden, key=len, reverse=True):
        text = text.replace(part, "***")
    return text


def _shown_url(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator or EXPRESSION.search(scheme):
        return _hide(url)
    if scheme.strip().lower() not in HOST_SCHEMES:
        return f"{scheme}://{_hide(rest)}"
    user_info, host_and_path, query = _host_parts(rest)
    shown = f"{scheme}://{_hide(user_info)}{'@' if user_info else ''}{host_and_path}"
    values = re.sub(r"(?<==)[^&]+", lambda m: _hide(m[0]), query)
    return f"{shown}?{values}" if query else shown


def _host_parts(rest: str) -> tuple[str, str, str]:
    """(user info, host and path, query) of what stands behind the scheme."""
    place, _, query = rest.partition("?")
    host, slash, path = place.partition("/")
    user_info, _, host = host.rpartition("@")
    return user_info, f"{host}{slash}{path}", query


def _hide(text: str) -> str:
    """Each written-out part becomes `***`; template expressions stay."""
    pieces = EXPRESSION.split(text)
    return "".join(piece if number % 2 else re.sub(r"[^/\s]+", "***", piece) for number, piece in enumerate(pieces))
