"""Filament from the G-code to the spool: a simulated Klipper, the bridge, the service and a simulated Spoolman. What the
extruders of the simulated printer pushed, in mm, is the truth."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bus.testing import eventually
from services.klipper_bridge.__main__ import start as start_bridge
from services.spoolman_sync.reports import Reports
from services.spoolman_sync.store import Store
from simulators.klipper import SimulatedKlipper
from tests.process.spoolman_world import World, play


class Printer:
    """A world with a real bridge and a Klipper of two extruders in it."""

    def __init__(self, made: World) -> None:
        self.made = made
        gcodes = made.bus.data / "gcodes"
        gcodes.mkdir()
        self.klipper = SimulatedKlipper(
            made.bus.data / "k.sock", gcodes, tick_s=0.05, speed=20.0, restart_s=0.1, startup_s=0.1
        )
        self.seen: dict[str, Any] = {}
        self.events: list[str] = []
        made.gateway.subscribe("printer.extruders", lambda m: self.seen.update(m.value))
        made.gateway.subscribe("printer.jobs", lambda m: self.events.append(m.value["entry"]["event"]))

    async def bridge_up(self) -> None:
        text = f"[server]\nklippy_uds_address: {self.klipper.socket_path}\n"
        self.made.bridge = self.made.bus.node("klipper_bridge", text)
        await start_bridge(self.made.bridge)

    async def ready(self, session: int = 1) -> None:
        await eventually(lambda: self.seen.get("session") == session and self.klipper.printer.state == "ready")

    async def run(self, gcode: str) -> None:
        await self.klipper.run_script(f"M83\n{gcode}")

    async def start_print(self, name: str, gcode: str) -> None:
        """Before anything of it is extruded, some updates tell that it began."""
        (self.klipper.gcodes_dir / name).write_text(f"M83\nG4 P3000\n{gcode}\n")
        await self.klipper.run_script(f"SDCARD_PRINT_FILE FILENAME={name}")

    async def print_to_its_end(self, name: str, gcode: str) -> None:
        self.events.clear()
        await self.start_print(name, gcode)
        await eventually(lambda: self.events[-1:] == ["complete"])

    @property
    def truth_mm(self) -> float:
        return sum(self.klipper.extruded_mm.values())

    async def told(self) -> None:
        """Waits until the bridge has told where the active extruder is."""
        printer = self.klipper.printer
        await eventually(
            lambda: (
                self.seen["active"] == printer.active
                and self.seen["position"][printer.active] == pytest.approx(printer.e_position_mm())
            )
        )

    async def booked(self, mm: float | None = None) -> None:
        """Everything, or this much, to 0.01 mm."""
        wanted_mm = self.truth_mm if mm is None else mm
        await eventually(lambda: self.made.waiting_mm == 0 and self.made.used() > wanted_mm - 0.01)
        assert self.made.used() == pytest.approx(wanted_mm, abs=0.01)
        await eventually(lambda: self.made.ledger["extruded_mm"] == pytest.approx(wanted_mm, abs=0.01))


def scene(scenario: Callable[[Printer], Awaitable[None]]) -> None:
    async def main(made: World) -> None:
        printer = Printer(made)
        try:
            await printer.klipper.start()
            await printer.bridge_up()
            await printer.ready()
            made.start_sync()
            await made.linked()
            await made.seen()
            await made.choose(made.spool)
            await scenario(printer)
        finally:
            await printer.klipper.stop()

    play(main)


def test_two_extruders_50_and_30_mm_with_a_tail_before_each_change() -> None:
    """The tail of an extruder shows when it is active again."""

    async def scenario(printer: Printer) -> None:
        await printer.run("T0\nG1 E47\nM400\nG1 E3\nT1\nG1 E26\nM400\nG1 E4\nT0")
        await printer.told()
        await printer.run("T1")
        await printer.booked(80.0)

    scene(scenario)


def test_tool_changes_within_one_script_are_counted_when_each_extruder_is_active_again() -> None:
    async def scenario(printer: Printer) -> None:
        await printer.run("T0\nG1 E2\nT1\nG1 E4\nT0\nG1 E1")
        await printer.booked(3.0)
        await printer.run("T1")
        await printer.booked(7.0)

    scene(scenario)


@pytest.mark.parametrize(
    ("gcode", "mm"),
    [
        ("M221 S150\nG1 E20", 30.0),
        ("G1 E20\nG1 E-5\nM400\nG1 E5\nG10\nM400\nG11", 20.0),
        ("G1 E-4\nM400\nG1 E-6\nM400\nG1 E35", 25.0),
        ("G1 E10\nG92 E0\nG1 E5\nM82\nG1 E100\nG92 E0\nG1 E3", 113.0),
    ],
    ids=["M221", "retraction", "negative positions", "G92 and M82"],
)
def test_what_moves_the_extruder(gcode: str, mm: float) -> None:
    async def scenario(printer: Printer) -> None:
        await printer.run(gcode)
        assert printer.truth_mm == pytest.approx(mm)
        await printer.booked()

    scene(scenario)


@pytest.mark.parametrize("how", ["restart", "kill", "emergency stop"])
def test_klipper_restarted_or_killed_mid_print(how: str) -> None:
    async def scenario(printer: Printer) -> None:
        await printer.start_print("long.gcode", "G1 E71.55\n" + "G4 P1000\n" * 1000)
        await eventually(lambda: printer.truth_mm > 71.0)
        await printer.told()
        if how == "kill":
            await printer.klipper.kill()
            await printer.klipper.start()
        elif how == "restart":
            await printer.klipper.run_script("RESTART")
        else:
            printer.klipper.shutdown("Shutdown due to webhooks request")
            await printer.klipper.run_script("FIRMWARE_RESTART")
        await printer.ready(2)
        await printer.run("G1 E10")
        await printer.booked(81.55)

    scene(scenario)


def test_klipper_restarted_and_another_spool_chosen_before_the_first_move() -> None:
    async def scenario(printer: Printer) -> None:
        made = printer.made
        await printer.run("G1 E300")
        await printer.booked()
        await printer.klipper.run_script("RESTART")
        await printer.ready(2)
        await made.choose(made.other_spool)
        await printer.run("G1 E150.01")
        await printer.booked()
        assert made.used(made.other_spool) == pytest.approx(150.01)

    scene(scenario)


def test_the_bridge_is_down_for_a_while_mid_print() -> None:
    """As long as Klipper lives, its positions tell what was missed; messages that got lost are no different."""

    async def scenario(printer: Printer) -> None:
        await printer.run("G1 E30")
        await printer.told()
        await printer.made.bridge.close()
        await printer.run("T1\nG1 E20\nT0\nG1 E5\nT1")
        await printer.bridge_up()
        await printer.run("G1 E1")
        await printer.booked(51.0)
        await printer.run("T0")
        await printer.booked(56.0)

    scene(scenario)


def test_the_service_is_down_for_a_while_mid_print_and_jobs_end_meanwhile() -> None:
    """Also what was extruded without a spool is the right job's."""

    async def scenario(printer: Printer) -> None:
        made = printer.made
        await made.choose(None)
        await printer.print_to_its_end("a.gcode", "G1 E30\nG4 P3000")
        await printer.told()
        await made.sync.close()
        await printer.print_to_its_end("b.gcode", "G1 E20\nG4 P3000")
        await printer.told()
        await printer.run("G1 E7")
        made.start_sync()
        await eventually(lambda: made.ledger["unassigned_mm"] == pytest.approx(57.0))
        rows = [(row["filename"], row["filament_used"]) for row in made.status["unassigned"]["jobs"]]
        assert rows == [("a.gcode", 30.0), ("b.gcode", 20.0), ("", 7.0)]

    scene(scenario)


