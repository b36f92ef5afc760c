"""Databases that are damaged in the middle of a print, while their service is away and while it runs."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.conftest import World, wait_for
from tests.system.test_faults import begin_print, comes_out_right, others

pytestmark = pytest.mark.timeout(240)

MOVES = 100
OWNERS = ("klipper_bridge", "spoolman_sync", "notifier")
PAGE_BYTES = 4096


def overwrite(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


def cut(path: Path) -> None:
    os.truncate(path, PAGE_BYTES * 2 + 100)


def garbage_beside(path: Path) -> None:
    path.with_name(f"{path.name}-wal").write_bytes(os.urandom(10_000))


def overwrite_in_place(path: Path) -> None:
    """The file, its log and their index, which the service has open."""
    for end in ("", "-wal", "-shm"):
        with open(f"{path}{end}", "r+b") as file:
            file.write(os.urandom(os.fstat(file.fileno()).st_size))


def database(world: World, service: str) -> Path:
    return world.data / "moonbus" / f"{service}.sqlite"


def told(world: World, service: str) -> bool:
    """In the log, in server.info, and by the name of the file."""
    text = f"{database(world, service)} is damaged"
    warned = any(text in warning for warning in world.get("/server/info")["warnings"])
    return warned and text in world.logs() and database(world, service).with_suffix(".sqlite.damaged").exists()


def pause(world: World) -> None:
    assert world.post("/printer/print/pause").json() == {"result": "ok"}
    wait_for(lambda: world.print_state() == "paused", "paused")


def all_booked(world: World) -> None:
    wait_for(lambda: not world.get("/server/spoolman/status")["pending_reports"], "nothing pending")


@pytest.mark.parametrize(
    "damage",
    [overwrite, pytest.param(cut, marks=pytest.mark.slow), pytest.param(garbage_beside, marks=pytest.mark.slow)],
)
def test_a_file_damaged_while_its_service_is_away(world: World, damage: Callable[[Path], None]) -> None:
    begin_print(world, MOVES)
    before_mm = world.used_mm(1)
    wait_for(lambda: world.used_mm(1) > before_mm, "the first report")
    pause(world)
    all_booked(world)
    for service in OWNERS:
        assert "stopped" in world.ctl("stop", service)
        damage(database(world, service))
        assert "started" in world.ctl("start", service)
    world.ready()
    for service in OWNERS:
        assert told(world, service), service
    # Which spool is loaded is what the ledger cannot know any more.
    assert world.post("/server/spoolman/spool_id", spool_id=1).json() == {"result": {"spool_id": 1}}
    world.post("/printer/print/resume")
    comes_out_right(world, before_mm, MOVES, ("started", "paused", "resumed", "complete"))
    assert others(world, "") == {"up"}


def test_a_file_damaged_under_its_service_costs_nothing(world: World) -> None:
    begin_print(world, MOVES)
    before_mm = world.used_mm(1)
    wait_for(lambda: world.used_mm(1) > before_mm, "the first report")
    pids = [world.pid(service) for service in OWNERS]
    for service in OWNERS:
        overwrite_in_place(database(world, service))
    pause(world)
    for service in OWNERS:
        wait_for(lambda: told(world, service), f"{service} told")  # noqa: B023
    world.kill("spoolman_sync")
    world.ready()
    assert world.get("/server/spoolman/spool_id") == {"spool_id": 1}
    world.post("/printer/print/resume")
    comes_out_right(world, before_mm, MOVES, ("started", "paused", "resumed", "complete"))
    assert [world.pid(service) for service in OWNERS if service != "spoolman_sync"] == [pids[0], pids[2]]
