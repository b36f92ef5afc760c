"""Moonraker's configuration dialect, read as its users wrote it.

`[section]` or `[section name]`; `option: value` or `option = value`; values go on in indented lines; `#` and `;`
start comments, inside a line only after white space; `[include glob]` relative to the including file; a section met
again adds to the first, the last value wins. What cannot be read is a warning with file and line, never an end.
"""

import glob
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HEADER = re.compile(r"\[([^\]]+)\]")
OPTION = re.compile(r"([^:=\s][^:=]*?)\s*[:=]\s*(.*)")
COMMENT = re.compile(r"(^|\s)[#;].*$")
BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
REQUIRED: Any = object()


class ConfigError(Exception):
    """Names file, line, section and option, what was wrong and what is expected."""


@dataclass(frozen=True, slots=True)
class Option:
    """A value as text, with where it stands: "moonraker.conf:12"."""

    text: str
    where: str


@dataclass(slots=True)
class Section:
    """`[name]`, with typed getters. Each raises ConfigError; without a default the option is required."""

    name: str
    where: str
    options: dict[str, Option] = field(default_factory=dict)

    def string(self, option: str, default: Any = REQUIRED, choices: tuple[str, ...] = ()) -> Any:
        return self._get(option, default, str, f"one of {', '.join(choices)}", lambda v: not choices or v in choices)

    def integer(self, option: str, default: Any = REQUIRED, minimum: int | None = None) -> Any:
        expected = "an integer" + ("" if minimum is None else f" of at least {minimum}")
        return self._get(option, default, int, expected, lambda v: minimum is None or v >= minimum)

    def number(self, option: str, default: Any = REQUIRED, minimum: float | None = None) -> Any:
        expected = "a number" + ("" if minimum is None else f" of at least {minimum:g}")
        return self._get(option, default, float, expected, lambda v: minimum is None or v >= minimum)

    def boolean(self, option: str, default: Any = REQUIRED) -> Any:
        return self._get(option, default, lambda text: BOOLEANS[text.lower()], "True or False", lambda _: True)

    def lines(self, option: str, default: Any = REQUIRED) -> Any:
        """A list: one entry a line."""
        return self._get(option, default, lambda t: [e.strip() for e in t.splitlines() if e.strip()], "lines", bool)

    def words(self, option: str, default: Any = REQUIRED) -> Any:
        """A list: entries between commas or line ends."""
        return self._get(option, default, lambda t: [w.strip() for w in re.split(r"[,\n]", t) if w.strip()], "a list",
                         bool)  # fmt: skip

    def error(self, option: str, message: str) -> ConfigError:
        where = self.options[option].where if option in self.options else self.where
        return ConfigError(f"{where}: [{self.name}] {option}: {message}")

    def _get(self, option: str, default: Any, read: Callable[[str], Any], expected: str,
             good: Callable[[Any], bool]) -> Any:  # fmt: skip
        if option not in self.options:
            if default is REQUIRED:
                raise self.error(option, "this option is required")
            return default
        text = self.options[option].text
        try:
            value = read(text)
        except (ValueError, KeyError):
            value = None
        if value is None or not good(value):
            raise self.error(option, f"expected {expected}, got {text!r}")
        return value


@dataclass(slots=True)
class Config:
    """All sections by name ("server", "notifier phone"), warnings, and the files read, the main one first."""

    sections: dict[str, Section] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def section(self, name: str) -> Section:
        """The section, empty where there is none: all its options have their defaults."""
        return self.sections.get(name) or Section(name, f"[{name}]")

    def has(self, kind: str) -> bool:
        """Whether there is a `[kind]` or a `[kind name]`."""
        return any(name == kind or name.startswith(f"{kind} ") for name in self.sections)

    def named(self, kind: str) -> dict[str, Section]:
        """The `[kind name]` sections by that name, in the order of the file."""
        return {n.removeprefix(f"{kind} ").strip(): s for n, s in self.sections.items() if n.startswith(f"{kind} ")}


