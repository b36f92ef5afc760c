"""The printer's methods: what of Klipper's API each of them is, checked before Klipper sees it."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from bus.dispatch import Handler
from bus.errors import Fault, bad_request
from services.klipper_bridge.klippy import CUT_OFF

Ask = Callable[[str, dict[str, Any]], Awaitable[Any]]
"""`await ask(method, params)`: Klipper's result. Raises Fault."""

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f;]")
"""What would end the name in a line of G-code: control characters, and the comment sign that quotes do not protect."""


class Requests:
    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "printer.info": self._info,
            "printer.objects.list": self._list,
            "printer.objects.query": self._query,
            "printer.gcode.script": self._script,
            "printer.gcode.help": self._help,
            "printer.print.start": self._start,
            "printer.print.pause": self._simple("pause_resume/pause"),
            "printer.print.resume": self._simple("pause_resume/resume"),
            "printer.print.cancel": self._simple("pause_resume/cancel"),
            "printer.emergency_stop": self._simple("emergency_stop"),
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
        return await self._ask("query_endstops/status", {})

    async def _script(self, script: str) -> str:
        if script.strip().upper() == "M112":
            # As G-code it would wait until what runs now is done.
            await self._ask("emergency_stop", {})
        elif script.strip().upper() in ("RESTART", "FIRMWARE_RESTART"):
            await self._restart(f"gcode/{script.strip().lower()}")()
        else:
            await self._ask("gcode/script", {"script": script})
        return "ok"

    async def _start(self, filename: str) -> str:
        name = filename.removeprefix("/").removeprefix("gcodes/")
        if not name or UNPRINTABLE.search(name):
            raise bad_request(
                "Invalid argument filename: Klipper cannot print a file whose name is empty or has ';' or control "
                "characters in it; rename it"
            )
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        await self._ask("gcode/script", {"script": f'SDCARD_PRINT_FILE FILENAME="{quoted}"'})
        return "ok"

    def _simple(self, method: str) -> Handler:
        async def handle() -> str:
            await self._ask(method, {})
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
