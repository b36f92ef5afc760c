"""Each recorded reply under /api, against ours for the same state of the printer."""

import json
from pathlib import Path
from typing import Any

import pytest

from bus.config import Config, Section
from bus.mirror import Status
from services.octo_shim import core, fixed
from services.octo_shim.settings import read_settings

GOLDEN = Path(__file__).parent.parent / "golden" / "states.jsonl"
HEATERS = ("extruder", "heater_bed")
WARM = {"temperature": 22.31, "target": 0.0}
STANDBY: Status = {
    "print_stats": {"state": "standby", "filename": "", "print_duration": 0.0, "filament_used": 0.0},
    "virtual_sdcard": {"progress": 0.0, "file_position": 0, "file_size": 0},
    "heaters": {"available_heaters": list(HEATERS)},
    "extruder": WARM,
    "heater_bed": WARM,
}
PRINTING: Status = {
    **STANDBY,
    "print_stats": {"state": "printing", "filename": "a/b.gcode", "print_duration": 60.0, "filament_used": 12.5},
    "virtual_sdcard": {"progress": 0.25, "file_position": 250, "file_size": 1000},
}
VIEWS = {
    "ready/standby": core.View(klipper="ready", status=STANDBY, covered=True),
    "ready/printing": core.View(klipper="ready", status=PRINTING, covered=True),
    "disconnected": core.View(klipper="disconnected", status={}, covered=False),
}


def recorded() -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in GOLDEN.read_text().splitlines()]
    return [r for r in rows if r["id"].startswith("/api/") and r["response"]["status"] == 200]


def answer(path: str, view: core.View) -> dict[str, Any]:
    settings, warnings = read_settings(Config({"octoprint_compat": Section("octoprint_compat", "a.conf:1")}))
    assert settings is not None and not warnings
    answers: dict[str, dict[str, Any]] = {
        "/api/version": fixed.version("1.2.3"),
        "/api/server": fixed.server(view),
        "/api/login": fixed.USER,
        "/api/currentuser": fixed.USER,
        "/api/settings": fixed.settings(settings),
        "/api/job": core.job(view),
        "/api/printer": core.printer(view, HEATERS),
        "/api/printerprofiles": fixed.profiles(HEATERS),
        "/api/printer/command": {},
    }
    return answers[path]


def lacking(ours: Any, theirs: Any, where: str = "") -> list[str]:
    """Where ours lacks a key of theirs, or has a value of another kind. What is null there may be more here."""
    if isinstance(theirs, dict):
        if not isinstance(ours, dict):
            return [where]
        lost = [f"{where}.{key}" for key in theirs.keys() - ours.keys()]
        return lost + [
            p for key in theirs.keys() & ours.keys() for p in lacking(ours[key], theirs[key], f"{where}.{key}")
        ]
    same = theirs is None or isinstance(ours, type(theirs)) or {type(ours), type(theirs)} <= {int, float}
    return [] if same else [where]


@pytest.mark.parametrize("row", recorded(), ids=lambda r: f"{r['request']['method']} {r['id']} {r['state']}")
def test_ours_has_the_recorded_shape_and_values(row: dict[str, Any]) -> None:
    view, theirs = VIEWS[row["state"]], row["response"]["body"]
    ours = answer(row["id"], view)
    if row["id"] == "/api/version":
        assert ours == {**theirs, "text": "OctoPrint (moonbus 1.2.3)"}
    elif row["id"] == "/api/job":
        assert not lacking(ours, theirs) and ours["state"] == theirs["state"]
    elif row["id"] == "/api/printer" and row["state"] == "disconnected":
        assert ours == {**theirs, "temperature": {}}
    else:
        assert ours == theirs


def test_the_recordings_are_there() -> None:
    assert {r["state"] for r in recorded()} == set(VIEWS) and len(recorded()) == 27


def test_a_job_that_is_not_there_is_null_throughout() -> None:
    nothing = {"name": None, "path": None, "origin": None, "size": None}
    for state in ("ready/standby", "disconnected"):
        body = core.job(VIEWS[state])
        assert body["job"]["file"] == nothing and body["job"]["filament"] == {"length": None}
        assert set(body["progress"].values()) == {None}
