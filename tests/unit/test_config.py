"""Moonraker's configuration dialect."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.config import Config, ConfigError, config_path, read_config


def read(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "moonraker.conf"
    path.write_text(text)
    return read_config(path)


def test_the_dialect(tmp_path: Path) -> None:
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "a.conf").write_text("[server]\nport: 8000\n[spoolman]\nserver = http://h:1/x#y\n")
    config = read(
        tmp_path,
        "# a comment\n[include extra/*.conf]\n[server]\nhost: 0.0.0.0   ; inline\nport = 7126\n"
        "[authorization]\ntrusted_clients:\n    10.0.0.0/8  # range\n\n    FE80::/10\ncors_domains: *.local\n\n"
        "[notifier  my phone]\nurl: tgram://{secrets.a}/b\nevents: started, complete\n  ,error\nbody:\n  two\n\n  lines\n",
    )
    assert config.warnings == []
    assert config.section("server").integer("port") == 7126
    assert config.section("server").string("host") == "0.0.0.0"
    assert config.section("authorization").lines("trusted_clients") == ["10.0.0.0/8", "FE80::/10"]
    assert config.section("spoolman").string("server") == "http://h:1/x#y"
    phone = config.named("notifier")["my phone"]
    assert phone.words("events") == ["started", "complete", "error"]
    assert phone.string("body") == "\ntwo\n\nlines"
    assert config.has("notifier") and not config.has("octoprint_compat")
    assert [path.name for path in config.files] == ["moonraker.conf", "a.conf"]


def test_what_cannot_be_read_is_named_with_its_line_and_the_rest_counts(tmp_path: Path) -> None:
    config = read(
        tmp_path, "lost: 1\n[server]\nnonsense\nport: 7125\n[include missing.conf]\n[include moonraker.conf]\n"
    )
    assert config.section("server").integer("port") == 7125
    assert [warning.split(": ")[0] for warning in config.warnings] == [
        "moonraker.conf:1",
        "moonraker.conf:3",
        "moonraker.conf:5",
        "moonraker.conf",
    ]


def test_a_header_without_its_bracket_gives_its_options_to_no_other_section(tmp_path: Path) -> None:
    config = read(tmp_path, "[server]\nport: 7125\n[spoolman\nserver: http://h:1\n[notifier a]\nurl: x\n")
    assert list(config.section("server").options) == ["port"] and list(config.sections) == ["server", "notifier a"]
    assert config.warnings == [
        "moonraker.conf:3: expected `[section]` with a closing bracket, got '[spoolman'; left out, and the options below it",
        "moonraker.conf:4: option 'server' stands in no section; left out",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("port: x", "moonraker.conf:2: [server] port: expected an integer of at least 1, got 'x'"),
        ("port: 0", "moonraker.conf:2: [server] port: expected an integer of at least 1, got '0'"),
        ("host: a", "moonraker.conf:1: [server] port: this option is required"),
    ],
)
def test_a_bad_value_says_where_and_what_is_expected(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(tmp_path, f"[server]\n{text}\n").section("server").integer("port", minimum=1)
    assert str(error.value) == message


def test_getters_have_defaults_and_limits(tmp_path: Path) -> None:
    section = read(tmp_path, "[x]\nyes: True\nword: b\nbad: maybe\nhalf: 0.5\n").section("x")
    assert section.boolean("yes") is True and section.boolean("no", False) is False
    assert section.number("half") == 0.5 and section.string("word", choices=("a", "b")) == "b"
    with pytest.raises(ConfigError, match="expected True or False, got 'maybe'"):
        section.boolean("bad")
    with pytest.raises(ConfigError, match="expected one of a, got 'b'"):
        section.string("word", choices=("a",))
    with pytest.raises(ConfigError, match=r"expected a number of at least 1, got '0\.5'"):
        section.number("half", minimum=1)


def test_a_missing_or_binary_file_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "b.conf").write_bytes(b"\xff\xfe\x00")
    for name in ("a.conf", "b.conf"):
        config = read_config(tmp_path / name)
        assert config.sections == {} and name in config.warnings[0]


def test_a_cycle_of_includes_ends_and_a_byte_that_is_not_utf_8_costs_itself(tmp_path: Path) -> None:
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "a.conf").write_text("[include ../moonraker.conf]\n[spoolman]\nserver: s\n")
    path = tmp_path / "moonraker.conf"
    path.write_bytes(b"[include extra/*.conf]\n[server]\nport: 7126  # caf\xe9\n")
    config = read_config(path)
    assert config.section("server").integer("port") == 7126 and config.has("spoolman")
    assert config.warnings[0] == "moonraker.conf:3: is not UTF-8 here; save the file as UTF-8"
    assert "includes itself" in config.warnings[1] and len(config.warnings) == 2


def test_where_the_configuration_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MOONBUS_CONFIG", raising=False)
    assert config_path(tmp_path) == tmp_path / "config" / "moonraker.conf"
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "moonbus.conf").touch()
    assert config_path(tmp_path) == tmp_path / "config" / "moonbus.conf"
    monkeypatch.setenv("MOONBUS_CONFIG", str(tmp_path / "other"))
    assert config_path(tmp_path) == tmp_path / "other"


@given(st.text(alphabet="[]:=#; \n\tabc{}%\"'", max_size=200))
def test_no_text_ends_the_reading(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    config = read(tmp_path_factory.mktemp("c"), text)
    assert all(isinstance(option.text, str) for s in config.sections.values() for option in s.options.values())
