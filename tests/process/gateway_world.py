"""A gateway on a private bus with real clients; the other services are played by the test."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from aiohttp import ClientWebSocketResponse, WSMsgType

from bus.api import METHODS
from bus.errors import Fault
from bus.mirror import Objects, union
from bus.node import Node
from bus.testing import PATIENCE_S, Bus, eventually, private_bus
from services.gateway.gateway import Gateway

CONFIG = """
[server]
host: 127.0.0.1
port: 0
max_websocket_connections: 3
[authorization]
trusted_clients: 127.0.0.1
cors_domains: http://*.local
[spoolman]
server: http://spools
[notifier phone]
url: json://x
[octoprint_compat]
"""
STRANGERS = CONFIG.replace("trusted_clients: 127.0.0.1\n", "")


class Bridge:
    """A klipper_bridge: mirrors what the gateway wants of `objects`."""

    def __init__(self, bus: Bus) -> None:
        self.node = bus.node("klipper_bridge")
        self.objects: dict[str, dict[str, Any]] = {"toolhead": {"e": 1, "f": 2}, "print_stats": {"state": "standby"}}
        self.wanted: Objects = {}
        self.covers: Objects = {}
        self.eventtime = 1.0
        self.scripts: list[str] = []
        self.node.mirror("printer.objects", self.snapshot)
        self.node.subscribe("gateway.wants", lambda message: self.cover(message.value))
        self.node.serve({**canned("klipper_bridge"), "printer.gcode.script": self.script})
        self.state("ready")

    def state(self, state: str) -> None:
        self.node.publish("printer.state", {"connected": state != "disconnected", "state": state, "message": "",
                                            "software_version": "v1", "ever_connected": True})  # fmt: skip

    def snapshot(self) -> dict[str, Any]:
        status = {name: fields for name, fields in self.objects.items() if name in self.covers}
        return {"eventtime": self.eventtime, "status": status, "covers": self.covers}

    def cover(self, wanted: Objects) -> None:
        self.wanted = wanted
        self.covers = union(self.covers, wanted)
        self.node.publish_full("printer.objects")

    def change(self, **objects: dict[str, Any]) -> None:
        self.eventtime += 0.25
        for name, fields in objects.items():
            self.objects[name] = {**self.objects.get(name, {}), **fields}
        self.node.publish("printer.objects", {"eventtime": self.eventtime, "status": objects})

    async def script(self, script: str) -> str:
        if script == "FAIL":
            raise Fault(400, "Must home axis first")
        if script == "WAIT":
            await asyncio.Event().wait()
        self.scripts.append(script)
        return "ok"


def canned(owner: str) -> dict[str, Any]:
    async def ok(**_: Any) -> Any:
        return "ok"

    rows = [m for m in METHODS.values() if m.owner == owner and not m.raw and not m.connection]
    return {row.name: ok for row in rows}


def spoolman(bus: Bus) -> Node:
    node = bus.node("spoolman_sync")

    async def post(spool_id: int | None) -> dict[str, Any]:
        node.publish("spoolman.active", {"spool_id": spool_id})
        return {"spool_id": spool_id}

    node.serve({**canned("spoolman_sync"), "server.spoolman.post_spool_id": post})
    node.publish("spoolman.active", {"spool_id": None})
    return node


class World:
    """One gateway on a private bus, and a client's session."""

    def __init__(self, bus: Bus, gateway: Gateway, node: Node, session: aiohttp.ClientSession) -> None:
        self.bus = bus
        self.gateway = gateway
        self.node = node
        self.session = session

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.gateway.runner.addresses[0][1]}"

    async def http(self, verb: str, path: str, **options: Any) -> tuple[int, Any]:
        async with self.session.request(verb, self.base + path, **options) as answer:
            body = await answer.read()
            return answer.status, orjson.loads(body) if body else None

    @asynccontextmanager
    async def websocket(self, **options: Any) -> Any:
        async with self.session.ws_connect(self.base + "/websocket", **options) as client:
            yield Client(client)


class Client:
    """A websocket client that keeps what it is told."""

    def __init__(self, websocket: ClientWebSocketResponse) -> None:
        self.websocket = websocket
        self.told: list[Any] = []

    async def receive(self) -> Any:
        async with asyncio.timeout(PATIENCE_S):
            message = await self.websocket.receive()
        assert message.type is WSMsgType.TEXT, message
        return orjson.loads(message.data)

    async def call(self, method: str, params: Any = None, id_: Any = 7) -> Any:
        """The reply; notifications that come before it are in `told`."""
        await self.websocket.send_json(
            {"jsonrpc": "2.0", "method": method, "id": id_} | ({} if params is None else {"params": params})
        )
        while "id" not in (message := await self.receive()):
            self.keep(message)
        assert message["id"] == id_
        return message

    async def told_of(self, method: str) -> Any:
        """The params of the next notification of this name."""
        while True:
            for number, (name, params) in enumerate(self.told):
                if name == method:
                    del self.told[: number + 1]
                    return params
            self.keep(await self.receive())

    def keep(self, message: Any) -> None:
        self.told.append((message["method"], message.get("params", "none")))


def run(scenario: Callable[[World], Awaitable[None]], config: str = CONFIG) -> None:
    async def main() -> None:
        with tempfile.TemporaryDirectory(prefix="mb") as folder:
            async with private_bus(Path(folder)) as bus, aiohttp.ClientSession() as session:
                node = bus.node("gateway", config)
                gateway = Gateway(node)
                await gateway.start()
                await eventually(lambda: gateway.runner.addresses)
                await scenario(World(bus, gateway, node, session))

    asyncio.run(main())
