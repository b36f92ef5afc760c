"""The bus by itself, between two processes: a call beside a bare pyzmq ping-pong, and updates of many printers.

`python -m benchmarks.bus_bench FOLDER` is the other process: it owns `printer.objects`, answers calls and echoes.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

import zmq
import zmq.asyncio

from benchmarks.figures import Figure
from bus.api import METHODS
from bus.envelope import Message, Request, boot_time_s
from bus.node import Node
from bus.rundir import CHECKOUT
from bus.testing import eventually, private_bus

OWNER = "klipper_bridge"
TICK_S = 0.25
UPDATE = {"toolhead": {"position": [123.456, 78.9, 0.2, 4567.8], "estimated_print_time": 12345.678},
          "extruder": {"temperature": 214.98, "power": 0.41}, "heater_bed": {"temperature": 59.97, "power": 0.2},
          "print_stats": {"print_duration": 1234.5, "total_duration": 1300.1, "filament_used": 4567.8},
          "virtual_sdcard": {"progress": 0.4321, "file_position": 4567890}}  # fmt: skip
"""What changes in a quarter of a second of a print."""
PRINTERS = (1, 10, 100)
SETTLE_S = 2.0


async def own(folder: Path) -> None:
    """The other process: publishes as many updates as a call asks for, at the pace of that many printers."""
    async with private_bus(folder) as bus:
        node = bus.node(OWNER)
        node.mirror("printer.objects", lambda: {"eventtime": 0.0, "status": {}, "covers": {}})

        async def publish(printers: int, ticks: int) -> None:
            for _ in range(ticks):
                for _ in range(printers):
                    node.publish("printer.objects", {"eventtime": boot_time_s(), "status": UPDATE})
                await asyncio.sleep(TICK_S)

        async def script(script: str) -> str:
            await publish(*map(int, script.split()))
            return "ok"

        async def nothing(**_: object) -> dict[str, object]:
            return {}

        handlers = {name: nothing for name, row in METHODS.items() if row.owner == OWNER}
        node.serve({**handlers, "printer.gcode.script": script})
        echo = bus_context().socket(zmq.ROUTER)
        echo.bind(f"ipc://{folder}/echo")
        while True:
            await echo.send_multipart(await echo.recv_multipart())


def bus_context() -> zmq.asyncio.Context:
    return zmq.asyncio.Context.instance()


async def measure(calls: int, ticks: int) -> list[Figure]:
    """`ticks` updates of each printer."""
    with tempfile.TemporaryDirectory(prefix="mb") as name:
        folder = Path(name)
        other = await asyncio.create_subprocess_exec(sys.executable, "-m", "benchmarks.bus_bench", name, cwd=CHECKOUT)
        try:
            async with private_bus(folder) as bus:
                node = bus.node("gateway")
                heard: list[Message] = []
                node.subscribe("printer.objects", heard.append)
                await eventually(lambda: heard)
                found = [await _ping_pong(folder, node, calls)]
                for printers in PRINTERS:
                    found += await _updates(node, heard, printers, ticks)
                return found
        finally:
            other.terminate()
            await other.wait()


async def _updates(node: Node, heard: list[Message], printers: int, ticks: int) -> list[Figure]:
    heard.clear()
    cpu_s = time.process_time()
    await node.call("printer.gcode.script", {"script": f"{printers} {ticks}"}, 60.0)
    end = time.monotonic() + SETTLE_S
    while len(heard) < printers * ticks and time.monotonic() < end:
        await asyncio.sleep(0.01)
    cost_us = 1e6 * (time.process_time() - cpu_s) / len(heard)
    what = f"updates of {printers} printer{'s' if printers > 1 else ''} over the bus"
    return [
        Figure(f"{what}, lost", printers * ticks - len(heard), "messages", "less", 0.0, alone=True),
        Figure(f"{what}, CPU per message heard", cost_us, "µs", "less", None, alone=True),
    ]


async def _ping_pong(folder: Path, node: Node, count: int) -> Figure:
    request = Request(1, "printer.gcode.help", "gateway", boot_time_s() + 5, {})
    socket = bus_context().socket(zmq.DEALER)
    socket.connect(f"ipc://{folder}/echo")
    bare: list[float] = []
    ours: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        await socket.send_multipart(request.frames())
        await socket.recv_multipart()
        bare.append(time.perf_counter() - began)
        began = time.perf_counter()
        await node.call("printer.gcode.help")
        ours.append(time.perf_counter() - began)
    socket.close(linger=0)
    ratio = statistics.median(ours) / statistics.median(bare)
    return Figure("a bus call beside a pyzmq ping-pong (asyncio), p50", ratio, "×", "less", 1.5, alone=True)


if __name__ == "__main__":
    asyncio.run(own(Path(sys.argv[1])))
