"""All services in one process: one line of supervisord.conf. It is killed in the middle of a print, and that comes out right."""

import pytest

from bus.rundir import CHECKOUT
from bus.services import SERVICES
from tests.system.conftest import World, wait_for
from tests.system.test_faults import wait_until_told
from tests.system.test_survival import titles

SIDE_MM = 2.0
MOVES = 150


def start(world: World, processes: str) -> None:
    text = (CHECKOUT / "supervisord.conf").read_text()
    world.configure_supervisor(text.replace("processes = separate", f"processes = {processes}"))
    world.start_simulators()
    world.up()


def test_one_process_for_all_serves_and_survives(world: World) -> None:
    world.programs = 1
    start(world, "shared")
    world.ready()
    assert world.ctl("status").split()[:2] == ["services", "RUNNING"]
    moves = [f"G1 X{20 + 60 * (n % 2)} Y20 E{SIDE_MM}" for n in range(MOVES)]
    (world.data / "gcodes" / "long.gcode").write_text("M83\nG28\nG1 F18000\n" + "\n".join(moves) + "\n")
    world.post("/server/spoolman/spool_id", spool_id=1)
    before_mm = world.used_mm(1)
    world.post("/printer/print/start", filename="long.gcode")
    wait_for(lambda: world.print_state() == "printing", "printing")
    world.kill("services")
    world.ready()
    for name in SERVICES:
        wait_until_told(world, name, "")
    wait_for(lambda: world.print_state() == "complete", "complete", timeout_s=60)
    wait_for(lambda: world.used_mm(1) - before_mm > MOVES * SIDE_MM - 0.01, "all filament booked")
    assert world.used_mm(1) - before_mm == pytest.approx(MOVES * SIDE_MM, abs=0.01)
    wait_for(lambda: titles(world)[-1:] == ["complete"], "the push arrived")
    assert titles(world) == ["started", "complete"]


def test_a_choice_that_does_not_exist_is_told(world: World) -> None:
    start(world, "some")
    assert world.processes["moonbus"].wait(20) != 0
    assert "processes: expected separate or shared, got 'some'" in world.logs()
