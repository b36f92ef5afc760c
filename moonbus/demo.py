"""The demo: everything runs, against a simulated printer, Spoolman and push service, and tells what happens.

The demo is a client like any other: what it prints about the print and the spool it heard on the gateway's websocket.
"""

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import aiohttp

from bus.process import PR_SET_PDEATHSIG
from bus.rundir import CHECKOUT
from moonbus.instance import prepare, supervisor_command

READY_S = 20.0
FILE = "benchy.gcode"
CONFIG = """# Written by `moonbus demo` at each start.
[server]
host: 127.0.0.1
port: {gateway}
klippy_uds_address: {{data_path}}/comms/klippy.sock
enable_debug: True

[authorization]
trusted_clients:
    127.0.0.0/8
cors_domains:
    *

[octoprint_compat]
enable_ufp: False

[spoolman]
server: http://127.0.0.1:{spoolman}
sync_rate: 2

[notifier phone]
url: json://127.0.0.1:{push}/phone
events: *
title: {{event_name}}
body: {{event_args[1].filename}}: {{"%.0f" % event_args[1].filament_used}} mm used
"""
TELL = """
moonbus runs. Look:  http://127.0.0.1:{port}/        Ctrl-C ends everything.
Try in another terminal:
  curl http://127.0.0.1:{port}/server/info
  curl http://127.0.0.1:{port}/server/spoolman/status
  curl -X POST 'http://127.0.0.1:{port}/debug/notifiers/test?name=phone'
  {python} -m bus tap                                    # everything that crosses the bus
  {ctl} -c supervisord.conf restart notifier   # one service dies and comes back alone
"""


def run(port: int) -> int:
    """Runs until Ctrl-C. Returns the exit status."""
    conf = CHECKOUT / "supervisord.conf"
    if not conf.exists():
        print("moonbus demo: runs from a checkout of the project only", file=sys.stderr)
        return 1
    try:
        return asyncio.run(_demo(port, conf, CHECKOUT / "demo_data"))
    except OSError as error:
        print(f"moonbus demo: {error}", file=sys.stderr)
        return 1


async def _demo(port: int, conf: Path, data: Path) -> int:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    ports = {"gateway": free_port(port), "spoolman": free_port(0), "push": free_port(0)}
    _write_files(data, ports)
    os.environ["MOONBUS_DATA"] = str(data)
    os.environ.pop("MOONBUS_CONFIG", None)
    children = await _start(conf, data, ports)
    tour = asyncio.create_task(_tour(ports["gateway"]))
    stopped = asyncio.create_task(stopping.wait())
    ended = [asyncio.create_task(child.wait()) for child in children]
    done, _ = await asyncio.wait([tour, stopped, *ended], return_when=asyncio.FIRST_COMPLETED)
    failed = stopped not in done
    tour.cancel()
    for child in reversed(children):
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
    await asyncio.gather(*ended)
    if failed:
        print(f"\nThe demo could not go on; the logs are in {conf.parent / 'run'}", file=sys.stderr)
        with contextlib.suppress(asyncio.CancelledError):
            await tour
    print("\nEverything has ended.")
    return int(failed)


