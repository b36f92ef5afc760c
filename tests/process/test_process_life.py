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
from bus.watchdog import ENDED_ITSELF

SERVICE = """
import asyncio, re, sys, time
import bus.process, bus.services
bus.process.HANG_S = 0.6
bus.process.TICK_S = 0.05
kept = []
async def start(node):
    async def guilty_line():
        if "sleep" in sys.argv:
            time.sleep(30)
        while "spin" in sys.argv:
            pass
        if "backtrack" in sys.argv:
            re.match("(a+)+$", "a" * 40 + "b")
        while "grow" in sys.argv:
            kept.append(bytes(range(256)) * 40_000)
            await asyncio.sleep(0)
    node.spawn(guilty_line())
    if "crash" in sys.argv:
        raise RuntimeError("no way on")
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


@pytest.mark.parametrize("how", ["sleep", "spin"])
def test_a_hung_process_prints_the_guilty_line_and_ends_itself(folder: Path, how: str) -> None:
    assert launch(folder, "notifier", how).wait(15) == ENDED_ITSELF
    assert "event loop stood still" in log_of(folder) and "in guilty_line" in log_of(folder)
    launch(folder, "notifier")
    wait_for(lambda: "did not end cleanly: its event loop stood still" in log_of(folder))


def test_code_that_lets_nothing_else_run_ends_at_a_limit_of_cpu_time(folder: Path) -> None:
    assert launch(folder, "notifier", "backtrack").wait(30) == -signal.SIGPROF
    assert "in guilty_line" in log_of(folder)


def test_a_process_that_grows_without_end_ends_itself(folder: Path) -> None:
    assert launch(folder, "notifier", "grow", MOONBUS_MEMORY="128").wait(15) == ENDED_ITSELF
    assert "MiB of memory, more than MOONBUS_MEMORY allows" in log_of(folder)


def test_a_process_that_was_stopped_does_not_count_as_hung(folder: Path) -> None:
    process = launch(folder, "notifier")
    wait_for(lambda: "ready" in log_of(folder))
    process.send_signal(signal.SIGSTOP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1.5)  # over twice what counts as hung
    process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 0
    assert "stood still" not in log_of(folder)


def test_how_the_process_before_ended_is_told_unless_it_ended_cleanly(folder: Path) -> None:
    killed = launch(folder, "notifier")
    wait_for(lambda: "ready" in log_of(folder))
    killed.kill()
    killed.wait(5)
    second = launch(folder, "notifier")
    wait_for(lambda: log_of(folder).count("ready") == 2)
    assert f"the process before this one (pid {killed.pid}) did not end cleanly: it was killed" in log_of(folder)
    second.terminate()
    second.wait(5)
    assert launch(folder, "notifier", "crash").wait(5) == 1
    assert log_of(folder).count("did not end cleanly") == 1
    launch(folder, "notifier")
    wait_for(lambda: "did not end cleanly: RuntimeError: no way on" in log_of(folder))


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
    [
        ("MOONBUS_MEMORY", "1.5G", "a whole number of at least 64"),
        ("MOONBUS_LOG", "loud", "expected one of DEBUG, INFO"),
        ("MOONBUS_DATA", "~nobody-of-this-name/d", "whole path"),
    ],
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
