"""Every service with every fault, in the middle of a print: the others go on, the victim is back by itself, and the print,
its pushes and its filament come out right."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from bus.rundir import CHECKOUT
from bus.services import SERVICES
from tests.system.conftest import World, wait_for
from tests.system.test_survival import titles

pytestmark = pytest.mark.timeout(180)

SIDE_MM = 2.0
MOVES = 400


def run_inside(world: World, module: str) -> None:
    """The services will be started as `python -m MODULE SERVICE`, a real service with something of a test's inside."""
    text = (CHECKOUT / "supervisord.conf").read_text()
    world.configure_supervisor(re.sub(r"-m services\.(\w+)", rf"-m {module} \1", text))
    world.environment["PYTHONPATH"] = str(CHECKOUT)


def with_enemies(world: World) -> None:
    run_inside(world, "tests.system.hostile")
    world.environment |= {"HOSTILE_FAULT": str(world.data / "fault"), "MOONBUS_MEMORY": "160"}


def begin_print(world: World, moves: int = MOVES) -> None:
    """Everything runs, and a print that takes longer than the faults."""
    world.start_simulators()
    world.up()
    world.ready()
    lines = [f"G1 X{20 + 60 * (n % 2)} Y{20 + n % 50} E{SIDE_MM}" for n in range(moves)]
    (world.data / "gcodes" / "long.gcode").write_text("M83\nG28\nG1 F18000\n" + "\n".join(lines) + "\n")
    world.post("/server/spoolman/spool_id", spool_id=1)
    world.post("/printer/print/start", filename="long.gcode")
    wait_for(lambda: world.print_state() == "printing", "printing")


def others(world: World, victim: str) -> set[str]:
    """Whether the services but the victim are up, hang or are down, as each of them says itself."""
    done = subprocess.run(
        [sys.executable, "-m", "bus", "services"], env={**world.environment, "MOONBUS_RUN": str(world.run_dir)},
        cwd=CHECKOUT, capture_output=True, text=True, timeout=20, check=True,
    )  # fmt: skip
    rows = (line.split() for line in done.stdout.splitlines()[1:])
    return {state for name, state, *_ in rows if name != victim}


def came_back(world: World, victim: str, pid: int) -> None:
    wait_for(lambda: world.pid(victim) not in (0, pid), f"{victim} came back")


def wait_until_told(world: World, victim: str, reason: str) -> None:
    """People see that a service was started again, and why."""

    def told() -> bool:
        warnings = world.get("/server/info")["warnings"]
        return any(f"{victim} had to be started again" in text and reason in text for text in warnings)

    wait_for(told, f"told how {victim} ended")


def comes_out_right(
    world: World, before_mm: float, moves: int = MOVES, events: tuple[str, ...] = ("started", "complete")
) -> None:
    wait_for(lambda: world.print_state() == "complete", "complete", timeout_s=120)
    wait_for(lambda: world.used_mm(1) - before_mm > moves * SIDE_MM - 0.01, "all filament booked")
    wait_for(lambda: not world.get("/server/spoolman/status")["pending_reports"], "nothing pending")
    assert world.used_mm(1) - before_mm == pytest.approx(moves * SIDE_MM, abs=0.01)
    wait_for(lambda: titles(world)[-1:] == ["complete"], "the push arrived")
    assert titles(world) == list(events)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        pytest.param("spin", "stood still", marks=pytest.mark.slow),
        ("sleep", "stood still"),
        pytest.param("grow", "MiB of memory", marks=pytest.mark.slow),
        # ZeroMQ ends the process before anything can be told, where it is the first that needs one.
        pytest.param("files", "", marks=pytest.mark.slow),
    ],
)
def test_an_enemy_inside_costs_its_own_service_a_restart(world: World, fault: str, told: str) -> None:
    with_enemies(world)
    begin_print(world)
    before_mm = world.used_mm(1)
    for victim in SERVICES:
        pid = world.pid(victim)
        (world.data / "fault").write_text(fault)
        os.kill(pid, signal.SIGUSR1)
        assert others(world, victim) == {"up"}
        came_back(world, victim, pid)
        world.ready()
        wait_until_told(world, victim, told)
    assert not told or f"in {fault}" in world.logs(), "the guilty line is told"
    world.hurry()
    comes_out_right(world, before_mm)


@pytest.mark.parametrize("stopped_s", [2.0, pytest.param(60.0, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_a_service_that_was_stopped_goes_on_where_it_was(world: World, stopped_s: float) -> None:
    with_enemies(world)
    begin_print(world)
    before_mm = world.used_mm(1)
    pids = {victim: world.pid(victim) for victim in SERVICES}
    for victim, pid in pids.items():
        os.kill(pid, signal.SIGSTOP)
        until = time.monotonic() + stopped_s
        while time.monotonic() < until:
            assert others(world, victim) == {"up"}
        os.kill(pid, signal.SIGCONT)
        world.ready()
    assert {victim: world.pid(victim) for victim in SERVICES} == pids
    world.hurry()
    comes_out_right(world, before_mm)
