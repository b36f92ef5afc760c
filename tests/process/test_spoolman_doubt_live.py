"""Where something stands between the service and the truth: somebody else's use, something before Spoolman, a dead link."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bus.testing import eventually
from services.spoolman_sync import __main__ as service
from services.spoolman_sync.settings import PACE
from simulators.spoolman import Fault
from tests.process.spoolman_world import QUICK, World, play, ready

GONE = {"message": "No spool with ID 4 found."}


async def lose_an_answer(made: World, executed: bool, others_mm: float) -> None:
    """After one of 5 mm, a report of 25 mm, executed or not, and a use of somebody else's before its spool can be read."""
    made.extrude(5.0)
    await made.booked()
    unread = Fault("status", method="GET", path=f"/spool/{made.spool}$", times=None)
    made.spoolman.faults.extend([unread, Fault("drop_reply" if executed else "cut", method="PUT", path="/use$")])
    made.extrude(25.0)
    await eventually(lambda: len(made.reports) == 2)
    await made.spoolman.use_spool(made.spool, others_mm)
    await eventually(lambda: "reading spool" in (made.status["last_error"] or ""))
    made.spoolman.faults.remove(unread)


def test_an_answer_is_lost_and_somebody_elses_use_is_told_of() -> None:
    """The step of exactly the report among Spoolman's events proves it."""

    async def scenario(made: World) -> None:
        await ready(made)
        await lose_an_answer(made, executed=True, others_mm=10.0)
        await eventually(lambda: made.waiting_mm == 0)
        made.extrude(7.0)
        await eventually(lambda: made.reports == [5.0, 25.0, 7.0] and made.waiting_mm == 0)
        assert made.used(made.spool) == pytest.approx(47.0)
        assert made.status["uncertain"] == [] and made.ledger["uncertain_mm"] == 0.0

    play(scenario)


def test_what_nobody_can_tell_is_shown_and_not_guessed() -> None:
    async def scenario(made: World) -> None:
        await ready(made)
        await lose_an_answer(made, executed=False, others_mm=10.0)
        await eventually(lambda: made.status["uncertain"])
        (row,) = made.status["uncertain"]
        at = row.pop("at")
        assert row == {"spool_id": made.spool, "filament_used": 25.0, "before": 5.0, "after": 15.0}
        assert abs(time.time() - at) < 60.0
        assert "uncertain" in made.status["last_error"]
        made.extrude(7.0)
        await eventually(lambda: made.reports == [5.0, 25.0, 7.0] and made.waiting_mm == 0)
        expected = {
            "extruded_mm": 37.0,
            "booked_mm": 12.0,
            "pending_mm": 0.0,
            "unassigned_mm": 0.0,
            "uncertain_mm": 25.0,
        }
        await eventually(lambda: made.ledger == expected)
        await made.sync.close()
        made.start_sync()
        await eventually(lambda: made.status["uncertain"] == [{**row, "at": at}] and made.ledger == expected)

    play(scenario)


@pytest.mark.parametrize("others_mm", [0.0, 10.0], ids=["alone", "somebody else"])
def test_the_service_dies_with_a_report_under_way(others_mm: float) -> None:
    """What happened to the spool meanwhile nobody heard."""

    async def scenario(made: World) -> None:
        await ready(made)
        made.spoolman.faults.append(Fault("late_reply", method="PUT", path="/use$", delay_s=60.0))
        made.extrude(25.0)
        await eventually(lambda: made.used() > 0)
        await made.sync.close()
        if others_mm:
            await made.spoolman.use_spool(made.spool, others_mm)
        made.start_sync()
        await eventually(lambda: made.ledger["booked_mm" if not others_mm else "uncertain_mm"] == 25.0)
        assert made.reports == [25.0]

    play(scenario)


