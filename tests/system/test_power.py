"""All services in one process, ended with kill -9 at random moments of a print, again and again, on one data path. Klipper
prints on. In the end nothing is lost: every event was pushed, all filament is booked once, no database was damaged."""

import os
import random
import re
import time
from itertools import groupby

import pytest

from bus.services import SERVICES
from tests.system.conftest import World, wait_for

SIDE_MM = 0.5
SECONDS_BETWEEN = (0.1, 2.5)
"""From before the services are up to the middle of their work."""
CUTS = int(os.environ.get("POWER_CUTS", "1000"))


def start(world: World) -> None:
    world.launch("services", "services", *SERVICES)


def cut(world: World) -> None:
    process = world.processes["services"]
    process.kill()
    process.wait(10)


def print_of(seconds: float) -> str:
    """Two hundred millimetres a second, back and forth."""
    moves = int(seconds * 200 / 60)
    lines = [f"G1 X{20 + 60 * (n % 2)} Y20 E{SIDE_MM}" for n in range(moves)]
    return "M83\nG28\nG1 F12000\n" + "\n".join(lines) + "\n"


@pytest.mark.parametrize("cuts", [6, pytest.param(CUTS, marks=[pytest.mark.slow, pytest.mark.timeout(CUTS * 5 + 120)])])
def test_power_cuts_lose_nothing(world: World, cuts: int) -> None:
    chance = random.Random(cuts)
    world.environment["MOONBUS_RUN"] = str(world.data.parent / "run")
    world.start_simulators()
    (world.data / "gcodes" / "long.gcode").write_text(print_of(cuts * 2 * 4))
    start(world)
    wait_for(lambda: world.get("/server/spoolman/status")["spoolman_connected"], "Spoolman connected")
    wait_for(lambda: world.get("/server/info")["klippy_state"] == "ready", "Klipper ready")
    world.post("/server/spoolman/spool_id", spool_id=1)
    before_mm = world.used_mm(1)
    assert world.post("/printer/print/start", filename="long.gcode").json() == {"result": "ok"}
    wait_for(lambda: world.print_state() == "printing", "printing")
    for _ in range(cuts):
        time.sleep(chance.uniform(*SECONDS_BETWEEN))
        cut(world)
        start(world)
    wait_for(lambda: world.print_state() == "complete", "complete", timeout_s=cuts * 8 + 60)
    text = (world.data / "gcodes" / "long.gcode").read_text()
    expected_mm = text.count("E0.5") * SIDE_MM
    wait_for(lambda: world.used_mm(1) - before_mm > expected_mm - 0.01, "all filament booked")
    wait_for(lambda: not world.get("/server/spoolman/status")["pending_reports"], "nothing pending")
    assert world.used_mm(1) - before_mm == pytest.approx(expected_mm, abs=0.01)
    assert world.get("/server/spoolman/status")["uncertain"] == []
    wait_for(lambda: "complete" in pushed(world), "the last push arrived")
    assert [event for event, _ in groupby(pushed(world))] == ["started", "complete"]
    assert not list((world.data / "moonbus").glob("*.damaged"))


def pushed(world: World) -> list[str]:
    return re.findall(r"^push: \[(\w+)", world.log.read_text(), re.MULTILINE)
