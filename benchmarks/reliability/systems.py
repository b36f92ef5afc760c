"""The two systems beside each other: each a command on a data path, with the same configuration."""

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from bus.rundir import CHECKOUT

READY_S = 60.0
"""Both are ready after one or two seconds; many start at once here."""
END_S = 20.0
CONFIG = """[server]
host: 127.0.0.1
port: {port}
klippy_uds_address: {klippy}
{server}
[authorization]
trusted_clients:
    127.0.0.1
[octoprint_compat]
[spoolman]
server: {spoolman}
{notifiers}"""


@dataclass(frozen=True)
class Peer:
    """`command` is started with the data path as its last argument where `takes_path`; `options` of its [server] section
    enable the debug routes."""

    name: str
    command: tuple[str, ...]
    takes_path: bool
    options: str = ""


def moonbus() -> Peer:
    return Peer("moonbus", (sys.executable, "-m", "moonbus", "up"), False, "enable_debug: True")


def moonraker(python: str) -> Peer:
    """`python` is the interpreter of an environment with Moonraker in it."""
    return Peer("Moonraker", (python, "-m", "moonraker", "--debug", "--datapath"), True)


class System:
    """One of them on a data path; all its processes together are started, ended, killed."""

    def __init__(self, peer: Peer, data: Path, port: int, session: aiohttp.ClientSession) -> None:
        self.peer = peer
        self.base = f"http://127.0.0.1:{port}"
        self._data = data
        self._session = session
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Returns when it is ready: Klipper is, and Spoolman is connected."""
        with (self._data / "output.log").open("ab") as log:
            arguments = (str(self._data),) if self.peer.takes_path else ()
            self._process = await asyncio.create_subprocess_exec(
                *self.peer.command, *arguments, cwd=CHECKOUT, stdout=log, stderr=log,
                env={**os.environ, "MOONBUS_DATA": str(self._data)},
            )  # fmt: skip
        async with asyncio.timeout(READY_S):
            while not await self.is_ready():
                await asyncio.sleep(0.1)

    async def is_ready(self) -> bool:
        with contextlib.suppress(aiohttp.ClientConnectionError, KeyError, TypeError):
            info = await self.get("/server/info")
            spoolman = await self.get("/server/spoolman/status")
            return info["result"]["klippy_state"] == "ready" and spoolman["result"]["spoolman_connected"] is True
        return False

    async def kill(self) -> None:
        """kill -9, each process of it."""
        for pid in (self._pid, *descendants(self._pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self._wait()

    async def stop(self) -> None:
        """SIGTERM, as at a normal restart. What does not end then is killed."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(END_S):
                    await self._wait()
            except TimeoutError:
                await self.kill()

    @property
    def _pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def _wait(self) -> None:
        assert self._process is not None
        await self._process.wait()

    async def get(self, path: str, **headers: str) -> Any:
        """The decoded body, whatever the status; None for what is not JSON."""
        async with self._session.get(f"{self.base}{path}", headers=headers) as answer:
            return await _json(answer)

    async def post(self, path: str, body: object) -> tuple[int, Any]:
        """Status and decoded body. `body` is sent as JSON, bytes as they are."""
        data = body if isinstance(body, bytes) else None
        sent = {"data": data, "headers": {"Content-Type": "application/json"}} if data is not None else {"json": body}
        async with self._session.post(f"{self.base}{path}", **sent) as answer:
            return answer.status, await _json(answer)


async def _json(answer: aiohttp.ClientResponse) -> Any:
    with contextlib.suppress(ValueError):
        return await answer.json(content_type=None)
    return None


def descendants(pid: int) -> list[int]:
    """All processes below one, by /proc."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found, waiting = [], [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found
