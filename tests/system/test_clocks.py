"""The wall clock is set by an hour in the middle of a print, forward and back, for all services and for each alone: nothing is
late, stale or given up for it, what waits goes on waiting as long as it was to, and filament and events come out right."""

import os
import re
import signal
from collections.abc import Iterable

import pytest
import requests

from bus.services import SERVICES
from tests.system.conftest import World, wait_for
from tests.system.test_faults import begin_print, comes_out_right, others, run_inside
from tests.system.test_survival import titles

pytestmark = pytest.mark.timeout(240)

HOUR_S = 3600
MOVES = 300
ALL = tuple(SERVICES)


def set_clocks(world: World, services: Iterable[str], shift_s: int) -> None:
    """These are off by so much, the others are right."""
    folder = world.data / "clocks"
    folder.mkdir(exist_ok=True)
    for service in SERVICES:
        fresh = folder / f".{service}"
        fresh.write_text(str(shift_s if service in services else 0))
        fresh.replace(folder / service)


def begin(world: World) -> None:
    run_inside(world, "tests.system.shifted")
    world.environment["SHIFTED_CLOCKS"] = str(world.data / "clocks")
    set_clocks(world, (), 0)
    begin_print(world, MOVES)
    pushed(world, ["started"])


def switch(world: World, verb: str, state: str) -> None:
    assert world.post(f"/printer/print/{verb}").json() == {"result": "ok"}
    wait_for(lambda: world.print_state() == state, state)


def pushed(world: World, events: list[str]) -> None:
    wait_for(lambda: titles(world) == events, f"pushed: {events}")


def token_of(world: World) -> str:
    return str(world.get("/access/oneshot_token"))


def admits(world: World, token: str) -> bool:
    """From a stranger's address."""
    stranger = {"X-Forwarded-For": "203.0.113.7"}
    return requests.get(f"{world.base}/server/info", params={"token": token}, headers=stranger, timeout=10).ok


def nothing_is_late(world: World) -> None:
    pushed = re.findall(r"^push: .*", world.log.read_text(), re.MULTILINE)
    assert not [line for line in pushed if "late" in line], pushed
    for notifier in world.get("/server/notifiers/status")["notifiers"]:
        assert notifier["dead_letters"] == []


def push_service_leaves(world: World) -> None:
    world.processes["push"].terminate()
    world.processes["push"].wait(10)


def push_service_is_back(world: World) -> None:
    world.launch("push", "simulators.push_sink", "--port", str(world.ports["push"]))


def waits(world: World, event: str) -> bool:
    """Whether a push of this event was tried in vain."""
    error = world.get("/server/notifiers/status")["notifiers"][0]["last_error"]
    return bool(error) and error["event"] == event


@pytest.mark.parametrize(
    "groups",
    [
        (ALL,),
        pytest.param((ALL, *((name,) for name in SERVICES)), marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
    ],
)
def test_a_clock_that_is_set_changes_nothing(world: World, groups: tuple[tuple[str, ...], ...]) -> None:
    begin(world)
    expected, pids = ["started", "paused"], world.pids()
    push_service_leaves(world)
    switch(world, "pause", "paused")
    wait_for(lambda: waits(world, "paused"), "the first attempt failed")
    push_service_is_back(world)
    for services in groups:
        for shift_s, verb, state in ((HOUR_S, "resume", "printing"), (-HOUR_S, "pause", "paused")):
            token = token_of(world)
            set_clocks(world, services, shift_s)
            assert admits(world, token) and not admits(world, token)
            switch(world, verb, state)
        assert others(world, "") == {"up"}
        assert not [text for text in world.get("/server/info")["warnings"] if "not running" in text]
        expected += ["resumed", "paused"]
    switch(world, "resume", "printing")
    world.hurry()
    comes_out_right(world, 0.0, MOVES, (*expected, "resumed", "complete"))
    nothing_is_late(world)
    assert world.pids() == pids


@pytest.mark.slow
@pytest.mark.parametrize("shift_s", [HOUR_S, -HOUR_S])
def test_what_waits_when_the_clock_is_set_is_as_old_as_it_is(world: World, shift_s: int) -> None:
    """For a push service that is away: in the notifier's memory, then in its file. In the journal, for the notifier."""
    begin(world)
    push_service_leaves(world)
    switch(world, "pause", "paused")
    wait_for(lambda: waits(world, "paused"), "the first attempt failed")
    set_clocks(world, SERVICES, shift_s)
    push_service_is_back(world)
    pushed(world, ["started", "paused"])
    push_service_leaves(world)
    switch(world, "resume", "printing")
    wait_for(lambda: waits(world, "resumed"), "the first attempt failed")
    os.kill(world.pid("notifier"), signal.SIGSTOP)
    switch(world, "pause", "paused")
    set_clocks(world, (), 0)
    os.kill(world.pid("notifier"), signal.SIGKILL)
    push_service_is_back(world)
    switch(world, "resume", "printing")
    world.hurry()
    comes_out_right(world, 0.0, MOVES, ("started", "paused", "resumed", "paused", "resumed", "complete"))
    nothing_is_late(world)
