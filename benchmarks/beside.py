"""moonbus and Moonraker running beside each other on one simulated printer, and what each takes of the machine."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import get
from bus.rundir import CHECKOUT
from moonbus.demo import free_port

CONFIG = """[server]
host: 127.0.0.1
port: {port}
klippy_uds_address: {klippy}
max_websocket_connections: 4000
max_upload_size: 4096
[authorization]
trusted_clients:
    127.0.0.1
[octoprint_compat]
[spoolman]
server: http://127.0.0.1:{spoolman}
[notifier phone]
url: json://127.0.0.1:{push}/phone
events: *
{notifiers}"""
READY_S = 30.0
CORES = os.sched_getaffinity(0)
LOAD_CORES = {max(CORES)}
"""For the load generator and the simulators."""
SYSTEM_CORES = CORES - LOAD_CORES or CORES


@dataclass(frozen=True)
class System:
    """A running system: where it answers, and its first process."""

    name: str
    port: int
    process: int
    started_at: float

    def processes(self) -> list[int]:
        """Its process and all below it."""
        found, seen = [self.process], 0
        while seen < len(found):
            children = read(Path(f"/proc/{found[seen]}/task/{found[seen]}/children"))
            found += [int(child) for child in children.split()]
            seen += 1
        return found

    def cpu_s(self) -> float:
        """Seconds of CPU that the threads they have now have used, all together. Counted by the scheduler: what
        /proc/PID/stat says is rounded to ticks, for each process."""
        threads = [thread for pid in self.processes() for thread in Path("/proc").glob(f"{pid}/task/*")]
        return sum(int((read(thread / "schedstat") or "0").split()[0]) for thread in threads) / 1e9

    def memory_mb(self) -> float:
        """The sum of what its processes occupy, shared pages divided among those that share them."""
        lines = [read(Path(f"/proc/{pid}/smaps_rollup")).splitlines() for pid in self.processes()]
        return sum(int(line.split()[1]) for text in lines for line in text if line.startswith("Pss:")) * 1024 / 1e6

    async def ready(self) -> float:
        """Seconds from its start until Klipper is ready for its clients."""
        while time.monotonic() - self.started_at < READY_S:
            try:
                await get(self.port, "/printer/info", 1, 0.0)
                return time.monotonic() - self.started_at
            except (OSError, RuntimeError):
                await asyncio.sleep(0.02)
        raise TimeoutError(f"{self.name} was not ready within {READY_S:g} s")


@contextmanager
def printer(speed: float = 1.0) -> Iterator[Path]:
    """A simulated Klipper and its Spoolman: the folder with its socket `klipper` and gcodes; `spoolman` holds a port,
    `klipper.pid` and `spoolman.pid` their processes."""
    with tempfile.TemporaryDirectory(prefix="mb") as name, ExitStack() as stack:
        folder = Path(name)
        (folder / "gcodes").mkdir()
        port = free_port(0)
        (folder / "spoolman").write_text(str(port))
        klipper = ["klipper", "--socket", name + "/klipper", "--gcodes", name + "/gcodes", "--speed", str(speed)]
        for simulator in (klipper, ["spoolman", "--port", str(port)]):
            process = stack.enter_context(
                pinned([sys.executable, "-m", f"simulators.{simulator[0]}", *simulator[1:]], {}, LOAD_CORES)
            )
            (folder / f"{simulator[0]}.pid").write_text(str(process.pid))
        yield folder


@contextmanager
def system(
    command: list[str],
    name: str,
    printer_folder: Path,
    notifiers: str = "",
    socket: str = "klipper",
    shared: bool = False,
) -> Iterator[System]:
    """`command` starts it; its data path is in MOONBUS_DATA and, for Moonraker, its last argument. `notifiers` are more
    sections of its configuration, `socket` is Klipper's in the printer's folder; `shared`: our services share a process."""
    with tempfile.TemporaryDirectory(prefix="mb") as folder:
        data, port = Path(folder), free_port(0)
        for made in ("config", "comms", "logs"):
            (data / made).mkdir()
        (data / "gcodes").symlink_to(printer_folder / "gcodes")
        spoolman = (printer_folder / "spoolman").read_text()
        text = CONFIG.format(port=port, klippy=printer_folder / socket, spoolman=spoolman, push=free_port(0),
                             notifiers=notifiers)  # fmt: skip
        (data / "config" / "moonraker.conf").write_text(text)
        if shared:
            (data / "comms" / "moonbus").mkdir()
            text = (CHECKOUT / "supervisord.conf").read_text().replace("processes = separate", "processes = shared")
            (data / "comms" / "moonbus" / "supervisord.conf").write_text(text)
        arguments = [*command, folder] if name == "Moonraker" else command
        started_at = time.monotonic()
        with pinned(arguments, {"MOONBUS_DATA": folder}, SYSTEM_CORES) as process:
            yield System(name, port, process.pid, started_at)


def commands(moonraker: str) -> dict[str, list[str]]:
    """`moonraker`: the interpreter of an environment that has it."""
    return {"moonbus": [sys.executable, "-m", "moonbus", "up"], "Moonraker": [moonraker, "-m", "moonraker", "-d"]}


@contextmanager
def pinned(arguments: list[str], environment: dict[str, str], cores: set[int]) -> Iterator[subprocess.Popen[bytes]]:
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)  # a child keeps to what its parent kept to
    try:
        started = subprocess.Popen(arguments, env={**os.environ, **environment}, cwd=CHECKOUT, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)  # fmt: skip
    finally:
        os.sched_setaffinity(0, mine)
    with started as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


def read(file: Path) -> str:
    """Empty for a process or thread that has ended."""
    try:
        return file.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
