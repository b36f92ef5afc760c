"""The rows of a Spoolman that is not there."""

import asyncio
import tempfile
import traceback
from pathlib import Path

from bus.errors import Fault, not_found
from bus.testing import private_bus
from services.spoolman_sync.__main__ import serve_none


def test_each_refusal_is_an_error_of_its_own() -> None:
    async def main() -> list[int]:
        with tempfile.TemporaryDirectory(prefix="mb") as folder:
            async with private_bus(Path(folder)) as bus:
                node = bus.node("spoolman_sync")
                serve_none(node, not_found("[spoolman] is not configured"))
                depths = []
                for _ in range(3):
                    try:
                        await node.dispatch._handlers["server.spoolman.status"]()
                    except Fault as error:
                        depths.append(len(traceback.extract_tb(error.__traceback__)))
                return depths

    depths = asyncio.run(main())
    assert len(depths) == 3 and len(set(depths)) == 1, "raised again, an exception keeps all its former frames"
