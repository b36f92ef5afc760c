"""`server.info` and `server.config`: what runs, what failed, is Klipper there. Never asks anybody: a Klipper add-on may
wait for the answer in Klipper's own thread."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from bus.envelope import Message
from bus.node import Node
from bus.services import SERVICES
from services.gateway.printer import Printer

MOONRAKER_VERSION = "v0.11.0-0-g0000000"
"""The Moonraker whose API this is, in the form whose parts clients compare."""
API_VERSION = (1, 5, 0)
SERVED = ("server", "authorization", "octoprint_compat", "spoolman", "notifier", "secrets", "file_manager", "machine")
"""Kinds of sections somebody here reads, or whose defaults are what we do."""


class Info:
    """`websockets()` counts the open ones; `directories` are the names of the roots of files."""

    def __init__(
        self, node: Node, printer: Printer, websockets: Callable[[], int], directories: Callable[[], Sequence[str]]
    ) -> None:
        self._node = node
        self._printer = printer
        self._websockets = websockets
        self._directories = directories
        self._components: dict[str, dict[str, Any]] = {}
        self._endings: dict[str, str] = {}
        self._news = 0
        self._basis: tuple[object, ...] = ()
        self._encoded = b""

    def listen(self) -> None:
        for service in SERVICES:
            self._node.subscribe(f"{service}.component", self._hear)
            self._node.subscribe(f"{service}.exit", self._hear_exit)

    def _hear(self, message: Message) -> None:
        self._components[message.topic.removesuffix(".component")] = message.value
        self._news += 1

    def _hear_exit(self, message: Message) -> None:
        service, ending = message.topic.removesuffix(".exit"), message.value
        self._endings.pop(service, None)
        self._news += 1
        if ending is not None:
            at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ending["at"]))
            self._endings[service] = f"{service} had to be started again at {at}: {ending['reason']}"

    async def server_info(self) -> dict[str, Any]:
        await self._printer.settle()
        return self._server_info()

    def at_once(self) -> bytes | None:
        """`server_info` as JSON, None while it would wait. Encoded again only when something in it changed."""
        if not self._printer.told:
            return None
        basis = (self._printer.state, self._websockets(), self._news, tuple(self._away()))
        if basis != self._basis:
            self._basis, self._encoded = basis, orjson.dumps(self._server_info())
        return self._encoded

    def _server_info(self) -> dict[str, Any]:
        state = self._printer.state
        return {
            "klippy_connected": state != "disconnected",
            "klippy_state": state,
            "components": self._named("components"),
            "failed_components": self._failed(),
            "registered_directories": list(self._directories()),
            "warnings": [
                *self._named("warnings"),
                *(f"{name} is not running" for name in self._away()),
                *self._endings.values(),
            ],
            "websocket_count": self._websockets(),
            "moonraker_version": MOONRAKER_VERSION,
            "missing_klippy_requirements": [],
            "api_version": list(API_VERSION),
            "api_version_string": ".".join(map(str, API_VERSION)),
        }

    def _named(self, key: str) -> list[str]:
        return list(dict.fromkeys(text for said in self._components.values() for text in said[key]))

    def _failed(self) -> list[str]:
        gone = [name for service in self._away() for name in self._components[service]["components"]]
        return list(dict.fromkeys([*self._named("failed"), *gone]))

    def _away(self) -> list[str]:
        """Services that were there and are silent now."""
        return [service for service in self._components if self._node.silent(service)]


def unserved(sections: Sequence[str]) -> list[str]:
    """The sections nobody here reads."""
    return sorted(name for name in sections if name.split(" ")[0] not in SERVED)
