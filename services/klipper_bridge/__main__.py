"""The process: configuration in, the bridge and its handlers on the bus."""

import asyncio
import contextlib
import os
import sqlite3
from pathlib import Path

from bus.database import Tell
from bus.journal import Journal
from bus.klippy_address import klippy_address
from bus.node import Node
from bus.process import main
from bus.services import SERVICES
from services.klipper_bridge.bridge import DISK_RETRY_S, Bridge
from services.klipper_bridge.memory import Memory
from services.klipper_bridge.requests import Requests

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
COMPONENTS = ["klippy_connection", "klippy_apis"]


async def start(node: Node) -> None:
    path, warnings = klippy_address(node.config, node.data)
    boot_id = BOOT_ID.read_text().strip()

    def warn(text: str) -> None:
        warnings.append(text)
        say_component(node, warnings)

    try:
        memory = Memory(open_journal(node, warn), boot_id)
    except (OSError, sqlite3.Error) as error:
        # A full disk must not take the printer's controls away. Events wait in memory, and what would be remembered
        # there only is what a bridge with a lost database does not know either.
        warnings.append(f"the journal cannot be opened ({error}): no job event is told until it can")
        volatile = Journal(Path(":memory:"))
        node.stack.callback(volatile.close)
        memory = Memory(volatile, boot_id)
        node.spawn(keep_opening(node, warn))
    for warning in warnings:
        node.log.warning("%s", warning)
    say_component(node, warnings)
    bridge = Bridge(node, path, memory)
    node.mirror("printer.objects", bridge.full_copy)
    node.serve(Requests(bridge.ask, lambda path: os.path.isfile(node.data / "gcodes" / path)).handlers())
    for service in SERVICES:
        node.subscribe(f"{service}.wants", bridge.hear_wants)
    node.spawn(bridge.run())
    node.spawn(bridge.say_again())


def say_component(node: Node, warnings: list[str]) -> None:
    node.publish("klipper_bridge.component", {"components": COMPONENTS, "failed": [], "warnings": warnings})


def open_journal(node: Node, warn: Tell) -> Journal:
    """Raises OSError or sqlite3.Error where the disk refuses."""
    node.journal = Journal(node.data / "moonbus" / "klipper_bridge.sqlite", warn)
    node.stack.callback(node.journal.close)
    return node.journal


async def keep_opening(node: Node, warn: Tell) -> None:
    while node.journal is None:
        await asyncio.sleep(DISK_RETRY_S)
        with contextlib.suppress(OSError, sqlite3.Error):
            open_journal(node, warn)


if __name__ == "__main__":
    main({"klipper_bridge": start})