def data_path() -> Path:
    """$MOONBUS_DATA, else ~/printer_data. Raises FileNotFoundError where `~` stands for nothing."""
    return _expanded("MOONBUS_DATA", os.environ.get("MOONBUS_DATA") or "~/printer_data")


def config_path(data: Path) -> Path:
    """$MOONBUS_CONFIG, else config/moonbus.conf of the data path, else moonraker.conf beside it. Raises
    FileNotFoundError where `~` stands for nothing."""
    if given := os.environ.get("MOONBUS_CONFIG"):
        return _expanded("MOONBUS_CONFIG", given)
    own = data / "config" / "moonbus.conf"
    return own if own.exists() else own.with_name("moonraker.conf")


def _expanded(variable: str, text: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise FileNotFoundError(f"no home directory is known for {text}: set {variable} to a whole path") from None


def read_config(path: Path) -> Config:
    """Never raises: a file that is not there or cannot be read is a warning, and everything has its default."""
    config = Config()
    _read_file(path, config)
    return config


def _read_file(path: Path, config: Config) -> None:
    if path.resolve() in {read.resolve() for read in config.files}:
        config.warnings.append(f"{path.name}: includes itself, left out the second time")
        return
    try:
        raw = path.read_bytes()
    except OSError as error:
        config.warnings.append(f"{path}: cannot be read ({error}): defaults are used")
        return
    text = raw.decode("utf-8-sig", errors="replace")
    if "\ufffd" in text:
        line = text[: text.index("\ufffd")].count("\n") + 1
        config.warnings.append(f"{path.name}:{line}: is not UTF-8 here; save the file as UTF-8")
    config.files.append(path)
    _Reader(path, config).read(text)


class _Reader:
    def __init__(self, path: Path, config: Config) -> None:
        self.path = path
        self.config = config
        self.section: Section | None = None
        self.option: str | None = None

    def read(self, text: str) -> None:
        for number, raw in enumerate(text.splitlines(), 1):
            line = COMMENT.sub("", raw).rstrip()
            where = f"{self.path.name}:{number}"
            if not line:
                if not raw.strip() and self.option:
                    self._continue("")
            elif line[0].isspace() and self.option:
                self._continue(line.strip())
            elif header := HEADER.fullmatch(line.strip()):
                self._open(header[1].strip(), where)
            elif line.startswith("["):
                self._close()
                self.section = None
                self._warn(where, f"expected `[section]` with a closing bracket, got {line[:60]!r}; left out, and the options"
                           " below it")  # fmt: skip
            elif option := OPTION.fullmatch(line.strip()):
                self._set(option[1], option[2], where)
            else:
                self._warn(where, f"expected `[section]` or `option: value`, got {line.strip()[:60]!r}; line left out")
        self._close()

    def _open(self, name: str, where: str) -> None:
        self._close()
        if name.startswith("include "):
            self._include(name.removeprefix("include ").strip(), where)
            return
        name = " ".join(name.split())
        self.section = self.config.sections.setdefault(name, Section(name, where))

    def _include(self, pattern: str, where: str) -> None:
        self.section = None
        found = sorted(glob.glob(str(self.path.parent / pattern)))
        if not found and not glob.has_magic(pattern):
            self._warn(where, f"[include {pattern}]: no such file")
        for path in found:
            _read_file(Path(path), self.config)

    def _set(self, option: str, value: str, where: str) -> None:
        self._close()
        if self.section is None:
            self._warn(where, f"option {option!r} stands in no section; left out")
            return
        self.option = option.strip().lower()
        self.section.options[self.option] = Option(value.strip(), where)

    def _continue(self, line: str) -> None:
        assert self.section is not None and self.option is not None
        old = self.section.options[self.option]
        self.section.options[self.option] = Option(f"{old.text}\n{line}", old.where)

    def _close(self) -> None:
        """Blank lines behind a value are not part of it."""
        if self.section is not None and self.option is not None:
            old = self.section.options[self.option]
            self.section.options[self.option] = Option(old.text.rstrip(), old.where)
        self.option = None

    def _warn(self, where: str, message: str) -> None:
        self.config.warnings.append(f"{where}: {message}")
