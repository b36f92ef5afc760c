"""The `[octoprint_compat]` section."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bus.config import Config, ConfigError, Section

SECTION = "octoprint_compat"


@dataclass(frozen=True, slots=True)
class Settings:
    """The options under their documented names, with their documented defaults."""

    enable_ufp: bool = True
    flip_h: bool = False
    flip_v: bool = False
    rotate_90: bool = False
    stream_url: str = "/webcam/?action=stream"
    webcam_enabled: bool = True


def read_settings(config: Config) -> tuple[Settings | None, list[str]]:
    """The settings, None where the section is missing, and a warning for each option that cannot be used.

    Such an option has its default: none of them is worth losing the uploads of a slicer.
    """
    if SECTION not in config.sections:
        return None, []
    section = config.sections[SECTION]
    warnings: list[str] = []
    values = {name: _value(read, name, warnings) for name, read in _readers(section).items()}
    return Settings(**values), warnings


def _readers(section: Section) -> dict[str, Callable[..., Any]]:
    switches = ("enable_ufp", "flip_h", "flip_v", "rotate_90", "webcam_enabled")
    return {"stream_url": section.string, **dict.fromkeys(switches, section.boolean)}


def _value(read: Callable[..., Any], name: str, warnings: list[str]) -> Any:
    default = getattr(Settings(), name)
    try:
        return read(name, default)
    except ConfigError as error:
        warnings.append(f"{error}; {default!r} is used")
        return default
