"""The process: hears the bridge, answers the rows of the table, carries the commands out."""

import asyncio
import contextlib
import os
import stat
from typing import Any

from bus import VERSION
from bus.envelope import Message, until_next
from bus.errors import Fault
from bus.mirror import Mirror
from bus.node import Node
from bus.process import main
from services.octo_shim import commands as decide
from services.octo_shim import core, fixed
from services.octo_shim.settings import SECTION, Settings, read_settings

OWNER = "klipper_bridge"
FIRST_WORD_S = 1.0
"""How long the bridge has to tell a process that has only just begun."""
SAY_S = 1.0
"""Temperatures and progress are as old at most; a change of state is said at once."""


class OctoShim:
    """Remembers the heaters and the selected file; everything else is asked of the mirror when a client asks."""

    def __init__(self, node: Node, settings: Settings) -> None:
        self._node = node
        self._settings = settings
        self._mirror = Mirror()
        self._klipper = "disconnected"
        self._heaters: tuple[str, ...] = ()
        self._selected: str | None = None
        self._under_way: str | None = None
        self._told = asyncio.Event()
        self._saying = False
        self._said = ""
        self._patient_until = asyncio.get_running_loop().time() + FIRST_WORD_S

    def listen(self) -> None:
        self._node.publish("octo_shim.wants", core.wants(self._heaters))
        self._node.subscribe("printer.state", self._hear_state)
        self._node.subscribe("printer.objects", self._hear_objects)
        self._node.publish("octoprint.version", fixed.version(VERSION))
        self._node.publish("octoprint.user", fixed.USER)
        self._node.publish("octoprint.settings", fixed.settings(self._settings))
        self._node.spawn(self._keep_saying())

    async def _keep_saying(self) -> None:
        await self._first_word()
        self._saying = True
        while True:
            self._say()
            await asyncio.sleep(until_next(SAY_S))

    def _say(self) -> None:
        """What clients may ask next, where it changed; not before the bridge told a process that has only just begun."""
        if self._saying:
            view = self._view()
            self._said = view.state
            self._node.publish("octoprint.server", fixed.server(view))
            self._node.publish("octoprint.job", core.job(view))
            self._node.publish("octoprint.printer", core.printer(view, self._heaters))
            self._node.publish("octoprint.printerprofiles", fixed.profiles(self._heaters))

    def _hear_state(self, message: Message) -> None:
        self._klipper = message.value["state"] if message.value["connected"] else "disconnected"
        self._told.set()
        self._say()

    def _hear_objects(self, message: Message) -> None:
        before = self._mirror.status
        self._mirror.apply(message)
        if core.began(before, self._mirror.status):
            self._selected = None
        heaters = core.heaters(self._mirror.status)
        # The heaters outlive the connection, for the printer's profile; their temperatures do not.
        if heaters and heaters != self._heaters:
            self._heaters = heaters
            self._node.publish("octo_shim.wants", core.wants(heaters))
        if self._view().state != self._said:
            self._say()

    async def _first_word(self) -> None:
        if not self._told.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._patient_until):
                    await self._told.wait()

    async def _settled_view(self) -> core.View:
        """What is known of the printer; of a process that has only just begun, when it was told."""
        await self._first_word()
        return self._view()

    def _view(self) -> core.View:
        return core.View(
            klipper="disconnected" if self._node.silent(OWNER) else self._klipper,
            status=self._mirror.status,
            covered=self._mirror.covered({"print_stats": core.PRINT["print_stats"]}),
            under_way=self._under_way,
            selected=self._selected,
        )

    async def version(self) -> dict[str, Any]:
        return fixed.version(VERSION)

    async def server(self) -> dict[str, Any]:
        return fixed.server(await self._settled_view())

    async def user(self) -> dict[str, Any]:
        return fixed.USER

    async def settings(self) -> dict[str, Any]:
        return fixed.settings(self._settings)

    async def job(self) -> dict[str, Any]:
        return core.job(await self._settled_view())

    async def printer(self) -> dict[str, Any]:
        return core.printer(await self._settled_view(), self._heaters)

    async def profiles(self) -> dict[str, Any]:
        return fixed.profiles(self._heaters)

    async def printer_command(self, commands: list[str] | None, command: str | None) -> dict[str, Any]:
        await self._carry_out(decide.printer_command(await self._settled_view(), commands, command))
        return {}

    async def job_command(self, command: str, action: str) -> dict[str, Any]:
        await self._carry_out(decide.job_command(await self._settled_view(), command, action))
        return {}

    async def select(self, root: str, path: str, command: str, print: bool) -> dict[str, Any]:
        calls = decide.select(await self._settled_view(), root, path, command, print, self._is_file)
        self._selected = path
        self._say()
        await self._carry_out(calls)
        return {}

    async def _carry_out(self, calls: list[decide.Call]) -> None:
        """One after another. The first that fails is the answer, and the ones behind it are not made."""
        for number, (method, params) in enumerate(calls, 1):
            self._under_way = decide.UNDER_WAY.get(method, self._under_way)
            self._say()
            try:
                await self._node.call(method, params)
            except Fault as fault:
                raise decide.located(fault, number, len(calls)) from None
            finally:
                if method in decide.UNDER_WAY:
                    self._under_way = None
                    self._say()

    def _is_file(self, path: str) -> bool:
        try:
            return stat.S_ISREG(os.stat(self._node.data / "gcodes" / path).st_mode)
        except (OSError, ValueError):
            return False


async def start(node: Node) -> None:
    settings, warnings = read_settings(node.config)
    for warning in warnings:
        node.log.warning("%s", warning)
    shim = OctoShim(node, settings or Settings())
    node.serve(
        {
            "octoprint.version": shim.version,
            "octoprint.server": shim.server,
            "octoprint.login": shim.user,
            "octoprint.currentuser": shim.user,
            "octoprint.settings": shim.settings,
            "octoprint.job": shim.job,
            "octoprint.job_command": shim.job_command,
            "octoprint.printer": shim.printer,
            "octoprint.printer_command": shim.printer_command,
            "octoprint.printerprofiles": shim.profiles,
            "octoprint.select": shim.select,
        }
    )
    node.publish(
        "octo_shim.component",
        {"components": [SECTION] if settings else [], "failed": [], "warnings": warnings},
    )
    if settings:
        shim.listen()


if __name__ == "__main__":
    main({"octo_shim": start})
