"""A Klipper that prints, in virtual time: the machine of the simulated Klipper behind connections without a socket.

What it pushed is the truth everything else is measured by. It counts the highest position of each extruder in each session
(from Klipper's start to its next): a retraction and its return are no filament.
"""

from collections.abc import Callable
from contextvars import copy_context
from random import Random
from typing import Any

import orjson

from services.klipper_bridge.klippy import END, Connection, Notify
from simulators.klipper.job import PrintStats
from simulators.klipper.printer import Printer
from simulators.klipper.status import Status, changes, pick
from tests.simulation.clock import LIFE, Life, VirtualLoop, is_dead
from tests.simulation.wires import loop_context

TICK_S = 1.0
"""Klipper's own is 0.25 s; fewer ticks make more seeds."""
BOOT_S = 0.6
RESTART_S = 1.0
EXTRUDERS = ("extruder", "extruder1")
Tell = Callable[[str], None]
Place = tuple[int, str]
"""(session, extruder)."""


class Client:
    """One connection, seen from Klipper. It is also the bridge's transport."""

    def __init__(self, klipper: "Klipper", bridge: Connection) -> None:
        self.klipper = klipper
        self.bridge = bridge
        self.context = copy_context()
        self.life: Life | None = LIFE.get()
        self.session = klipper.session
        self.open = True
        self.output: dict[str, Any] | None = None
        self.methods: dict[str, dict[str, Any]] = {}
        self.template: dict[str, Any] = {}
        self.subscribed: Status = {}
        self.asked: list[tuple[int, dict[str, Any]]] = []

    def send(self, message: dict[str, Any]) -> None:
        if self.open:
            data = orjson.dumps(message) + END
            self.klipper.loop.call_soon(self.bridge.data_received, data, context=self.context)

    def write(self, data: bytes) -> None:
        if is_dead() or not self.open:
            return
        for frame in data.split(END):
            if frame:
                loop_context().run(self.klipper.receive, self, orjson.loads(frame))

    def is_closing(self) -> bool:
        return not self.open

    def close(self) -> None:
        """By the bridge."""
        self.cut()

    def cut(self) -> None:
        if self.open:
            self.open = False
            self.klipper.clients.remove(self)
            self.klipper.loop.call_soon(self.bridge.connection_lost, None, context=self.context)


