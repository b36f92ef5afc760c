"""The [spoolman] section."""

from pathlib import Path

import pytest

from bus.config import ConfigError, Section, read_config
from services.spoolman_sync.settings import read_settings


def section(folder: Path, text: str) -> Section:
    path = folder / "moonraker.conf"
    path.write_text(f"[spoolman]\n{text}\n")
    return read_config(path).section("spoolman")


@pytest.mark.parametrize(
    ("server", "api", "websocket"),
    [
        ("http://192.168.1.5:7912", "http://192.168.1.5:7912/api", "ws://192.168.1.5:7912/api/v1/spool"),
        ("192.168.1.5:7912/", "http://192.168.1.5:7912/api", "ws://192.168.1.5:7912/api/v1/spool"),
        ("https://home.example/spool/", "https://home.example/spool/api", "wss://home.example/spool/api/v1/spool"),
        ("http://[::1]:7912", "http://[::1]:7912/api", "ws://[::1]:7912/api/v1/spool"),
        ("HTTP://Spoolman", "http://spoolman/api", "ws://spoolman/api/v1/spool"),
    ],
)
def test_where_spoolman_is(tmp_path: Path, server: str, api: str, websocket: str) -> None:
    settings = read_settings(section(tmp_path, f"server: {server}"))
    assert (settings.api, settings.websocket, settings.sync_rate_s) == (api, websocket, 5.0)
    assert "Authorization" not in settings.headers


def test_user_info_becomes_a_header_and_nothing_else(tmp_path: Path) -> None:
    settings = read_settings(section(tmp_path, "server: https://me:p%40ss@home.example/x\nsync_rate: 2"))
    assert settings.headers["Authorization"] == "Basic bWU6cEBzcw=="
    assert (settings.api, settings.websocket) == ("https://home.example/x/api", "wss://home.example/x/api/v1/spool")
    assert settings.sync_rate_s == 2.0


@pytest.mark.parametrize(
    "text",
    [
        "sync_rate: 5",
        "server:",
        "server: ftp://me:hunter2@host",
        "server: http://me:hunter2@",
        "server: http://me:hunter2@host:notaport",
        "server: http://me:hunter2@host/?a=b",
        "server: http://me:hunter2@[::1",
    ],
)
def test_a_server_that_cannot_be_used_is_told_without_its_password(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"moonraker\.conf:\d+: \[spoolman\] server: ") as told:
        read_settings(section(tmp_path, text))
    assert "hunter2" not in str(told.value)


@pytest.mark.parametrize("rate", ["0", "0.5", "-1", "often"])
def test_a_sync_rate_below_one_second_is_refused(tmp_path: Path, rate: str) -> None:
    with pytest.raises(ConfigError, match=r"sync_rate: expected a number of at least 1"):
        read_settings(section(tmp_path, f"server: http://a\nsync_rate: {rate}"))