@pytest.mark.parametrize(
    "health",
    [
        Fault("not_json", path="/health$", status=404, times=None),
        Fault("not_json", path="/health$", status=200, times=None),
        Fault("status", path="/health$", status=502, times=None),
        Fault("hang", path="/health$", times=None),
    ],
    ids=["a proxy's 404", "a login page", "502", "silence"],
)
def test_a_404_that_only_looks_like_spoolmans_unsets_nothing(health: Fault) -> None:
    async def scenario(made: World) -> None:
        await ready(made)
        gone = [Fault("status", method, path, 404, times=None, body=GONE)
                for method, path in (("PUT", "/use$"), ("GET", f"/spool/{made.spool}$"))]  # fmt: skip
        made.spoolman.faults.extend([health, *gone])
        made.extrude(25.0)
        await eventually(lambda: sum(r.path.endswith("/health") for r in made.spoolman.requests) > 2)
        assert made.waiting_mm == 25.0
        made.spoolman.faults.clear()
        await made.booked()
        assert await made.call("get_spool_id") == {"spool_id": made.spool}

    play(scenario)


def test_a_spool_that_spoolman_does_not_have_leaves_its_filament_unassigned() -> None:
    async def scenario(made: World) -> None:
        await ready(made)
        made.print_event("started", "a.gcode")
        made.extrude(5.0)
        await made.booked()
        made.spoolman.store.delete("spool", made.spool)  # no event of it
        made.extrude(25.0)
        await eventually(lambda: made.heard["spoolman.active"][-1] == {"spool_id": None})
        made.extrude(2.0)
        await eventually(lambda: made.ledger["unassigned_mm"] == 27.0)
        of_spool, of_none = made.status["unassigned"]["jobs"]
        assert (of_spool["filename"], of_spool["spool_id"], of_spool["filament_used"]) == ("a.gcode", made.spool, 25.0)
        assert (of_none["filename"], of_none["spool_id"], of_none["filament_used"]) == ("a.gcode", None, 2.0)
        assert of_spool["began"] == of_none["began"] and abs(time.time() - of_spool["at"]) < 60.0
        made.print_event("complete", "a.gcode")
        made.extrude(1.0)
        await eventually(lambda: made.ledger["unassigned_mm"] == 28.0)
        assert [(r["filename"], r["filament_used"]) for r in made.status["unassigned"]["jobs"]][2:] == [("", 1.0)]

    play(scenario)


def test_the_status_says_since_when_why_and_when_next() -> None:
    async def scenario(made: World) -> None:
        began = time.time()
        await made.spoolman.stop()
        made.start_bridge()
        made.start_sync(replace(QUICK, reconnect_s=0.2))
        server = made.spoolman.url.replace("http://", "")
        await eventually(lambda: made.status["next_try"])
        assert made.status["spoolman_connected"] is False
        assert made.status["last_error"].startswith(f"no connection to Spoolman at http://{server}/api: ")
        assert began <= made.status["since"] <= made.status["next_try"]
        down_since = made.status["since"]
        await made.spoolman.start()
        await made.linked()
        await eventually(lambda: made.status["spoolman_connected"])
        assert made.status["since"] > down_since and made.status["next_try"] is None
        up_since = made.status["since"]
        made.spoolman.cut_websockets()
        await made.linked(False)
        await eventually(lambda: made.status["last_error"] == "Spoolman closed the connection")
        await made.linked()
        await eventually(lambda: made.status["spoolman_connected"] and made.status["since"] > up_since)

    play(scenario)


def test_a_frozen_spoolman_is_noticed_within_15_s() -> None:
    """A ping after this long in silence, rounded up to a second, and half as long for its answer."""
    assert PACE.ping_s + 1.0 + PACE.ping_s / 2 + 1.0 + PACE.close_s < 15.0


def test_a_database_that_can_be_opened_later_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "PACE", replace(QUICK, reopen_s=0.05))

    async def scenario(made: World) -> None:
        made.start_bridge()
        made.database.mkdir(parents=True)
        made.sync = made.bus.node("spoolman_sync", f"[spoolman]\nserver: {made.spoolman.url}\nsync_rate: 1\n")
        await service.start(made.sync)
        assert component(made)["failed"] == ["spoolman"] and "cannot be opened" in component(made)["warnings"][0]
        made.database.rmdir()
        await made.linked()
        assert component(made) == {"components": ["spoolman"], "failed": [], "warnings": []}
        await made.seen()
        await made.choose(made.spool)
        made.extrude(25.0)
        await made.booked()

    play(scenario)


def component(made: World) -> dict[str, Any]:
    said = made.sync.outbox.last("spoolman_sync.component")
    assert said is not None
    value: dict[str, Any] = said.value
    return value
