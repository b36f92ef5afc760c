"""The printer in OctoPrint's words: states, temperatures, progress; whatever Klipper says."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.mirror import Status
from services.octo_shim import core

KLIPPER = ("disconnected", "startup", "ready", "shutdown", "error")
PRINT = ("standby", "printing", "paused", "complete", "cancelled", "error", None)


def view(klipper: str = "ready", state: str | None = "standby", **more: Any) -> core.View:
    status: Status = {"print_stats": {"state": state, **more.pop("stats", {})}, "virtual_sdcard": more.pop("card", {})}
    return core.View(klipper=klipper, status=status, covered=True, **more)


def running(state: str = "printing", progress: float = 0.25, duration_s: float = 60.9) -> core.View:
    stats = {"filename": "parts/Bär 1.gcode", "print_duration": duration_s, "filament_used": 12.5}
    return view(state=state, stats=stats, card={"progress": progress, "file_position": 250, "file_size": 1000})


@pytest.mark.parametrize(
    ("klipper", "state", "text"),
    [
        ("disconnected", "printing", "Offline"),
        ("startup", "standby", "Offline"),
        ("shutdown", "paused", "Error"),
        ("error", None, "Error"),
        ("ready", "standby", "Operational"),
        ("ready", "printing", "Printing"),
        ("ready", "paused", "Paused"),
        ("ready", "complete", "Operational"),
        ("ready", "cancelled", "Operational"),
        ("ready", "error", "Operational"),
        ("ready", None, "Operational"),
    ],
)
def test_states(klipper: str, state: str | None, text: str) -> None:
    body = core.printer(view(klipper, state), ())["state"]
    flags = {name for name, value in body["flags"].items() if value}
    assert body["text"] == text and flags == core.STATES[text]
    assert ("ready" in flags) == (text == "Operational") and ("closedOrError" in flags) == (
        text in ("Offline", "Error")
    )


def test_nobody_is_told_that_the_printer_is_free_before_that_is_known() -> None:
    assert core.View(klipper="ready", status={}, covered=False).state == "Offline"


def test_a_pause_or_cancel_under_way_shows_until_the_job_is_over() -> None:
    cancelling = core.printer(view(state="printing", under_way="Cancelling"), ())["state"]
    assert cancelling["text"] == "Cancelling" and cancelling["flags"]["cancelling"] and cancelling["flags"]["printing"]
    assert view(state="paused", under_way="Pausing").state == "Pausing"
    assert view(state="cancelled", under_way="Cancelling").state == "Operational"


def test_temperatures_of_all_heaters_under_octoprints_names() -> None:
    heaters = (
        "heater_bed",
        "extruder",
        "extruder1",
        "heater_generic chamber",
        "heater_generic bed",
        "heater_generic x y",
    )
    status: Status = {name: {"temperature": 20.004 + i, "target": i * 10.0} for i, name in enumerate(heaters)}
    shown = core.printer(core.View("ready", status, True), heaters)["temperature"]
    assert set(shown) == {"bed", "tool0", "tool1", "chamber", "heater_generic bed", "x y"}
    assert shown["tool1"] == {"actual": 22.0, "offset": 0, "target": 20.0}
    assert shown["bed"]["actual"] == 20.0


def test_temperatures_do_not_outlive_the_connection() -> None:
    status: Status = {"extruder": {"temperature": 200.0, "target": 210.0}}
    assert core.printer(core.View("shutdown", status, True), ("extruder",))["temperature"]["tool0"]["actual"] == 200.0
    assert core.printer(core.View("disconnected", status, True), ("extruder",))["temperature"] == {}
    assert core.printer(core.View("ready", {}, True), ("extruder",))["temperature"] == {}


def test_a_job_while_it_is_printed() -> None:
    assert core.job(running()) == {
        "job": {
            "file": {"name": "Bär 1.gcode", "path": "parts/Bär 1.gcode", "origin": "local", "size": 1000},
            "estimatedPrintTime": 242,
            "filament": {"length": 12.5},
            "user": None,
        },
        "progress": {
            "completion": 25.0,
            "filepos": 250,
            "printTime": 60,
            "printTimeLeft": 182,
            "printTimeOrigin": "linear",
        },
        "state": "Printing",
    }


def test_progress_at_the_beginning_and_the_end() -> None:
    for unknown in (running(progress=0.0), running(duration_s=0.0), running("error"), running("cancelled", 0.0)):
        assert core.job(unknown)["progress"]["printTimeLeft"] is None
        assert core.job(unknown)["progress"]["printTimeOrigin"] is None
    done = core.job(running("complete", progress=0.9999))["progress"]
    assert (done["completion"], done["printTimeLeft"], done["printTime"]) == (100.0, 0, 60)
    assert core.job(running("error"))["progress"]["completion"] == 25.0


def test_the_file_is_what_is_printed_then_what_is_selected_then_what_was_printed() -> None:
    stats = {"filename": "old.gcode"}
    assert view(state="printing", stats=stats, selected="new.gcode").file == "old.gcode"
    assert view(state="complete", stats=stats, selected="new.gcode").file == "new.gcode"
    assert view(state="complete", stats=stats).file == "old.gcode"
    selected = core.job(view(state="complete", stats={**stats, "print_duration": 5.0}, selected="new.gcode"))
    assert selected["job"]["file"]["name"] == "new.gcode" and set(selected["progress"].values()) == {None}


def test_a_print_begins_once() -> None:
    def status(state: str) -> Status:
        return {"print_stats": {"state": state}}

    assert core.began(status("standby"), status("printing")) and core.began({}, status("printing"))
    assert not core.began(status("paused"), status("printing")) and not core.began(
        status("printing"), status("complete")
    )


def test_what_is_wanted_grows_with_the_heaters() -> None:
    assert core.wants(()) == core.PRINT
    status: Status = {"heaters": {"available_heaters": ["extruder", 5, "heater_generic chamber"]}}
    assert core.heaters(status) == ("extruder", "heater_generic chamber") and core.heaters({}) == ()
    assert core.wants(core.heaters(status))["heater_generic chamber"] == ["target", "temperature"]


numbers = st.one_of(
    st.none(), st.floats(), st.integers(), st.booleans(), st.text(max_size=3), st.lists(st.none(), max_size=1)
)
fields = ("progress", "file_position", "file_size", "print_duration", "filament_used", "temperature", "target")
statuses = st.fixed_dictionaries(
    {},
    optional={
        "print_stats": st.dictionaries(st.sampled_from(fields), numbers).flatmap(
            lambda d: st.fixed_dictionaries(
                {
                    **{k: st.just(v) for k, v in d.items()},
                    "state": st.one_of(st.sampled_from(PRINT), numbers),
                    "filename": st.one_of(st.just("a.gcode"), numbers),
                }
            )
        ),
        "virtual_sdcard": st.dictionaries(st.sampled_from(fields), numbers),
        "extruder": st.dictionaries(st.sampled_from(fields), numbers),
        "heaters": st.dictionaries(st.just("available_heaters"), st.one_of(numbers, st.lists(numbers, max_size=3))),
    },
)
views = st.builds(
    core.View,
    klipper=st.sampled_from(KLIPPER),
    status=st.one_of(st.none(), statuses),
    covered=st.booleans(),
    under_way=st.sampled_from([None, "Pausing", "Cancelling"]),
    selected=st.sampled_from([None, "a.gcode", "b.gcode"]),
)


@given(views)
def test_whatever_klipper_says_the_answers_are_whole(shown: core.View) -> None:
    job, printer = core.job(shown), core.printer(shown, ("extruder", *core.heaters(shown.status or {})))
    assert orjson.loads(orjson.dumps([job, printer])) == [job, printer]
    assert job["state"] == printer["state"]["text"] == shown.state
    assert set(printer["state"]["flags"]) == set(core.FLAGS)
    assert set(job["progress"]) == {"completion", "filepos", "printTime", "printTimeLeft", "printTimeOrigin"}
    completion, left = job["progress"]["completion"], job["progress"]["printTimeLeft"]
    assert completion is None or 0.0 <= completion <= 100.0
    assert left is None or left >= 0
