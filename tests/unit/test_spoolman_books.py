"""The order in which positions and remote calls reach the ledger, whatever the order in which they arrive."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import orjson

from bus.envelope import Message
from bus.journal import Cursor, Entry
from bus.node import Node
from services.spoolman_sync.books import Books
from services.spoolman_sync.settings import PACE
from services.spoolman_sync.store import CALLS, JOBS, Store


class Bridge:
    """What the books need of a node; its calls to the journal of remote calls are answered when the test says so, those to
    the one of jobs at once. `entries` and `jobs` are (number, value) and share their numbers."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, dict[str, Any]]] = []
        self.jobs: list[tuple[int, dict[str, Any]]] = []
        self.asked: list[asyncio.Future[dict[str, Any]]] = []
        self.said: dict[str, Any] = {}
        self.tasks: list[asyncio.Task[None]] = []
        self.waits = True

    def publish(self, topic: str, value: Any) -> None:
        self.said[topic] = value

    def silent(self, _: str) -> bool:
        return False

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.create_task(work))

    async def call(self, _: str, place: dict[str, Any]) -> dict[str, Any]:
        if place["topic"] == CALLS and self.waits:
            future = asyncio.get_running_loop().create_future()
            self.asked.append(future)
            await future
        after = place["number"] if place["journal_id"] == "j" else 0
        known = self.entries if place["topic"] == CALLS else self.jobs
        return {"journal_id": "j", "entries": [[n, float(n), 0.0, value] for n, value in known if n > after]}

    async def answer(self) -> None:
        """Answers all that was asked, until nothing is asked any more."""
        await asyncio.sleep(0)
        while any(not future.done() for future in self.asked):
            for future in self.asked:
                if not future.done():
                    future.set_result({})
            await asyncio.sleep(0)
            await asyncio.sleep(0)


def extruders(mm: float, session: int = 1) -> dict[str, Any]:
    return {"session": session, "active": "extruder", "position": {"extruder": mm}}


def message(topic: str, value: Any, epoch: int = 5) -> Message:
    return Message(topic, epoch, 1, 0.0, orjson.dumps(value))


def change(spool_id: int, mm: float, session: int = 1) -> dict[str, Any]:
    params = {"spool_id": spool_id}
    return {"method": "spoolman_set_active_spool", "params": params, "extruders": extruders(mm, session)}


def play(scenario: Callable[[Books, Bridge], Awaitable[None]]) -> None:
    async def main() -> None:
        bridge = Bridge()
        books = Books(cast(Node, bridge), Store(Path(":memory:")), PACE)
        await scenario(books, bridge)
        for task in bridge.tasks:
            task.cancel()

    asyncio.run(main())


async def counting(books: Books, bridge: Bridge) -> None:
    """At 0 mm, spool 1 active, in step with the bridge."""
    books.hear_extruders(message("printer.extruders", extruders(0.0)))
    await bridge.answer()
    await books.choose(1)


def test_positions_after_a_call_wait_for_the_call() -> None:
    async def scenario(books: Books, bridge: Bridge) -> None:
        await counting(books, bridge)
        books.hear_extruders(message("printer.extruders", extruders(10.0)))
        books.hear_hint(message(CALLS, {"position": ["j", 1], "entry": {}}))
        books.hear_extruders(message("printer.extruders", extruders(30.0)))
        assert books.ledger.pending == {1: 10.0}
        await books.handle(Entry(CALLS, Cursor("j", 1), 0.0, change(2, 12.0)))
        assert books.ledger.pending == {1: 12.0, 2: 18.0}

    play(scenario)


def test_the_first_positions_wait_until_the_journal_was_read_to_its_end() -> None:
    async def scenario(books: Books, bridge: Bridge) -> None:
        await counting(books, bridge)
        bridge.entries = [(1, change(2, 40.0)), (2, change(3, 50.0))]
        books.hear_extruders(message("printer.extruders", extruders(60.0), epoch=6))
        await books.handle(Entry(CALLS, Cursor("j", 1), 0.0, bridge.entries[0][1]))
        assert books.ledger.pending == {1: 40.0}, "the follower's first entry is not the journal's last"
        await bridge.answer()
        assert books.ledger.pending == {1: 40.0, 2: 10.0, 3: 10.0}
        await books.handle(Entry(CALLS, Cursor("j", 2), 0.0, bridge.entries[1][1]))
        assert books.ledger.spool_id == 3, "an entry that comes again does nothing"

    play(scenario)


def test_a_late_answer_of_a_former_bridge_stops_nothing() -> None:
    async def scenario(books: Books, bridge: Bridge) -> None:
        bridge.spawn(books.catch_up())
        await asyncio.sleep(0)
        books.hear_extruders(message("printer.extruders", extruders(0.0)))
        await asyncio.sleep(0)
        former, present = bridge.asked
        present.set_result({})
        await asyncio.sleep(0)
        former.set_result({})
        await bridge.answer()
        books.hear_extruders(message("printer.extruders", extruders(7.0)))
        assert books.ledger.unassigned_mm == 7.0

    play(scenario)


