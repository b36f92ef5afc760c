"""Who acts in a world: the printer's owner, macros, and misfortune. One seed is one tale."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

from bus.errors import Fault
from tests.simulation import pushes, spoolman
from tests.simulation.outside import START, TARGETS, SimulatedNode
from tests.simulation.truth import SET_ACTIVE_SPOOL, Violated
from tests.simulation.world import World

SPOOLS = (None, 1, 1, 2, 2, 3)
FILES = ("cube.gcode", "boat.gcode")
SERVICES = tuple(START)
PATIENCE_S = 900.0
"""Virtual seconds until everything must have settled."""

Act = Callable[[World, Random], Awaitable[None] | None]


async def tale(world: World) -> None:
    """Everything starts, things happen, everything heals, and then it must be right."""
    random = world.random
    world.client = SimulatedNode("gateway", world.wires, world.places, world.config, world.data)  # type: ignore[arg-type]
    world.client.start()
    for who in random.sample(SERVICES, len(SERVICES)):
        world.start(who)
        await asyncio.sleep(random.random() * 0.5)
    world.klipper.start()
    await until(world, lambda: world.truth.ledger.session is not None, "the ledger never saw the printer")
    for beginning in (macro_changes_spool, print_on):
        if random.random() < 0.9:
            beginning(world, random)
    acts = [ACTS[name] for name in random.sample(sorted(ACTS), random.randint(1, 7))]
    tasks: set[asyncio.Task[None]] = set()
    for _ in range(random.randint(4, 20)):
        act = random.choice(acts if random.random() < 0.75 else ALWAYS)
        done = act(world, random)
        if done is not None:
            tasks.add(asyncio.ensure_future(done))
        await asyncio.sleep(random.choice((0.0, random.random(), random.expovariate(0.5))))
        if world.problem:
            return
    await rest(world)
    for task in tasks:
        task.cancel()


async def until(world: World, condition: Callable[[], bool], otherwise: str = "") -> None:
    """Waits in virtual time; Violated after PATIENCE_S, unless nothing is to be said then."""
    end = world.loop.now + PATIENCE_S
    while not condition():
        if world.problem or (world.loop.now > end and not otherwise):
            return
        if world.loop.now > end:
            raise Violated(otherwise)
        await asyncio.sleep(0.25)


async def rest(world: World) -> None:
    """Everything heals; then all that must hold is checked."""
    world.say("world", "everything heals")
    world.disk.full.clear()
    world.wires.weather.__init__()  # type: ignore[misc]
    world.spoolman.faults = ()
    world.spoolman.start()
    world.spoolman.thaw()
    world.pushes.faults.clear()
    for name in SERVICES:
        life = world.lives[name]
        life.trap, life.kill_after = "", 0
        world.loop.resume(life)
        world.let_up(name)
    klipper = world.klipper
    klipper.steady = True
    if not klipper.up or klipper.printer.state != "ready":
        klipper.kill()
        klipper.start()
    await until(world, lambda: klipper.state != "", "Klipper never got ready")
    await asyncio.sleep(4.0)
    if klipper.state in ("printing", "paused"):
        klipper.end_print("cancelled")
    for _ in range(2):
        klipper.return_retractions()
        await asyncio.sleep(2.5)
        klipper.printer.activate(next(n for n in klipper.printer.extruders if n != klipper.printer.active))
    await asyncio.sleep(2.5)
    await until(world, world.truth.settled)
    if world.problem:
        return
    world.truth.check_end()
    await until(world, lambda: all_pushed(world))
    world.letters.check(world.journal())


def all_pushed(world: World) -> bool:
    try:
        world.letters.check(world.journal())
    except Violated:
        return False
    return True


# -- the printer ---------------------------------------------------------------------------------------------------


def print_on(world: World, random: Random) -> None:
    """The job begins, pauses, goes on or ends, as far as it can."""
    klipper = world.klipper
    match klipper.state:
        case "":
            return
        case "printing":
            what = random.choice(("pause", "cancelled", "error", "go on", "go on"))
        case "paused":
            what = random.choice(("resume", "resume", "cancelled", "begin"))
        case _:
            what = "begin"
    if what == "begin":
        file, ticks = random.choice(FILES), random.randint(2, 20)
        klipper.begin_print(file, ticks)
        what = f"begins {file}, {ticks} updates long"
    elif what in ("cancelled", "error"):
        klipper.end_print(what)
    elif what == "pause":
        klipper.pause()
    elif what == "resume":
        klipper.resume()
    world.say("klipper", f"print: {what}")


def macro_changes_spool(world: World, random: Random) -> None:
    if world.klipper.state:
        spool_id = random.choice(SPOOLS)
        heard = world.klipper.call_remote(SET_ACTIVE_SPOOL, {"spool_id": spool_id})
        world.say("macro", f"spool {spool_id}{'' if heard else ', heard by nobody'}")


def macro_notifies(world: World, random: Random) -> None:
    if world.klipper.state:
        number = len(world.story)
        heard = world.klipper.call_remote("notify", {"name": "macro", "message": f"call {number}"})
        world.say("macro", f"notifies: call {number}{'' if heard else ', heard by nobody'}")


def klipper_dies(world: World, random: Random) -> None:
    if world.klipper.up:
        world.trouble("klipper", "kill -9")
        world.klipper.kill()
        world.later(random.uniform(0.5, 6.0), lambda: None if world.klipper.up else klipper_starts(world))


def klipper_starts(world: World) -> None:
    world.trouble("klipper", "starts")
    world.klipper.start()


def klipper_restarts(world: World, random: Random) -> None:
    """Only under the eyes of the bridge: one that nobody sees can be told by the positions alone (see docs/decisions)."""
    if any(client.subscribed for client in world.klipper.clients):
        world.trouble("klipper", "RESTART")
        world.klipper.restart()


def klipper_shuts_down(world: World, random: Random) -> None:
    if world.klipper.state:
        world.trouble("klipper", "shutdown")
        world.klipper.shutdown()
        world.later(random.uniform(2.0, 8.0), lambda: klipper_restarts(world, random))


# -- people --------------------------------------------------------------------------------------------------------


async def person_changes_spool(world: World, random: Random) -> None:
    spool_id = random.choice(SPOOLS)
    world.say("person", f"chooses spool {spool_id}")
    world.choosing.append(spool_id)
    try:
        await world.client.call("server.spoolman.post_spool_id", {"spool_id": spool_id})
        answer = "done"
    except Fault as fault:
        answer = str(fault)
    world.say("person", f"spool {spool_id}: {answer}")


# -- misfortune ----------------------------------------------------------------------------------------------------


def dies_between_steps(world: World, random: Random) -> None:
    life = world.lives[random.choice(SERVICES)]
    life.kill_after = random.randint(1, random.choice((5, 50, 200)))


def dies_at_a_commit(world: World, random: Random) -> None:
    life = world.lives[random.choice(SERVICES)]
    life.trap = random.choice(("before commit", "after commit"))


async def stays_away(world: World, random: Random) -> None:
    name = random.choice(SERVICES)
    world.hold_down(name)
    await asyncio.sleep(random.uniform(3.0, 20.0))
    world.let_up(name)


async def klipper_restarts_meanwhile(world: World, random: Random) -> None:
    """The filament's service misses the end of a session, which the bridge saw."""
    world.hold_down("spoolman_sync")
    await asyncio.sleep(random.uniform(1.0, 6.0))
    random.choice((klipper_dies, klipper_restarts))(world, random)
    await asyncio.sleep(random.uniform(1.0, 6.0))
    world.let_up("spoolman_sync")


