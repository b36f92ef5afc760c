"""The printer's methods: what of Klipper's API each of them is, checked before Klipper sees it."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from bus.dispatch import Handler
from bus.errors import Fault, bad_request, unavailable
from services.klipper_bridge.klippy import CUT_OFF

Ask = Callable[[str, dict[str, Any]], Awaitable[Any]]
"""`await ask(method, params)`: Klipper's result. Raises Fault."""

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f;]")
"""What would end the name in a line of G-code: control characters, and the comment sign that quotes do not protect."""


MOST_WAITING = 256
"""Commands that may wait for the one that runs. Beyond it they are refused, so that an emergency stop always finds room
among the requests under way."""


class Requests:
    """`is_file(path)`: whether there is such a file below the gcodes root."""

    def __init__(self, ask: Ask, is_file: Callable[[str], bool]) -> None:
        self._ask = ask
        self._is_file = is_file
        self._waiting = 0

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "printer.info": self._info,
            "printer.objects.list": self._list,
            "printer.objects.query": self._query,
            "printer.gcode.script": self._script,
            "printer.gcode.help": self._help,
            "printer.print.start": self._start,
            "printer.print.pause": self._command("pause_resume/pause"),
            "printer.print.resume": self._command("pause_resume/resume"),
            "printer.print.cancel": self._command("pause_resume/cancel"),
            "printer.emergency_stop": self._stop,
            "printer.restart": self._restart("gcode/restart"),
            "printer.firmware_restart": self._restart("gcode/firmware_restart"),
            "printer.query_endstops.status": self._endstops,
        }

    async def _info(self) -> Any:
        return await self._ask("info", {})

    async def _list(self) -> Any:
        return await self._ask("objects/list", {})

    async def _query(self, objects: dict[str, Any]) -> Any:
        return await self._ask("objects/query", {"objects": objects})

    async def _help(self) -> Any:
        return await self._ask("gcode/help", {})

    async def _endstops(self) -> Any:
        return await self._queue("query_endstops/status", {})

    async def _queue(self, method: str, params: dict[str, Any]) -> Any:
        """What Klipper carries out one after another."""
        if self._waiting >= MOST_WAITING:
            raise unavailable(f"Klipper is busy: {MOST_WAITING} commands wait for the one that runs; this was not sent")
        self._waiting += 1
        try:
            return await self._ask(method, params)
        finally:
            self._waiting -= 1

    async def _script(self, script: str) -> str:
        if script.strip().upper() == "M112":
            # As G-code it would wait until what runs now is done.
            await self._stop()
        elif script.strip().upper() in ("RESTART", "FIRMWARE_RESTART"):
            await self._restart(f"gcode/{script.strip().lower()}")()
        else:
            await self._queue("gcode/script", {"script": script})
        return "ok"

    async def _start(self, filename: str) -> str:
        name = filename.removeprefix("/")
        if not self._is_file(name):
            name = name.removeprefix("gcodes/")
        if not name or UNPRINTABLE.search(name):
            raise bad_request(
                "Invalid argument filename: Klipper cannot print a file whose name is empty or has ';' or control "
                "characters in it; rename it"
            )
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        await self._queue("gcode/script", {"script": f'SDCARD_PRINT_FILE FILENAME="{quoted}"'})
        return "ok"

    async def _stop(self) -> str:
        await self._ask("emergency_stop", {})
        return "ok"

    def _command(self, method: str) -> Handler:
        async def handle() -> str:
            await self._queue(method, {})
            return "ok"

        return handle

    def _restart(self, method: str) -> Handler:
        async def handle() -> str:
            try:
                await self._ask(method, {})
            except Fault as fault:
                if fault.message != CUT_OFF:
                    raise
            return "ok"

        return handle
