"""The active spool as macros and Spoolman change it, and what the disk and the end of the process ask for."""

import asyncio
import sqlite3

import pytest

from bus.errors import Fault as Refusal
from bus.testing import eventually
from services.spoolman_sync.store import Store
from simulators.spoolman import Fault
from tests.process.spoolman_world import World, play, ready


def test_a_macro_changes_the_spool() -> None:
    async def scenario(made: World) -> None:
        await ready(made)
        made.extrude(40.0)
        made.extrude(10.0, tell=False)
        made.set_active_spool(spool_id=made.other_spool)
        made.extrude(7.0)
        await made.booked(50.0, made.spool)
        await made.booked(7.0, made.other_spool)
        assert made.heard["spoolman.active"][-1] == {"spool_id": made.other_spool}
        made.set_active_spool(spool_id=None)
        await eventually(lambda: made.heard["spoolman.active"][-1] == {"spool_id": None})

    play(scenario)


def test_macros_change_the_spool_while_the_service_is_down() -> None:
    async def scenario(made: World) -> None:
        await ready(made)
        made.extrude(40.0)
        await made.sync.close()
        made.extrude(10.0)
        made.set_active_spool(spool_id=str(made.other_spool))
        made.extrude(7.0)
        made.set_active_spool(spool_id=made.spool)
        made.extrude(2.0)
        made.start_sync()
        await made.booked(52.0, made.spool)
        await made.booked(7.0, made.other_spool)

    play(scenario)


def test_what_a_macro_may_not_ask_for_changes_nothing() -> None:
    async def scenario(made: World) -> None:
        await ready(made)
        for wrong in (0, "abc", [1], True):
            made.set_active_spool(spool_id=wrong)
        made.bridge.append("printer.remote_calls", {"method": "notify", "params": {"name": "x"}, "extruders": None})
        made.extrude(5.0)
        await made.booked(5.0, made.spool)
        assert made.heard["spoolman.active"][-1] == {"spool_id": made.spool}

    play(scenario)


def test_a_deleted_spool_is_unset_and_its_filament_kept() -> None:
    async def scenario(made: World) -> None:
        await ready(made)
        await made.choose(made.other_spool)
        await made.spoolman.delete_spool(made.other_spool)
        await eventually(lambda: made.heard["spoolman.active"][-1] == {"spool_id": None})
        await made.choose(made.spool)
        await made.spoolman.stop()
        await made.linked(False)
        made.extrude(12.0)
        await eventually(lambda: made.waiting_mm == 12.0)
        await made.spoolman.delete_spool(made.spool)
        await made.spoolman.start()
        await eventually(lambda: made.heard["spoolman.active"][-1] == {"spool_id": None})
        assert (await made.call("status"))["pending_reports"] == []
        await made.sync.close()
        store = Store(made.database)
        assert store.load()[0].unassigned_mm == 12.0
        store.close()

    play(scenario)


def test_sigterm_does_not_wait_for_a_spoolman_that_hangs() -> None:
    async def scenario(made: World) -> None:
        await ready(made)
        made.spoolman.faults.append(Fault("hang", method="PUT"))
        made.extrude(25.0)
        await eventually(lambda: made.reports)
        async with asyncio.timeout(1.0):
            await made.sync.close()

    play(scenario)


def test_idle_writes_nothing_and_a_print_little() -> None:
    async def scenario(made: World) -> None:
        await ready(made)
        made.extrude(25.0)
        await made.booked()
        reader = sqlite3.connect(made.database)

        def version() -> int:
            return int(reader.execute("PRAGMA data_version").fetchone()[0])

        await eventually(lambda: reader.execute("SELECT booked_mm FROM ledger").fetchone() == (25.0,))
        before, said = version(), len(made.heard["spoolman.status"])
        rounds = asyncio.get_running_loop().time() + 0.3
        await eventually(lambda: asyncio.get_running_loop().time() > rounds)
        assert (version(), len(made.heard["spoolman.status"])) == (before, said)
        reader.close()

    play(scenario)


def test_a_full_disk_holds_reports_back_and_refuses_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(made: World) -> None:
        await ready(made)

        def refuse(*_: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        with monkeypatch.context() as full:
            full.setattr(Store, "save", refuse)
            made.extrude(25.0)
            await made.counted()
            with pytest.raises(Refusal, match="cannot be stored: database or disk is full"):
                await made.choose(made.other_spool)
            made.set_active_spool(spool_id=made.other_spool)
            made.extrude(4.0)
            assert made.reports == []
        await made.booked(25.0, made.spool)
        await made.booked(4.0, made.other_spool)

    play(scenario)