async def is_stopped(world: World, random: Random) -> None:
    life = world.lives[random.choice(SERVICES)]
    if not life.dead:
        world.trouble(str(life), "SIGSTOP")
        life.stopped = True
        await asyncio.sleep(random.uniform(0.5, 9.0))
        world.trouble(str(life), "SIGCONT")
        world.loop.resume(life)


async def is_restarted(world: World, random: Random) -> None:
    await world.stop(random.choice(SERVICES))


async def bad_bus(world: World, random: Random) -> None:
    weather = world.wires.weather
    weather.repeated, weather.delay_s = random.choice((0.0, 0.3)), random.choice((0.05, 1.0))
    world.trouble("bus", f"messages come up to {weather.delay_s} s late, {weather.repeated:.0%} twice")
    await asyncio.sleep(random.uniform(1.0, 8.0))
    world.trouble("bus", "well again")
    world.wires.weather.__init__()  # type: ignore[misc]


async def full_disk(world: World, random: Random) -> None:
    file = f"{random.choice(SERVICES)}.sqlite"
    world.trouble("disk", f"{file} cannot be written")
    world.disk.full.add(file)
    await asyncio.sleep(random.uniform(1.0, 10.0))
    world.trouble("disk", f"{file} can be written")
    world.disk.full.discard(file)


