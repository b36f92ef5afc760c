"""The arguments of an HTTP request: query string, body and path brought together. Pure.

The body wins over the query, the path over both. `name:int=3`, `:float`, `:bool`, `:json` and `:str` say a type.
A body that cannot be read is an error: it must not pass for "no arguments" and so unset a spool.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson

from bus.api import Method
from bus.errors import Fault, bad_request

RESERVED = frozenset({"_", "token", "access_token", "connection_id", "apikey"})
"""Cache busters and credentials; never arguments of a method."""

MOST_FIELDS = 1000
SAFE_INTEGER = 2**63
JSON_TYPES = ("application/json", "text/json")
FORM_TYPE = "application/x-www-form-urlencoded"


def collect(row: Method, query: str, content_type: str, body: bytes, path: Mapping[str, str]) -> dict[str, Any]:
    """All given arguments by name, not yet checked. `query` is raw (percent-encoded), `path` decoded. Raises Fault."""
    pairs = [(name, value) for name, value in _pairs(query, "query string") if name not in RESERVED]
    given = _query(row, pairs)
    given.update(_body(row, content_type, body))
    given.update(path)
    return given


def _query(row: Method, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    named = {name.partition(":")[0] for name, _ in pairs}
    if any(param.kind == "objects" and param.name not in named for param in row.params):
        wanted = next(param.name for param in row.params if param.kind == "objects")
        return {wanted: _objects(pairs)} if pairs else {}
    return _typed(row, pairs)


def _objects(pairs: list[tuple[str, str]]) -> dict[str, list[str] | None]:
    """`toolhead=position,status&heaters=&fan`: no fields are all fields."""
    objects: dict[str, list[str] | None] = {}
    for name, value in pairs:
        fields = [field.strip() for field in value.split(",") if field.strip()]
        known = objects.get(name, [])
        objects[name] = [*known, *fields] if fields and known is not None else None
    return objects


def _typed(row: Method, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    lists = {param.name for param in row.params if param.kind == "strings"}
    given: dict[str, Any] = {}
    for full_name, text in pairs:
        name, _, hint = full_name.partition(":")
        value = _hinted(name, hint, text) if hint else text
        given[name] = [*given.get(name, []), value] if name in lists else value
    return given


def _hinted(name: str, hint: str, text: str) -> Any:
    reader = _HINTS.get(hint)
    if reader is None:
        raise bad_request(f"Invalid argument {name}:{hint[:20]}: the type hints are {', '.join(_HINTS)}")
    try:
        return reader(text)
    except (ValueError, KeyError):
        raise bad_request(f"Invalid argument {name}: {text[:60]!r} is not of type {hint}") from None


def _integer(text: str) -> int:
    value = int(text) if len(text) < 20 else SAFE_INTEGER
    if abs(value) >= SAFE_INTEGER:
        raise ValueError(text)
    return value


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


_HINTS: dict[str, Callable[[str], Any]] = {
    "int": _integer,
    "float": _float,
    "bool": lambda text: {"true": True, "false": False}[text.lower()],
    "json": orjson.loads,
    "str": str,
}


def _body(row: Method, content_type: str, body: bytes) -> dict[str, Any]:
    kind = content_type.partition(";")[0].strip().lower()
    if not body.strip():
        return {}
    if kind in JSON_TYPES or body.lstrip()[:1] in (b"{", b"["):
        # curl -d '{...}' calls its JSON a form. Read as one it would be an argument nobody asked for.
        return _json(body)
    if kind == FORM_TYPE:
        return _typed(row, _pairs(_decoded(body), "form"))
    raise Fault(415, f"Content-Type {kind[:60] or '(none)'}: expected application/json or {FORM_TYPE}")


def _json(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"The body is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        words = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
        raise bad_request(f"The body must be a JSON object of arguments, got {words.get(type(value), 'a number')}")
    return value


def _decoded(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise bad_request("The form is not UTF-8") from None


def _pairs(text: str, what: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except UnicodeDecodeError:
        raise bad_request(f"The {what} is not UTF-8") from None
    except ValueError:
        raise bad_request(f"The {what} has more than {MOST_FIELDS} fields") from None
