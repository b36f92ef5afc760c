"""One client on the socket: frames ended by 0x03, and what the client asked to hear."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from simulators.klipper.status import Status, Wanted, changes, pick

FRAME_END = b"\x03"


class Connection(asyncio.Protocol):
    """`on_frame` gets each frame without its end byte. A client that does not read for `patience_s` is cut off; meanwhile
    nothing is read from it."""

    def __init__(
        self,
        number: int,
        patience_s: float,
        on_open: "Callable[[Connection], None]",
        on_frame: "Callable[[Connection, bytes], None]",
        on_close: "Callable[[Connection], None]",
    ) -> None:
        self.number = number
        self.output_template: dict[str, Any] | None = None
        self.remote_methods: dict[str, dict[str, Any]] = {}
        self._patience_s = patience_s
        self._on_open, self._on_frame, self._on_close = on_open, on_frame, on_close
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._cut: asyncio.TimerHandle | None = None
        self._status_template: dict[str, Any] = {}
        self._subscribed: Status = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=0)
        self._transport = transport
        self._on_open(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._cut is not None:
            self._cut.cancel()
        self._on_close(self)

    def data_received(self, data: bytes) -> None:
        *frames, self._received = (self._received + data).split(FRAME_END)
        for frame in frames:
            self._on_frame(self, frame)

    def pause_writing(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()
            self._cut = asyncio.get_running_loop().call_later(self._patience_s, self._transport.abort)

    def resume_writing(self) -> None:
        if self._cut is not None:
            self._cut.cancel()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def send(self, message: dict[str, Any]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
            self._transport.write(text.encode("utf-8", "replace") + FRAME_END)

    def close(self) -> None:
        """EOF after what was sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Gone at once, as when the process is killed."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def is_subscribed(self) -> bool:
        return bool(self._subscribed)

    def unsubscribe(self) -> None:
        self._subscribed = {}

    def subscribe(self, full: Status, wanted: Wanted, template: dict[str, Any]) -> Status:
        """Replaces the subscription; "all fields" is fixed now. Returns the full first state."""
        self._subscribed = pick(full, wanted)
        self._status_template = template
        return self._subscribed

    def send_changes(self, full: Status, eventtime: float) -> None:
        """One update with the fields that changed since the last; nothing when nothing changed."""
        current = pick(full, {name: list(fields) for name, fields in self._subscribed.items()})
        changed = changes(self._subscribed, current)
        if changed:
            self._subscribed = current
            self.send(self._status_template | {"params": {"eventtime": eventtime, "status": changed}})
