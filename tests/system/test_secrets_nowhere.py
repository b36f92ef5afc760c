"""Credentials in the configuration and the secrets file: they reach the services they are for, and appear nowhere else."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import requests

from bus.api import METHODS
from bus.rundir import CHECKOUT
from tests.system.conftest import World, wait_for

TOKENS = {
    "file": "t0ken-0f-the-secrets-file",
    "inline": "t0ken-inline-in-a-url",
    "user_info": "passw0rd-of-spoolman",
    "header": "t0ken-in-a-header",
    "attachment": "passw0rd-of-a-camera",
}
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
server: http://somebody:{user_info}@127.0.0.1:{spoolman}
sync_rate: 1
[notifier refused]
url: json://127.0.0.1:{push}/refused?+X-Token={header}
events: *
[notifier cut]
url: json://user:{inline}@127.0.0.1:{push}/cut
events: *
[notifier nobody]
url: json://127.0.0.1:1/{{secrets.push.token}}
events: *
[notifier template]
url: json://127.0.0.1:{push}/template
events: *
body: {{[][secrets.push.token].x}}
[notifier alien]
url: tgram://{inline}/{{secrets.push.token}}
events: *
[notifier camera]
url: json://127.0.0.1:{push}/camera?+X-Token={{secrets.push.token}}
events: *
attach: http://user:{attachment}@127.0.0.1:1/snapshot.jpg
"""
TAPPED = ("printer.jobs", "notifier.status", "notifier.outbox", "spoolman.status", "gateway.trace")
PLAUSIBLE: dict[str, Any] = {
    "string": "phone",
    "integer": 1,
    "boolean": True,
    "objects": {"print_stats": None},
    "strings": ["M117 x"],
}


def configure(world: World) -> None:
    (world.data / "config" / "moonraker.conf").write_text(CONFIG.format(**world.ports, **TOKENS))
    (world.data / "moonraker.secrets").write_text(json.dumps({"push": {"token": TOKENS["file"]}}))


def test_no_credential_appears_where_it_does_not_belong(world: World) -> None:
    configure(world)
    world.start_simulators()
    tell_the_sink_to_fail(world)
    world.up()
    world.ready()
    told = world.data.parent / "tap"
    with told.open("w") as output:
        tap = start_tap(world, output)
    try:
        wait_for(lambda: "printer.state" in told.read_text(), "the tap listens")
        key = world.get("/access/api_key")
        (world.data / "gcodes" / "a.gcode").write_text("G28\nG1 X10 Y10 F6000\n")
        world.post("/printer/print/start", filename="a.gcode")
        names = [row["name"] for row in world.get("/server/notifiers/list")["notifiers"]]
        assert len(names) == 6
        answers = [world.post("/server/notifiers/test", name=name).text for name in names]
        answers += [ask(world, name) for name in METHODS if name not in LEFT_OUT]
        wrong = {"Authorization": f"Bearer {key}x"}
        answers.append(requests.get(f"{world.base}/server/info", headers=wrong, timeout=10).text)
        wait_for(lambda: world.print_state() == "complete", "printed")
        wait_for(lambda: failed_pushes(world) >= 4, "two notifiers gave two events up")
        wait_for(lambda: all(f'"{topic}"' in told.read_text() for topic in TAPPED), "the tap heard it")
        answers.append(json.dumps(world.get("/server/notifiers/status")))
    finally:
        tap.terminate()
        tap.wait(10)
    world.close()
    places = {"answers": "\n".join(answers), "tap": told.read_text(), **files(world)}
    assert {"run/notifier.log", "moonbus/notifier.sqlite", "moonbus/klipper_bridge.sqlite"} <= set(places)
    secrets = {**TOKENS, "api key": key}
    found = [(name, place) for name, secret in secrets.items() for place, text in places.items() if secret in text]
    assert found == []


LEFT_OUT = {"access.get_api_key", "access.post_api_key", "printer.emergency_stop", "printer.restart",
            "printer.firmware_restart", "printer.gcode.script", "octoprint.printer_command"}  # fmt: skip
"""What shows the key on purpose, and what ends the print."""


def ask(world: World, name: str) -> str:
    """The row's answer to plausible arguments, over its first HTTP route."""
    row = METHODS[name]
    if not row.http:
        return ""
    verb, path = row.http[0].split(" ", 1)
    path = re.sub(r"\{[^}]*\}", "gcodes", path)
    body: Any = {param.name: PLAUSIBLE.get(param.kind, "x") for param in row.params}
    return requests.request(verb, f"{world.base}{path}", json=body, timeout=60).text


def tell_the_sink_to_fail(world: World) -> None:
    """`refused` answers 500 and `cut` nothing: a sink of this test's own, in the place of the one that is always well."""
    sink = world.processes.pop("push")
    sink.kill()
    sink.wait(5)
    world.launch("push", "tests.system.failing_sink", "--port", str(world.ports["push"]))


def start_tap(world: World, output: IO[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bus", "tap", "--requests"], env={**world.environment, "MOONBUS_RUN": str(world.run_dir)},
        cwd=CHECKOUT, stdout=output, stderr=output, text=True,
    )  # fmt: skip


def failed_pushes(world: World) -> int:
    rows: list[dict[str, Any]] = world.get("/server/notifiers/status")["notifiers"]
    return sum(len(row["dead_letters"]) for row in rows)


def files(world: World) -> dict[str, str]:
    """Everything the services wrote, but the files that hold credentials by their purpose."""
    own = {"config/moonraker.conf", "moonraker.secrets", "moonbus/api_key"}
    found: dict[str, str] = {}
    for path in world.data.rglob("*"):
        name = str(path.relative_to(world.data)).replace("comms/moonbus/", "")
        if path.is_file() and name not in own:
            found[name] = path.read_bytes().decode("latin-1")
    return {**found, "log": Path(world.log).read_text(errors="replace")}
