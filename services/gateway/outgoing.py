"""What waits to be sent to one client. Pure: a queue that merges status updates and knows when it is too long.

A client that reads slowly gets fewer status updates with more in each, and still ends up with the right values.
"""

from collections import deque
from dataclasses import dataclass

import orjson

from bus.mirror import Status
from services.gateway.jsonrpc import notification

MOST_FRAMES = 2000
MOST_BYTES = 16 * 2**20
"""Beyond either the client is dropped: it would cost everybody else's memory."""


@dataclass(slots=True)
class Update:
    """A status update. It may be shared between clients: it is serialised once, and never changed."""

    status: Status
    eventtime: float
    _frame: bytes | None = None

    def frame(self) -> bytes:
        if self._frame is None:
            self._frame = notification("notify_status_update", orjson.dumps([self.status, self.eventtime]))
        return self._frame

    def merged(self, later: "Update") -> "Update":
        status = {name: {**self.status.get(name, {}), **fields} for name, fields in later.status.items()}
        return Update({**self.status, **status}, later.eventtime)


@dataclass(slots=True)
class _Slot:
    """One client's place in its queue for an update."""

    update: Update


class Outgoing:
    """Frames in the order they are to be sent. The owner asks `overfull` after each addition."""

    def __init__(self, most_frames: int = MOST_FRAMES, most_bytes: int = MOST_BYTES) -> None:
        self._most = (most_frames, most_bytes)
        self._waiting: deque[bytes | _Slot] = deque()
        self._bytes = 0
        self._open: _Slot | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def overfull(self) -> bool:
        return len(self._waiting) > self._most[0] or self._bytes > self._most[1]

    def notify(self, frame: bytes) -> None:
        self._waiting.append(frame)
        self._bytes += len(frame)

    def reply(self, frame: bytes) -> None:
        """A reply may hold values of objects: newer ones must not be merged into an update that stands before it."""
        self._open = None
        self.notify(frame)

    def update(self, update: Update) -> None:
        """Merges it into the update that still waits, if there is one."""
        if self._open is None:
            self._open = _Slot(update)
            self._waiting.append(self._open)
        else:
            self._open.update = self._open.update.merged(update)

    def next(self) -> bytes | None:
        """The next frame to send, None when nothing waits."""
        if not self._waiting:
            return None
        item = self._waiting.popleft()
        if isinstance(item, bytes):
            self._bytes -= len(item)
            return item
        if item is self._open:
            self._open = None
        return item.update.frame()
