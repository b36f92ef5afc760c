"""A fork of a process that has everything loaded is a service as any other: its name, its signals, its ends."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bus.process import NAME_IS_TAKEN
from bus.rundir import CHECKOUT

PARENT = """
import os, signal, sys
from moonbus.preload import preload

class Options:
    def execve(self, filename, argv, environment):
        os.write(2, b"a Python of its own\\n")
        os._exit(3)

options = Options()
signal.signal(signal.SIGTERM, lambda *_: os.write(2, b"the parent's handler\\n"))
preload(options)
sys.stdout.write("the parent's own line")
child = os.fork()
if child == 0:
    options.execve(os.path.dirname(sys.executable) + "/python", ["python", *sys.argv[1:]], {**os.environ, "MARK": "1"})
os.write(2, b"child %d\\n" % child)
os.write(2, b"ended %d\\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
os._exit(0)
"""
SERVICE = ("-m", "services.octo_shim")


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mb") as name:
        (Path(name) / "log").touch()
        yield Path(name)


def launch(folder: Path, *command: str, **more: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "MOONBUS_RUN": f"{folder}/run", "MOONBUS_DATA": f"{folder}/data",
                   "PYTHONUNBUFFERED": "", **more}  # fmt: skip
    with (folder / "log").open("a") as log:
        return subprocess.Popen(
            [sys.executable, "-c", PARENT, *command], env=environment, cwd=CHECKOUT, stdout=log, stderr=log
        )


def wait(folder: Path, condition: Callable[[str], object]) -> str:
    """What was printed, as soon as it is so."""
    deadline = time.monotonic() + 20
    while not condition(text := (folder / "log").read_text()):
        assert time.monotonic() < deadline, text
        time.sleep(0.02)
    return text


def child(text: str) -> int:
    return int(text.partition("child ")[2].split()[0])


def test_a_fork_looks_and_ends_like_a_python_of_its_own(folder: Path) -> None:
    with launch(folder, *SERVICE):
        pid = child(wait(folder, lambda text: "child " in text and "ready" in text))
        assert Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0") == b"python -m services.octo_shim"
        shared = Path(f"/proc/{pid}/smaps_rollup").read_text().partition("Shared_Dirty:")[2].split()[0]
        assert int(shared) > 5_000, "kB in common with its parent"
        os.kill(pid, signal.SIGTERM)
        text = wait(folder, lambda text: "ended" in text)
    assert "ended 0" in text and "octo_shim: stopping" in text
    assert "the parent's" not in text and "a Python of its own" not in text


def test_a_fork_that_may_not_begin_says_so_with_its_status(folder: Path) -> None:
    with launch(folder, *SERVICE):
        pid = child(wait(folder, lambda text: "child " in text and "ready" in text))
        with launch(folder, *SERVICE):
            text = wait(folder, lambda text: "ended" in text)
        os.kill(pid, signal.SIGINT)
        ended = wait(folder, lambda text: text.count("ended") == 2)
    assert f"ended {NAME_IS_TAKEN}" in text and "another process is octo_shim" in text
    assert "ended 0" in ended


def test_the_words_of_a_refusal_are_printed(folder: Path) -> None:
    with launch(folder, *SERVICE, MOONBUS_MEMORY="little"):
        text = wait(folder, lambda text: "ended" in text)
    assert "MOONBUS_MEMORY: expected MiB" in text and "ended 1" in text


def test_other_commands_get_a_python_of_their_own(folder: Path) -> None:
    with launch(folder, "-m", "simulators.klipper"):
        assert "ended 3" in wait(folder, lambda text: "ended" in text)
