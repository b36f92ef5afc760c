"""The bridge put together: one connection to Klipper for ever, and what it says put on the bus."""

import asyncio
import contextlib
import logging
import sqlite3
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bus.api import OBJECTS
from bus.envelope import Message
from bus.errors import Fault, unavailable
from bus.mirror import Objects as Wanted
from bus.node import Node
from bus.params import check
from services.klipper_bridge.extruders import Extruders, untouched
from services.klipper_bridge.jobs import HALTED, JobEvent, Jobs
from services.klipper_bridge.klippy import NOT_CONNECTED, Connection, connect
from services.klipper_bridge.memory import Memory
from services.klipper_bridge.objects import Objects
from services.klipper_bridge.remote import REMOTE_METHODS, checked_call

RETRY_S = (0.1, 0.1, 0.1, 0.25, 0.25, 0.25, 0.25, 0.5, 0.5, 1.0, 2.0)
"""Waits between attempts to connect; the last one is repeated. A restart of Klipper takes one to two seconds."""

READS = frozenset({"info", "objects/list", "objects/query", "gcode/help", "query_endstops/status"})
SETTLE_S = 2.0
"""At the start: how long Klipper has to take the connection before it counts as away."""

DISK_RETRY_S = 5.0
"""Between attempts to write what the disk refused."""

UNSAID_MOST = 1000
"""Events kept while the disk refuses them; beyond it the oldest go."""

HALT_LINE = "// Klipper state: Shutdown"
HALT_UPDATES = 8
"""Updates within which webhooks confirms a shutdown told by that line; a macro can print it, too."""

RESTART_LINE = "// Klipper state: Disconnect"
"""The last word before Klipper closes all connections to restart. One it cuts for being slow hears nothing."""