class Klipper:
    """`peak_mm` is the truth; `taken_mm` what of it was in an update to somebody who then lived long enough to take it;
    `session_of` which session a client's newest connection was to."""

    def __init__(self, loop: VirtualLoop, random: Random, tell: Tell, ended: Callable[[bool], None]) -> None:
        self.loop = loop
        self.random = random
        self.tell = tell
        self.ended = ended
        self.up = False
        self.session = 0
        self.process_id = 100
        self.clients: list[Client] = []
        self.session_of: dict[Life | None, int] = {}
        self.peak_mm: dict[Place, float] = {}
        self.taken_mm: dict[Place, float] = {}
        self.scripts: list[str] = []
        self.left_ticks = 0
        self.steady = False
        self._open_mm = dict.fromkeys(EXTRUDERS, 0.0)
        self._context = loop_context()
        self.printer: Printer
        self._tick()

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self, same_process: bool = False) -> None:
        """A session: all positions are 0."""
        self.up, self.session = True, self.session + 1
        self.process_id += not same_process
        self.printer = Printer(dict.fromkeys(EXTRUDERS, 0.0), 1.0, self.loop.now)
        self._open_mm = dict.fromkeys(EXTRUDERS, 0.0)
        self.left_ticks = 0
        printer = self.printer

        def ready() -> None:
            if self.up and printer is self.printer and printer.state == "startup":
                printer.set_ready()
                self.respond("// Klipper state: Ready")

        self._later(BOOT_S, ready)

    def kill(self, in_order: bool = False) -> None:
        """kill -9: clients see the end and nothing before it."""
        self.up = False
        for client in list(self.clients):
            client.cut()
        self.ended(in_order)

    def restart(self) -> None:
        """RESTART: the process stays, the session ends. Three updates go out before."""
        if self.up:
            self._send_status()
            self.respond("// Klipper state: Disconnect")
            self.kill(in_order=True)
            self._later(RESTART_S, lambda: None if self.up else self.start(same_process=True))

    def shutdown(self) -> None:
        if self.up and self.printer.state == "ready":
            self.printer.shutdown("MCU 'mcu' shutdown: ADC out of range", self.loop.now)
            self.respond("// Klipper state: Shutdown")

    # -- the job -------------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """Of the print, where commands are taken; else ""."""
        return self.printer.print_stats.state if self.up and self.printer.state == "ready" else ""

    def begin_print(self, filename: str, ticks: int) -> None:
        printer = self.printer
        printer.sdcard.select(f"/gcodes/{filename}", 1000)
        printer.print_stats = PrintStats(filename=filename)
        printer.is_paused = False
        printer.start_print(self.loop.now)
        self.left_ticks = ticks

    def pause(self) -> None:
        self.printer.pause_print(self.loop.now)
        self.printer.is_paused = True
        self.extrude(-2.0)

    def resume(self) -> None:
        self.extrude(2.0)
        self.printer.is_paused = False
        self.printer.start_print(self.loop.now)

    def end_print(self, state: str) -> None:
        """complete, cancelled or error."""
        self.printer.end_print(state, self.loop.now, "Move out of range" if state == "error" else "")
        self.printer.is_paused = False

    def extrude(self, mm: float) -> None:
        printer = self.printer
        name = printer.active
        printer.extrude(mm, 0.1, self.loop.now)
        place = (self.session, name)
        self.peak_mm[place] = max(self.peak_mm.get(place, 0.0), printer.e_position_mm())

    def change_tool(self) -> None:
        """Retracts, and goes on with the other extruder, which returns its own retraction first."""
        printer = self.printer
        self.extrude(-1.0)
        self._open_mm[printer.active] += 1.0
        printer.activate(EXTRUDERS[printer.active == EXTRUDERS[0]])
        self.extrude(self._open_mm[printer.active])
        self._open_mm[printer.active] = 0.0

    # -- clients -------------------------------------------------------------------------------------------------

    async def connect(self, _path: object, notify: Notify) -> Connection:
        """In place of services.klipper_bridge.klippy.connect. Raises ConnectionRefusedError."""
        if not self.up:
            raise ConnectionRefusedError("connection refused")
        connection = Connection(notify)
        client = Client(self, connection)
        connection.connection_made(client)  # type: ignore[arg-type]
        self.clients.append(client)
        self.session_of[client.life] = self.session
        return connection

    def drop(self, life: Life) -> None:
        """A client's process is gone."""
        for client in [client for client in self.clients if client.life is life]:
            client.cut()

    def receive(self, client: Client, request: dict[str, Any]) -> None:
        params, answer = request["params"], {}
        match request["method"]:
            case "objects/subscribe":
                client.asked.append((request["id"], params))
                return
            case "info":
                answer = {"state": self.printer.state, "process_id": self.process_id, "software_version": "simulated"}
            case "gcode/subscribe_output":
                client.output = params["response_template"]
            case "register_remote_method":
                client.methods[params["remote_method"]] = params["response_template"]
            case "gcode/script":
                self.scripts.append(params["script"])
        client.send({"id": request["id"], "result": answer})

    def respond(self, line: str) -> None:
        for client in self.clients:
            if client.output is not None:
                client.send({**client.output, "params": {"response": line}})

    def call_remote(self, method: str, params: dict[str, Any]) -> bool:
        """A macro does. False: nobody listens, and the call is lost."""
        listeners = [client for client in self.clients if method in client.methods]
        for client in listeners:
            client.send({"params": params, **client.methods[method]})
        return bool(listeners)

    # -- time ----------------------------------------------------------------------------------------------------

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        self.loop.call_later(seconds, what, context=self._context)

    def _tick(self) -> None:
        self._later(TICK_S, self._tick)
        if self.up:
            if self.state == "printing":
                self._print()
            self._send_status()
            if self.state == "printing" and not self.steady and self.random.random() < 0.3:
                self.extrude(self.random.uniform(0.0, 3.0))  # shows at the next update, if there is one

    def _print(self) -> None:
        random = self.random
        self.left_ticks -= 1
        if self.left_ticks <= 0:
            self.end_print("complete")
            self.tell("print complete")
            return
        chance = random.random()
        if chance < 0.1 and not self.steady:
            self.change_tool()
        elif chance < 0.15:
            self.printer.extrude_factor = random.choice((0.9, 1.0, 2.0))
        self.extrude(random.uniform(0.5, 20.0) * self.printer.extrude_factor)
        if chance > 0.9:
            self.extrude(-0.8)
            self._open_mm[self.printer.active] += 0.8

    def return_retractions(self) -> None:
        """Both extruders stand where they were highest, one tick apart, so that everybody sees it."""
        printer = self.printer
        for place, peak_mm in self.peak_mm.items():
            if place == (self.session, printer.active) and peak_mm > printer.e_position_mm():
                self.extrude(peak_mm - printer.e_position_mm())

    def _send_status(self) -> None:
        if not any(client.subscribed or client.asked for client in self.clients):
            return
        full = self._objects()
        for client in self.clients:
            for number, params in client.asked:
                client.subscribed = pick(full, params["objects"])
                client.template = params["response_template"]
                client.send({"id": number, "result": {"eventtime": self.loop.now, "status": client.subscribed}})
                self._show(client)
            if client.subscribed and not client.asked:
                current = pick(full, {name: list(fields) for name, fields in client.subscribed.items()})
                if changed := changes(client.subscribed, current):
                    client.subscribed = current
                    client.send({**client.template, "params": {"eventtime": self.loop.now, "status": changed}})
                    self._show(client)
            client.asked = []

    def _show(self, client: Client) -> None:
        place, mm, life = (self.session, self.printer.active), self.printer.e_position_mm(), client.life

        def take() -> None:
            if life is not None and not life.dead and not life.stopped:
                self.taken_mm[place] = max(self.taken_mm.get(place, 0.0), mm)

        self._later(0.9 * TICK_S, take)

    def _objects(self) -> Status:
        printer, now = self.printer, self.loop.now
        sdcard = printer.sdcard
        return {
            "webhooks": {"state": printer.state, "state_message": printer.state_message},
            "print_stats": printer.print_stats_status(now),
            "virtual_sdcard": {"file_path": sdcard.file_path, "is_active": sdcard.is_active, "progress": 0.0},
            "toolhead": {"position": [0.0, 0.0, 0.0, printer.e_position_mm()], "extruder": printer.active},
            "pause_resume": {"is_paused": printer.is_paused},
            "idle_timeout": {"state": "Printing" if sdcard.is_active else "Idle"},
        }