def test_the_same_extruder_seen_again_after_a_long_while() -> None:
    async def scenario(printer: Printer) -> None:
        await printer.run("T0\nG1 E10")
        await printer.booked()
        await printer.run("T1\nG1 E400\nG1 E-300\nM400")
        await printer.booked(410.0)
        await printer.run("T0\nG1 E5")
        await printer.booked(415.0)

    scene(scenario)


@pytest.mark.parametrize("with_a_spool", [True, False])
def test_a_print_costs_at_most_one_transaction_an_interval(monkeypatch: pytest.MonkeyPatch, with_a_spool: bool) -> None:
    counted = {"transactions": 0, "intervals": 0}
    save, interval = Store.save, Reports._round

    def counting_save(store: Store, *saved: Any) -> None:
        counted["transactions"] += 1
        save(store, *saved)

    async def counting_interval(reports: Reports) -> None:
        counted["intervals"] += 1
        await interval(reports)

    async def scenario(printer: Printer) -> None:
        if not with_a_spool:
            await printer.made.choose(None)
        monkeypatch.setattr(Store, "save", counting_save)
        counted["intervals"] = 0
        await printer.print_to_its_end("a.gcode", "G1 E1\nG4 P500\n" * 40)
        assert 0 < counted["transactions"] <= counted["intervals"] + 1, "one may have begun before they were counted"

    monkeypatch.setattr(Reports, "_round", counting_interval)
    scene(scenario)
