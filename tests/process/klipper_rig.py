"""A simulated Klipper with fast clocks, and bare clients of its socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from simulators.klipper import SimulatedKlipper

PATIENCE_S = 10.0
Message = dict[str, Any]


class Client:
    """A bare client of the API socket; remembers everything it heard."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.heard: list[Message] = []
        self.last_id = 0

    def send(self, method: str, params: object = None, **fields: object) -> int:
        self.last_id += 1
        message = {"id": self.last_id, "method": method} | ({} if params is None else {"params": params}) | fields
        self.writer.write(json.dumps(message).encode() + b"\x03")
        return self.last_id

    async def read(self) -> Message:
        async with asyncio.timeout(PATIENCE_S):
            message: Message = json.loads((await self.reader.readuntil(b"\x03"))[:-1])
        self.heard.append(message)
        return message

    async def until(self, wanted: Callable[[Message], object]) -> Message:
        while True:
            message = await self.read()
            if wanted(message):
                return message

    async def call(self, method: str, params: object = None) -> Message:
        number = self.send(method, params)
        return await self.until(lambda message: message.get("id") == number)

    async def script(self, text: str) -> Message:
        return await self.call("gcode/script", {"script": text})

    async def status(self, condition: Callable[[Message], object]) -> Message:
        """The first status update that fits."""
        heard = await self.until(lambda message: "status" in message.get("params", {}) and condition(_status(message)))
        return _status(heard)

    async def listen(self) -> None:
        await self.call("gcode/subscribe_output", {"response_template": {"method": "out"}})

    async def gone(self) -> list[Message]:
        """Everything up to the end of the connection."""
        try:
            while True:
                await self.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            return self.heard


def _status(message: Message) -> Message:
    status: Message = message["params"]["status"]
    return status


def said(client: Client) -> list[str]:
    return [m["params"]["response"] for m in client.heard if m.get("method") == "out"]


class Rig:
    def __init__(self, folder: Path, **options: Any) -> None:
        self.gcodes = folder / "gcodes"
        self.gcodes.mkdir()
        fast: dict[str, Any] = {"tick_s": 0.02, "restart_s": 0.05, "startup_s": 0.05, "speed": 20.0}
        self.klipper = SimulatedKlipper(folder / "klippy.sock", self.gcodes, **(fast | options))
        self.clients: list[Client] = []

    async def connect(self) -> Client:
        """Tries until a Klipper answers; the socket of an old life may still accept."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    client = Client(*await asyncio.open_unix_connection(self.klipper.socket_path))
                    self.clients.append(client)
                    await client.call("info")
                except (ConnectionError, FileNotFoundError, asyncio.IncompleteReadError):
                    await asyncio.sleep(0.005)
                    continue
                client.heard.clear()
                return client

    async def ready(self) -> Client:
        """A connected client after `ready`."""
        async with asyncio.timeout(PATIENCE_S):
            while self.klipper.printer.state == "startup":
                await asyncio.sleep(0.005)
        return await self.connect()

    def write(self, name: str, text: str) -> None:
        (self.gcodes / name).write_text(text)


@asynccontextmanager
async def rig(folder: Path, **options: Any) -> AsyncIterator[Rig]:
    made = Rig(folder, **options)
    await made.klipper.start()
    try:
        yield made
    finally:
        for client in made.clients:
            client.writer.close()
        await made.klipper.stop()


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)
