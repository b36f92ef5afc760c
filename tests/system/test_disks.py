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

pytestmark = pytest.mark.timeout(240)

MOVES = 100
QUESTIONS = (
    "/server/info",
    "/server/spoolman/status",
    "/printer/objects/query?print_stats",
    "/server/notifiers/status",
)
EVENTS = ("started", "paused", "resumed", "complete")


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


def pids(world: World) -> list[int]:
    return [world.pid(service) for service in SERVICES]


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
    """The ledger and an upload; in words."""
    wait_for(
        lambda: "cannot be stored" in (world.get("/server/spoolman/status")["last_error"] or ""),
        "the ledger is refused",
    )
    answer = upload(world)
    assert answer.status_code == 507 and "cannot be stored" in answer.json()["error"]["message"], answer.text


def kill(world: World, services: Iterable[str]) -> None:
    for service in services:
        os.kill(world.pid(service), signal.SIGKILL)


def a_print_survives(world: World, meanwhile: Callable[[], None]) -> None:
    """`meanwhile` spoils the disk, pauses the print, and mends the disk in the end."""
    begin_print(world, MOVES)
    before_mm = world.used_mm(1)
    assert upload(world).status_code == 201
    wait_for(lambda: world.used_mm(1) > before_mm, "the first report")
    meanwhile()
    wait_for(lambda: upload(world).status_code == 201, "an upload is taken")
    wait_for(lambda: world.post("/printer/print/resume").ok, "resumed")
    comes_out_right(world, before_mm, MOVES, EVENTS)
    nothing_failed(world)
    all_answers(world)


def test_a_full_disk(world: World, disk: SmallDisk) -> None:
    def meanwhile() -> None:
        living = pids(world)
        disk.fill()
        refused(world)
        pause(world)
        all_answers(world)
        assert pids(world) == living
        kill(world, SERVICES)
        wait_for(lambda: not {0, *living} & set(pids(world)) and others(world, "") == {"up"}, "all came back")
        world.ready()
        all_answers(world)
        disk.free()

    a_print_survives(world, meanwhile)


def test_a_read_only_disk(world: World, disk: SmallDisk) -> None:
    """Whoever ends meanwhile comes back with the disk: sockets and locks lie there, too."""

    def meanwhile() -> None:
        living = pids(world)
        disk.refuse(living)
        refused(world)
        pause(world)
        all_answers(world)
        assert pids(world) == living
        kill(world, set(SERVICES) - {"klipper_bridge"})
        disk.accept([world.pid("klipper_bridge")])

    a_print_survives(world, meanwhile)
