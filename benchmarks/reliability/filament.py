"""Is all filament on its spool, once? Each row extrudes at 5 mm/s while something goes wrong."""

import asyncio
from collections.abc import Awaitable, Callable

from benchmarks.reliability.rig import HEATING_S, OTHER_SPOOL, SPOOL, Rig, rig
from benchmarks.reliability.systems import Peer
from benchmarks.reliability.table import EXACT_MM, TICK_MM, Cell, Pace, Row, both, filament
from simulators.spoolman import Fault

Case = Callable[[Rig, Pace], Awaitable[None]]
CALM_S = 8.0
"""Before and after something goes wrong."""
PHONE = """[notifier phone]
url: {sink}/phone
events: *
title: {event_name}
body: {event_args[1].filename}
"""


def row(what: str, case: Case, frozen: bool = False, proxied: bool = False, exact_mm: float = EXACT_MM) -> Row:
    """All that `case` extrudes belongs on spool 1."""

    async def play(peer: Peer, pace: Pace) -> Cell:
        async with rig(peer, frozen=frozen, proxied=proxied) as made:
            before_mm = await made.used_mm(SPOOL)
            await case(made, pace)
            booked = await made.settled(before_mm)
            return filament(booked.extruded_mm, booked.booked_mm, exact_mm)

    return Row(what, play)


async def nothing(made: Rig, pace: Pace) -> None:
    await made.extrude(150)


async def spoolman_down(made: Rig, pace: Pace) -> None:
    async with made.extruding():
        await asyncio.sleep(CALM_S)
        await made.spoolman.stop()
        await asyncio.sleep(pace.outage_s)
        await made.spoolman.start()
        await asyncio.sleep(CALM_S)


async def killed(made: Rig, pace: Pace) -> None:
    async with made.extruding():
        await asyncio.sleep(CALM_S)
        await made.system.kill()
        await asyncio.sleep(pace.away_s)
        await made.system.start()
        await asyncio.sleep(CALM_S)


async def terminated(made: Rig, pace: Pace) -> None:
    async with made.extruding():
        await asyncio.sleep(CALM_S)
        await made.system.stop()
        await asyncio.sleep(pace.away_s)
        await made.system.start()
        await asyncio.sleep(CALM_S)


async def killed_while_spoolman_is_down(made: Rig, pace: Pace) -> None:
    async with made.extruding():
        await asyncio.sleep(CALM_S)
        await made.spoolman.stop()
        await asyncio.sleep(pace.outage_s)
        await made.system.kill()
        await asyncio.sleep(pace.away_s)
        await made.spoolman.start()
        await made.system.start()
        await asyncio.sleep(CALM_S)


def answers_lost(times: int) -> Case:
    async def case(made: Rig, pace: Pace) -> None:
        async with made.extruding():
            await asyncio.sleep(CALM_S)
            made.spoolman.faults.append(Fault("drop_reply", method="PUT", path="/use", times=times))
            await asyncio.sleep(pace.outage_s)

    return case


async def late_answers(made: Rig, pace: Pace) -> None:
    async with made.extruding():
        await asyncio.sleep(CALM_S)
        late = Fault("late_reply", path="/use", delay_s=12.0, times=None)
        made.spoolman.faults.append(late)
        await asyncio.sleep(pace.late_s)
        made.spoolman.faults.remove(late)
        await asyncio.sleep(CALM_S)


async def frozen(made: Rig, pace: Pace) -> None:
    assert made.frozen is not None
    async with made.extruding():
        await asyncio.sleep(CALM_S)
        made.frozen.freeze()
        await asyncio.sleep(pace.frozen_s)
        made.frozen.thaw()
        await asyncio.sleep(CALM_S)


async def two_extruders(made: Rig, pace: Pace) -> None:
    await made.extrude(50)
    await made.klipper.run_script("M400\nT1")
    await made.extrude(30)


async def two_extruders_and_back(made: Rig, pace: Pace) -> None:
    await two_extruders(made, pace)
    await made.klipper.run_script("M400\nT0")
    await asyncio.sleep(1.0)
    await made.klipper.run_script("T1")


