"""Filament over real sockets: each case in which filament was lost or doubled elsewhere comes out right here."""

import asyncio
import contextlib
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bus.testing import eventually
from simulators.spoolman import Fault
from tests.process.spoolman_world import QUICK, World, play, process, ready, relay


def on_reports(kind: Any, delay_s: float = 0.0, status: int = 503, times: int | None = 1) -> Fault:
    return Fault(kind, method="PUT", path="/use$", delay_s=delay_s, status=status, times=times)


def test_nothing_wrong() -> None:
    async def scenario(made: World) -> None:
        await ready(made)
        for _ in range(6):
            made.extrude(25.0)
            await made.counted()
        await made.booked()

    play(scenario)


def test_spoolman_is_down_for_a_while() -> None:
    async def scenario(made: World) -> None:
        await ready(made)
        made.extrude(100.0)
        await made.booked()
        await made.spoolman.stop()
        await made.linked(False)
        for mm in (60.0, 100.67):
            made.extrude(mm)
            await eventually(lambda: made.waiting_mm > made.truth_mm - 100.01)
        assert (await made.call("status"))["pending_reports"] == [{"spool_id": made.spool, "filament_used": 160.67}]
        await made.spoolman.start()
        await made.booked()
        assert made.reports == [100.0, pytest.approx(160.67)]

    play(scenario)


SETTLED_S = 40.0
"""A report cut off by the kill before Spoolman had it is sent again after the product's time for settling."""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_service_is_killed_or_terminated_and_comes_back(number: signal.Signals) -> None:
    async def scenario(made: World) -> None:
        async with process(made) as service:
            made.extrude(60.0)
            await made.counted()
            await service.end(number)
            made.extrude(71.38)
            await service.start()
            made.extrude(31.73)
            await made.booked(timeout_s=SETTLED_S)

    play(scenario)


def test_the_service_is_killed_while_spoolman_is_down() -> None:
    async def scenario(made: World) -> None:
        async with process(made) as service:
            made.extrude(95.26)
            await made.booked()
            await made.spoolman.stop()
            made.extrude(200.0)
            await eventually(lambda: made.waiting_mm > 199.0)
            await service.end(signal.SIGKILL)
            made.extrude(156.05)
            await service.start()
            await made.counted()
            await made.spoolman.start()
            await made.booked(timeout_s=SETTLED_S)

    play(scenario)


def test_the_service_is_killed_while_a_report_is_under_way() -> None:
    """Executed, its answer never read: the next life finds it in Spoolman."""

    async def scenario(made: World) -> None:
        async with process(made) as service:
            made.spoolman.faults.append(on_reports("late_reply", delay_s=60.0))
            made.extrude(50.0)
            await eventually(lambda: made.used() > 0)
            await service.end(signal.SIGKILL)
            made.extrude(13.0)
            await service.start()
            await made.booked()
            assert made.reports == [50.0, 13.0]

    play(scenario)


@pytest.mark.parametrize("times", [1, 3], ids=["one", "three"])
@pytest.mark.parametrize("kind", ["drop_reply", "cut"], ids=["executed", "not executed"])
def test_answers_are_lost(kind: Any, times: int) -> None:
    """The client sees the same."""

    async def scenario(made: World) -> None:
        await ready(made)
        made.spoolman.faults.append(on_reports(kind, times=times))
        for _ in range(times + 1):
            made.extrude(25.0)
            await made.counted()
            await eventually(lambda: made.waiting_mm == 0)
        await made.booked()

    play(scenario)


def test_spoolman_answers_late() -> None:
    """Within the time a report waits for its answer nothing is uncertain and nothing is sent twice."""

    async def scenario(made: World) -> None:
        await ready(made)
        fault = on_reports("delay", delay_s=0.6, times=None)
        made.spoolman.faults.append(fault)
        for _ in range(4):
            made.extrude(50.0)
            await made.counted()
        made.spoolman.faults.remove(fault)
        made.extrude(35.13)
        await made.booked()
        assert sum(made.reports) == pytest.approx(made.truth_mm), "no report was sent twice"

    play(scenario)


@pytest.mark.parametrize("kind", ["delay", "late_reply"])
def test_spoolman_answers_later_than_a_report_waits(kind: Any) -> None:
    """The report is executed after its connection was given up, and while its spool is being watched."""

    async def scenario(made: World) -> None:
        await ready(made, replace(QUICK, report_timeout_s=0.2, settle_s=1.0))
        made.spoolman.faults.append(on_reports(kind, delay_s=0.6, times=2))
        for _ in range(4):
            made.extrude(50.0)
            await made.counted()
        await made.booked()
        assert sum(made.reports) == pytest.approx(made.truth_mm), "no report was sent twice"

    play(scenario)


