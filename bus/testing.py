"""The test kit: nodes of any names on one private bus in one process, without supervisord and without a configuration file."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import zmq

from bus.config import Config, read_config
from bus.node import Node
from bus.rundir import RunDir

PATIENCE_S = 10.0
"""How long a test waits for what must come. One factor for all: a slow machine changes it here."""


class Bus:
    """Makes nodes in `folder`; `folder / "data"` is their data path."""

    def __init__(self, folder: Path, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self.run_dir = RunDir(folder / "run")
        self.data = folder / "data"
        self.data.mkdir(exist_ok=True)
        self.nodes: list[Node] = []
        self._context = context

    def node(self, name: str, config_text: str = "") -> Node:
        """A started node; closed with the bus, or before by `await node.close()`."""
        config = Config()
        if config_text:
            path = self.data / f"{name}.conf"
            path.write_text(config_text)
            config = read_config(path)
        node = Node(name, self._context, self.run_dir, config, self.data)
        node.start()
        self.nodes.append(node)
        return node


@asynccontextmanager
async def private_bus(folder: Path) -> AsyncIterator[Bus]:
    """A bus of its own, closed at the end. `folder` must be short: Unix socket paths are."""
    context = zmq.Context()
    bus = Bus(folder, context)
    try:
        yield bus
    finally:
        for node in reversed(bus.nodes):
            await node.close()
        context.destroy(linger=0)


async def eventually(condition: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    """Waits until `condition()` is true; AssertionError after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"did not come true within {timeout_s} s"
        await asyncio.sleep(0.01)