def test_a_call_of_a_new_session_may_overtake_its_positions() -> None:
    async def scenario(books: Books, bridge: Bridge) -> None:
        await counting(books, bridge)
        books.hear_extruders(message("printer.extruders", extruders(5000.0)))
        await books.handle(Entry(CALLS, Cursor("j", 1), 0.0, change(2, 3.0, session=2)))
        assert books.ledger.pending == {1: 5003.0}
        books.hear_extruders(message("printer.extruders", extruders(4.0, session=2)))
        assert books.ledger.pending == {1: 5003.0, 2: 1.0}

    play(scenario)


def test_a_journal_that_is_gone_holds_nothing_up() -> None:
    async def scenario(books: Books, bridge: Bridge) -> None:
        await counting(books, bridge)
        books.hear_hint(message(CALLS, {"position": ["former journal", 9], "entry": {}}))
        books.hear_extruders(message("printer.extruders", extruders(8.0), epoch=6))
        await bridge.answer()
        assert books.ledger.pending == {1: 8.0}

    play(scenario)


def job(event: str, filename: str, mm: float) -> dict[str, Any]:
    return {
        "event": event,
        "previous": {},
        "current": {"filename": filename},
        "message": "",
        "extruders": extruders(mm),
    }


def test_entries_of_both_journals_count_in_the_order_they_were_written() -> None:
    async def scenario(books: Books, bridge: Bridge) -> None:
        await counting(books, bridge)
        bridge.waits = False
        bridge.entries = [(1, change(2, 10.0)), (4, change(3, 40.0))]
        bridge.jobs = [(2, job("started", "a.gcode", 20.0)), (3, job("complete", "a.gcode", 30.0))]
        await books.handle(Entry(JOBS, Cursor("j", 2), 2.0, bridge.jobs[0][1]))
        assert (books.ledger.pending, books.ledger.job.filename) == ({1: 10.0, 2: 10.0}, "a.gcode")
        await books.handle(Entry(CALLS, Cursor("j", 4), 4.0, bridge.entries[1][1]))
        assert (books.ledger.pending, books.ledger.spool_id) == ({1: 10.0, 2: 30.0}, 3)
        assert (books.ledger.job.filename, books.ledger.job.began_at) == ("", 3.0)

    play(scenario)


def test_filament_of_no_spool_is_kept_by_job_also_when_nobody_listened() -> None:
    async def scenario(books: Books, bridge: Bridge) -> None:
        await counting(books, bridge)
        await books.choose(None)
        books.hear_extruders(message("printer.extruders", extruders(5.0)))
        bridge.jobs = [
            (1, job("started", "a.gcode", 7.0)),
            (2, job("paused", "a.gcode", 17.0)),
            (3, job("resumed", "a.gcode", 17.0)),
            (4, job("error", "a.gcode", 27.0)),
            (5, job("standby", "", 28.0)),
            (6, job("started", "a.gcode", 30.0)),
        ]
        books.hear_extruders(message("printer.extruders", extruders(34.0), epoch=6))
        await bridge.answer()
        rows = [(r.job.filename, r.job.began_at, r.mm) for r in books.ledger.unassigned.rows]
        assert rows == [("", 0.0, 7.0), ("a.gcode", 1.0, 20.0), ("", 4.0, 3.0), ("a.gcode", 6.0, 4.0)]
        assert books.status["unassigned"]["filament_used"] == 34.0
        assert books.status["unassigned"]["jobs"][1] == {
            "filename": "a.gcode", "began": 1.0, "at": 4.0, "spool_id": None, "filament_used": 20.0
        }  # fmt: skip

    play(scenario)


def test_the_journal_of_a_bridge_that_lost_its_memory_is_no_reason_to_lose_filament() -> None:
    """Klipper restarted, too, and the new journal gives its session the number of the old one."""

    async def scenario(books: Books, bridge: Bridge) -> None:
        await counting(books, bridge)
        bridge.waits = False
        books.hear_extruders(message("printer.extruders", extruders(500.0)))
        for number, (journal, event, mm) in enumerate([("j", "started", 500.0), ("new", "started", 30.0)], 1):
            await books.handle(Entry(JOBS, Cursor(journal, number), 1.0, job(event, "a.gcode", mm)))
        books.hear_extruders(message("printer.extruders", extruders(100.0), epoch=6))
        await bridge.answer()
        assert books.ledger.pending == {1: 600.0}

    play(scenario)


def test_a_hint_at_a_journal_that_was_lost_holds_nothing_up() -> None:
    async def scenario(books: Books, bridge: Bridge) -> None:
        await counting(books, bridge)
        bridge.waits = False
        books.hear_hint(message(CALLS, {"position": ["lost", 5], "entry": {}}))
        books.hear_extruders(message("printer.extruders", extruders(10.0)))
        assert books.ledger.pending == {}, "the spool may have been changed"
        await books.handle(Entry(JOBS, Cursor("j", 1), 1.0, job("paused", "a.gcode", 10.0)))
        books.hear_extruders(message("printer.extruders", extruders(30.0)))
        assert books.ledger.pending == {1: 30.0}

    play(scenario)