async def another_spool(peer: Peer, between: Case, mm: float, pace: Pace) -> Cell:
    """300 mm on one spool, then something happens, then the other one is chosen before anything moves."""
    async with rig(peer) as made:
        before_mm = await made.used_mm(SPOOL)
        await made.klipper.run_script("M83\nG1 E300 F1800")
        await made.settled(before_mm)
        await between(made, pace)
        since_mm, before_mm = made.extruded_mm, await made.used_mm(OTHER_SPOOL)
        await made.choose(OTHER_SPOOL)
        await made.extrude(mm)
        booked = await made.settled(before_mm, OTHER_SPOOL, since_mm)
        return filament(booked.extruded_mm, booked.booked_mm)


async def spool_after_klippers_restart(peer: Peer, pace: Pace) -> Cell:
    async def between(made: Rig, pace: Pace) -> None:
        await made.klipper.run_script("RESTART")
        await asyncio.sleep(2.0)
        while not await made.system.is_ready():
            await asyncio.sleep(0.2)
        await asyncio.sleep(HEATING_S)

    return await another_spool(peer, between, 150.0, pace)


async def spool_after_own_restart(peer: Peer, pace: Pace) -> Cell:
    async def between(made: Rig, pace: Pace) -> None:
        await made.system.stop()
        await made.system.start()
        await asyncio.sleep(HEATING_S)

    return await another_spool(peer, between, 75.0, pace)


async def proxys_404(peer: Peer, pace: Pace) -> Cell:
    async with rig(peer, proxied=True) as made:
        before_mm = await made.used_mm(SPOOL)
        async with made.extruding():
            await asyncio.sleep(CALM_S)
            made.proxy.fail_with = 404
            await asyncio.sleep(pace.outage_s)
            made.proxy.fail_with = None
            await asyncio.sleep(CALM_S)
        active = (await made.system.get("/server/spoolman/spool_id"))["result"]["spool_id"]
        booked = await made.settled(before_mm)
        kept = Cell("the spool stays active" if active == SPOOL else "no spool is active any more", active == SPOOL)
        return both(filament(booked.extruded_mm, booked.booked_mm), kept)


def print_ends(how: str) -> Callable[[Peer, Pace], Awaitable[Cell]]:
    """Klipper ends in the middle of a print: what is booked, and what the phone is told."""

    async def play(peer: Peer, pace: Pace) -> Cell:
        async with rig(peer, PHONE) as made:
            before_mm = await made.used_mm(SPOOL)
            await made.start_print("boat.gcode", 200.0)
            while made.extruded_mm < 70.0:
                await asyncio.sleep(0.1)
            await END[how](made)
            await asyncio.sleep(3.0)
            booked = await made.settled(before_mm)
            told = [push.title for push in made.sink.pushes]
            return both(filament(booked.extruded_mm, booked.booked_mm, TICK_MM),
                        Cell(f"told: {', '.join(told)}", told == ["started", "error"]))  # fmt: skip

    return play


async def _kill_klipper(made: Rig) -> None:
    await made.klipper.kill()
    await asyncio.sleep(3.0)
    await made.klipper.start()


async def _restart_klipper(made: Rig) -> None:
    await made.system.post("/printer/restart", {})


async def _stop_in_an_emergency(made: Rig) -> None:
    await made.system.post("/printer/emergency_stop", {})


END: dict[str, Callable[[Rig], Awaitable[None]]] = {
    "kill": _kill_klipper,
    "restart": _restart_klipper,
    "emergency": _stop_in_an_emergency,
}
ROWS = (
    row("nothing wrong", nothing),
    row("Spoolman down for a while", spoolman_down),
    row("the system killed with -9, back after 5 s", killed),
    row("the system ended with SIGTERM, back after 5 s", terminated),
    row("killed with -9 while Spoolman is down", killed_while_spoolman_is_down),
    row("one answer of Spoolman lost", answers_lost(1)),
    row("three answers lost", answers_lost(3)),
    row("Spoolman answers after 12 s, for a while", late_answers),
    row("Spoolman frozen (SIGSTOP), behind a proxy", frozen, frozen=True, proxied=True),
    row("Spoolman frozen (SIGSTOP), directly", frozen, frozen=True),
    Row("a proxy before Spoolman answers 404 for a while", proxys_404),
    row("two extruders, 50 and 30 mm", two_extruders, exact_mm=EXACT_MM),
    row("the same, and each is active once more", two_extruders_and_back),
    Row("Klipper restarted, another spool before the first move", spool_after_klippers_restart),
    Row("the system restarted, another spool before the next move", spool_after_own_restart),
    Row("Klipper killed in a print", print_ends("kill")),
    Row("Klipper restarted in a print", print_ends("restart")),
    Row("emergency stop in a print", print_ends("emergency")),
)
