"""The `[server]` section. An option that cannot be used has its default, and a warning."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bus.config import Config, ConfigError, Section
from bus.klippy_address import klippy_address

DEFAULT_PORT = 7125
DEFAULT_MOST_WEBSOCKETS = 50
DEFAULT_MOST_UPLOAD_MIB = 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """`host` None listens on all addresses, IPv4 and IPv6; `prefix` is "" or "/something"."""

    host: str | None
    port: int
    prefix: str
    most_websockets: int
    most_upload_bytes: int
    klippy_address: Path
    debug: bool
    warnings: tuple[str, ...]


def read_settings(config: Config, data: Path, environ: Mapping[str, str]) -> Settings:
    """`data` is the data path."""
    section = config.section("server")
    address, _ = klippy_address(config, data)  # the bridge warns of it
    warnings: list[str] = []

    def value(read: Callable[[], Any], default: Any) -> Any:
        try:
            return read()
        except ConfigError as error:
            warnings.append(f"{error}; {default!r} is used")
            return default

    host = value(lambda: section.string("host", "0.0.0.0"), "0.0.0.0").strip()
    prefix = value(lambda: section.string("route_prefix", ""), "").strip("/ ")
    return Settings(
        host=None if host.lower() in ("all", "") else host,
        port=value(lambda: _port(section), DEFAULT_PORT),
        prefix=f"/{prefix}" if prefix else "",
        most_websockets=value(
            lambda: section.integer("max_websocket_connections", DEFAULT_MOST_WEBSOCKETS, minimum=1),
            DEFAULT_MOST_WEBSOCKETS,
        ),
        most_upload_bytes=2**20
        * value(
            lambda: section.integer("max_upload_size", DEFAULT_MOST_UPLOAD_MIB, minimum=1), DEFAULT_MOST_UPLOAD_MIB
        ),
        klippy_address=address,
        debug=value(lambda: section.boolean("enable_debug", False), False) or environ.get("MOONBUS_DEBUG") == "1",
        warnings=tuple(warnings),
    )


def _port(section: Section) -> int:
    port: int = section.integer("port", DEFAULT_PORT, minimum=0)
    if port > 65535:
        raise section.error("port", f"expected at most 65535, got {port}")
    return port
