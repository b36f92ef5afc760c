"""What a client's command means in calls, and when it is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.api import METHODS
from bus.config import Config, read_config
from bus.errors import Fault
from bus.params import check
from services.octo_shim import commands
from services.octo_shim.core import View
from services.octo_shim.settings import Settings, read_settings

GOLDEN = Path(__file__).parent.parent / "golden" / "upload.jsonl"


def in_state(state: str, filename: str = "last.gcode", **more: Any) -> View:
    return View("ready", {"print_stats": {"state": state, "filename": filename}}, True, **more)


OFFLINE, SHUTDOWN, IDLE = View(), View("shutdown", {}, True), in_state("standby", "")
PRINTING, PAUSED = in_state("printing"), in_state("paused")


def refused(code: int, decide: Callable[[], object]) -> str:
    with pytest.raises(Fault) as fault:
        decide()
    assert fault.value.code == code
    return fault.value.message


def test_lines_of_gcode_go_one_by_one() -> None:
    calls = [("printer.gcode.script", {"script": line}) for line in ("G28", "M117 x")]
    assert commands.printer_command(IDLE, ["G28", "M117 x"], None) == calls
    assert commands.printer_command(PRINTING, None, "M117 x") == calls[1:]
    assert commands.printer_command(SHUTDOWN, ["FIRMWARE_RESTART"], None)
    assert "commands" in refused(400, lambda: commands.printer_command(IDLE, None, None))
    assert "Klipper" in refused(409, lambda: commands.printer_command(OFFLINE, ["G28"], None))


def test_a_failure_says_which_command_it_was() -> None:
    fault = Fault(400, "Must home axis first")
    assert commands.located(fault, 1, 1) is fault
    assert commands.located(fault, 2, 3).message.startswith("Must home axis first (command 2 of 3")


@pytest.mark.parametrize(
    ("view", "command", "action", "methods"),
    [
        (in_state("complete"), "start", "toggle", ["print.start"]),
        (PRINTING, "cancel", "toggle", ["print.cancel"]),
        (PAUSED, "cancel", "toggle", ["print.cancel"]),
        (in_state("printing", under_way="Cancelling"), "cancel", "toggle", []),
        (in_state("printing", under_way="Pausing"), "cancel", "toggle", ["print.cancel"]),
        (PAUSED, "restart", "toggle", ["print.cancel", "print.start"]),
        (PRINTING, "pause", "pause", ["print.pause"]),
        (PAUSED, "pause", "pause", []),
        (PAUSED, "pause", "resume", ["print.resume"]),
        (PRINTING, "pause", "resume", []),
        (PRINTING, "pause", "toggle", ["print.pause"]),
        (PAUSED, "pause", "toggle", ["print.resume"]),
    ],
)
def test_job_commands(view: View, command: str, action: str, methods: list[str]) -> None:
    calls = commands.job_command(view, command, action)
    assert [method for method, _ in calls] == [f"printer.{method}" for method in methods]
    for method, params in calls:
        assert check(METHODS[method].params, params) == params
    assert all(params == {"filename": "last.gcode"} for method, params in calls if method == "printer.print.start")


@pytest.mark.parametrize(
    ("view", "command", "code"),
    [
        (PRINTING, "start", 409), (PAUSED, "start", 409), (IDLE, "start", 409), (IDLE, "cancel", 409), (IDLE, "pause", 409),
        (PRINTING, "restart", 409), (IDLE, "restart", 409), (in_state("paused", ""), "restart", 409),
        (OFFLINE, "start", 409), (SHUTDOWN, "cancel", 409), (OFFLINE, "fly", 400), (PRINTING, "", 400),
    ],
)  # fmt: skip
def test_job_commands_that_do_not_fit(view: View, command: str, code: int) -> None:
    assert refused(code, lambda: commands.job_command(view, command, "toggle"))


def test_an_unknown_action_names_the_known_ones() -> None:
    assert "pause, resume, toggle" in refused(400, lambda: commands.job_command(PRINTING, "pause", "stop"))


def test_select_as_recorded() -> None:
    rows = [json.loads(line) for line in GOLDEN.read_text().splitlines()]
    rows = [r for r in rows if r["request"]["path"].startswith("/api/files/moonraker/gcodes/")]
    rows += [json.loads(line) for line in GOLDEN.read_text().splitlines() if '"/api/files/moonraker/config/' in line]
    assert len(rows) == 9
    for row in rows:
        root, _, path = row["request"]["path"].removeprefix("/api/files/moonraker/").partition("/")
        view = PRINTING if row["state"] == "printing" else IDLE

        def decide(given: dict[str, Any], view: View = view) -> list[commands.Call]:
            values = check(METHODS["octoprint.select"].params, given)
            return commands.select(
                view, values["root"], values["path"], values["command"], values["print"], lambda p: p == "up.gcode"
            )

        params = {"root": root, "path": path, **row["request"]["body"]}
        theirs = row["response"]
        if theirs["status"] == 204:
            started = [("printer.print.start", {"filename": "up.gcode"})] if params.get("print") else []
            assert decide(params) == started
            continue
        message = refused(theirs["status"], lambda params=params, decide=decide: decide(params))  # type: ignore[misc]
        if theirs["reason"] not in ("Conflict", "Unknown"):
            assert message.startswith(theirs["reason"])


@given(st.text(max_size=12), st.sampled_from(["/", "../", "a/../", "a/../../", "\0", "..", ""]), st.booleans())
def test_select_never_leaves_the_root(name: str, prefix: str, start: bool) -> None:
    asked: list[str] = []

    def exists(path: str) -> bool:
        asked.append(path)
        return True

    path = prefix + name
    try:
        commands.select(IDLE, "gcodes", path, "select", start, exists)
    except Fault as fault:
        assert fault.code == 400
    assert all(p[:1] != "/" and "\0" not in p and ".." not in Path(p).parts for p in asked)


def test_options_have_their_defaults_and_a_bad_one_costs_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_text("[octoprint_compat]\nenable_ufp: False\nflip_h: perhaps\nstream_url: /cam\n")
    settings, warnings = read_settings(read_config(path))
    assert settings == Settings(enable_ufp=False, stream_url="/cam")
    assert len(warnings) == 1 and "a.conf:3: [octoprint_compat] flip_h" in warnings[0]
    assert read_settings(Config()) == (None, [])
