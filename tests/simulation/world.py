"""The world of one seed: the real services on a bus without sockets, and everything around them that can go wrong.

The services are the shipped code from their `start(node)` down: Node, calls, followers, journals, ledger, books, reports, link,
deliveries, outbox, bridge and its connection. In place of the outside stand the simulated clock, wires, disk, Klipper,
Spoolman and push services of this folder; not in it are aiohttp, the send workers' processes and ZeroMQ itself.
"""

import asyncio
import contextvars
import random
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from bus.journal import Journal
from bus.node import Node
from services.spoolman_sync.ledger import Ledger
from tests.simulation import pushes, spoolman
from tests.simulation.clock import LIFE, Killed, Life, VirtualLoop, is_dead, virtual_clocks
from tests.simulation.disk import Disk
from tests.simulation.letters import Letters
from tests.simulation.outside import START, Places, SimulatedNode, configured, in_place, overheard
from tests.simulation.printer import Klipper
from tests.simulation.sockets import KINDS, Subscriber
from tests.simulation.truth import SET_ACTIVE_SPOOL, Truth, Violated
from tests.simulation.wires import Heard, Wires

CALM_S = 8.0
"""After this long without trouble everybody knows everything."""
IN_FLIGHT_S = 0.1
"""A macro's and a person's change within this time may take effect in either order."""


