"""The bridge put together: one connection to Klipper for ever, and what it says put on the bus."""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bus.envelope import Message
from bus.errors import Fault, unavailable
from bus.mirror import Objects as Wanted
from bus.node import Node
from services.klipper_bridge.extruders import Extruders
from services.klipper_bridge.jobs import HALTED, JobEvent, Jobs
from services.klipper_bridge.klippy import NOT_CONNECTED, Connection, connect
from services.klipper_bridge.memory import Memory
from services.klipper_bridge.objects import Objects
from services.klipper_bridge.remote import REMOTE_METHODS, checked_call

RETRY_S = (0.1, 0.25, 0.5, 1.0, 2.0)
"""Waits between attempts to connect; the last one is repeated. A restart of Klipper takes about a second."""

UNSAID_MOST = 1000
"""Events kept while the disk refuses them; beyond it the oldest go."""

HALT_LINE = "// Klipper state: Shutdown"


class Bridge:
    def __init__(self, node: Node, path: Path, memory: Memory) -> None:
        self._node = node
        self._path = path
        self._memory = memory
        self._objects = Objects()
        self._jobs = Jobs(memory.last_job())
        self._extruders = Extruders(memory.session)
        self._connection: Connection | None = None
        self._version = ""
        self._ever = False
        self._halting = False
        self._unsaid: deque[tuple[str, dict[str, Any]]] = deque(maxlen=UNSAID_MOST)
        self._growing = asyncio.Lock()

    # -- in from the bus -----------------------------------------------------------------------------------------

    def hear_wants(self, message: Message) -> None:
        self._objects.want(message.topic, message.value)
        if self._connection is not None and self._objects.covers:
            self._node.spawn(self._grow(self._connection))

    def full_copy(self) -> dict[str, Any]:
        return self._objects.full_copy

    async def ask(self, method: str, params: dict[str, Any]) -> Any:
        """A request to Klipper. Raises Fault."""
        if self._connection is None:
            raise unavailable(NOT_CONNECTED)
        return await self._connection.request(method, params)

    # -- the connection ------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled: connects in any order of start, and again after every loss."""
        self._say_state("disconnected", NOT_CONNECTED)
        attempt = 0
        while True:
            try:
                connection = await connect(self._path)
            except OSError as error:
                if attempt == 0:
                    self._node.log.info("no Klipper at %s (%s): trying until there is one", self._path, error)
                await asyncio.sleep(RETRY_S[min(attempt, len(RETRY_S) - 1)])
                attempt += 1
                continue
            attempt = 0 if await self._live(connection) else min(attempt + 1, 2)
            await asyncio.sleep(RETRY_S[0])

    async def _live(self, connection: Connection) -> bool:
        """One connection from its start to its end; whether Klipper was there at all."""
        greeting = self._node.spawn(self._greet(connection))
        try:
            await connection.read(self._hear)
        except OSError as error:
            self._node.log.debug("connection to Klipper: %s", error)
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
            self._node.log.info("Klipper went before it answered: %s", fault)
            connection.close()

    async def _subscribe(self, connection: Connection, take: Callable[[dict[str, Any], Wanted], None]) -> None:
        wanted = self._objects.lacking() or self._objects.covers
        params = {"objects": wanted, "response_template": {"method": "status"}}
        await connection.request("objects/subscribe", params, lambda answer: take(answer, wanted))

    def _arrive(self, connection: Connection, info: dict[str, Any], answer: dict[str, Any], wanted: Wanted) -> None:
        self._connection, self._ever, self._halting = connection, True, False
        toolhead = answer["status"].get("toolhead", {})
        if self._began(info, answer["status"]) or self._extruders.restarted(toolhead):
            self._extruders.begin(self._memory.begin_session(int(info.get("process_id") or 0)))
        self._node.log.info("connected to Klipper %s, which is %s", self._version, info.get("state"))
        self._extruders.see(toolhead)
        self._node.publish("printer.extruders", self._extruders.value)
        self._objects.subscribed(answer, wanted)
        self._node.publish_full("printer.objects")
        self._after_update({})
        if self._objects.lacking() is not None:  # wants that came while the subscription was under way
            self._node.spawn(self._grow(connection))

    def _began(self, info: dict[str, Any], status: dict[str, Any]) -> bool:
        """Whether Klipper started since it was last seen. A Klipper that is shut down has not: its positions stay."""
        print_is_gone = self._jobs.running and status.get("print_stats", {}).get("state") == "standby"
        return self._memory.process_id != info.get("process_id") or info.get("state") == "startup" or print_is_gone

    def _leave(self) -> None:
        self._node.log.info("Klipper closed the connection")
        self._objects.clear()
        self._node.publish_full("printer.objects")
        self._say_state("disconnected", NOT_CONNECTED)
        self._tell(self._jobs.disconnect("Klipper disconnected during the print"))

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
            self._halting = self._halting or params.get("response") == HALT_LINE
            self._node.publish("printer.gcode", {"response": params.get("response", "")})
        elif method in REMOTE_METHODS:
            self._call(method, params)

    def _take_change(self, change: dict[str, Any]) -> None:
        """Publishes a change of the mirror and what follows from it."""
        if "toolhead" in change["status"]:
            self._extruders.see(self._objects.status["toolhead"])
            self._node.publish("printer.extruders", self._extruders.value)
        self._node.publish("printer.objects", change)
        self._after_update(change["status"])

    def _after_update(self, changes: dict[str, Any]) -> None:
        webhooks = self._objects.status.get("webhooks", {})
        state, message = webhooks.get("state", "startup"), webhooks.get("state_message", "")
        if changes.get("webhooks", {}).get("state") == "ready" and self._connection is not None:
            # What was null before may be there now: an object's fields are fixed when it is subscribed to.
            self._node.spawn(self._grow(self._connection, again=True))
        self._say_state(state, message)
        if not self._halting or state in HALTED:
            # A shutdown is told in G-code's output at once and in webhooks up to an update later; in between a print
            # that it ended looks paused.
            self._tell(self._jobs.see(self._objects.status.get("print_stats", {}), state, message))

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
            self._append("printer.jobs", event.value)

    def _append(self, topic: str, value: dict[str, Any]) -> None:
        """Into the journal, with what a full disk refused before; the order stays."""
        self._unsaid.append((topic, value))
        try:
            while self._unsaid:
                self._node.append(*self._unsaid[0])
                self._unsaid.popleft()
        except sqlite3.Error as error:
            self._node.log.error("the journal cannot be written (%s): %d events wait", error, len(self._unsaid))
