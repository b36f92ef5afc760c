"""The proxy: a client's request is checked, passed on to Spoolman as it is, and answered in one of two shapes.

Version 1 answers with what Spoolman answered and fails with Spoolman's status. Version 2 fails only where the request
cannot be passed on at all: {"response", "response_headers", "error": null}, or {"response": null, "error": {...}}.
"""

import re
from typing import Any
from urllib.parse import quote, unquote

import orjson

from bus.errors import Fault, bad_request, unavailable
from services.spoolman_sync.http import Answer, Late, NoAnswer, NotSent

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
LEGAL = "!$&'()*+,;=:@-._~/?[]%"
"""Sent as they are. Anything else that is not a letter or a digit is percent-encoded; `%` stays, as it is encoded already."""

MOST_BODY_BYTES = 1_000_000

BAD_GATEWAY, GATEWAY_TIMEOUT = 502, 504
NOT_PASSED_ON = {"set-cookie", "www-authenticate"}
"""Between Spoolman's proxy and us, not for our clients."""


def check_request(method: str, path: str, query: str | None, body: Any) -> tuple[str, bytes | None]:
    """What goes behind the API's URL, and the body. Raises Fault 400."""
    if method not in METHODS:
        raise bad_request(f"Invalid HTTP method: {method}")
    if method == "GET" and body is not None:
        raise bad_request("GET requests cannot have a body")
    if not path.startswith("/v1/"):
        raise bad_request("Invalid path, must start with the API version, e.g. /v1")
    if re.search(r"[?#\\\x00-\x1f\x7f]", path) or _leaves(path):
        raise bad_request("Invalid path, must stay inside the API: no '.', '..' or empty parts, no '?', '#' or '\\'; "
                          "the query goes into 'query'")  # fmt: skip
    target = quote(path, safe=LEGAL) + (f"?{quote(query, safe=LEGAL)}" if query else "")
    return target, _content(body)


def _leaves(path: str) -> bool:
    """Whether some server on the way could read the path as another one: `%2e%2e`, `%252e`, `%2f` and their like."""
    parts = path.removeprefix("/v1/").split("/")
    if "" in parts[:-1]:
        return True
    plain = [_plain(part) for part in parts]
    return any(p.split(";")[0] in (".", "..") or re.search(r"[/\\\x00-\x1f\x7f]", p) for p in plain)


def _plain(part: str) -> str:
    """Decoded until there is nothing left to decode."""
    while (decoded := unquote(part)) != part:
        part = decoded
    return part


def _content(body: Any) -> bytes | None:
    """A text is taken for the JSON it holds: forms have no other way to say it."""
    if body is None:
        return None
    content = body.encode() if isinstance(body, str) else orjson.dumps(body)
    if len(content) > MOST_BODY_BYTES:
        raise bad_request(f"Invalid argument body: longer than {MOST_BODY_BYTES} bytes")
    return content


def read_answer(answer: Answer, v2: bool) -> Any:
    """The value Spoolman answered. Raises Fault with its status and its own message where it has one."""
    if 300 <= answer.status < 400:
        raise Fault(BAD_GATEWAY, "Spoolman answered with a redirect, which is not followed: "
                                 "where all requests do, correct [spoolman] server")  # fmt: skip
    if answer.status >= 400:
        message = answer.value.get("message") if isinstance(answer.value, dict) else None
        reason = f"HTTP {answer.status}: {answer.reason}" if v2 else answer.reason
        raise Fault(answer.status, message if isinstance(message, str) else reason)
    if not answer.is_json:
        raise Fault(BAD_GATEWAY, "Spoolman's answer is not JSON")
    return answer.value


def read_error(error: NotSent | NoAnswer) -> Fault:
    """The same for an answer that did not come."""
    if isinstance(error, NotSent):
        return unavailable("Spoolman server not available")
    if isinstance(error, Late):
        return Fault(GATEWAY_TIMEOUT, f"Spoolman gave {error}")
    return Fault(BAD_GATEWAY, f"Spoolman did not answer: {error}")


def shape(answer: Answer | Fault, v2: bool) -> Any:
    """The result for the client. Version 1 raises the Fault."""
    try:
        if isinstance(answer, Fault):
            raise answer
        value = read_answer(answer, v2)
    except Fault as fault:
        if not v2:
            raise
        return {"response": None, "error": {"status_code": fault.code, "message": fault.message}}
    if not v2:
        return value
    headers = {name: text for name, text in answer.headers.items() if name.lower() not in NOT_PASSED_ON}
    return {"response": value, "response_headers": headers, "error": None}
