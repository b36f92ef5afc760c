"""Clients that cost little: HTTP and websockets as bytes on asyncio protocols, so that two cores measure the server.

`get` and `ask` keep a number of connections busy for a while and return a `Load`; `watch` waits for status updates.
"""

import asyncio
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import orjson

from benchmarks.tap import Passed

CONNECT_S = 20.0
SUBSCRIBE_S = 300.0
MASK = b"\0\0\0\0"
"""A client's frames are masked; with zeros they stay what they are."""


@dataclass
class Load:
    """`took_s` has one entry per answer, `seconds` is how long it went on."""

    seconds: float = 0.0
    took_s: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return len(self.took_s) / self.seconds

    def percentile_ms(self, percent: int) -> float:
        return 1000 * statistics.quantiles(self.took_s, n=100, method="inclusive")[percent - 1]


class HttpClient(asyncio.Protocol):
    """Sends the same request again as soon as it is answered, until `stop`."""

    def __init__(self, request: bytes, took_s: list[float]) -> None:
        self._request = request
        self._took_s = took_s
        self._buffer = b""
        self._sent_at = 0.0
        self.stop = False
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._send()

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or len(self._buffer) < end + 4 + _length(self._buffer[:end]):
            return
        if not self._buffer.startswith(b"HTTP/1.1 20"):
            self.ended.set_exception(RuntimeError(self._buffer[:300]))
            return
        self._buffer = b""
        self._took_s.append(time.perf_counter() - self._sent_at)
        if self.stop:
            self.transport.close()
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    return 0


class WebsocketClient(asyncio.Protocol):
    """`hear(payload)` gets each message."""

    def __init__(self, port: int, hear: Callable[[bytes], None]) -> None:
        self.hear = hear
        self._port = port
        self._buffer = bytearray()
        self.open: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(
            f"GET /websocket HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.open.done():
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self.open.set_exception(RuntimeError(bytes(head)))
                return
            self._buffer = rest
            self.open.set_result(None)
        self._read_frames()

    def _read_frames(self) -> None:
        buffer, start = self._buffer, 0
        while len(buffer) >= start + 2:
            length, body = buffer[start + 1], start + 2
            if length > 125:
                body += 2 if length == 126 else 8
                if len(buffer) < body:
                    break
                length = int.from_bytes(buffer[start + 2 : body], "big")
            if len(buffer) < body + length:
                break
            if buffer[start] & 15 == 9:
                self.transport.write(b"\x8a\x80" + MASK)
            else:
                self.hear(bytes(buffer[body : body + length]))
            start = body + length
        del buffer[:start]

    def send(self, method: str, params: dict[str, object], id_: int) -> None:
        message = orjson.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": id_})
        size = bytes([128 | len(message)]) if len(message) < 126 else b"\xfe" + len(message).to_bytes(2, "big")
        self.transport.write(b"\x81" + size + MASK + message)


async def connect(port: int, hear: Callable[[bytes], None]) -> WebsocketClient:
    async with asyncio.timeout(CONNECT_S):
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(lambda: WebsocketClient(port, hear), "127.0.0.1", port)
        await client.open
    return client


async def get(port: int, path: str, connections: int, seconds: float) -> Load:
    """Each connection has one request under way. Raises RuntimeError for an answer that is no success."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    load = Load()
    began = time.perf_counter()
    made = [
        await asyncio.get_running_loop().create_connection(lambda: HttpClient(request, load.took_s), "127.0.0.1", port)
        for _ in range(connections)
    ]
    await asyncio.sleep(seconds)
    for _, client in made:
        client.stop = True
    await asyncio.gather(*(client.ended for _, client in made))
    load.seconds = time.perf_counter() - began
    return load


async def ask(port: int, method: str, params: dict[str, object], sockets: int, seconds: float, depth: int = 1) -> Load:
    """JSON-RPC over websockets, `depth` requests under way on each. Raises RuntimeError for an error."""
    load, ids, sent_at = Load(), itertools.count(1_000_000_000), dict[int, float]()
    failed: list[bytes] = []

    def asking(client: WebsocketClient) -> Callable[[], None]:
        def send() -> None:
            id_ = next(ids)
            sent_at[id_] = time.perf_counter()
            client.send(method, params, id_)

        def hear(payload: bytes) -> None:
            if b'"id":1' not in payload[-24:] and b'"id":1' not in payload[:40]:
                return
            reply = int(payload[payload.rindex(b'"id":1') + 5 :][:10])
            load.took_s.append(time.perf_counter() - sent_at.pop(reply))
            if b'"error":' in payload[:120]:
                failed.append(payload)
            send()

        client.hear = hear
        return send

    clients = [await connect(port, lambda _: None) for _ in range(sockets)]
    began = time.perf_counter()
    for client in clients:
        send = asking(client)
        for _ in range(depth):
            send()
    await asyncio.sleep(seconds)
    load.seconds = time.perf_counter() - began
    for client in clients:
        client.transport.abort()
    if failed:
        raise RuntimeError(failed[0])
    return load


async def watch(
    port: int, objects: dict[str, object], sockets: int, seconds: float, settle_s: float, cpu_s: Callable[[], float],
    passed: Passed,
) -> tuple[Load, float]:  # fmt: skip
    """How long each subscriber's status updates took from Klipper's socket, where `passed` notes them; and how much of a
    core that cost, by `cpu_s()`. Begins when all are subscribed, for which Klipper takes its time."""
    heard: list[tuple[float, bytes]] = []
    since, subscribed = [float("inf")], set[int]()

    def hear_as(number: int) -> Callable[[bytes], None]:
        def hear(payload: bytes) -> None:
            now = time.monotonic()
            if b"notify_" not in payload[:60]:
                subscribed.add(number)
            elif now >= since[0] and b"notify_status_update" in payload[:60]:
                heard.append((now, payload))  # read later: what this client takes is not the server's

        return hear

    clients: Sequence[WebsocketClient] = [await connect(port, hear_as(number)) for number in range(sockets)]
    for client in clients:
        client.send("printer.objects.subscribe", {"objects": objects}, 1)
    async with asyncio.timeout(SUBSCRIBE_S):
        while len(subscribed) < sockets:
            await asyncio.sleep(0.05)
    await asyncio.sleep(settle_s)
    used_s, since[0] = cpu_s(), time.monotonic()
    await asyncio.sleep(seconds)
    share = (cpu_s() - used_s) / seconds
    for client in clients:
        client.transport.abort()
    took_s = [at - passed[orjson.loads(payload)["params"][1]] for at, payload in heard]
    return Load(seconds, took_s), share
