"""The books: the ledger in memory and on disk, fed in the bridge's order, told to the bus."""

import asyncio
import contextlib
import logging
import sqlite3
import time
from dataclasses import replace
from typing import Any

from bus.api import SPOOL_ID
from bus.envelope import Message
from bus.errors import Fault, unavailable
from bus.journal import Cursor, Entry
from bus.node import Node
from bus.params import check
from services.spoolman_sync import ledger as filament
from services.spoolman_sync.held import job_after
from services.spoolman_sync.ledger import Extruders, Ledger
from services.spoolman_sync.settings import Pace
from services.spoolman_sync.status import LinkState, status
from services.spoolman_sync.store import CALLS, JOBS, Cursors, Store

log = logging.getLogger("moonbus.spoolman_sync")

SET_ACTIVE_SPOOL = "spoolman_set_active_spool"
LOOK_AGAIN_S = 0.5


class Books:
    """Counts what the extruders push. While a remote call or a job event is known of but not yet read, positions are only
    kept: what they added may be the next spool's or job's. The bridge's messages come in the order it sent them, so this
    is exact."""

    def __init__(self, node: Node, store: Store, pace: Pace) -> None:
        self._node = node
        self._store = store
        self._pace = pace
        self.ledger, self.cursors = store.load()
        self._stored = (self.ledger, self.cursors)
        self.link = LinkState(False, time.time())
        self._last_error: str | None = None
        self._disk_works = True
        self._latest: Extruders | None = None
        self._bridge_epoch = 0
        self._journal_id = ""
        self._after_gap = True
        self._hinted: dict[str, Cursor] = {}
        self._read_to_end = False
        self._in_step = asyncio.Event()

    # -- in: what the bridge says --------------------------------------------------------------------------------

    def hear_hint(self, message: Message) -> None:
        """A journal has an entry. Its place is before every position that comes after it."""
        place = Cursor(*message.value["position"])
        if not self._handled(message.topic, place):
            self._hinted[message.topic] = place
        self._look()

    def hear_extruders(self, message: Message) -> None:
        """New positions; the first of a bridge's life may have entries before them that nobody hinted at."""
        seen = Extruders.read(message.value, message.at)
        if seen is None:
            log.warning("not a value of %s: %.200r", message.topic, message.value)
            return
        if seen.previous is None and self._latest is not None and seen.session > self._latest.session:
            seen = replace(seen, previous=self._latest)  # the bridge died with its session; its end may wait uncounted
        self._latest = seen
        if message.epoch != self._bridge_epoch:
            self._bridge_epoch = message.epoch
            self._after_gap = True
            self._read_to_end = False
            self._node.spawn(self.catch_up())
        self._look()

    async def handle(self, entry: Entry) -> None:
        """An entry of a journal, once or again; before it those of the other journal that are older, for both are numbered
        by one counter. Raises Fault or sqlite3.Error, and has then done nothing with it."""
        if self._handled(entry.topic, entry.position):
            return
        other = JOBS if entry.topic == CALLS else CALLS
        while older := [e for e in await self._next(other) if e.position.number < entry.position.number]:
            for former in older:
                self._take(former)
        self._take(entry)

    async def _next(self, topic: str) -> list[Entry]:
        """Entries of a journal that were not handled yet. Raises Fault."""
        after = self.cursors[topic]
        place = {"topic": topic, "journal_id": after.journal_id, "number": after.number}
        hinted = dict(self._hinted)
        answer = await self._node.call("klipper_bridge.journal", place)
        self._journal_id = answer["journal_id"]
        # A bridge that found its file damaged goes on in another journal: what was hinted at before will never come.
        for known, hint in hinted.items():
            if hint.journal_id != self._journal_id and self._hinted.get(known) == hint:
                del self._hinted[known]
        return [
            Entry(topic, Cursor(self._journal_id, number), at, v, born) for number, at, born, v in answer["entries"]
        ]

    def _take(self, entry: Entry) -> None:
        """Raises sqlite3.Error, and has then done nothing."""
        if self._handled(entry.topic, entry.position):
            return
        seen = Extruders.read(entry.value.get("extruders"), entry.at)
        after_gap = self._is_of_another_journal(entry)
        cursors = {**self.cursors, entry.topic: entry.position}
        if entry.topic == JOBS:
            filename = entry.value.get("current", {}).get("filename") or ""
            job = job_after(self.ledger.job, entry.value.get("event", ""), filename, entry.at)
            self.ledger = filament.job_at(self.ledger, seen, job, after_gap)
        elif entry.value.get("method") == SET_ACTIVE_SPOOL:
            self._change(entry, seen, cursors, after_gap)
        self.cursors = cursors
        if after_gap or (seen is not None and self._latest is not None and seen.session > self._latest.session):
            self._latest = seen  # the positions heard last are of a bridge or a Klipper that is gone
        self._hinted = {t: place for t, place in self._hinted.items() if not self._handled(t, place)}
        self._look()

    def _is_of_another_journal(self, entry: Entry) -> bool:
        """Whether the bridge lost its memory since the last entry: its numbers of sessions are others then, too."""
        known = {cursor.journal_id for cursor in self.cursors.values() if cursor.journal_id}
        return bool(known) and entry.position.journal_id not in known

    def _change(self, entry: Entry, seen: Extruders | None, cursors: Cursors, after_gap: bool) -> None:
        try:
            spool_id = check((SPOOL_ID,), entry.value.get("params") or {})["spool_id"]
        except Fault as fault:
            log.warning("remote call %s: %s; the active spool stays", SET_ACTIVE_SPOOL, fault)
            return
        self._save(filament.change_at(self.ledger, seen, spool_id, after_gap), cursors)

    async def catch_up(self) -> None:
        """Reads the journals to their ends: before that, positions of a bridge that is new to us are not counted."""
        epoch = self._bridge_epoch
        while epoch == self._bridge_epoch and not self._read_to_end:
            try:
                for topic in (JOBS, CALLS):
                    while entries := await self._next(topic):
                        for entry in entries:
                            await self.handle(entry)
                if epoch == self._bridge_epoch:
                    self._read_to_end = True
                    # Others are of a journal that is gone.
                    self._hinted = {t: p for t, p in self._hinted.items() if p.journal_id == self._journal_id}
            except (Fault, sqlite3.Error) as error:
                log.debug("%s: %s", CALLS, error)
                await asyncio.sleep(LOOK_AGAIN_S)
        self._look()

    def _handled(self, topic: str, place: Cursor) -> bool:
        handled = self.cursors[topic]
        return place.journal_id == handled.journal_id and place.number <= handled.number

    def _look(self) -> None:
        if self._read_to_end and not self._hinted:
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
            self._save(filament.choose(self.ledger, spool_id), self.cursors)
        except sqlite3.Error as error:
            raise unavailable(f"the active spool cannot be stored: {error}") from None

    def forget(self, spool_id: int) -> None:
        """Spoolman deleted the spool."""
        lost_mm = self.ledger.unreported().get(spool_id, 0.0)
        if spool_id != self.ledger.spool_id and not lost_mm:
            return
        log.warning("spool %d was deleted in Spoolman: %.2f mm of it were not reported and stay unassigned", spool_id,
                    lost_mm)  # fmt: skip
        self.ledger = filament.forget(self.ledger, spool_id, time.time())
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
            self._save(ledger or self.ledger, self.cursors)
        except sqlite3.Error as error:
            if self._disk_works:
                self.fail(f"the ledger cannot be stored ({error}): nothing is reported until it can")
            self._disk_works = False
            return False
        self._disk_works = True
        return True

    def close_report(self, spool_id: int, booked: bool) -> None:
        """In memory; stored with the next interval's changes. A crash before means to read the spool back."""
        self.ledger = filament.close(self.ledger, spool_id, booked)

    def doubt_report(self, spool_id: int, after_mm: float) -> None:
        """The same for an outcome that nobody can tell."""
        self.ledger = filament.doubt(self.ledger, spool_id, after_mm, time.time())

    def _save(self, ledger: Ledger, cursors: Cursors) -> None:
        if (ledger, cursors) != self._stored:
            self._store.save(ledger, cursors)
            self._stored = (ledger, cursors)
        self.ledger, self.cursors = ledger, cursors
        self.publish()

    # -- out -----------------------------------------------------------------------------------------------------

    @property
    def active(self) -> dict[str, Any]:
        return {"spool_id": self.ledger.spool_id}

    @property
    def status(self) -> dict[str, Any]:
        return status(self.ledger, self.link, self._last_error)

    @property
    def connected(self) -> bool:
        return self.link.connected

    def set_link(self, link: LinkState) -> None:
        self.link = link
        self.publish()

    def fail(self, text: str) -> None:
        """What went wrong last, in words a person understands, without secrets."""
        log.warning("%s", text)
        self._last_error = text

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
