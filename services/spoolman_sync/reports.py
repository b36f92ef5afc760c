"""Reporting to Spoolman: each interval what is pending, each report once, and what became of the uncertain ones."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

import orjson

from services.spoolman_sync import booking
from services.spoolman_sync import ledger as filament
from services.spoolman_sync.booking import Outcome, Reading
from services.spoolman_sync.books import Books
from services.spoolman_sync.http import Answer, Http, NoAnswer, NotSent
from services.spoolman_sync.settings import Pace, Settings

log = logging.getLogger("moonbus.spoolman_sync")

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class Reports:
    """An open attempt of the ledger is either under way here, or in doubt: then its spool is read until it is decided."""

    def __init__(self, books: Books, http: Http, spawn: Spawn, settings: Settings, pace: Pace) -> None:
        self._books = books
        self._http = http
        self._spawn = spawn
        self._settings = settings
        self._pace = pace
        self._used_mm: dict[int, float] = {}
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self._earlier: dict[int, Reading] = {}
        self._unreadable: set[int] = set()

    # -- what the link hears -------------------------------------------------------------------------------------

    def link_changed(self, connected: bool) -> None:
        """What was known of spools is old when the link was down; the active one may have been deleted meanwhile."""
        self._used_mm.clear()
        self._books.set_connected(connected)
        spool_id = self._books.ledger.spool_id
        if connected and spool_id is not None:
            self._spawn(self._read(spool_id))

    def spool_updated(self, spool_id: int, used_mm: float) -> None:
        """Anybody used or changed the spool."""
        self._used_mm[spool_id] = used_mm

    # -- rounds --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled; a round each interval."""
        while True:
            await asyncio.sleep(self._settings.sync_rate_s)
            await self._round()

    async def finish(self) -> None:
        """Waits a moment for the answers under way. One that does not come is asked for in the next life."""
        if self._under_way:
            await asyncio.wait(self._under_way.values(), timeout=self._pace.last_answer_s)
        for task in self._under_way.values():
            task.cancel()

    async def _round(self) -> None:
        books = self._books
        if books.connected:
            await self._look_up()
        books.count()
        ledger, begun = books.ledger, []
        for spool_id in ledger.pending:
            if books.connected and spool_id in self._used_mm and spool_id not in ledger.attempts:
                ledger = filament.begin(ledger, spool_id, self._used_mm[spool_id])
                begun.append(spool_id)
        if books.save(ledger):
            for spool_id in begun:
                self._under_way[spool_id] = self._spawn(self._report(spool_id, ledger.attempts[spool_id].mm))

    async def _look_up(self) -> None:
        """Reads the spools of reports in doubt, and those about to be reported on of which the use is not known."""
        ledger = self._books.ledger
        doubtful = set(ledger.attempts) - set(self._under_way)
        unknown = set(ledger.pending) - set(self._used_mm) - set(ledger.attempts)
        await asyncio.gather(*(self._read(spool_id) for spool_id in doubtful | unknown))

    async def _read(self, spool_id: int) -> None:
        try:
            answer = await self._http.request("GET", self._url(spool_id), None, self._pace.read_timeout_s)
        except (NotSent, NoAnswer) as error:
            log.debug("reading spool %d: %s", spool_id, error)
            return
        if booking.is_deleted(answer.status, answer.value, spool_id):
            self._books.forget(spool_id)
            return
        used_mm = booking.used_length_mm(answer.status, answer.value)
        if used_mm is None:
            if spool_id not in self._unreadable:
                log.warning("reading spool %d: expected a spool, got %d %s", spool_id, answer.status, answer.reason)
            self._unreadable.add(spool_id)
            return
        self._unreadable.discard(spool_id)
        if spool_id not in self._under_way:
            self._used_mm[spool_id] = used_mm
            self._decide(spool_id, Reading(used_mm, time.monotonic()))

    def _decide(self, spool_id: int, latest: Reading) -> None:
        """An attempt in doubt: see `booking.decide`."""
        attempt = self._books.ledger.attempts.get(spool_id)
        earlier = self._earlier.pop(spool_id, None)
        if attempt is None:
            return
        outcome = booking.decide(attempt.before_mm, attempt.mm, earlier, latest, self._pace.settle_s)
        if outcome is Outcome.UNKNOWN:
            self._earlier[spool_id] = earlier if earlier and earlier.used_mm == latest.used_mm else latest
            return
        log.info("report of %.2f mm on spool %d: %s, by its use of %.2f mm before and %.2f mm now", attempt.mm,
                 spool_id, outcome.value, attempt.before_mm, latest.used_mm)  # fmt: skip
        self._books.close_report(spool_id, outcome is Outcome.BOOKED)

    # -- one report ----------------------------------------------------------------------------------------------

    async def _report(self, spool_id: int, mm: float) -> None:
        body = orjson.dumps({"use_length": mm})
        try:
            answer = await self._http.request("PUT", f"{self._url(spool_id)}/use", body, self._pace.report_timeout_s)
        except NotSent as error:
            log.debug("report on spool %d: %s", spool_id, error)
            self._books.close_report(spool_id, booked=False)
        except NoAnswer as error:
            log.warning("report of %.2f mm on spool %d: %s; reading it back", mm, spool_id, error)
        else:
            self._take(spool_id, answer)
        finally:
            del self._under_way[spool_id]

    def _take(self, spool_id: int, answer: Answer) -> None:
        outcome = booking.read_outcome(answer.status, answer.value, spool_id)
        if outcome is Outcome.DELETED:
            self._books.forget(spool_id)
        elif outcome is Outcome.BOOKED:
            self._books.close_report(spool_id, booked=True)
            used_mm = booking.used_length_mm(answer.status, answer.value)
            if used_mm is not None:
                self._used_mm[spool_id] = used_mm
        else:
            log.warning("report on spool %d: got %d %s; reading it back", spool_id, answer.status, answer.reason)

    def _url(self, spool_id: int) -> str:
        return f"{self._settings.api}/v1/spool/{spool_id}"