class World:
    """`story` is what happened: (time, who, what). `remains` are kept from the garbage collector, which would end them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.loop = VirtualLoop()
        self.story: list[tuple[float, str, str]] = []
        self.lives: dict[str, Life] = {}
        self.all_lives: list[Life] = []
        self.remains: list[object] = []
        self.numbers = dict.fromkeys(START, 0)
        self.nodes: dict[str, Node] = {}
        self.places = Places()
        self.disk = Disk(self._committed)
        self.wires = Wires(self.loop, self._fork(), KINDS, self._hear, self._lose)
        self.klipper = Klipper(self.loop, self._fork(), lambda text: self.say("klipper", text), self._session_ends)
        self.spoolman = spoolman.Spoolman(self.loop, self._fork(), lambda text: self.say("spoolman", text))
        self.pushes = pushes.Pushes(
            self.loop, self._fork(), lambda text: self.say("push", text), lambda: "notifier.sqlite" in self.disk.full
        )
        self.truth = Truth(self.klipper, self.spoolman)
        self.config, self.notifiers, self.data = configured()
        self.letters = Letters(self.notifiers, self.pushes)
        self.troubled_at = 0.0
        self.choosing: list[int | None] = []
        self.problem: str | None = None
        self._saving: Ledger | None = None
        self._appending: tuple[str, dict[str, Any]] | None = None
        self._macro: tuple[float, int | None] = (-1.0, None)
        self._overtaken: int | None = None
        self._down: set[str] = set()
        self.client: Node

    def _fork(self) -> random.Random:
        return random.Random(self.random.getrandbits(32))

    def say(self, who: str, what: str) -> None:
        self.story.append((self.loop.now, who, what))

    def trouble(self, who: str, what: str) -> None:
        """Something that makes it harder."""
        self.say(who, what)
        self.troubled_at = self.loop.now

    @property
    def calm(self) -> bool:
        return self.loop.now - self.troubled_at > CALM_S

    def fail(self, text: str) -> None:
        """The first violation is the one that counts."""
        self.problem = self.problem or text

    # -- lives ---------------------------------------------------------------------------------------------------

    def start(self, name: str) -> Life:
        self.numbers[name] += 1
        life = Life(name, self.numbers[name], self.loop.now)
        life.on_kill = self.kill
        self.lives[name] = life
        self.all_lives.append(life)
        self.trouble(str(life), "starts")
        context = contextvars.Context()
        context.run(LIFE.set, life)
        self.remains.append(self.loop.create_task(self._live(life), context=context))
        return life

    async def _live(self, life: Life) -> None:
        node = SimulatedNode(life.name, self.wires, self.places, self.config, self.data)  # type: ignore[arg-type]
        self.nodes[life.name] = node
        self.remains.append(node)
        node.start()
        await START[life.name](node)

    def kill(self, life: Life, how: str = "by hand") -> None:
        """kill -9. It comes back by itself."""
        if life.dead:
            return
        life.dead, life.died_at = True, self.loop.now
        self.trouble(str(life), f"killed {how}")
        self.wires.cut(life)
        self.disk.killed(life)
        self.klipper.drop(life)
        self.spoolman.drop(life)
        self.places.free(life)
        self.check_knowledge()
        if life.name not in self._down:
            self.later(self.random.uniform(0.5, 3.0), lambda: self._back(life))

    def check_knowledge(self) -> None:
        """After a death, also of Klipper's: positions live in Klipper, in the bridge's memory and in spoolman_sync's."""
        holders = [self.lives[name] for name in ("klipper_bridge", "spoolman_sync")]
        self.truth.knowledge_dies([str(life) for life in holders if not life.dead])

    def _session_ends(self, in_order: bool) -> None:
        """Of Klipper's. Who hears of it at once can tell a RESTART from a lost connection; who does not never can."""
        self.check_knowledge()
        bridge = self.lives["klipper_bridge"]
        written = "klipper_bridge.sqlite" not in self.disk.full
        if in_order:
            self.later(1e-6, lambda: self.truth.restarted(written and not bridge.dead and not bridge.stopped))

    def _back(self, life: Life) -> None:
        if self.lives[life.name] is life and life.name not in self._down:
            self.start(life.name)

    async def stop(self, name: str) -> None:
        """SIGTERM, and the supervisor starts it again. A process that hangs is killed."""
        life, node = self.lives[name], self.nodes.get(name)
        if life.dead or node is None:
            return
        self.trouble(str(life), "SIGTERM")
        context = contextvars.Context()
        context.run(LIFE.set, life)
        closing = self.loop.create_task(node.close(), context=context)
        self.remains.append(closing)
        await asyncio.wait([closing], timeout=2.0)
        if not life.dead:
            self.places.locks.pop(life, None)
            self.kill(life, "after its end")

    def hold_down(self, name: str) -> None:
        """It stays away until `let_up`."""
        self._down.add(name)
        self.kill(self.lives[name], "and kept down")

    def let_up(self, name: str) -> None:
        self._down.discard(name)
        if self.lives[name].dead:
            self.start(name)

    def later(self, seconds: float, what: Callable[[], Any]) -> None:
        self.loop.call_later(seconds, what, context=contextvars.Context())

    # -- what is overheard ---------------------------------------------------------------------------------------

    def _hear(self, frames: list[bytes]) -> Heard | None:
        """Everything said on the bus, at the moment it is said. Returns what is to be done when somebody hears it."""
        if frames[0] != b"printer.extruders\0":
            return None
        life, value = LIFE.get(), orjson.loads(frames[2])
        told = self.truth.bridge_says(str(life), value, self.klipper.session_of.get(life, 0))
        return lambda hearer: self.truth.hears(str(hearer), told)

    def _lose(self, frames: list[bytes], subscriber: Subscriber) -> None:
        self.trouble("bus", f"{frames[0].decode()[:-1]} lost to {subscriber.life}")

    def _committed(self, file: str) -> None:
        """Something is on disk now, whatever becomes of the life that wrote it."""
        entry, self._appending = self._appending, None
        ledger, self._saving = self._saving, None
        if file == "klipper_bridge.sqlite" and entry is not None:
            self._appended(*entry)
        elif file == "spoolman_sync.sqlite" and ledger is not None:
            self._stored(ledger)

    def _appended(self, topic: str, value: dict[str, Any]) -> None:
        if value.get("method") == SET_ACTIVE_SPOOL:
            spool_id = value["params"]["spool_id"]
            self.say("bridge", f"wrote down: spool {spool_id}")
            self.truth.in_doubt = False
            # Who listens knows where the extruder was highest; who comes later sees where it stood at the call, and what
            # a full disk let the bridge write down late was counted meanwhile.
            bridge = str(self.lives["klipper_bridge"])
            self._macro, self._overtaken = (self.loop.now, spool_id), None
            self.truth.spool_changes(spool_id, self.truth.beyond_mm(bridge, value["extruders"]))
        elif topic == "printer.jobs":
            self.say("bridge", f"wrote down: {value['event']}")

    def _stored(self, ledger: Ledger) -> None:
        try:
            changed = ledger.spool_id != self.truth.ledger.spool_id
            self.truth.stored(ledger, self.lives["spoolman_sync"])
        except Violated as violated:
            self.fail(str(violated))
            return
        if changed and self.choosing and ledger.spool_id == self.choosing[-1]:
            self.say("sync", f"wrote down a person's spool {ledger.spool_id}")
            late_mm = self.truth.extruded_mm - ledger.extruded_mm
            self.truth.in_doubt = not self.calm
            self.truth.spool_changes(ledger.spool_id, 0.0 if self.calm else late_mm)
            at, spool_id = self._macro
            self._overtaken = spool_id if self.loop.now - at < IN_FLIGHT_S else None
        elif changed and ledger.spool_id is not None and ledger.spool_id == self._overtaken:
            self.say("sync", f"took the macro's spool {ledger.spool_id} after the person's")
            self.truth.spool_changes(ledger.spool_id)
            self._overtaken = None

    def _about_to_append(self, entry: tuple[str, Any] | None) -> None:
        self._appending = entry

    def _about_to_save(self, ledger: Ledger | None) -> None:
        self._saving = ledger

    # -- running -------------------------------------------------------------------------------------------------

    def run(self, tale: Callable[["World"], Awaitable[None]]) -> str | None:
        """Plays a tale to its end. Returns which invariant was violated, None if none."""
        with (
            in_place(self.klipper, self.spoolman, self.pushes, self.disk),
            overheard(self._about_to_append, self._about_to_save, self.fail),
            virtual_clocks(self.loop),
        ):
            asyncio.set_event_loop(self.loop)
            self.loop.set_exception_handler(self._unexpected)
            try:
                self.loop.run_until_complete(tale(self))
            except Violated as violated:
                self.fail(str(violated))
            finally:
                self._end()
        return self.problem

    def _end(self) -> None:
        for life in self.all_lives:
            life.dead = True
        self.loop.set_exception_handler(lambda *_: None)
        self.loop.bury(self.all_lives)
        self.places.close()
        self.disk.close()
        self.loop.close()
        asyncio.set_event_loop(None)

    def _unexpected(self, _: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, Killed) and not is_dead():
            self.fail(f"unexpected: {context.get('message')}: {error!r}")

    def journal(self) -> Journal:
        """The bridge's, to be read."""
        node = self.nodes["klipper_bridge"]
        if node.journal is None:
            raise Violated("the bridge has no journal")
        return node.journal
