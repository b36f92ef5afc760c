"""What the printer's methods become on Klipper's side, and what never reaches it."""

import asyncio
from typing import Any

import pytest

from bus.dispatch import MOST_AT_ONCE
from bus.errors import Fault
from services.klipper_bridge.klippy import CUT_OFF
from services.klipper_bridge.remote import checked_call
from services.klipper_bridge.requests import MOST_WAITING, Requests

FILES = {"gcodes/twice.gcode", "twice.gcode"}


def ask(method: str, fault: Fault | None = None, **params: Any) -> tuple[Any, list[tuple[str, dict[str, Any]]]]:
    sent: list[tuple[str, dict[str, Any]]] = []

    async def klipper(name: str, arguments: dict[str, Any]) -> Any:
        sent.append((name, arguments))
        if fault is not None:
            raise fault
        return {"said": name}

    requests = Requests(klipper, FILES.__contains__)
    return asyncio.run(_result(requests.handlers()[method](**params))), sent


async def _result(work: Any) -> Any:
    return await work


@pytest.mark.parametrize(
    ("filename", "line"),
    [
        ("a.gcode", 'SDCARD_PRINT_FILE FILENAME="a.gcode"'),
        ("sub/Würfel 20%.gcode", 'SDCARD_PRINT_FILE FILENAME="sub/Würfel 20%.gcode"'),
        ("/gcodes/a.gcode", 'SDCARD_PRINT_FILE FILENAME="a.gcode"'),
        ("gcodes/a.gcode", 'SDCARD_PRINT_FILE FILENAME="a.gcode"'),
        ("gcodes/twice.gcode", 'SDCARD_PRINT_FILE FILENAME="gcodes/twice.gcode"'),
        ("twice.gcode", 'SDCARD_PRINT_FILE FILENAME="twice.gcode"'),
        ('n"o\\te#.gcode', 'SDCARD_PRINT_FILE FILENAME="n\\"o\\\\te#.gcode"'),
    ],
)
def test_a_print_starts_with_its_name_quoted(filename: str, line: str) -> None:
    assert ask("printer.print.start", filename=filename) == ("ok", [("gcode/script", {"script": line})])


@pytest.mark.parametrize("filename", ["", "/", "a;b.gcode", "a\nM112", "a\x03b", "gcodes/"])
def test_a_name_that_would_break_the_line_is_refused(filename: str) -> None:
    with pytest.raises(Fault, match="rename it") as refused:
        ask("printer.print.start", filename=filename)
    assert refused.value.code == 400


@pytest.mark.parametrize(
    ("script", "method"),
    [
        ("M112", "emergency_stop"),
        (" m112\n", "emergency_stop"),
        ("RESTART", "gcode/restart"),
        ("firmware_restart", "gcode/firmware_restart"),
        ("M112 \nG28", "gcode/script"),
        ("G28", "gcode/script"),
    ],
)
def test_what_must_not_wait_does_not(script: str, method: str) -> None:
    result, sent = ask("printer.gcode.script", script=script)
    assert result == "ok" and [name for name, _ in sent] == [method]


def test_the_end_of_the_connection_is_a_restarts_success_and_nothing_elses() -> None:
    assert ask("printer.restart", Fault(503, CUT_OFF))[0] == "ok"
    for method, fault in (("printer.restart", Fault(400, "no")), ("printer.print.pause", Fault(503, CUT_OFF))):
        with pytest.raises(Fault, match=fault.message):
            ask(method, fault)


def test_an_emergency_stop_finds_room_however_many_commands_wait() -> None:
    sent: list[str] = []

    async def scenario() -> None:
        hot = asyncio.Event()

        async def klipper(name: str, arguments: dict[str, Any]) -> Any:
            sent.append(name)
            if name in ("gcode/script", "pause_resume/pause"):
                await hot.wait()
            return {}

        handlers = Requests(klipper, FILES.__contains__).handlers()
        waiting = [asyncio.ensure_future(handlers["printer.gcode.script"](script="G28")) for _ in range(MOST_WAITING)]
        await asyncio.sleep(0)
        for method, params in (("printer.gcode.script", {"script": "G1 X1"}), ("printer.print.pause", {})):
            with pytest.raises(Fault, match="busy") as refused:
                await handlers[method](**params)
            assert refused.value.code == 503
        assert len(sent) == MOST_WAITING < MOST_AT_ONCE
        assert await handlers["printer.gcode.script"](script="M112") == "ok"
        assert await handlers["printer.emergency_stop"]() == "ok"
        assert sent[MOST_WAITING:] == ["emergency_stop", "emergency_stop"]
        hot.set()
        assert set(await asyncio.gather(*waiting)) == {"ok"}
        assert await handlers["printer.print.pause"]() == "ok"

    asyncio.run(scenario())


def test_results_are_klippers_own() -> None:
    for method, name in (
        ("printer.info", "info"),
        ("printer.objects.list", "objects/list"),
        ("printer.gcode.help", "gcode/help"),
    ):
        assert ask(method) == ({"said": name}, [(name, {})])
    assert ask("printer.objects.query", objects={"fan": None})[1] == [("objects/query", {"objects": {"fan": None}})]


def test_macros_arguments_are_checked() -> None:
    assert checked_call("spoolman_set_active_spool", {"spool_id": "5"}) == {"spool_id": 5}
    assert checked_call("spoolman_set_active_spool", {}) == {"spool_id": None}
    assert checked_call("notify", {"name": "phone", "message": 12}) == {"name": "phone", "message": 12}
    for method, params in (
        ("spoolman_set_active_spool", {"spool_id": "x"}),
        ("notify", {"message": "y"}),
        ("notify", [1]),
    ):
        with pytest.raises(Fault):
            checked_call(method, params)
