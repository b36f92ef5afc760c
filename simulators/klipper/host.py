"""One life of the klippy process: its clients, the one G-code mutex, the running print, the status ticks."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from simulators.klipper.commands import execute, help_texts
from simulators.klipper.connection import Connection
from simulators.klipper.console import Console
from simulators.klipper.parser import parse_line
from simulators.klipper.printer import GcodeError, Printer
from simulators.klipper.status import Status, objects

RESTARTS = frozenset({"RESTART", "FIRMWARE_RESTART"})
STANDSTILL_TICKS = 3
"""How long a restart of a ready printer lets everything stand still before the connections close."""


class Host:
    """Everything that a RESTART forgets. `exited` is set when G-code asked for one; `exit_command` says which."""

    def __init__(self, printer: Printer, gcodes_dir: Path, tick_s: float, parsed: bool) -> None:
        self.printer = printer
        self.parsed = parsed
        self.connections: set[Connection] = set()
        self.exited = asyncio.Event()
        self.exit_command = ""
        self.console = Console(printer, gcodes_dir, self.respond, self.call_remote, self._halt)
        self._tick_s = tick_s
        self._mutex = asyncio.Lock()
        self._halted = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._job: asyncio.Task[None] | None = None
        self._answers: list[Callable[[Status, float], None]] = []
        self._tick_wanted = asyncio.Event()
        self._last_tick = 0.0
        self._help = help_texts()
        self.spawn(self._tick_forever())

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """A task that ends with this life at the latest."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Ends all tasks. The connections are the caller's to close or abort."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def boot(self, startup_s: float, failure: str | None) -> None:
        """startup → ready, or → error with `failure` as the message."""
        await asyncio.sleep(startup_s)
        if self.printer.state != "startup":
            return
        if failure is not None:
            self.printer.set_error(failure)
            return
        self.printer.set_ready()
        self.respond("// Klipper state: Ready")

    def respond(self, line: str) -> None:
        """One line of G-code output to all who listen to it."""
        for connection in self.connections:
            if connection.output_template is not None:
                connection.send(connection.output_template | {"params": {"response": line}})

    def call_remote(self, method: str, params: dict[str, object] | None) -> bool:
        """Calls a remote method on all connections that registered it (params None: nobody is called). False = nobody did, and
        the call is lost."""
        listeners = [connection for connection in self.connections if method in connection.remote_methods]
        for connection in listeners:
            if params is not None:
                connection.send({"params": params} | connection.remote_methods[method])
        return bool(listeners)

    async def run_script(self, script: str) -> None:
        """Runs all lines under the mutex. GcodeError at the first that fails; what ran before stays done."""
        async with self._mutex:
            for text in script.split("\n"):
                try:
                    await self._run_line(text)
                except GcodeError as error:
                    self._report(str(error))
                    raise
                if self.exited.is_set():
                    return

    async def _run_line(self, text: str) -> None:
        line = parse_line(text)
        if line is None:
            return
        if line.command in RESTARTS:
            await self._exit(line.command)
            return
        now = time.monotonic()
        self.printer.advance(now)
        hold_s = execute(self.console, line, now)
        if self.printer.sdcard.is_active and (self._job is None or self._job.done()):
            self._job = self.spawn(self._print())
        if hold_s > 0.0:
            await self._hold(hold_s, line.command)

    async def _hold(self, seconds: float, command: str) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._halted.wait()
        except TimeoutError:
            return
        homing = command == "G28"
        raise GcodeError("Homing failed due to printer shutdown" if homing else self.printer.state_message)

    def _halt(self) -> None:
        self._halted.set()

    async def _exit(self, command: str) -> None:
        if self.printer.state == "ready":
            await asyncio.sleep(STANDSTILL_TICKS * self._tick_s)
        self.exit_command = command
        self.exited.set()

    def _report(self, message: str) -> None:
        lines = message.strip().split("\n")
        if len(lines) > 1:
            self.console.info("\n".join(lines))
        self.respond(f"!! {lines[0]}")

    async def _print(self) -> None:
        """Prints while a file is active; it may be exchanged for another meanwhile."""
        sdcard = self.printer.sdcard
        while sdcard.is_active and sdcard.file_path is not None and not self.exited.is_set():
            try:
                await self._print_file(sdcard.file_path)
            except (GcodeError, OSError) as error:
                message = str(error) if isinstance(error, GcodeError) else "Unable to open file"
                if self.printer.state == "ready":
                    self._report(message)
                    self.printer.end_print("error", time.monotonic(), message)

    async def _print_file(self, path: str) -> None:
        """Runs the file's lines, the mutex taken for each, until it ends or is no longer what is printed."""
        sdcard = self.printer.sdcard
        position = sdcard.file_position
        with open(path, "rb") as file:  # noqa: ASYNC230 - one buffered line at a time, and nothing else to serve
            file.seek(position)
            while not self.exited.is_set():
                async with self._mutex:
                    if not sdcard.is_active or (sdcard.file_path, sdcard.file_position) != (path, position):
                        return
                    text = file.readline()
                    if not text:
                        self.respond("Done printing file")
                        self.printer.end_print("complete", time.monotonic())
                        return
                    position += len(text)
                    sdcard.file_position = position
                    await self._run_line(text.decode("utf-8", "replace"))
                await asyncio.sleep(0)

    def at_next_tick(self, answer: Callable[[Status, float], None]) -> None:
        """`answer` gets all objects and the time of the next tick, the first moment Klipper looks at them."""
        self._answers.append(answer)
        self._tick_wanted.set()

    async def _tick_forever(self) -> None:
        while True:
            await self._tick_wanted.wait()
            await asyncio.sleep(max(0.0, self._last_tick + self._tick_s - time.monotonic()))
            now = self._last_tick = time.monotonic()
            self.printer.advance(now)
            full = objects(self.printer, now, self._help, self.parsed)
            answers, self._answers = self._answers, []
            for answer in answers:
                answer(full, now)
            listeners = [connection for connection in self.connections if connection.is_subscribed]
            for connection in listeners:
                connection.send_changes(full, now)
            if not listeners and not self._answers:
                self._tick_wanted.clear()
