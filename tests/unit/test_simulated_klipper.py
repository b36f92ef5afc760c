"""The simulated printer without a socket: what G-code does to position, job and state."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.klipper.commands import execute
from simulators.klipper.console import Console
from simulators.klipper.endpoints import Request, RequestError, parse_request
from simulators.klipper.job import PrintStats
from simulators.klipper.parser import parse_line
from simulators.klipper.printer import LOOKAHEAD_S, GcodeError, Heater, Printer
from simulators.klipper.status import Status, changes, objects, pick


class Bench:
    """A ready printer with a hand-turned clock."""

    def __init__(self, gcodes: Path = Path("/nowhere"), listening: bool = True) -> None:
        self.now = 100.0
        self.said: list[str] = []
        self.calls: list[tuple[str, object]] = []
        self.listening = listening
        self.odometer = {"extruder": 0.0, "extruder1": 0.0}
        self.printer = Printer(self.odometer, 1.0, self.now)
        self.printer.set_ready()
        self.console = Console(self.printer, gcodes, self.said.append, self._call, lambda: None)

    def _call(self, method: str, params: dict[str, object] | None) -> bool:
        if params is not None:
            self.calls.append((method, params))
        return self.listening

    def run(self, script: str) -> float:
        """Runs each line at once; returns the hold of the last."""
        hold_s = 0.0
        for text in script.split("\n"):
            line = parse_line(text)
            if line is not None:
                hold_s = execute(self.console, line, self.now)
        return hold_s

    @property
    def e_mm(self) -> float:
        return self.printer.e_position_mm()

    def status(self) -> Status:
        return objects(self.printer, self.now, {})


@pytest.mark.parametrize(
    ("text", "command", "rest"),
    [
        ("M112X", "M112", "X"),
        ("m118 ä € 日本", "M118", "ä € 日本"),
        ("G1X5 E2", "G1", "X5 E2"),
        ("T0", "T0", ""),
        ("SET_ACTIVE_SPOOL ID=5 ; comment", "SET_ACTIVE_SPOOL", "ID=5"),
    ],
)
def test_command_and_rest(text: str, command: str, rest: str) -> None:
    line = parse_line(text)
    assert line is not None
    assert (line.command, line.rest) == (command, rest)


def test_parameters() -> None:
    classic, extended = parse_line("G1 X-1.5 e2 F600"), parse_line('NOTIFY NAME=phone MSG="print done: 100%"')
    assert classic is not None and classic.params == {"X": "-1.5", "E": "2", "F": "600"}
    assert extended is not None and extended.params == {"NAME": "phone", "MSG": "print done: 100%"}
    assert parse_line("; only a comment") is None
    with pytest.raises(GcodeError, match="Malformed"):
        parse_line("NOTIFY NAME=x loose")


def test_position_e_through_resets_factors_and_retractions() -> None:
    bench = Bench()
    bench.run("G1 E10\nG92 E0\nG1 E5\nM83\nG1 E-1\nG1 E1\nG10\nG11")
    assert bench.e_mm == pytest.approx(15.0)
    bench.run("M221 S200\nG1 E1")
    assert bench.e_mm == pytest.approx(17.0)
    bench.run("M221 S100\nG92 E100\nM82\nG1 E101")
    assert bench.e_mm == pytest.approx(18.0)


def test_tool_change_jumps_to_the_extruders_own_position() -> None:
    bench = Bench()
    bench.run("M83\nG1 E10\nT1\nG1 E4")
    assert bench.printer.active == "extruder1"
    assert bench.e_mm == pytest.approx(4.0)
    bench.run("ACTIVATE_EXTRUDER EXTRUDER=extruder\nG1 E1\nT0")
    assert bench.e_mm == pytest.approx(11.0)
    assert bench.odometer == {"extruder": pytest.approx(11.0), "extruder1": pytest.approx(4.0)}
    assert bench.said[-1] == "// Extruder extruder already active"
    with pytest.raises(GcodeError, match="'extruder7' is not a valid extruder"):
        bench.run("ACTIVATE_EXTRUDER EXTRUDER=extruder7")


@given(st.lists(st.tuples(st.sampled_from(["T0", "T1", "M82", "M83", "G92 E0"]), st.floats(-50, 50)), max_size=30))
def test_odometer_is_the_sum_of_positions(steps: list[tuple[str, float]]) -> None:
    bench = Bench()
    for command, mm in steps:
        bench.run(f"{command}\nG1 E{mm:.4f}")
    for name, extruder in bench.printer.extruders.items():
        assert bench.odometer[name] == pytest.approx(extruder.position_mm)


def test_refused_moves_count_nothing() -> None:
    bench = Bench()
    with pytest.raises(GcodeError, match=r"Must home axis first: 1\.000 0\.000 0\.000 \[5\.000\]"):
        bench.run("G1 X1 E5")
    bench.run("G28")
    with pytest.raises(GcodeError, match=r"Move out of range: 999\.000"):
        bench.run("G1 X999 E5")
    for wrong in ("G1 E1.2.3", "G1 E", "M220 S0", "M221 S-5", "M104 S", "SET_HEATER_TEMPERATURE HEATER=nose TARGET=5"):
        with pytest.raises(GcodeError):
            bench.run(wrong)
    assert bench.e_mm == 0.0


def test_motion_leads_by_the_lookahead() -> None:
    bench = Bench()
    assert bench.run("G1 E5 F600") == pytest.approx(0.5 - LOOKAHEAD_S)
    assert bench.run("G1 E25 F600") == pytest.approx(2.5 - LOOKAHEAD_S)
    assert bench.run("M400") == pytest.approx(2.5)
    assert bench.run("G4 P3000") == pytest.approx(3.0)


def test_heaters() -> None:
    heater = Heater(10.0)
    heater.target = 62.3
    assert heater.wait_s() == pytest.approx(4.0)
    heater.advance(3.0)
    assert heater.temperature == pytest.approx(52.3)
    heater.advance(60.0)
    assert (heater.temperature, heater.wait_s()) == (62.3, 0.0)
    heater.target = 0.0
    heater.advance(600.0)
    assert heater.temperature == pytest.approx(22.3)
    bench = Bench()
    assert bench.run("M190 S62.3") == pytest.approx(10.0)
    assert bench.run("M104 T1 S200") == 0.0
    assert bench.printer.extruders["extruder1"].heater.target == 200.0
    with pytest.raises(GcodeError, match="out of range"):
        bench.run("M104 S999")
    bench.run("SET_HEATER_TEMPERATURE HEATER=extruder TARGET=200\nM105")
    assert bench.said == ["B:22.3 /62.3 T0:22.3 /200.0 T1:22.3 /200.0"]
    bench.run("TURN_OFF_HEATERS")
    assert {heater.target for heater in bench.printer.heaters().values()} == {0.0}


def test_print_stats_over_a_pause() -> None:
    stats = PrintStats(filename="a.gcode")
    stats.start(10.0, 100.0)
    assert stats.status(11.0, 100.0, 1.0)["print_duration"] == 0.0
    assert stats.status(12.0, 105.0, 1.0)["filament_used"] == 5.0
    stats.pause(13.0, 106.0, 1.0)
    assert stats.status(20.0, 104.0, 1.0)["filament_used"] == 6.0
    stats.start(23.0, 106.0)
    stats.end("complete", 24.0, 110.0, 1.0)
    done = stats.status(99.0, 999.0, 1.0)
    assert (done["filament_used"], done["total_duration"], done["print_duration"]) == (10.0, 14.0, 3.0)


def test_error_leaves_filament_at_what_was_read() -> None:
    stats = PrintStats()
    stats.start(0.0, 0.0)
    stats.end("error", 1.0, 5.0, 1.0, "Move out of range")
    status = stats.status(2.0, 5.0, 1.0)
    assert (status["filament_used"], status["state"], status["message"]) == (0.0, "error", "Move out of range")


def test_pause_resume_cancel(tmp_path: Path) -> None:
    (tmp_path / "a.gcode").write_text("G1 E1\n")
    bench = Bench(tmp_path)
    bench.run("SDCARD_PRINT_FILE FILENAME=a.gcode")
    assert bench.said == ["File opened:a.gcode Size:6", "File selected"]
    with pytest.raises(GcodeError, match="SD busy"):
        bench.run("SDCARD_PRINT_FILE FILENAME=a.gcode")
    bench.run("PAUSE")
    status = bench.status()
    assert (status["print_stats"]["state"], status["pause_resume"]) == ("paused", {"is_paused": True})
    assert (bench.e_mm, status["print_stats"]["filament_used"]) == (-2.0, 0.0)
    bench.run("RESUME")
    assert (bench.e_mm, bench.printer.print_stats.state) == (0.0, "printing")
    bench.run("CANCEL_PRINT")
    status = bench.status()
    assert (status["print_stats"]["state"], status["print_stats"]["filename"]) == ("cancelled", "a.gcode")
    assert status["virtual_sdcard"]["file_path"] is None
    bench.run("SDCARD_RESET_FILE")
    assert bench.status()["print_stats"]["state"] == "standby"


def test_without_a_print() -> None:
    bench = Bench()
    for name in ("nope.gcode", "../etc/passwd", "", "x" * 300):
        with pytest.raises(GcodeError, match="Unable to open file"):
            bench.run(f"SDCARD_PRINT_FILE FILENAME={name}")
    bench.run("CANCEL_PRINT\nRESUME\nPAUSE\nFOOBAR A=1\nM118 hello")
    assert bench.said == [
        "// action:cancel",
        "// Print is not paused, resume aborted",
        "// action:paused",
        '// Unknown command:"FOOBAR"',
        "echo: hello",
    ]


def test_shutdown_is_seen_as_paused_and_refuses_gcode(tmp_path: Path) -> None:
    (tmp_path / "a.gcode").write_text("G1 E1\n")
    bench = Bench(tmp_path)
    bench.run("SDCARD_PRINT_FILE FILENAME=a.gcode\nM112")
    status = bench.status()
    assert (status["webhooks"]["state"], status["print_stats"]["state"]) == ("shutdown", "paused")
    assert status["webhooks"]["state_message"].startswith("Shutdown due to M112 command\nOnce the")
    bench.run("M112\nM118 still here")
    assert bench.said[-2:] == ["// Klipper state: Shutdown", "echo: still here"]
    for refused in ("G1 E1", "PAUSE", "STATUS"):
        with pytest.raises(GcodeError, match="Printer is shutdown"):
            bench.run(refused)


def test_remote_methods() -> None:
    bench = Bench()
    bench.run(
        'SET_ACTIVE_SPOOL ID=12\nSET_ACTIVE_SPOOL ID=abc\nCLEAR_ACTIVE_SPOOL\nSET_ACTIVE_SPOOL\nNOTIFY NAME=a MSG="b c"'
    )
    assert bench.calls == [
        ("spoolman_set_active_spool", {"spool_id": 12}),
        ("spoolman_set_active_spool", {"spool_id": 0}),
        ("spoolman_set_active_spool", {"spool_id": None}),
        ("notify", {"name": "a", "message": "b c"}),
    ]
    assert bench.said == ["// Parameter 'ID' is required"]


@pytest.mark.parametrize(("listening", "state"), [(True, "shutdown"), (False, "ready")])
def test_undefined_macro_argument_is_fatal_only_when_somebody_listens(listening: bool, state: str) -> None:
    bench = Bench(listening=listening)
    bench.run("NOTIFY NAME=phone")
    assert bench.printer.state == state


def test_layers_and_display() -> None:
    bench = Bench()
    bench.run(
        "SET_PRINT_STATS_INFO TOTAL_LAYER=10\nSET_PRINT_STATS_INFO CURRENT_LAYER=99\nM117 warm\nM73 P42\nM106 S255"
    )
    status = bench.status()
    assert status["print_stats"]["info"] == {"total_layer": 10, "current_layer": 10}
    assert status["display_status"] == {"progress": 0.42, "message": "warm"}
    assert status["fan"]["speed"] == pytest.approx(1.0)


def test_pick_and_changes() -> None:
    full: Status = {"toolhead": {"position": [0, 1], "extruder": "extruder"}, "fan": {"speed": 0.0}}
    assert pick(full, {"nosuch": None, "toolhead": ["nofield", "position"], "fan": None}) == {
        "nosuch": {},
        "toolhead": {"nofield": None, "position": [0, 1]},
        "fan": {"speed": 0.0},
    }
    after: Status = {"toolhead": {"position": [0, 1], "extruder": "extruder1"}, "fan": {"speed": 0.0}}
    assert changes(full, after) == {"toolhead": {"extruder": "extruder1"}}
    assert changes(full, full) == {}


@pytest.mark.parametrize(
    "frame",
    [
        *(b"", b"{", b"[1]", b"5", b"\xff\xfe", b'{"id":1}', b'{"method":5}', b'{"method":"info","params":null}'),
        *(b'{"method":"info","params":[]}', b"[" * 100_000),
    ],
)
def test_malformed_requests(frame: bytes) -> None:
    assert parse_request(1, frame) is None


def test_requests() -> None:
    request = parse_request(3, b'{"id":{"a":[1]},"method":"gcode/script","params":{"script":5}}\n')
    assert request == Request(3, {"a": [1]}, "gcode/script", {"script": 5})
    with pytest.raises(RequestError, match=r"Invalid Argument Type \[script\]"):
        request.get("script", str)
    with pytest.raises(RequestError, match=r"Missing Argument \[other\]"):
        request.get("other", str)
    assert request.get("other", dict, {}) == {}


def test_objects_without_a_readable_configuration() -> None:
    assert list(objects(Bench().printer, 0.0, {"M112": "stop"}, parsed=False)) == ["gcode", "webhooks", "configfile"]
