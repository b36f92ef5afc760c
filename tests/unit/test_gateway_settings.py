"""What of the configuration the gateway uses, and what of it the world may see."""

from pathlib import Path
from typing import Any

import pytest

from bus.config import Config, read_config
from services.gateway.info import unserved
from services.gateway.routes import available, routes
from services.gateway.settings import read_settings
from services.gateway.shown_config import shown


def config(folder: Path, text: str) -> Config:
    path = folder / "moonraker.conf"
    path.write_text(text)
    return read_config(path)


def test_settings(tmp_path: Path) -> None:
    text = (
        "[server]\nhost: all\nport: 80\nroute_prefix: /printer/one/\nmax_websocket_connections: 3\nmax_upload_size: 2\n"
    )
    settings = read_settings(config(tmp_path, text + "enable_debug: True\n"), tmp_path, {})
    assert (settings.host, settings.port, settings.prefix, settings.most_websockets) == (None, 80, "/printer/one", 3)
    assert settings.most_upload_bytes == 2 * 2**20 and settings.debug and not settings.warnings
    placed = read_settings(config(tmp_path, "[server]\nklippy_uds_address: { data_path }/k.sock\n"), Path("/d"), {})
    assert placed.klippy_address == Path("/d/k.sock")
    assert settings.klippy_address == Path("/tmp/klippy_uds")


@pytest.mark.parametrize(
    "option", ["port: x", "port: 70000", "port: -1", "max_websocket_connections: 0", "enable_debug: 5"]
)
def test_a_setting_that_cannot_be_used_is_a_warning_with_its_place(tmp_path: Path, option: str) -> None:
    settings = read_settings(config(tmp_path, f"[server]\n{option}\n"), tmp_path, {})
    (warning,) = settings.warnings
    assert warning.startswith("moonraker.conf:2: [server]") and option.split(":")[0] in warning
    assert (settings.host, settings.port, settings.prefix, settings.debug) == ("0.0.0.0", 7125, "", False)


def test_debug_rows_and_unconfigured_rows_do_not_exist(tmp_path: Path) -> None:
    bare = available(Config(), debug=True)
    assert "server.spoolman.status" not in bare and "octoprint.version" not in bare and "server.info" in bare
    full = config(tmp_path, "[spoolman]\n[notifier phone]\n[octoprint_compat]\n")
    assert "debug.notifiers.test" not in available(full, debug=False)
    assert {"debug.notifiers.test", "server.spoolman.status", "octoprint.version"} <= set(available(full, debug=True))
    assert read_settings(Config(), Path(), {"MOONBUS_DEBUG": "1"}).debug


def test_routes_of_the_table() -> None:
    table = {(route.verb, route.path): route.method.name for route in routes(available(Config(), False).values(), "/p")}
    assert table["GET", "/p/server/info"] == table["POST", "/p/server/info"] == "server.info"
    assert table["GET", "/p/server/files/{root}/{path:.+}"] == "server.files.download"
    assert ("HEAD", "/p/server/files/list") in table
    assert ("HEAD", "/p/printer/gcode/script") not in table, "what acts must not act when its headers are asked for"


SECRETIVE = """
[server]
host: 0.0.0.0
port: 7125
[authorization]
enable_api_key: True
[notifier phone]
url: tgram://123456:ABCDEF/987
events: *
[notifier template]
url: {secrets.telegram.url}
[notifier mixed]
url: tgram://{secrets.token}/{secrets.chat}, json://user:hunter2@host/path?a=b,c
 mailto://{secrets.user}:hunter2@gmail.com
attach: http://cam:hunter2@camera/shot.jpg?token=hunter2&size=3
[notifier noscheme]
url: hunter2
[notifier outdented]
url:
tgram://hunter2/987
[spoolman]
server: http://me:hunter2@spools:7912/base
[mqtt]
password: hunter2
api_token: {secrets.mqtt}
[power lamp]
bound: 1.5
on: true
"""


def test_the_configuration_shows_no_secrets(tmp_path: Path) -> None:
    answer = shown(config(tmp_path, SECRETIVE), lambda text: text.replace("987", "***"))
    original: dict[str, Any] = answer["orig"]
    assert "hunter2" not in str(answer) and "ABCDEF" not in str(answer)
    assert original["notifier phone"]["url"] == "tgram://***"
    assert original["notifier template"]["url"] == "{secrets.telegram.url}"
    assert original["notifier mixed"]["url"].splitlines() == [
        "tgram://{secrets.token}/{secrets.chat}, json://***", "mailto://***",
    ]  # fmt: skip
    assert original["notifier mixed"]["attach"] == "http://***@camera/shot.jpg?token=***&size=3"
    assert original["spoolman"]["server"] == "http://***@spools:7912/base"
    assert original["mqtt"] == {"password": "***", "api_token": "{secrets.mqtt}"}
    assert answer["config"]["server"] == {"host": "0.0.0.0", "port": 7125}
    assert answer["config"]["power lamp"] == {"bound": 1.5, "on": True}
    assert answer["config"]["authorization"] == {"enable_api_key": True}


def test_each_file_lists_its_sections(tmp_path: Path) -> None:
    (tmp_path / "more.conf").write_text("[server]\nhost: all\n[spoolman]\nserver: http://spools\n")
    answer = shown(config(tmp_path, "[server]\nport: 1\n[include more.conf]\n[notifier a]\nurl: json://x\n"), str)
    assert answer["files"] == [
        {"filename": "moonraker.conf", "sections": ["server", "notifier a"]},
        {"filename": "more.conf", "sections": ["server", "spoolman"]},
    ]
    assert answer["orig"]["spoolman"]["server"] == "http://spools"


def test_sections_nobody_serves_are_named() -> None:
    assert unserved(["server", "notifier a", "power lamp", "mqtt", "spoolman"]) == ["mqtt", "power lamp"]
