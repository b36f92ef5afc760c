"""The books: the ledger in memory and on disk, fed in the bridge's order, told to the bus."""

import asyncio
import contextlib
import logging
import sqlite3
from typing import Any

from bus.api import SPOOL_ID
from bus.envelope import Message
from bus.errors import Fault, unavailable
from bus.journal import Cursor, Entry
from bus.node import Node
from bus.params import check
from services.spoolman_sync import ledger as filament
from services.spoolman_sync.ledger import Extruders, Ledger
from services.spoolman_sync.settings import Pace
from services.spoolman_sync.store import Store

log = logging.getLogger("moonbus.spoolman_sync")

CALLS = "printer.remote_calls"
SET_ACTIVE_SPOOL = "spoolman_set_active_spool"
LOOK_AGAIN_S = 0.5


class Books:
    """Counts what the extruders push. While a remote call is known of but not yet read, positions are only kept: what
    they added may be the next spool's. The bridge's messages come in the order it sent them, so this is exact."""

    def __init__(self, node: Node, store: Store, pace: Pace) -> None:
        self._node = node
        self._store = store
        self._pace = pace
        self.ledger, self.cursor = store.load()
        self._stored = (self.ledger, self.cursor)
        self.connected = False
        self._disk_works = True
        self._latest: Extruders | None = None
        self._bridge_epoch = 0
        self._after_gap = True
        self._hinted: Cursor | None = None
        self._read_to_end = False
        self._in_step = asyncio.Event()

    # -- in: what the bridge says --------------------------------------------------------------------------------

    def hear_hint(self, message: Message) -> None:
        """A remote call was made. Its place is before every position that comes after it."""
        place = Cursor(*message.value["position"])
        if not self._handled(place):
            self._hinted = place
        self._look()

    def hear_extruders(self, message: Message) -> None:
        """New positions; the first of a bridge's life may have remote calls before them that nobody hinted at."""
        seen = Extruders.read(message.value)
        if seen is None:
            log.warning("not a value of %s: %.200r", message.topic, message.value)
            return
        self._latest = seen
        if message.epoch != self._bridge_epoch:
            self._bridge_epoch = message.epoch
            self._after_gap = True
            self._read_to_end = False
            self._node.spawn(self.catch_up())
        self._look()

    async def handle_call(self, entry: Entry) -> None:
        """An entry of the journal, once or again. Raises sqlite3.Error, and has then done nothing."""
        if self._handled(entry.position):
            return
        if entry.value.get("method") == SET_ACTIVE_SPOOL:
            self._change(entry, Extruders.read(entry.value.get("extruders")))
        self.cursor = entry.position
        if self._hinted is not None and self._handled(self._hinted):
            self._hinted = None
        self._look()

    def _change(self, entry: Entry, seen: Extruders | None) -> None:
        try:
            spool_id = check((SPOOL_ID,), entry.value.get("params") or {})["spool_id"]
        except Fault as fault:
            log.warning("remote call %s: %s; the active spool stays", SET_ACTIVE_SPOOL, fault)
            return
        self._save(filament.change_at(self.ledger, seen, spool_id), entry.position)
        if seen is not None and self._latest is not None and seen.session > self._latest.session:
            self._latest = seen  # the positions heard last are of a Klipper that is gone

    async def catch_up(self) -> None:
        """Reads the journal to its end: before that, positions of a bridge that is new to us are not counted."""
        epoch = self._bridge_epoch
        while epoch == self._bridge_epoch and not self._read_to_end:
            place = {"topic": CALLS, "journal_id": self.cursor.journal_id, "number": self.cursor.number}
            try:
                answer = await self._node.call("klipper_bridge.journal", place)
                for number, at, value in answer["entries"]:
                    await self.handle_call(Entry(CALLS, Cursor(answer["journal_id"], number), at, value))
                if not answer["entries"] and epoch == self._bridge_epoch:
                    self._read_to_end = True
                    if self._hinted is not None and self._hinted.journal_id != answer["journal_id"]:
                        self._hinted = None  # that journal is gone
            except (Fault, sqlite3.Error) as error:
                log.debug("%s: %s", CALLS, error)
                await asyncio.sleep(LOOK_AGAIN_S)
        self._look()

    def _handled(self, place: Cursor) -> bool:
        return place.journal_id == self.cursor.journal_id and place.number <= self.cursor.number

    def _look(self) -> None:
        if self._read_to_end and self._hinted is None:
            self._in_step.set()
            self.count()
        else:
            self._in_step.clear()

    # -- in: what people and Spoolman say ------------------------------------------------------------------------

    async def choose(self, spool_id: int | None) -> None:
        """Another active spool from here on. Raises Fault 503 where it cannot be stored."""
        if not self._node.silent("klipper_bridge"):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pace.catch_up_s):
                    await self._in_step.wait()
        self.count()
        if spool_id == self.ledger.spool_id:
            return
        try:
            self._save(filament.choose(self.ledger, spool_id), self.cursor)
        except sqlite3.Error as error:
            raise unavailable(f"the active spool cannot be stored: {error}") from None

    def forget(self, spool_id: int) -> None:
        """Spoolman deleted the spool."""
        lost_mm = self.ledger.unreported().get(spool_id, 0.0)
        if spool_id != self.ledger.spool_id and not lost_mm:
            return
        log.warning("spool %d was deleted in Spoolman: %.2f mm of it were not reported and stay unassigned", spool_id,
                    lost_mm)  # fmt: skip
        self.ledger = filament.forget(self.ledger, spool_id)
        self.save()
        self.publish()

    # -- counting and saving -------------------------------------------------------------------------------------

    def count(self) -> None:
        """Takes the newest positions into the ledger, in memory; a crash only means to count them again."""
        if self._latest is not None and self._in_step.is_set():
            self.ledger = filament.count(self.ledger, self._latest, self._after_gap)
            self._after_gap = self._after_gap and not self._latest.position_mm

    def save(self, ledger: Ledger | None = None) -> bool:
        """Stores this ledger, or the one in memory, when it is not what is stored. False where the disk refuses; the
        ledger in memory is then the one before."""
        try:
            self._save(ledger or self.ledger, self.cursor)
        except sqlite3.Error as error:
            if self._disk_works:
                log.error("the ledger cannot be stored (%s): nothing is reported until it can", error)
            self._disk_works = False
            return False
        self._disk_works = True
        return True

    def close_report(self, spool_id: int, booked: bool) -> None:
        """In memory; stored with the next interval's changes. A crash before means to read the spool back."""
        self.ledger = filament.close(self.ledger, spool_id, booked)

    def _save(self, ledger: Ledger, cursor: Cursor) -> None:
        if (ledger, cursor) != self._stored:
            self._store.save(ledger, cursor)
            self._stored = (ledger, cursor)
        self.ledger, self.cursor = ledger, cursor
        self.publish()

    # -- out -----------------------------------------------------------------------------------------------------

    @property
    def active(self) -> dict[str, Any]:
        return {"spool_id": self.ledger.spool_id}

    @property
    def status(self) -> dict[str, Any]:
        reports = [{"spool_id": s, "filament_used": round(mm, 5)} for s, mm in self.ledger.unreported().items()]
        return {"spoolman_connected": self.connected, "pending_reports": reports, "spool_id": self.ledger.spool_id}

    def set_connected(self, connected: bool) -> None:
        self.connected = connected
        self.publish()

    def publish(self) -> None:
        """What differs from what was said last."""
        self._node.publish("spoolman.active", self.active)
        self._node.publish("spoolman.link", {"spoolman_connected": self.connected})
        self._node.publish("spoolman.status", self.status)
        self._node.publish("spoolman.ledger", self.ledger.sums)

    async def run(self) -> None:
        """Tells the pending lengths while they change; they change four times a second in a print."""
        while True:
            await asyncio.sleep(self._pace.status_s)
            self.publish()

    def end(self) -> None:
        """The last save. What cannot be counted or saved now is still in Klipper's positions."""
        self.count()
        self.save()
        self._store.close()
