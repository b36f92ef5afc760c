"""The owner's side of requests: what is carried out, and what is refused while much is under way or much too late."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import bus.dispatch
from bus.api import METHODS, QUICK_S
from bus.dispatch import Dispatch
from bus.envelope import Request, boot_time_s, read_request


def request(method: str, deadline_at: float | None = None, begin_by: float | None = None, **params: Any) -> Request:
    return Request(1, method, "test", deadline_at, params, begin_by)


def run(scenario: Callable[[Dispatch, list[str], asyncio.Event], Awaitable[None]]) -> None:
    """With a printer of which scripts end when the event is set, and the list of what was carried out."""

    async def main() -> None:
        done: list[str] = []
        end = asyncio.Event()

        async def script(script: str) -> str:
            await end.wait()
            done.append(script)
            return "ok"

        async def other(**_: Any) -> str:
            done.append("other")
            return "ok"

        rows = [row.name for row in METHODS.values() if row.owner == "klipper_bridge"]
        dispatch = Dispatch("klipper_bridge", {}, lambda _: None)
        dispatch.serve({**dict.fromkeys(rows, other), "printer.gcode.script": script})
        await scenario(dispatch, done, end)

    asyncio.run(main())


def test_an_emergency_stop_passes_however_many_scripts_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus.dispatch, "MOST_AT_ONCE", 3)

    async def scenario(dispatch: Dispatch, done: list[str], end: asyncio.Event) -> None:
        waiting = [
            asyncio.create_task(dispatch.answer(request("printer.gcode.script", script="G28"))) for _ in range(3)
        ]
        while dispatch.under_way < 3:
            await asyncio.sleep(0)
        refused = await dispatch.answer(request("printer.gcode.script", script="G28"))
        assert refused.code == 503 and "busy" in refused.result
        assert (await dispatch.answer(request("printer.emergency_stop"))).ok
        end.set()
        assert all([(await task).ok for task in waiting])
        assert dispatch.under_way == 0
        assert (await dispatch.answer(request("printer.gcode.script", script="G1"))).ok

    run(scenario)


def test_what_arrives_too_late_is_never_carried_out() -> None:
    async def scenario(dispatch: Dispatch, done: list[str], end: asyncio.Event) -> None:
        end.set()
        now = boot_time_s()
        late = request("printer.info", deadline_at=now - 0.1)
        unlimited = request("printer.gcode.script", begin_by=now - 0.1, script="G28")
        for one in (late, unlimited):
            answer = await dispatch.answer(one)
            assert answer.code == 504 and "reached klipper_bridge" in answer.result
        assert done == []
        timely = read_request(request("printer.gcode.script", begin_by=now + QUICK_S, script="G28").frames())
        assert (await dispatch.answer(timely)).ok and done == ["G28"]

    run(scenario)