def free_port(wanted: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            print(f"Port {wanted} is in use; another one is taken.")
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _write_files(data: Path, ports: dict[str, int]) -> None:
    # What a former demo left unsent and unbooked belongs to a printer and a Spoolman that are gone.
    shutil.rmtree(data / "moonbus", ignore_errors=True)
    for folder in ("config", "gcodes", "comms", "logs"):
        (data / folder).mkdir(parents=True, exist_ok=True)
    (data / "config" / "moonbus.conf").write_text(CONFIG.format(**ports))
    layers = [f"G1 Z{layer * 0.2:.1f}\n" + _layer(layer) for layer in range(1, 31)]
    (data / "gcodes" / FILE).write_text("M83\nG28\n" + "".join(layers) + "M104 S0\n")


def _layer(layer: int) -> str:
    corners = ((60, 60), (120, 60), (120, 120), (60, 120))
    return "".join(f"G1 X{x + layer % 3} Y{y} E2.5 F3000\n" for x, y in corners)


async def _start(conf: Path, data: Path, ports: dict[str, int]) -> list[asyncio.subprocess.Process]:
    environment = prepare(conf)
    simulators = (
        (
            "simulators.klipper",
            "--socket",
            str(data / "comms" / "klippy.sock"),
            "--gcodes",
            str(data / "gcodes"),
            "--speed",
            "5",
        ),
        ("simulators.spoolman", "--port", str(ports["spoolman"])),
        ("simulators.push_sink", "--port", str(ports["push"])),
    )
    commands = [[sys.executable, "-m", *arguments] for arguments in simulators]
    commands.append(supervisor_command("supervisord", conf, "-n", "-s"))
    return [
        await asyncio.create_subprocess_exec(*command, env=environment, cwd=conf.parent, preexec_fn=_end_with_parent)
        for command in commands
    ]


def _end_with_parent() -> None:
    # Of its own process group, so that Ctrl-C reaches the demo alone and it ends the others in order.
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


async def _tour(port: int) -> None:
    """Waits for the gateway, takes a spool, starts a print, and goes on telling what the websocket says."""
    base = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as session:
        async with asyncio.timeout(READY_S):
            while not await _is_ready(session, base):
                await asyncio.sleep(0.1)
        beside = Path(sys.executable).parent
        print(TELL.format(port=port, python=sys.executable, ctl=beside / "supervisorctl"), flush=True)
        async with session.ws_connect(f"ws://127.0.0.1:{port}/websocket") as client:
            await _ask(
                client, 1, "printer.objects.subscribe", {"objects": {"print_stats": None, "virtual_sdcard": None}}
            )
            await _ask(client, 2, "server.spoolman.post_spool_id", {"spool_id": 1})
            await _ask(client, 3, "printer.print.start", {"filename": FILE})
            seen: dict[str, Any] = {}
            async for message in client:
                _tell(message.json(), seen)
                if seen.get("state") == "complete" and not seen.get("spool"):
                    seen["spool"] = True
                    await _tell_spool(session, base)
        raise ConnectionError("the gateway closed the connection")


async def _is_ready(session: aiohttp.ClientSession, base: str) -> bool:
    try:
        async with session.get(f"{base}/server/info") as answer:
            return bool((await answer.json())["result"]["klippy_state"] == "ready")
    except aiohttp.ClientConnectionError:
        return False


async def _ask(client: Any, number: int, method: str, params: dict[str, Any]) -> None:
    await client.send_json({"jsonrpc": "2.0", "id": number, "method": method, "params": params})


async def _tell_spool(session: aiohttp.ClientSession, base: str) -> None:
    """Waits until all is booked, then prints what Spoolman itself says of the spool."""
    pending = True
    while pending:
        await asyncio.sleep(0.2)
        async with session.get(f"{base}/server/spoolman/status") as answer:
            pending = bool((await answer.json())["result"]["pending_reports"])
    request = {"request_method": "GET", "path": "/v1/spool/1"}
    async with session.post(f"{base}/server/spoolman/proxy", json=request) as answer:
        spool = (await answer.json())["result"]
    print(f"spool 1: {spool['used_length']:.1f} mm used, {spool['remaining_weight']:.0f} g left", flush=True)


def _tell(message: dict[str, Any], seen: dict[str, Any]) -> None:
    """Prints what is news of a message; `seen` remembers what was told."""
    if "error" in message:
        print(f"error: {message['error']['message']}", flush=True)
    if message.get("method") == "notify_active_spool_set":
        print(f"spool: {message['params'][0]['spool_id']} is active", flush=True)
    if message.get("method") != "notify_status_update":
        return
    status = message["params"][0]
    stats = status.get("print_stats", {})
    if "state" in stats and stats["state"] != seen.get("state"):
        seen["state"] = stats["state"]
        print(f"print: {stats['state']}", flush=True)
    tenth = int(status.get("virtual_sdcard", {}).get("progress", 0.0) * 10)
    if tenth > seen.get("tenth", 0):
        print(f"print: {tenth * 10} %", flush=True)
    if tenth:
        seen["tenth"] = tenth
