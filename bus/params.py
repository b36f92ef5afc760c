"""Parameters of methods: what the table declares, and the check every request goes through before its owner sees it.

Values arrive as JSON or as text (query strings and forms), so a number may come as "5". Nothing is guessed
beyond that: `true` is not 1, 1.7 is not 1. Undeclared names are ignored, as clients rely on.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bus.errors import bad_request

REQUIRED: Any = object()
SAFE_INTEGER = 2**53
"""Beyond it JSON numbers of other languages are not exact."""


@dataclass(frozen=True, slots=True)
class Param:
    """`kind`: string, integer, number, boolean, object, any, strings (a list of strings, or one string) or objects
    (Klipper's {object: null | [field]}). `null` as a value passes only where `nullable`."""

    name: str
    kind: str
    meaning: str = ""
    default: Any = REQUIRED
    nullable: bool = False
    minimum: int | None = None
    max_length: int = 4096

    @property
    def expected(self) -> str:
        words = {"strings": "a list of strings", "objects": "an object of {name: null or [field, ...]}",
                 "integer": "an integer", "object": "a JSON object", "any": "any JSON value"}  # fmt: skip
        text = words.get(self.kind, f"a {self.kind}")
        if self.minimum is not None:
            text += f" of at least {self.minimum}"
        return f"{text} or null" if self.nullable else text


def check(params: tuple[Param, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """Every declared parameter with a value of its kind. Raises Fault 400 naming the parameter and what was expected."""
    return {param.name: _value(param, given) for param in params}


def _value(param: Param, given: Mapping[str, Any]) -> Any:
    if param.name not in given:
        if param.default is REQUIRED:
            raise bad_request(f"No data for argument: {param.name} (expected {param.expected})")
        return param.default
    raw = given[param.name]
    if raw is None and param.nullable:
        return None
    value = _KINDS[param.kind](raw)
    if value is None or (param.minimum is not None and value < param.minimum):
        raise bad_request(f"Invalid argument {param.name}: expected {param.expected}, got {_shown(raw)}")
    if len(value) > param.max_length if isinstance(value, str) else False:
        raise bad_request(f"Invalid argument {param.name}: longer than {param.max_length} characters")
    return value


def _shown(raw: Any) -> str:
    text = repr(raw)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _string(raw: Any) -> str | None:
    return raw if isinstance(raw, str) else None


def _integer(raw: Any) -> int | None:
    if isinstance(raw, str):
        text = raw.strip()
        if len(text) > 17 or not text.removeprefix("-").isascii() or not text.removeprefix("-").isdigit():
            return None
        raw = int(text)
    if isinstance(raw, float) and raw.is_integer():
        raw = int(raw) if abs(raw) <= SAFE_INTEGER else None
    if isinstance(raw, bool) or not isinstance(raw, int) or abs(raw) > SAFE_INTEGER:
        return None
    return raw


def _number(raw: Any) -> float | None:
    if isinstance(raw, str):
        try:
            raw = float(raw)
        except ValueError:
            return None
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not math.isfinite(raw):
        return None
    return float(raw)


def _boolean(raw: Any) -> bool | None:
    if isinstance(raw, str):
        return {"true": True, "false": False}.get(raw.strip().lower())
    return raw if isinstance(raw, bool) else None


def _object(raw: Any) -> dict[str, Any] | None:
    return raw if isinstance(raw, dict) else None


def _strings(raw: Any) -> list[str] | None:
    if isinstance(raw, str):
        return [raw]
    return raw if isinstance(raw, list) and all(isinstance(item, str) for item in raw) else None


def _objects(raw: Any) -> dict[str, list[str] | None] | None:
    """Klipper answers a wrong field list with an error at best; it never gets to see one."""
    if isinstance(raw, list) and all(isinstance(name, str) for name in raw):
        return dict.fromkeys(raw)
    if not isinstance(raw, dict):
        return None
    for name, fields in raw.items():
        if not name or not (fields is None or (isinstance(fields, list) and all(isinstance(f, str) for f in fields))):
            return None
    return raw


_KINDS: dict[str, Any] = {
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "object": _object,
    "any": lambda raw: {} if raw is None else raw,
    "strings": _strings,
    "objects": _objects,
}
