"""Who may come in: keys, tokens, trusted clients behind proxies or not; which web pages may read answers."""

import logging
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from multidict import CIMultiDict

from bus.config import Config, read_config
from bus.errors import Fault
from services.gateway.access import API_KEY_USER, TRUSTED_USER, Access

HOME = "[authorization]\ntrusted_clients:\n  127.0.0.1\n  ::1\n  192.168.1.0/24\n  fd00::/8\n"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


Make = Callable[[str], Access]


@pytest.fixture
def make(tmp_path: Path, clock: Clock) -> Make:
    def read(text: str) -> Access:
        config = Config()
        if text:
            (tmp_path / "moonraker.conf").write_text(text)
            config = read_config(tmp_path / "moonraker.conf")
        return Access(config, tmp_path, clock, 1_000.0)

    return read


def admit(access: Access, address: str, headers: dict[str, str] | None = None, **query: str) -> Any:
    return access.admit(address, CIMultiDict(headers or {}), query)


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("192.168.1.77", True),
        ("::ffff:192.168.1.77", True),
        ("fd00::5", True),
        ("fe80::1%eth0", False),
        ("192.168.2.1", False),
        ("8.8.8.8", False),
        ("unix", True),
        ("nonsense", False),
        ("", False),
    ],
)
def test_addresses_and_ranges(make: Make, address: str, trusted: bool) -> None:
    assert admit(make(HOME), address) == (TRUSTED_USER if trusted else None)


def test_without_the_section_only_the_key_opens_and_it_is_said(make: Make) -> None:
    access = make("")
    assert admit(access, "127.0.0.1") is None
    assert admit(access, "127.0.0.1", {"X-Api-Key": access.api_key()}) == API_KEY_USER
    assert any("no client is trusted" in warning for warning in access.warnings)


def test_the_key_admits_from_anywhere_in_each_of_its_places(make: Make) -> None:
    access = make(HOME)
    key = access.api_key()
    assert admit(access, "8.8.8.8", {"x-api-key": key}) == API_KEY_USER
    assert admit(access, "8.8.8.8", {"Authorization": f"Bearer {key}"}) == API_KEY_USER
    assert admit(access, "8.8.8.8", {"Authorization": f"bearer  {key} "}) == API_KEY_USER
    assert admit(access, "8.8.8.8", apikey=key) == API_KEY_USER
    assert admit(access, "8.8.8.8", {"Authorization": f"Basic {key}"}) is None
    assert admit(access, "8.8.8.8", {"X-Api-Key": "dummy"}, apikey=key) == API_KEY_USER


@pytest.mark.parametrize("wrong", ["dummy", "", "schlüssel", "\udcff", "x" * 10_000])
def test_a_wrong_key_counts_as_none(make: Make, wrong: str) -> None:
    access = make(HOME)
    assert admit(access, "192.168.1.5", {"X-Api-Key": wrong}) == TRUSTED_USER
    assert admit(access, "8.8.8.8", {"X-Api-Key": wrong}) is None
    assert admit(access, "8.8.8.8", apikey=wrong, token=wrong) is None
    assert access.admit_key(wrong) is None


def test_a_token_is_good_once_and_for_five_seconds(make: Make, clock: Clock) -> None:
    access = make(HOME)
    token, late = access.oneshot_token(), access.oneshot_token()
    assert admit(access, "8.8.8.8", token=token) == API_KEY_USER
    assert admit(access, "8.8.8.8", token=token) is None
    clock.now += 5.1
    assert admit(access, "8.8.8.8", token=late) is None


