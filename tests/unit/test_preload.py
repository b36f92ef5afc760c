"""When a service begins as a fork, and when with a Python of its own."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from moonbus import preload
from moonbus.preload import fingerprint, instead_of, loaded, services_of

HERE = os.path.dirname(sys.executable)
PYTHON = f"{HERE}/python"
COMMAND = ["python", "-m", "services.notifier"]


@pytest.mark.parametrize(
    ("filename", "arguments", "names"),
    [
        (PYTHON, "-m services.gateway", ["gateway"]),
        (PYTHON, "-m services gateway octo_shim", ["gateway", "octo_shim"]),
        (PYTHON, "-m services", []),
        (PYTHON, "-m services.nobody", []),
        (PYTHON, "-m services gateway nobody", []),
        (PYTHON, "-m services.notifier.worker", []),
        (PYTHON, "-m simulators.klipper", []),
        (PYTHON, "-X dev -m services.gateway", []),
        (PYTHON, "", []),
        (PYTHON, "-m", []),
        ("/elsewhere/bin/python", "-m services.gateway", []),
        ("/bin/sh", "-c services.gateway", []),
    ],
)
def test_our_services_in_this_python_are_told_from_all_else(filename: str, arguments: str, names: list[str]) -> None:
    assert services_of(filename, ["python", *arguments.split()]) == names


def test_every_change_of_a_file_is_seen(tmp_path: Path) -> None:
    file, other = tmp_path / "a.py", tmp_path / "b.py"
    file.write_text("x = 1\n")
    other.write_text("")
    files = os.fsencode(f"{file}\0{other}")
    found = {fingerprint(files)}
    os.utime(file, ns=(1, 1))
    found.add(fingerprint(files))
    file.write_text("x = 10\n")
    os.utime(file, ns=(1, 1))
    found.add(fingerprint(files))
    assert fingerprint(files) in found
    file.unlink()
    found.add(fingerprint(files))
    assert len(found) == 4


def test_what_is_loaded_is_the_interpreter_and_all_modules() -> None:
    files = loaded().split(b"\0")
    assert os.fsencode(sys.executable) in files and os.fsencode(preload.__file__) in files


class Chosen(Exception):
    """What a command came to."""


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> preload.Execve:
    """An execve over one loaded file; it raises what was done, as neither way returns."""
    (tmp_path / "loaded.py").write_text("")

    def become(names: list[str], argv: list[str], environment: Mapping[str, str]) -> None:
        raise Chosen("fork", *names)

    def execve(filename: str, argv: list[str], environment: Mapping[str, str]) -> None:
        raise Chosen("new")

    monkeypatch.setattr(preload, "become", become)
    return instead_of(execve, os.fsencode(tmp_path / "loaded.py"), {"PYTHONUTF8": "1"})


def chosen(begin: preload.Execve, filename: str, argv: list[str], environment: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(Chosen) as raised:
        begin(filename, argv, environment)
    return tuple(raised.value.args)


def test_a_service_is_forked_only_where_nothing_would_differ(begin: preload.Execve, tmp_path: Path) -> None:
    same = {"PYTHONUTF8": "1", "MOONBUS_DATA": "/anywhere"}
    assert chosen(begin, PYTHON, COMMAND, same) == ("fork", "notifier")
    assert chosen(begin, PYTHON, COMMAND, {}) == ("new",)
    assert chosen(begin, PYTHON, COMMAND, same | {"PYTHONPATH": "/other"}) == ("new",)
    assert chosen(begin, "/bin/true", ["true"], same) == ("new",)
    (tmp_path / "loaded.py").write_text("VERSION = 2\n")
    assert chosen(begin, PYTHON, COMMAND, same) == ("new",)


@pytest.mark.parametrize(
    ("end", "status", "printed"),
    [
        (None, 0, ""),
        (SystemExit(), 0, ""),
        (SystemExit(3), 3, ""),
        (SystemExit("cannot start: why"), 1, "cannot start: why"),
        (RuntimeError("no way on"), 1, "RuntimeError: no way on"),
    ],
)
def test_an_end_is_told_as_an_interpreter_tells_it(
    end: BaseException | None, status: int, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert preload.told(end) == status
    assert capsys.readouterr().err.strip() == printed
