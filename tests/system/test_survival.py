"""The real supervisord.conf on a simulated print: each program killed, and everything comes out right."""

import re
import signal
import subprocess
import sys
import time

import pytest

from bus.rundir import CHECKOUT
from bus.services import SERVICES
from tests.system.conftest import World, wait_for

SIDE_MM = 2.0
MOVES = 500
"""Extrusions of the print, some fifteen a second: longer than five kills and returns take."""


def gcode() -> str:
    moves = [f"G1 X{20 + 60 * (n % 2)} Y{20 + n % 50} E{SIDE_MM}" for n in range(MOVES)]
    return "M83\nG28\nG1 F18000\n" + "\n".join(moves) + "\n"


def titles(world: World) -> list[str]:
    """Of the pushes that arrived, in order: the sink prints a line for each."""
    return re.findall(r"^push: \[(\w+)", world.log.read_text(), re.MULTILINE)


def test_a_print_survives_the_kill_of_every_program(world: World) -> None:
    world.start_simulators()
    world.up()
    world.ready()
    (world.data / "gcodes" / "long.gcode").write_text(gcode())
    assert world.post("/server/spoolman/spool_id", spool_id=1).json() == {"result": {"spool_id": 1}}
    before_mm = world.used_mm(1)
    assert world.post("/printer/print/start", filename="long.gcode").json() == {"result": "ok"}
    wait_for(lambda: world.print_state() == "printing", "printing")
    for service in SERVICES:
        world.kill(service)
        world.ready()
        assert world.print_state() == "printing", service
    world.hurry()
    wait_for(lambda: world.print_state() == "complete", "complete", timeout_s=120)
    expected_mm = MOVES * SIDE_MM
    wait_for(lambda: world.used_mm(1) - before_mm > expected_mm - 0.01, "all filament booked")
    wait_for(lambda: not world.get("/server/spoolman/status")["pending_reports"], "nothing pending")
    assert world.used_mm(1) - before_mm == pytest.approx(expected_mm, abs=0.01)
    wait_for(lambda: titles(world)[-1:] == ["complete"], "the push arrived")
    assert titles(world) == ["started", "complete"]
    assert world.get("/server/spoolman/spool_id") == {"spool_id": 1}


def test_everything_ends_and_nothing_stays(world: World) -> None:
    world.start_simulators()
    world.up()
    world.ready()
    pids = [world.pid(service) for service in SERVICES]
    assert all(pids)
    up = world.processes["moonbus"]
    up.send_signal(signal.SIGTERM)
    assert up.wait(10) == 0
    assert [pid for pid in pids if exists(pid)] == []
    assert not (world.data / "comms" / "moonraker.sock").exists()
    assert not (world.run_dir / "supervisor.sock").exists()


def test_the_supervisors_own_death_ends_the_services(world: World) -> None:
    world.start_simulators()
    world.up()
    world.ready()
    pids = [world.pid(service) for service in SERVICES]
    world.processes["moonbus"].kill()
    world.processes["moonbus"].wait(5)
    wait_for(lambda: not any(exists(pid) for pid in pids), "the services ended too")
    world.up()
    world.ready()


def test_services_start_without_klipper_and_spoolman_and_find_them_later(world: World) -> None:
    world.up()
    wait_for(lambda: world.get("/server/info")["components"], "the gateway answers")
    info = world.get("/server/info")
    assert info["klippy_connected"] is False and info["klippy_state"] == "disconnected"
    refused = world.post("/printer/gcode/script", script="G28")
    assert refused.status_code == 503 and refused.json()["error"]["message"] == "Klippy Host not connected"
    world.start_simulators()
    world.ready()


def test_one_service_restarts_while_the_others_go_on(world: World) -> None:
    world.start_simulators()
    world.up()
    world.ready()
    before = {service: world.pid(service) for service in SERVICES}
    assert "notifier: started" in world.ctl("restart", "notifier")
    after = {service: world.pid(service) for service in SERVICES}
    assert [name for name in SERVICES if before[name] != after[name]] == ["notifier"]
    world.ready()


def test_two_instances_run_side_by_side(world: World, system: World) -> None:
    world.start_simulators()
    world.up()
    world.ready()
    assert world.get("/server/files/roots") != system.get("/server/files/roots")
    assert set(world.ctl("status").split()) != set(system.ctl("status").split())


def test_the_demo_shows_the_system_working_and_ends_with_ctrl_c() -> None:
    demo = subprocess.Popen([sys.executable, "-m", "moonbus", "demo", "--port", "0"], cwd=CHECKOUT, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    told: list[str] = []
    try:
        assert demo.stdout is not None
        for line in demo.stdout:
            told.append(line.rstrip())
            if "spool 1:" in line:
                break
        demo.send_signal(signal.SIGINT)
        rest = demo.stdout.read()
        assert demo.wait(20) == 0, rest
    finally:
        demo.kill()
        demo.wait(5)
        assert demo.stdout is not None
        demo.stdout.close()
    text = "\n".join(told)
    for expected in ("curl http://127.0.0.1:", "bus tap", "print: printing", "print: complete", "push:"):
        assert expected in text, text
    assert "Everything has ended." in rest


def exists(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_readiness_is_told(world: World) -> None:
    """How long it takes is printed for whoever looks; only that it comes is asserted."""
    world.start_simulators()
    started = time.monotonic()
    world.up()
    world.ready()
    print(f"ready after {time.monotonic() - started:.2f} s")
    assert all(line.split()[1] == "RUNNING" for line in world.ctl("status").splitlines())