def test_tokens_that_nobody_redeems_do_not_pile_up(make: Make) -> None:
    access = make(HOME)
    first = access.oneshot_token()
    last = [access.oneshot_token() for _ in range(1000)][-1]
    assert len(access._tokens) == 1000
    assert admit(access, "8.8.8.8", token=first) is None
    assert admit(access, "8.8.8.8", token=last) == API_KEY_USER


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted"),
    [
        ("127.0.0.1", ["192.168.1.9"], True),
        ("127.0.0.1", ["8.8.8.8"], False),
        ("127.0.0.1", ["192.168.1.9, 8.8.8.8"], False),  # the outsider wrote the first one himself
        ("127.0.0.1", ["8.8.8.8, 192.168.1.9"], False),
        ("127.0.0.1", ["192.168.1.9", "8.8.8.8"], False),  # the proxy adds a line of its own
        ("127.0.0.1", ["192.168.1.9, 192.168.1.10"], True),
        ("127.0.0.1", ["unknown"], False),
        ("127.0.0.1", [""], True),
        ("192.168.1.2", ["192.168.1.9"], True),
        ("8.8.8.8", ["192.168.1.9"], False),  # an untrusted proxy may claim what it likes
    ],
)
def test_behind_a_proxy_every_address_counts(make: Make, peer: str, forwarded: list[str], trusted: bool) -> None:
    headers = CIMultiDict([("X-Forwarded-For", value) for value in forwarded])
    assert make(HOME).admit(peer, headers, {}) == (TRUSTED_USER if trusted else None)


def test_a_proxy_on_this_host_has_to_be_listed_too(make: Make) -> None:
    """Whoever left 127.0.0.1 out did so because of what comes from there, a tunnel that passes every header on."""
    access = make("[authorization]\ntrusted_clients: 192.168.1.0/24\n")
    assert admit(access, "127.0.0.1") is None
    assert admit(access, "127.0.0.1", {"X-Real-IP": "192.168.1.9"}) is None
    access = make("[authorization]\ntrusted_clients:\n    192.168.1.0/24\n    127.0.0.1\n")
    assert admit(access, "127.0.0.1", {"X-Real-IP": "192.168.1.9"}) == TRUSTED_USER
    assert admit(access, "127.0.0.1", {"X-Real-IP": "8.8.8.8"}) is None


