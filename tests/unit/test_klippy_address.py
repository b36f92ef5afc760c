"""Where Klipper's socket is, as the bridge and the gateway both read it."""

from pathlib import Path

import pytest

from bus.config import Config, read_config
from bus.klippy_address import DEFAULT, klippy_address


def configured(folder: Path, value: str) -> Config:
    path = folder / "moonraker.conf"
    path.write_text(f"[server]\nklippy_uds_address: {value}\n")
    return read_config(path)


def test_without_a_word_it_is_klippers_own_default(tmp_path: Path) -> None:
    assert klippy_address(Config(), tmp_path) == (Path(DEFAULT), [])


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("/run/klippy.sock", "/run/klippy.sock"),
        ("{data_path}/comms/k.sock", "/d/comms/k.sock"),
        ("{ data_path }/k.sock", "/d/k.sock"),
        ("{data_path ~ '/a' }/k.sock", "/d/a/k.sock"),
        ("~/k.sock", str(Path.home() / "k.sock")),
    ],
)
def test_paths_and_templates(tmp_path: Path, value: str, path: str) -> None:
    assert klippy_address(configured(tmp_path, value), Path("/d")) == (Path(path), [])


@pytest.mark.parametrize(
    "value",
    ["", "{nosuch}", "{1 / 0}", "{data_path", "{data_path.x.y}", "{data_path + 1}", "~nobody-of-this-name/k.sock"],
)
def test_what_cannot_be_used_is_a_warning_with_its_place(tmp_path: Path, value: str) -> None:
    path, (warning,) = klippy_address(configured(tmp_path, value), Path("/d"))
    assert path == Path(DEFAULT)
    assert warning.startswith("moonraker.conf:2: [server] klippy_uds_address: ") and DEFAULT in warning
