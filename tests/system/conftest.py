"""The whole system for tests: simulators and the real supervisord.conf, each a process that can be killed for real."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from bus.rundir import CHECKOUT
from bus.services import SERVICES
from tests.system.mounts import needs_namespace, run_in_namespace

PATIENCE_S = 30.0
CONFIG = """[server]
host: 127.0.0.1
port: {gateway}
klippy_uds_address: {{data_path}}/comms/klippy.sock
enable_debug: True
[authorization]
trusted_clients:
    127.0.0.1
[octoprint_compat]
[spoolman]
server: http://127.0.0.1:{spoolman}
sync_rate: 1
[notifier phone]
url: json://127.0.0.1:{push}/phone
events: *
title: {{event_name}}
body: {{event_args[1].filename}} {{event_args[1].message}}
[notifier words]
url: json://127.0.0.1:{push}/words
events: gcode
body: {{event_message}}
"""


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> Any:
    """The first true value of `condition()`; a refused connection counts as not yet."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            value = condition()
        except (requests.ConnectionError, OSError):
            value = None
        if value:
            return value
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s:g} s"
        time.sleep(0.05)


class World:
    """Data path, simulators and `moonbus up` below one short folder. Every process is ended by `close()`."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.ports = {name: free_port() for name in ("gateway", "spoolman", "push")}
        self.base = f"http://127.0.0.1:{self.ports['gateway']}"
        self.log = folder / "log"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("config", "gcodes", "comms", "logs"):
            (self.data / name).mkdir(parents=True)
        (self.data / "config" / "moonraker.conf").write_text(CONFIG.format(**self.ports))
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("MOONBUS_")}
        self.environment["MOONBUS_DATA"] = str(self.data)
        self.run_dir = self.data / "comms" / "moonbus" / "run"
        self.programs = len(SERVICES)

    def start_simulators(self) -> None:
        klipper = (
            "--socket",
            str(self.data / "comms" / "klippy.sock"),
            "--gcodes",
            str(self.data / "gcodes"),
            "--speed",
            "4",
        )
        self.launch("klipper", "simulators.klipper", *klipper)
        self.launch("spoolman", "simulators.spoolman", "--port", str(self.ports["spoolman"]))
        self.launch("push", "simulators.push_sink", "--port", str(self.ports["push"]))

    def launch(self, name: str, module: str, *arguments: str) -> None:
        with self.log.open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", module, *arguments], env=self.environment, cwd=CHECKOUT, stdout=log, stderr=log
            )

    def configure_supervisor(self, text: str) -> None:
        """A supervisord.conf of one's own, in place of the one everybody has."""
        own = self.run_dir.parent / "supervisord.conf"
        own.parent.mkdir(parents=True)
        own.write_text(text)

    def up(self) -> None:
        self.launch("moonbus", "moonbus", "up")

    def ready(self) -> None:
        """Waits until every service beats and Klipper and Spoolman are there."""
        wait_for(lambda: self.get("/server/info")["klippy_state"] == "ready", "Klipper ready")
        wait_for(lambda: self.get("/server/spoolman/status")["spoolman_connected"], "Spoolman connected")
        wait_for(lambda: self.get("/server/notifiers/list")["notifiers"], "notifiers listed")
        wait_for(lambda: requests.get(f"{self.base}/api/version", timeout=5).ok, "OctoPrint answers")
        # supervisord says STARTING for a second.
        wait_for(lambda: self.ctl("status").count(" RUNNING ") == self.programs, "all programs run")

    def get(self, path: str, **params: Any) -> Any:
        answer = requests.get(f"{self.base}{path}", params=params, timeout=10)
        return answer.json()["result"] if answer.ok else _Nothing()

    def post(self, path: str, **body: Any) -> requests.Response:
        return requests.post(f"{self.base}{path}", json=body, timeout=30)

    def used_mm(self, spool: int) -> float:
        """What Spoolman itself says."""
        url = f"http://127.0.0.1:{self.ports['spoolman']}/api/v1/spool/{spool}"
        return float(requests.get(url, timeout=5).json()["used_length"])

    def print_state(self) -> str:
        return str(self.get("/printer/objects/query?print_stats")["status"]["print_stats"]["state"])

    def hurry(self) -> None:
        """The rest of the print takes a moment only."""
        assert self.post("/printer/gcode/script", script="M220 S3000").ok

    def pid(self, service: str) -> int:
        """Of the service's process, as supervisord knows it."""
        return self.pids().get(service, 0)

    def pids(self) -> dict[str, int]:
        """Of all programs; 0 for a service of which supervisord knows no process, or does not answer."""
        lines = (line.split() for line in self.ctl("status").splitlines())
        running = {name: int(rest[1].rstrip(",")) for name, state, *rest in lines if state == "RUNNING"}
        return {**dict.fromkeys(SERVICES, 0), **running}

    def ctl(self, *arguments: str) -> str:
        done = subprocess.run([sys.executable, "-m", "moonbus", "ctl", *arguments], env=self.environment, cwd=CHECKOUT,
                              capture_output=True, text=True, timeout=20, check=False)  # fmt: skip
        return done.stdout

    def kill(self, service: str) -> None:
        """kill -9, then waits for another process in its place."""
        pid = wait_for(lambda: self.pid(service), f"{service} runs")
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: self.pid(service) not in (0, pid), f"{service} came back")

    def logs(self) -> str:
        texts = [path.read_text(errors="replace") for path in sorted(self.run_dir.glob("*.log"))]
        return "\n".join([*texts, self.log.read_text(errors="replace") if self.log.exists() else ""])

    def close(self) -> None:
        for process in reversed(self.processes.values()):
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


class _Nothing(dict[str, Any]):
    """The result of a request that failed: every key is there and false."""

    def __missing__(self, key: str) -> Any:
        return _Nothing()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object:
    """A test that mounts runs in a pytest of its own where only that may."""
    if "disk" not in pyfuncitem.fixturenames or not needs_namespace():
        return None
    reason = run_in_namespace(pyfuncitem.nodeid)
    if reason:
        pytest.skip(reason)
    return True


@pytest.fixture
def world() -> Iterator[World]:
    """A world of its own for one test; nothing runs yet."""
    with tempfile.TemporaryDirectory(prefix="mb") as folder:
        made = World(Path(folder))
        try:
            yield made
        finally:
            made.close()


@pytest.fixture(scope="session")
def system() -> Iterator[World]:
    """The running system that tests share which only ask it things."""
    with tempfile.TemporaryDirectory(prefix="mb") as folder:
        made = World(Path(folder))
        try:
            made.start_simulators()
            made.up()
            made.ready()
            yield made
        finally:
            made.close()