def test_host_names_are_looked_up_again_and_a_failure_keeps_the_last_answer(
    make: Make, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[Any] = ["10.9.8.7", "10.9.8.6", OSError("no server")]

    def look_up(name: str, *_: Any, **__: Any) -> list[Any]:
        assert name == "desk.lan"
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answer, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    access = make("[authorization]\ntrusted_clients: desk.lan\n")

    def later() -> None:
        clock.now += 61
        admit(access, "10.0.0.1")
        names = access._clients._names
        assert names is not None
        names._thread.join()

    assert admit(access, "10.9.8.7") == TRUSTED_USER and not access.warnings
    later()
    assert admit(access, "10.9.8.7") is None and admit(access, "10.9.8.6") == TRUSTED_USER
    with caplog.at_level(logging.WARNING):
        later()
    assert admit(access, "10.9.8.6") == TRUSTED_USER and "desk.lan" in caplog.text and not answers


def test_bad_entries_are_named_and_the_rest_counts(make: Make) -> None:
    text = "[authorization]\ntrusted_clients:\n  192.168.1.5/24\n  bad_name!\n  10.0.0.0/8, 300.1.1.1\n"
    access = make(text + "cors_domains:\n  *.*\n  http://a/b c\n  *.lan\nforce_logins: perhaps\n")
    assert admit(access, "10.1.1.1") == TRUSTED_USER
    assert access.allows_origin("http://x.lan")
    shown = "\n".join(access.warnings)
    for part in (
        "moonraker.conf:2",
        "192.168.1.0/24?",
        "bad_name!",
        "300.1.1.1",
        "'*.*'",
        "http://a/b c",
        "force_logins",
    ):
        assert part in shown
    assert len(access.warnings) == 6


def test_forced_logins_leave_the_key_and_the_unix_socket(make: Make) -> None:
    access = make(f"{HOME}force_logins: True\n")
    assert admit(access, "127.0.0.1") is None
    assert admit(access, "127.0.0.1", {"X-Api-Key": access.api_key()}) == API_KEY_USER
    assert admit(access, "unix") == TRUSTED_USER
    assert access.info(None)["login_required"] is True
    assert "force_logins" in access.warnings[0]


def test_keys_can_be_switched_off(make: Make, tmp_path: Path) -> None:
    access = make(f"{HOME}enable_api_key: False\n")
    for ask in (access.api_key, access.new_api_key):
        with pytest.raises(Fault) as off:
            ask()
        assert off.value.code == 404 and "enable_api_key" in off.value.message
    assert access.admit_key("") is None and admit(access, "8.8.8.8", {"X-Api-Key": "None"}) is None
    assert not (tmp_path / "moonbus" / "api_key").exists()


def test_the_key_is_made_once_for_its_owner_alone_and_never_logged(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        first = make(HOME)
        key = first.api_key()
        path = tmp_path / "moonbus" / "api_key"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.chmod(0o644)
        assert make(HOME).api_key() == key and len(key) == 32
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        new = first.new_api_key()
    assert new != key and first.admit_key(key) is None and first.admit_key(new) == API_KEY_USER
    assert make(HOME).api_key() == new
    assert key not in caplog.text and new not in caplog.text
    assert [entry.name for entry in path.parent.iterdir()] == ["api_key"]


def test_a_disk_that_refuses_costs_the_stored_key_only(make: Make, tmp_path: Path) -> None:
    (tmp_path / "moonbus").write_text("a file where the folder should be")
    access = make(HOME)
    assert access.warnings and admit(access, "127.0.0.1") == TRUSTED_USER
    (tmp_path / "moonbus").unlink()
    access = make(HOME)
    key = access.api_key()
    (tmp_path / "moonbus" / ".api_key.new").mkdir()
    with pytest.raises(Fault) as refused:
        access.new_api_key()
    assert refused.value.code == 507 and access.admit_key(key) == API_KEY_USER


def test_a_damaged_key_file_gets_a_new_key(make: Make, tmp_path: Path) -> None:
    (tmp_path / "moonbus").mkdir()
    (tmp_path / "moonbus" / "api_key").write_text("\n")
    access = make(HOME)
    assert len(access.api_key()) == 32 and access.admit_key("") is None and not access.warnings
    (tmp_path / "moonbus" / "api_key").write_bytes(b"\xff\xfe" * 20)
    assert "cannot be read" in make(HOME).warnings[0]


ORIGINS = [
    ("*.lan", "http://x.lan", True),
    ("*.lan", "https://a.b.lan", True),
    ("*.lan", "http://X.LAN", True),
    ("*.lan", "http://x.lan:8080", False),
    ("*.lan", "http://x.lan.evil.de", False),
    ("*.lan", "http://evil.de/.lan", False),
    ("*.lan", "http://evil.de:80@x.lan", False),
    ("http://*.local", "http://y.local", True),
    ("http://*.local", "https://y.local", False),
    ("*://app.fluidd.xyz", "https://app.fluidd.xyz", True),
    ("*://app.fluidd.xyz", "https://appxfluidd.xyz", False),
    ("*://localhost:*", "http://localhost:3000", True),
    ("*://localhost:*", "http://localhost", True),
    ("https://printer:8443", "https://printer:8443", True),
    ("https://printer:8443", "https://printer", False),
    ("foo.bar", "http://foo.bar", True),
    ("foo.bar", "http://xfoo.bar", False),
    ("*.lan", "null", False),
    ("*.lan", "", False),
    ("http://*", "http://evil.com", False),
    ("*.*", "http://evil.com", False),
    ("*", "http://evil.com", True),
    ("*.lan", "http://192.168.1.20:81", True),  # a trusted address is a trusted page
    ("*.lan", "http://[fd00::1]", True),
    ("*.lan", "http://8.8.8.8", False),
]


@pytest.mark.parametrize(("entry", "origin", "allowed"), ORIGINS)
def test_which_web_pages_may_read_answers(make: Make, entry: str, origin: str, allowed: bool) -> None:
    assert make(f"{HOME}cors_domains: {entry}\n").allows_origin(origin) is allowed


def test_what_clients_are_told(make: Make) -> None:
    access = make(HOME)
    assert access.info(TRUSTED_USER) == {
        "default_source": "moonraker",
        "available_sources": ["moonraker"],
        "login_required": False,
        "trusted": True,
    }
    assert access.info(None)["trusted"] is False
    assert access.current_user(API_KEY_USER) == {
        "username": "_API_KEY_USER_",
        "source": "moonraker",
        "created_on": 1_000.0,
    }
