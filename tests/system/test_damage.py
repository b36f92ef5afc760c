"""Databases that are damaged in the middle of a print, while their service is away and while it runs."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.conftest import World, wait_for
from tests.system.test_faults import begin_print, comes_out_right, others
from tests.system.test_survival import titles

pytestmark = pytest.mark.timeout(240)

MOVES = 300
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


def set_aside(world: World, service: str) -> Path:
    return database(world, service).with_suffix(".sqlite.damaged")


def told(world: World, service: str) -> bool:
    """In the log, in server.info, and by the name of the file."""
    text = f"{database(world, service)} is damaged"
    warned = any(text in warning for warning in world.get("/server/info")["warnings"])
    return warned and text in world.logs() and set_aside(world, service).exists()


def pause(world: World) -> None:
    assert world.post("/printer/print/pause").json() == {"result": "ok"}
    wait_for(lambda: world.print_state() == "paused", "paused")


def all_told(world: World) -> None:
    wait_for(lambda: all(told(world, service) for service in OWNERS), "every service told of its file")


def position_mm(world: World) -> float:
    return float(world.get("/printer/objects/query?toolhead")["status"]["toolhead"]["position"][3])


def damaged_under_them(world: World) -> None:
    """Nothing is lost that they have in memory."""
    pids = world.pids()
    for service in OWNERS:
        overwrite_in_place(database(world, service))
    pause(world)
    all_told(world)
    assert world.get("/server/spoolman/spool_id") == {"spool_id": 1}
    assert world.pids() == pids


def damaged_while_away(world: World, damage: Callable[[Path], None]) -> None:
    assert world.ctl("stop", *OWNERS).count(": stopped") == len(OWNERS)
    for service in OWNERS:
        set_aside(world, service).unlink()
        damage(database(world, service))
    assert world.ctl("start", *OWNERS).count(": started") == len(OWNERS)
    all_told(world)
    world.ready()


@pytest.mark.parametrize(
    "damage",
    [overwrite, pytest.param(cut, marks=pytest.mark.slow), pytest.param(garbage_beside, marks=pytest.mark.slow)],
)
def test_a_print_survives_its_databases(world: World, damage: Callable[[Path], None]) -> None:
    begin_print(world, MOVES)
    before_mm = world.used_mm(1)
    wait_for(lambda: world.used_mm(1) > before_mm, "the first report")
    damaged_under_them(world)
    for spool in (2, 1):  # what is pending is told at once then
        assert world.post("/server/spoolman/spool_id", spool_id=spool).ok
    wait_for(lambda: not world.get("/server/spoolman/status")["pending_reports"], "nothing pending")
    wait_for(lambda: titles(world) == ["started", "paused"], "all is pushed")
    damaged_while_away(world, damage)
    # Which spool is loaded is what nobody knows any more, nor what was counted: that goes on from where the extruder is.
    before_mm = world.used_mm(1) - position_mm(world)
    assert world.post("/server/spoolman/spool_id", spool_id=1).json() == {"result": {"spool_id": 1}}
    world.post("/printer/print/resume")
    world.hurry()
    comes_out_right(world, before_mm, MOVES, ("started", "paused", "resumed", "complete"))
    assert others(world, "") == {"up"}