async def spoolman_is_down(world: World, random: Random) -> None:
    world.say("spoolman", "down")
    world.spoolman.stop()
    await asyncio.sleep(random.uniform(0.5, 12.0))
    world.say("spoolman", "up")
    world.spoolman.start()


async def spoolman_freezes(world: World, random: Random) -> None:
    if not world.spoolman.frozen and world.spoolman.up:
        world.say("spoolman", "SIGSTOP")
        world.spoolman.freeze()
        await asyncio.sleep(random.uniform(0.5, 12.0))
        world.say("spoolman", "SIGCONT")
        world.spoolman.thaw()


async def spoolman_is_troubled(world: World, random: Random) -> None:
    server = world.spoolman
    server.faults = tuple(random.sample(spoolman.FAULTS, random.randint(1, 3)))
    server.trouble = random.choice((0.3, 1.0))
    world.say("spoolman", f"{server.trouble:.0%} of requests: {', '.join(server.faults)}")
    await asyncio.sleep(random.uniform(2.0, 15.0))
    server.faults = ()
    world.say("spoolman", "all requests well")


def spool_is_deleted(world: World, random: Random) -> None:
    spools = world.spoolman.store.rows["spool"]
    if len(spools) > 1 and world.spoolman.up:
        spool_id = random.choice(sorted(spools))
        world.say("spoolman", f"spool {spool_id} is deleted")
        world.spoolman.delete(spool_id)


def others_use_a_spool(world: World, random: Random) -> None:
    spools = world.spoolman.store.rows["spool"]
    if spools and world.spoolman.up:
        spool_id, mm = random.choice(sorted(spools)), random.choice((5.0, 50.0, 500.0))
        world.say("others", f"use {mm} mm of spool {spool_id}")
        world.spoolman.use_by_others(spool_id, mm)


async def push_service_is_troubled(world: World, random: Random) -> None:
    target = random.choice(TARGETS)
    faults = tuple(random.sample(pushes.FAULTS, random.randint(1, 3)))
    world.say("push", f"{target}: {', '.join(faults)}")
    world.pushes.faults[target] = faults
    await asyncio.sleep(random.uniform(2.0, 15.0))
    world.say("push", f"{target}: well again")
    world.pushes.faults.pop(target, None)


ALWAYS: tuple[Act, ...] = (print_on, print_on, macro_changes_spool)
"""A few kinds of misfortune make a seed; these are in each."""
ACTS: dict[str, Act] = {
    act.__name__: act
    for act in (
        macro_notifies, person_changes_spool, klipper_dies, klipper_restarts, klipper_shuts_down, dies_between_steps,
        dies_at_a_commit, stays_away, klipper_restarts_meanwhile, is_stopped, is_restarted, bad_bus, full_disk,
        spoolman_is_down, spoolman_freezes, spoolman_is_troubled, spool_is_deleted, others_use_a_spool,
        push_service_is_troubled,
    )
}  # fmt: skip
