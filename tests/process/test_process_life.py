"""Real processes: names, signals, hangs, a dead parent, several services in one."""

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

SERVICE = """
import asyncio, sys, time
import bus.process, bus.services
bus.process.HANG_S = 0.3
bus.process.TICK_S = 0.05
async def start(node):
    async def guilty_line():
        time.sleep(30)
    if "hang" in sys.argv:
        node.spawn(guilty_line())
    node.stack.callback(lambda: print("cleaned up", node.name, flush=True))
bus.process.main({name: start for name in sys.argv[1].split(",")})
"""


LAUNCHED: list[subprocess.Popen[str]] = []


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mb") as name:
        yield Path(name)


def environment(folder: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "MOONBUS_RUN": str(folder / "run"), "MOONBUS_DATA": str(folder / "data"), **more}


def launch(folder: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    log = (folder / "log").open("a")
    with log:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVICE, *arguments], env=environment(folder, **more), cwd=CHECKOUT, stdout=log,
            stderr=log, text=True,
        )  # fmt: skip
    LAUNCHED.append(process)
    return process


def log_of(folder: Path) -> str:
    return (folder / "log").read_text()


@pytest.fixture(autouse=True)
def nothing_stays(folder: Path) -> Iterator[None]:
    yield
    for process in LAUNCHED:
        process.kill()
        process.wait(5)
    LAUNCHED.clear()


def wait_for(condition: Callable[[], object], timeout_s: float = 15.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.02)


def test_sigterm_cleans_up_and_ends_with_zero(folder: Path) -> None:
    process = launch(folder, "notifier,octo_shim")
    wait_for(lambda: "ready" in log_of(folder))
    assert (folder / "run").stat().st_mode & 0o777 == 0o700
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 0
    assert "cleaned up octo_shim\ncleaned up notifier\n" in log_of(folder)


def test_a_second_process_of_the_same_name_says_so_and_leaves_the_first_alone(folder: Path) -> None:
    first = launch(folder, "notifier")
    wait_for(lambda: "ready" in log_of(folder))
    second = launch(folder, "notifier")
    assert second.wait(10) == NAME_IS_TAKEN
    assert "another process is notifier" in log_of(folder)
    assert first.poll() is None
    first.kill()
    launch(folder, "notifier")
    wait_for(lambda: log_of(folder).count("ready") == 2)


def test_a_second_instance_on_the_same_data_path_is_refused(folder: Path) -> None:
    launch(folder, "notifier")
    wait_for(lambda: "ready" in log_of(folder))
    second = launch(folder, "notifier", MOONBUS_RUN=str(folder / "other"))
    assert second.wait(10) == NAME_IS_TAKEN
    assert "another process is notifier" in log_of(folder)


def test_a_hung_process_prints_the_guilty_line_and_ends_itself(folder: Path) -> None:
    process = launch(folder, "notifier", "hang")
    assert process.wait(15) == 1
    assert "Timeout" in log_of(folder) and "in guilty_line" in log_of(folder)


def test_a_service_ends_with_its_supervisor(folder: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c",
         "import subprocess,sys,time; subprocess.Popen([sys.executable, '-c', *sys.argv[1:]], stderr=open(sys.argv[-1], 'a'));"
         "time.sleep(60)", SERVICE, "notifier", str(folder / "log")],
        env=environment(folder, SUPERVISOR_ENABLED="1"), cwd=CHECKOUT, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(lambda: (folder / "log").exists() and "ready" in log_of(folder))
    parent.kill()
    parent.wait(5)
    wait_for(lambda: "stopping" in log_of(folder))


def test_a_run_directory_that_is_too_deep_is_explained(folder: Path) -> None:
    deep = folder / ("d" * 100)
    process = launch(folder, "notifier", MOONBUS_RUN=str(deep))
    assert process.wait(10) == 1
    assert "too deep for Unix sockets: set MOONBUS_RUN to a shorter path" in log_of(folder)


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [("MOONBUS_LOG", "loud", "expected one of DEBUG, INFO"), ("MOONBUS_DATA", "~nobody-of-this-name/d", "whole path")],
)
def test_an_environment_that_cannot_be_used_is_explained(folder: Path, variable: str, value: str, told: str) -> None:
    process = launch(folder, "notifier", **{variable: value})
    assert process.wait(10) == 1
    assert variable in log_of(folder) and told in log_of(folder) and "Traceback" not in log_of(folder)


def test_services_in_one_process_are_chosen_by_name(folder: Path) -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "services", "nosuch"], capture_output=True, text=True, cwd=CHECKOUT, check=False
    )
    assert refused.returncode == 1 and "not ['nosuch']" in refused.stderr and "notifier" in refused.stderr
