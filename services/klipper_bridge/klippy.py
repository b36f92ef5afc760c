"""The wire to Klipper's API socket: JSON objects ended by 0x03, answers by id, everything else a notification.

Klipper drops malformed requests without a word and closes slow readers; nothing malformed is sent and the reader never
waits for anybody. Answers overtake each other: a script is answered when it was processed, minutes later maybe.
"""

import asyncio
import itertools
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import orjson

from bus.errors import Fault, unavailable
from bus.guard import dispatch_event

log = logging.getLogger("moonbus.klipper_bridge")

END = b"\x03"
NOT_CONNECTED = "Klippy Host not connected"
"""The words clients look for."""
CUT_OFF = "Klippy Disconnected"
"""What a request under way is told when Klipper closes; for a restart it is the success."""

Take = Callable[[Any], None]
Notify = Callable[[dict[str, Any]], None]


class Connection(asyncio.Protocol):
    """One connection. `notify` hears what no request asked for. A protocol, not a stream: the stream's task cost each update
    a tenth of a millisecond more, as they come every 250 ms and find nothing in the processor's caches."""

    def __init__(self, notify: Notify) -> None:
        self._notify = notify
        self._transport: asyncio.Transport
        self._rest = b""
        self._ids = itertools.count(1)
        self._waiting: dict[int, tuple[asyncio.Future[dict[str, Any]], Take | None]] = {}
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        *frames, self._rest = (self._rest + data).split(END)
        for frame in frames:
            self._deliver(frame)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            log.debug("connection to Klipper: %s", exc)
        if not self._ended.done():  # first: that Klipper is away is told before a restart under way is answered
            self._ended.set_result(None)
        waiting, self._waiting = self._waiting, {}
        for future, _ in waiting.values():
            if not future.done():
                future.set_exception(unavailable(CUT_OFF))

    async def ended(self) -> None:
        """Returns when the connection has ended and all requests under way have failed, before those who wait for them go on."""
        await self._ended

    def _deliver(self, frame: bytes) -> None:
        try:
            message = _read(frame)
        except ValueError as error:
            log.warning("Klipper sent what is no JSON object (%s): %.100r", error, frame)
            return
        if "id" not in message:
            dispatch_event(self._notify, message, log)
            return
        future, take = self._waiting.pop(message["id"], (None, None))
        if take is not None and "result" in message:
            dispatch_event(take, message["result"], log)
        if future is not None and not future.done():
            future.set_result(message)

    async def request(self, method: str, params: dict[str, Any] | None = None, take: Take | None = None) -> Any:
        """Klipper's result. Raises Fault: 400 with Klipper's own words, 503 when the connection ends before the answer.
        `take` is given the result before anything that Klipper sent after it is looked at."""
        if self._transport.is_closing():
            raise unavailable(NOT_CONNECTED)
        number = next(self._ids)
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = (future, take)
        self._transport.write(orjson.dumps({"id": number, "method": method, "params": params or {}}) + END)
        try:
            answer = await future
        finally:
            self._waiting.pop(number, None)
        if "error" in answer:
            raise Fault(400, _words(answer["error"]))
        return answer.get("result", {})

    def close(self) -> None:
        self._transport.close()


async def connect(path: Path, notify: Notify) -> Connection:
    """Raises OSError while nobody listens there."""
    loop = asyncio.get_running_loop()
    return (await loop.create_unix_connection(lambda: Connection(notify), str(path)))[1]


def _read(frame: bytes) -> dict[str, Any]:
    """Raises ValueError. A NaN, an Infinity or text that is no Unicode, as Python's own encoder lets pass, costs that
    value only: it becomes null or a question mark."""
    try:
        message = orjson.loads(frame)
    except orjson.JSONDecodeError:
        lenient = json.loads(frame.decode(errors="replace"), parse_constant=lambda _: None)
        message = orjson.loads(json.dumps(lenient, ensure_ascii=False).encode(errors="replace"))
    if not isinstance(message, dict):
        raise ValueError("expected an object")
    return message


def _words(error: Any) -> str:
    return str(error.get("message", error)) if isinstance(error, dict) else str(error)
