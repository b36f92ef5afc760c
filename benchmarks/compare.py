"""moonbus beside Moonraker, in one run, against the same simulators: `python benchmarks/compare.py --moonraker PYTHON`.

PYTHON is the interpreter of a virtual environment in which `moonraker` is installed. Both systems run one after the other
on the same data; the client is this process, so the numbers compare the two and say little alone. Prints a table.
"""

import argparse
import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from bus.rundir import CHECKOUT
from moonbus.demo import free_port

CONFIG = """[server]
host: 127.0.0.1
port: {port}
klippy_uds_address: {klippy}
[authorization]
trusted_clients:
    127.0.0.1
[octoprint_compat]
"""
CONNECTIONS = 16
REQUESTS = 4000
UPLOAD_MB = 100
Measure = Callable[[aiohttp.ClientSession, str], Awaitable[str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moonraker", required=True, help="python of an environment with moonraker")
    asyncio.run(compare(parser.parse_args().moonraker))


async def compare(moonraker: str) -> None:
    commands = {"moonbus": [sys.executable, "-m", "moonbus", "up"], "Moonraker": [moonraker, "-m", "moonraker", "-d"]}
    columns = {name: await measure_one(command, name) for name, command in commands.items()}
    print(f"| what | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for what in next(iter(columns.values())):
        print(f"| {what} | {' | '.join(column[what] for column in columns.values())} |")


async def measure_one(command: list[str], name: str) -> dict[str, str]:
    with tempfile.TemporaryDirectory(prefix="mb") as folder:
        data, port = Path(folder), free_port(0)
        klippy = data / "comms" / "klippy.sock"
        for made in ("config", "gcodes", "comms", "logs"):
            (data / made).mkdir()
        (data / "config" / "moonraker.conf").write_text(CONFIG.format(port=port, klippy=klippy))
        simulator = [
            sys.executable,
            "-m",
            "simulators.klipper",
            "--socket",
            str(klippy),
            "--gcodes",
            str(data / "gcodes"),
        ]
        environment = {**os.environ, "MOONBUS_DATA": folder}
        with subprocess.Popen(simulator, cwd=CHECKOUT, stdout=subprocess.DEVNULL) as printer:
            await asyncio.sleep(1.0)
            started = time.monotonic()
            arguments = [*command, folder] if name == "Moonraker" else command
            with subprocess.Popen(arguments, env=environment, cwd=CHECKOUT, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL) as system:  # fmt: skip
                try:
                    return await measures(f"http://127.0.0.1:{port}", started)
                finally:
                    system.send_signal(signal.SIGTERM)
                    printer.send_signal(signal.SIGTERM)


async def measures(base: str, started: float) -> dict[str, str]:
    async with aiohttp.ClientSession() as session:
        while not await ready(session, base):
            await asyncio.sleep(0.02)
        results = {"start to Klipper ready": f"{time.monotonic() - started:.2f} s"}
        for what, measure in MEASURES.items():
            results[what] = await measure(session, base)
        return results


async def ready(session: aiohttp.ClientSession, base: str) -> bool:
    try:
        async with session.get(f"{base}/server/info") as answer:
            return bool((await answer.json())["result"]["klippy_state"] == "ready")
    except (aiohttp.ClientConnectionError, KeyError):
        return False


def get(path: str) -> Measure:
    async def measure(session: aiohttp.ClientSession, base: str) -> str:
        took: list[float] = []

        async def worker() -> None:
            for _ in range(REQUESTS // CONNECTIONS):
                began = time.perf_counter()
                async with session.get(f"{base}{path}") as answer:
                    await answer.read()
                    assert answer.status == 200, await answer.text()
                took.append(time.perf_counter() - began)

        began = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))
        rate = len(took) / (time.perf_counter() - began)
        return f"{rate:,.0f}/s, p50 {statistics.median(took) * 1000:.1f} ms"

    return measure


async def calls(session: aiohttp.ClientSession, base: str) -> str:
    """JSON-RPC over one websocket, a hundred requests under way at a time."""
    async with session.ws_connect(f"{base}/websocket") as client:
        began = time.perf_counter()
        for _ in range(REQUESTS // 100):
            for number in range(100):
                await client.send_json({"jsonrpc": "2.0", "method": "server.info", "id": number})
            answered = 0
            while answered < 100:
                answered += "id" in (await client.receive_json())
        return f"{REQUESTS / (time.perf_counter() - began):,.0f}/s"


async def upload(session: aiohttp.ClientSession, base: str) -> str:
    form = aiohttp.FormData()
    form.add_field("file", b"G1 X1 Y1 E1\n" * (UPLOAD_MB * 1_000_000 // 12), filename="big.gcode")
    began = time.perf_counter()
    async with session.post(f"{base}/server/files/upload", data=form) as answer:
        assert answer.status == 201, await answer.text()
    return f"{UPLOAD_MB / (time.perf_counter() - began):,.0f} MB/s"


MEASURES: dict[str, Measure] = {
    f"GET /server/info, {CONNECTIONS} connections": get("/server/info"),
    f"GET /printer/objects/query, {CONNECTIONS} connections": get("/printer/objects/query?print_stats"),
    f"GET /api/printer, {CONNECTIONS} connections": get("/api/printer"),
    "JSON-RPC server.info, one websocket": calls,
    f"upload of {UPLOAD_MB} MB": upload,
}

if __name__ == "__main__":
    main()
