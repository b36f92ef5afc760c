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
from services.spoolman_sync.status import LinkState

log = logging.getLogger("moonbus.spoolman_sync")

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class Reports:
    """An open attempt of the ledger is either under way here, or in doubt: then its spool is read until it is decided.

    `_used` is what Spoolman said last of each spool, `_seen` what it told of spools with an open attempt since that began,
    `_earlier` the first reading of a doubt.
    """

    def __init__(self, books: Books, http: Http, spawn: Spawn, settings: Settings, pace: Pace) -> None:
        self._books = books
        self._http = http
        self._spawn = spawn
        self._settings = settings
        self._pace = pace
        self._used: dict[int, Reading] = {}
        self._seen: dict[int, list[Reading]] = {}
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self._earlier: dict[int, Reading] = {}
        self._unreadable: set[int] = set()

    # -- what the link hears -------------------------------------------------------------------------------------

    def link_changed(self, link: LinkState) -> None:
        """What was known of spools is old when the link was down; the active one may have been deleted meanwhile. A doubt
        is settled by a Spoolman that answers all the while."""
        changed = link.connected != self._books.connected
        self._books.set_link(link)
        if changed:
            self._used.clear()
            self._earlier.clear()
        spool_id = self._books.ledger.spool_id
        if changed and link.connected and spool_id is not None:
            self._spawn(self._read(spool_id))

    def spool_updated(self, spool_id: int, reading: Reading) -> None:
        """Anybody used or changed the spool."""
        self._used[spool_id] = reading
        if spool_id in self._books.ledger.attempts:
            self._seen.setdefault(spool_id, []).append(reading)

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
            if books.connected and spool_id in self._used and spool_id not in ledger.attempts:
                before = self._used[spool_id]
                ledger = filament.begin(ledger, spool_id, before.used_mm, before.used_g)
                begun.append(spool_id)
        if books.save(ledger):
            for spool_id in begun:
                self._seen.pop(spool_id, None)
                self._earlier.pop(spool_id, None)
                self._under_way[spool_id] = self._spawn(self._report(spool_id, ledger.attempts[spool_id].mm))

    async def _look_up(self) -> None:
        """Reads the spools of reports in doubt, and those about to be reported on of which the use is not known."""
        ledger = self._books.ledger
        doubtful = set(ledger.attempts) - set(self._under_way)
        unknown = set(ledger.pending) - set(self._used) - set(ledger.attempts)
        await asyncio.gather(*(self._read(spool_id) for spool_id in doubtful | unknown))

    async def _read(self, spool_id: int) -> None:
        known = self._used.get(spool_id)
        try:
            answer = await self._http.request("GET", self._url(spool_id), None, self._pace.read_timeout_s)
        except (NotSent, NoAnswer) as error:
            log.debug("reading spool %d: %s", spool_id, error)
            return
        if booking.is_deleted(answer.status, answer.value, spool_id):
            await self._forget(spool_id)
            return
        reading = booking.read_spool(answer.status, answer.value, time.monotonic())
        if reading is None:
            if spool_id not in self._unreadable:
                self._books.fail(f"reading spool {spool_id}: expected a spool, got {answer.status} {answer.reason}")
            self._unreadable.add(spool_id)
            return
        self._unreadable.discard(spool_id)
        overtaken = spool_id in self._under_way or self._used.get(spool_id) is not known
        if not overtaken:
            self._used[spool_id] = reading
            self._decide(spool_id, reading)

    async def _forget(self, spool_id: int) -> None:
        """Something says that the spool is gone. It is, when that was a Spoolman in good health."""
        try:
            url = f"{self._settings.api}/v1/health"
            answer = await self._http.request("GET", url, None, self._pace.read_timeout_s)
        except (NotSent, NoAnswer) as error:
            log.debug("health of Spoolman: %s", error)
            return
        if booking.is_healthy(answer.status, answer.value):
            self._books.forget(spool_id)
        else:
            self._books.fail(f"spool {spool_id} is told to be gone, but not by a Spoolman in good health: its health is "
                             f"{answer.status} {answer.reason}")  # fmt: skip

    def _decide(self, spool_id: int, latest: Reading) -> None:
        """An attempt in doubt: see `booking.decide`."""
        attempt = self._books.ledger.attempts.get(spool_id)
        if attempt is None:
            return
        earlier = self._earlier.setdefault(spool_id, latest)
        outcome = booking.decide(
            attempt.before_mm, attempt.mm, earlier, latest, self._pace.settle_s, attempt.before_g,
            self._seen.get(spool_id, ()),
        )  # fmt: skip
        if outcome is Outcome.UNKNOWN:
            return
        del self._earlier[spool_id]
        text = (f"report of {attempt.mm:.2f} mm on spool {spool_id}: {outcome.value}, by its use of "
                f"{attempt.before_mm:.2f} mm before and {latest.used_mm:.2f} mm now")  # fmt: skip
        if outcome is Outcome.UNCERTAIN:
            self._books.fail(f"{text}: somebody else changed the spool meanwhile. It is not reported again")
            self._books.doubt_report(spool_id, latest.used_mm)
        else:
            log.info("%s", text)
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
            self._books.fail(f"report of {mm:.2f} mm on spool {spool_id}: {error}; reading it back")
        else:
            await self._take(spool_id, answer)
        finally:
            del self._under_way[spool_id]

    async def _take(self, spool_id: int, answer: Answer) -> None:
        outcome = booking.read_outcome(answer.status, answer.value, spool_id)
        if outcome is Outcome.DELETED:
            await self._forget(spool_id)
        elif outcome is Outcome.BOOKED:
            self._books.close_report(spool_id, booked=True)
            reading = booking.read_spool(answer.status, answer.value, time.monotonic())
            if reading is not None and not self._seen.get(spool_id):
                self._used[spool_id] = reading  # else an event was faster, or told of somebody's use after this one
        else:
            self._books.fail(f"report on spool {spool_id}: got {answer.status} {answer.reason}; reading it back")

    def _url(self, spool_id: int) -> str:
        return f"{self._settings.api}/v1/spool/{spool_id}"
