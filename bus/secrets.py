"""The secrets of `moonraker.secrets` (INI or JSON) below the data path, for templates: `{secrets.telegram.token}`.

A secret prints as `***` wherever it is shown; only a template's rendered result holds its text.
"""

import configparser
from pathlib import Path
from typing import Any

import orjson

FILE = "moonraker.secrets"


class Secrets:
    """`values` for templates; `warnings` when the file cannot be read. A missing file holds no secrets."""

    def __init__(self, data: Path) -> None:
        self.values: dict[str, Any] = {}
        self.warnings: list[str] = []
        path = data / FILE
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError) as error:
            self.warnings.append(f"{path}: cannot be read ({type(error).__name__})")
            return
        try:
            self.values = _read_json(text) if text.lstrip().startswith("{") else _read_ini(text)
        except (orjson.JSONDecodeError, configparser.Error):
            # The parser's own words quote the line, and the line is the secret.
            self.warnings.append(f"{path}: is neither INI nor a JSON object: no secrets are known")

    def texts(self) -> set[str]:
        """Every secret's text, to be kept out of what is shown."""
        return {text for text in _leaves(self.values) if len(text) > 3}

    def mask(self, shown: str) -> str:
        """The text with every secret in it replaced, the longest first."""
        for text in sorted(self.texts(), key=len, reverse=True):
            shown = shown.replace(text, "***")
        return shown


def _read_json(text: str) -> dict[str, Any]:
    value = orjson.loads(text)
    return value if isinstance(value, dict) else {}


def _read_ini(text: str) -> dict[str, Any]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    return {name: dict(parser.items(name)) for name in parser.sections()}


def _leaves(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _leaves(item)]
    if isinstance(value, list):
        return [text for item in value for text in _leaves(item)]
    return [str(value)]
