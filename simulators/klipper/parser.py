"""One line of G-code → command and parameters, with Klipper's own liberties. Pure."""

import math
import re
import shlex
from typing import NamedTuple

from simulators.klipper.printer import GcodeError

_COMMAND = re.compile(r"(?:[A-Z_]+|[^A-Z_])[\d.]*", re.IGNORECASE | re.ASCII)
_CLASSIC = re.compile(r"[GMT]\d+(\.\d+)?$")
_WORD = re.compile(r"([A-Z])\s*([^\sA-Z]*)")


class Line(NamedTuple):
    """`command` is upper case; `rest` is the text behind it as written; `params` by upper-case key."""

    command: str
    rest: str
    params: dict[str, str]

    def number(self, key: str, default: float | None = None) -> float:
        """GcodeError naming the parameter when it is absent without default, or no number."""
        text = self.params.get(key)
        if text is None:
            if default is None:
                raise GcodeError(f"Error on '{self.command} {self.rest}': missing {key}")
            return default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise GcodeError(f"Error on '{self.command} {self.rest}': unable to parse {text}")
        return value


def parse_line(text: str) -> Line | None:
    """None for an empty line or a comment. Letters then digits are the command whatever follows: M112X is M112."""
    text = text.split(";", 1)[0].strip()
    match = _COMMAND.match(text)
    if match is None:
        return None
    command = match[0].upper()
    rest = text[match.end() :].strip()
    if _CLASSIC.match(command):
        return Line(command, rest, dict(_WORD.findall(rest.upper())))
    return Line(command, rest, _extended(text, rest))


def _extended(text: str, rest: str) -> dict[str, str]:
    if "=" not in rest:
        return {}
    try:
        pairs = [part.split("=", 1) for part in shlex.split(rest)]
    except ValueError:
        raise GcodeError(f"Malformed command '{text}'") from None
    if any(len(pair) != 2 for pair in pairs):
        raise GcodeError(f"Malformed command '{text}'")
    return {key.upper(): value for key, value in pairs}
