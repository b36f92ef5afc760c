"""A disk that is full, and one that became read-only, in the middle of a print: everything goes on and answers, and catches up
by itself as soon as the disk takes something again."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator

import pytest
import requests

from bus.services import SERVICES
from tests.system.conftest import World, wait_for
from tests.system.mounts import SmallDisk, needs_namespace
from tests.system.test_faults import begin_print, comes_out_right, others
from tests.system.test_survival import titles

pytestmark = pytest.mark.timeout(240)

MOVES = 300
QUESTIONS = (
    "/server/info",
    "/server/spoolman/status",
    "/printer/objects/query?print_stats",
    "/server/notifiers/status",
)
Disaster = Callable[[World, SmallDisk, bool], None]
"""Spoils the disk, pauses the print, kills services if it is told to, and mends the disk."""


@pytest.fixture
def disk(world: World) -> Iterator[SmallDisk]:
    """The world's data path on a disk of its own; without root it is mounted where the test really runs."""
    made = SmallDisk(world.data)
    try:
        if not needs_namespace():
            made.mount()
        yield made
    finally:
        world.close()
        made.close()


def upload(world: World) -> requests.Response:
    form = {"file": ("cube.gcode", b"G28\n")}
    return requests.post(f"{world.base}/server/files/upload", files=form, timeout=10)


def all_answers(world: World) -> None:
    """Each service says that it is up, and each question is answered."""
    assert others(world, "") == {"up"}
    for question in QUESTIONS:
        answer = requests.get(f"{world.base}{question}", timeout=10)
        assert answer.status_code == 200, (question, answer.text)


def pause(world: World) -> None:
    """An event, and time for the test."""
    assert world.post("/printer/print/pause").json() == {"result": "ok"}
    wait_for(lambda: world.print_state() == "paused", "paused")


def nothing_failed(world: World) -> None:
    text = world.logs()
    assert "Traceback" not in text, text
    assert "ended by an error" not in text, text


def refused(world: World) -> None:
    """In words."""
    answer = upload(world)
    assert answer.status_code == 507 and "cannot be stored" in answer.json()["error"]["message"], answer.text


def kill(world: World, services: Iterable[str]) -> None:
    pids = world.pids()
    for service in services:
        os.kill(pids[service], signal.SIGKILL)


def full(world: World, disk: SmallDisk, killed: bool) -> None:
    pids = world.pids()
    disk.fill()
    refused(world)
    wait_for(lambda: "cannot be stored" in (world.get("/server/spoolman/status")["last_error"] or ""), "ledger refused")
    pause(world)
    all_answers(world)
    assert world.pids() == pids
    if killed:
        kill(world, SERVICES)
        former = {0, *pids.values()}
        wait_for(lambda: not former & set(world.pids().values()) and others(world, "") == {"up"}, "all came back")
        world.ready()
        all_answers(world)
    disk.free()


def read_only(world: World, disk: SmallDisk, killed: bool) -> None:
    """Whoever ends meanwhile comes back with the disk: sockets and locks lie there, too."""
    pids, pushed = world.pids(), titles(world)
    disk.refuse(pids.values())
    refused(world)
    pause(world)
    all_answers(world)
    assert world.pids() == pids and titles(world) == pushed
    if killed:
        kill(world, set(SERVICES) - {"klipper_bridge"})
    disk.accept(pid for pid in world.pids().values() if pid)


@pytest.mark.parametrize(
    ("disasters", "killed"),
    [
        ((full,), False),
        pytest.param((full, read_only), False, marks=pytest.mark.slow),
        pytest.param((full,), True, marks=pytest.mark.slow),
        pytest.param((read_only,), True, marks=pytest.mark.slow),
    ],
    ids=["full", "full, then read-only", "full, and all killed", "read-only, and most killed"],
)
def test_a_print_survives_its_disk(
    world: World, disk: SmallDisk, disasters: tuple[Disaster, ...], killed: bool
) -> None:
    begin_print(world, MOVES)
    before_mm, events = world.used_mm(1), ["started"]
    assert upload(world).status_code == 201
    for disaster in disasters:
        wait_for(lambda: titles(world) == events, "all is pushed")  # noqa: B023
        disaster(world, disk, killed)
        wait_for(lambda: upload(world).status_code == 201, "an upload is taken")
        wait_for(lambda: world.post("/printer/print/resume").ok, "resumed")
        events += ["paused", "resumed"]
    world.hurry()
    comes_out_right(world, before_mm, MOVES, (*events, "complete"))
    nothing_failed(world)
    all_answers(world)