class Bridge:
    def __init__(self, node: Node, path: Path, memory: Memory) -> None:
        self._node = node
        self._path = path
        self._memory = memory
        self._objects = Objects()
        self._jobs = Jobs(memory.last_job())
        self._extruders = Extruders(memory.session, memory.end)
        self._connection: Connection | None = None
        self._version = ""
        self._ever = False
        self._halting = 0
        self._early: list[tuple[str, dict[str, Any]]] = []
        self._restarting = False
        self._unsaid: deque[tuple[str, dict[str, Any]]] = deque(maxlen=UNSAID_MOST)
        self._growing = asyncio.Lock()
        self._settled = asyncio.Event()

    # -- in from the bus -----------------------------------------------------------------------------------------

    def hear_wants(self, message: Message) -> None:
        try:
            self._objects.want(message.topic, check((OBJECTS,), {"objects": message.value})["objects"])
        except Fault as fault:
            self._node.log.warning("%s: %s; it is left out", message.topic, fault)
            return
        if self._connection is not None and self._objects.covers:
            self._node.spawn(self._grow(self._connection))

    def full_copy(self) -> dict[str, Any]:
        return self._objects.full_copy

    async def ask(self, method: str, params: dict[str, Any]) -> Any:
        """A request to Klipper. One that changes nothing waits while this process has only just begun. Raises Fault."""
        if method in READS:
            await self._settled.wait()
        if self._connection is None:
            raise unavailable(NOT_CONNECTED)
        return await self._connection.request(method, params)

    # -- the connection ------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled: connects in any order of start, and again after every loss."""
        # Not yet said to be disconnected: what the process before this one said mostly still holds.
        self._node.spawn(self._settle_soon())
        attempt, absent = 0, False
        while True:
            try:
                connection = await connect(self._path, self._hear)
            except OSError as error:
                if not absent:
                    self._node.log.info("no Klipper at %s (%s): trying until there is one", self._path, error)
                absent = True
                self._settle()
            else:
                if await self._live(connection):
                    attempt, absent = 0, False
            await asyncio.sleep(RETRY_S[min(attempt, len(RETRY_S) - 1)])
            attempt += 1

    async def _settle_soon(self) -> None:
        await asyncio.sleep(SETTLE_S)
        self._settle()

    def _settle(self) -> None:
        """Klipper has come, or is away, or hangs."""
        if not self._settled.is_set() and self._connection is None:
            self._say_state("disconnected", NOT_CONNECTED)
        self._settled.set()

    async def _live(self, connection: Connection) -> bool:
        """One connection from its start to its end; whether Klipper was there at all."""
        greeting = self._node.spawn(self._greet(connection))
        try:
            await connection.ended()
        finally:
            greeting.cancel()
            connection.close()
        lived, self._connection = self._connection is not None, None
        if lived:
            self._leave()
        return lived

    async def _greet(self, connection: Connection) -> None:
        """All that a connection has to be told first; Klipper forgets it with the connection."""
        try:
            info = await connection.request("info", {"client_info": {"program": "moonbus"}})
            await connection.request("gcode/subscribe_output", {"response_template": {"method": "gcode"}})
            for name in REMOTE_METHODS:
                template = {"remote_method": name, "response_template": {"method": name}}
                await connection.request("register_remote_method", template)
            self._version = str(info.get("software_version", ""))
            await self._subscribe(connection, lambda answer, wanted: self._arrive(connection, info, answer, wanted))
        except Fault as fault:
            level = logging.DEBUG if fault.code == 503 else logging.ERROR
            self._node.log.log(level, "Klipper did not take the connection: %s", fault)
        if self._connection is not connection:
            connection.close()

    async def _subscribe(self, connection: Connection, take: Callable[[dict[str, Any], Wanted], None]) -> None:
        wanted = self._objects.lacking() or self._objects.covers
        params = {"objects": wanted, "response_template": {"method": "status"}}
        await connection.request("objects/subscribe", params, lambda answer: take(answer, wanted))

    def _arrive(self, connection: Connection, info: dict[str, Any], answer: dict[str, Any], wanted: Wanted) -> None:
        self._connection, self._ever, self._halting = connection, True, 0
        began = self._began(info, answer["status"])
        if began:
            self._extruders.begin(self._memory.begin_session(info.get("process_id"), self._extruders.end))
        self._restarting = False
        self._node.log.info("connected to Klipper %s, which is %s", self._version, info.get("state"))
        self._extruders.see(answer["status"].get("toolhead", {}))
        self._node.publish("printer.extruders", self._extruders.value)
        self._objects.subscribed(answer, wanted)
        self._node.publish_full("printer.objects")
        self._after_update({}, began)
        while self._early:
            self._call(*self._early.pop(0))
        if self._objects.lacking() is not None:  # wants that came while the subscription was under way
            self._node.spawn(self._grow(connection))

    def _began(self, info: dict[str, Any], status: dict[str, Any]) -> bool:
        """Whether Klipper started since it was last seen. One that is shut down has not, nor one whose print was reset:
        their positions stay, and would be counted again."""
        toolhead, stats = status.get("toolhead", {}), status.get("print_stats", {})
        another = not self._memory.knows(info.get("process_id")) or info.get("state") == "startup"
        print_is_gone = self._jobs.running and stats.get("state") == "standby" and untouched(toolhead)
        return another or self._restarting or print_is_gone or self._extruders.restarted(toolhead)

    def _leave(self) -> None:
        self._node.log.info("Klipper closed the connection")
        self._objects.clear()
        self._node.publish_full("printer.objects")
        self._say_state("disconnected", NOT_CONNECTED)
        self._tell(self._jobs.disconnect())
        self._memory.end_session(self._extruders.end, self._restarting)

    async def _grow(self, connection: Connection, again: bool = False) -> None:
        """Subscribes to more, or again to the same: Klipper replaces the set and answers with the full state, at its
        next update."""
        async with self._growing:
            if connection is not self._connection or not (again or self._objects.lacking()):
                return
            try:
                await self._subscribe(connection, self._widen)
            except Fault as fault:
                self._node.log.debug("subscribing: %s", fault)

    def _widen(self, answer: dict[str, Any], wanted: Wanted) -> None:
        change = self._objects.subscribed(answer, wanted)
        self._take_change(change)

    # -- what Klipper says ---------------------------------------------------------------------------------------

    def _hear(self, message: dict[str, Any]) -> None:
        method, params = message.get("method"), message.get("params", {})
        if method == "status" and self._connection is not None:
            self._take_change(self._objects.updated(params))
        elif method == "gcode":
            self._hear_line(params.get("response", ""))
        elif method in REMOTE_METHODS and self._connection is None:
            self._early.append((method, params))  # where the extruders are is not known yet
        elif method in REMOTE_METHODS:
            self._call(method, params)

    def _hear_line(self, line: str) -> None:
        self._halting = HALT_UPDATES if line == HALT_LINE else self._halting
        self._restarting = self._restarting or line == RESTART_LINE
        self._node.publish("printer.gcode", {"response": line})

    def _take_change(self, change: dict[str, Any]) -> None:
        """Publishes a change of the mirror and what follows from it."""
        self._node.publish("printer.objects", change)  # first: somebody looks at it
        if "toolhead" in change["status"]:
            self._extruders.see(self._objects.status["toolhead"])
            self._node.publish("printer.extruders", self._extruders.value)
        self._after_update(change["status"])

    def _after_update(self, changes: dict[str, Any], began: bool = False) -> None:
        webhooks = self._objects.status.get("webhooks", {})
        state, message = webhooks.get("state", "startup"), webhooks.get("state_message", "")
        if changes.get("webhooks", {}).get("state") == "ready" and self._connection is not None:
            # What was null before may be there now: an object's fields are fixed when it is subscribed to.
            self._node.spawn(self._grow(self._connection, again=True))
        self._say_state(state, message)
        self._settle()
        if self._halting and state not in HALTED:
            # A shutdown is told in G-code's output at once and in webhooks up to an update later; in between a print
            # that it ended looks paused.
            self._halting -= 1
            return
        self._tell(self._jobs.see(self._objects.status.get("print_stats", {}), state, message, began))

    def _say_state(self, state: str, message: str) -> None:
        connected = state != "disconnected"
        self._node.publish("printer.state", {"connected": connected, "state": state, "message": message,
                                             "software_version": self._version, "ever_connected": self._ever})  # fmt: skip

    def _call(self, method: str, params: dict[str, Any]) -> None:
        try:
            call = checked_call(method, params)
        except Fault as error:
            self._node.log.warning("a macro called %s: %s", method, error)
            return
        self._append("printer.remote_calls", {"method": method, "params": call, "extruders": self._extruders.value})

    def _tell(self, events: list[JobEvent]) -> None:
        for event in events:
            self._append("printer.jobs", {**event.value, "extruders": self._extruders.value})

    def _append(self, topic: str, value: dict[str, Any]) -> None:
        """Into the journal, behind what a full disk refused before."""
        self._unsaid.append((topic, value))
        try:
            self._say_unsaid()
        except sqlite3.Error as error:
            self._node.log.error("the journal cannot be written (%s): %d events wait", error, len(self._unsaid))

    def _say_unsaid(self) -> None:
        """Raises sqlite3.Error."""
        while self._unsaid and self._node.journal is not None:
            self._node.append(*self._unsaid[0])
            self._unsaid.popleft()

    async def say_again(self) -> None:
        """Until cancelled: what the disk refused, as soon as it does not. No event may come for hours."""
        while True:
            await asyncio.sleep(DISK_RETRY_S)
            self._memory.keep()
            with contextlib.suppress(sqlite3.Error):
                self._say_unsaid()