@pytest.mark.parametrize("status", [404, 500, 502, 504])
def test_an_error_in_front_of_spoolman_is_an_outage(status: int) -> None:
    async def scenario(made: World) -> None:
        await ready(made)
        made.spoolman.faults.append(on_reports("not_json", status=status))
        made.spoolman.faults.append(Fault("status", method="GET", path=f"/spool/{made.spool}$", status=status, times=2))
        made.extrude(25.0)
        await made.booked()
        assert await made.call("get_spool_id") == {"spool_id": made.spool}

    play(scenario)


def test_two_extruders() -> None:
    async def scenario(made: World) -> None:
        await ready(made)
        made.extrude(50.0)
        made.extrude(3.1, "extruder1")
        made.extrude(26.9, "extruder1")
        await made.booked()

    play(scenario)


def test_messages_are_missed() -> None:
    async def scenario(made: World) -> None:
        await ready(made)
        for mm in (10.0, 20.0, 30.0):
            made.extrude(mm, tell=False)
        made.extrude(1.5)
        await made.booked()

    play(scenario)


def test_klipper_restarts_and_another_spool_is_chosen_before_the_first_move() -> None:
    async def scenario(made: World) -> None:
        await ready(made)
        made.extrude(200.0)
        await made.booked()
        made.restart_klipper()
        await made.choose(made.other_spool)
        made.extrude(150.01)
        await made.booked(150.01, made.other_spool)

    play(scenario)


def test_the_service_restarts_and_another_spool_is_chosen_before_the_next_move() -> None:
    async def scenario(made: World) -> None:
        await ready(made)
        made.extrude(351.07)
        await made.booked()
        await made.sync.close()
        made.start_sync()
        await made.back()
        await made.choose(made.other_spool)
        made.extrude(75.02)
        await made.booked(75.02, made.other_spool)

    play(scenario)


def test_a_printer_that_runs_already_is_taken_over_as_it_is() -> None:
    async def scenario(made: World) -> None:
        made.position_mm = {"extruder": 5000.0}
        await ready(made)
        made.extrude(10.0)
        await made.booked(10.0)

    play(scenario)


def test_the_bridge_restarts_in_a_print() -> None:
    async def scenario(made: World) -> None:
        await ready(made)
        made.extrude(30.0)
        await made.counted()
        await made.bridge.close()
        made.extrude(20.0, tell=False)
        made.start_bridge()
        made.extrude(5.0)
        await made.booked()

    play(scenario)


@pytest.mark.parametrize("behind_a_proxy", [False, True], ids=["directly", "behind a proxy"])
def test_a_frozen_spoolman_is_noticed_and_costs_nothing(tmp_path: Path, behind_a_proxy: bool) -> None:
    """Stopped in the middle of a report: what lies in its buffers is executed when it goes on."""

    async def scenario(made: World) -> None:
        state = tmp_path / "spools.json"
        spoolman = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "simulators.spoolman",
            "--port",
            "0",
            "--state",
            str(state),
            stdout=asyncio.subprocess.PIPE,
        )
        assert spoolman.stdout is not None
        url = (await spoolman.stdout.readline()).decode().split()[3].rstrip(",")
        try:
            async with contextlib.AsyncExitStack() as stack:
                server = await stack.enter_async_context(relay(url)) if behind_a_proxy else url
                await freeze_in_a_report(made, spoolman, server)
                await made.sync.close()
        finally:
            spoolman.kill()
            await spoolman.wait()

    play(scenario)


async def freeze_in_a_report(made: World, spoolman: asyncio.subprocess.Process, url: str) -> None:
    made.start_bridge()
    made.start_sync(replace(QUICK, report_timeout_s=0.3, settle_s=0.5), server=url)
    await made.linked()
    await made.seen()
    await made.choose(1)
    before_mm = (await made.proxy("GET", "/v1/spool/1"))["used_length"]
    spoolman.send_signal(signal.SIGSTOP)
    made.extrude(25.0)
    await made.linked(False)
    await eventually(lambda: "Spoolman does not answer: it hangs" in (made.status["last_error"] or ""))
    assert made.status["spoolman_connected"] is False
    made.extrude(30.0)
    await eventually(lambda: made.waiting_mm == 55.0)
    spoolman.send_signal(signal.SIGCONT)
    await made.linked()
    await eventually(lambda: made.waiting_mm == 0)
    used_mm = (await made.proxy("GET", "/v1/spool/1"))["used_length"]
    assert used_mm - before_mm == pytest.approx(55.0)
