"""One websocket or Unix-socket client: who it is, what waits to be sent to it, and the writer that sends it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from services.gateway.access import User
from services.gateway.outgoing import Outgoing, Update

log = logging.getLogger("moonbus.gateway")

Send = Callable[[bytes], Awaitable[None]]
"""Writes a frame; waits while the client does not read. Raises ConnectionError when it is gone."""

Push = Callable[[list[bytes]], bool]
"""Writes frames at once. False, with nothing written, for a client that has yet to read what it was sent before."""

MOST_UNREAD = 65_536
"""Bytes that may wait in a client's socket before frames are kept here, where status updates can be merged."""


@dataclass(eq=False)
class Caller:
    """Who asks. `user` is None for a stranger, who may call public methods only."""

    user: User | None


class Connection(Caller):
    """Most frames are pushed, the replies of one turn of the event loop together: a client that asks for much at once, as
    each page does when it is opened, would else cost a system call for each. `send` is for frames that had to wait.
    `abort` cuts the connection at once, without a farewell a client that does not read would never see."""

    def __init__(
        self, number: int, address: str, user: User | None, push: Push, send: Send, abort: Callable[[], None]
    ) -> None:
        super().__init__(user)
        self.number = number
        self.address = address
        self.client_name = ""
        self.closed = False
        self.under_way = 0
        self.received = 0
        self._push = push
        self._send = send
        self._abort = abort
        self._outgoing = Outgoing()
        self._waiting = asyncio.Event()
        self._replies: list[bytes] = []

    @property
    def behind(self) -> bool:
        """Whether something waits for the client to read."""
        return len(self._outgoing) > 0

    def notify(self, frame: bytes) -> None:
        self._flush()
        if self.behind or not self._push([frame]):
            self._outgoing.notify(frame)
            self._added()

    def reply(self, frame: bytes) -> None:
        if not self._replies:
            asyncio.get_running_loop().call_soon(self._flush)
        self._replies.append(frame)

    def update(self, update: Update) -> None:
        self._flush()
        if self.behind or not self._push([update.frame()]):
            self._outgoing.update(update)
            self._added()

    def _flush(self) -> None:
        """The replies of this turn."""
        if self.closed or not self._replies:
            return
        frames, self._replies = self._replies, []
        if self.behind or not self._push(frames):
            for frame in frames:
                self._outgoing.reply(frame)
            self._added()

    async def write(self) -> None:
        """Sends what waits until the connection ends."""
        try:
            while not self.closed:
                frame = self._outgoing.next()
                if frame is None:
                    self._waiting.clear()
                    await self._waiting.wait()
                else:
                    await self._send(frame)
        except ConnectionError as error:
            log.debug("%s: %s", self, error)
            self.drop()

    def close(self) -> None:
        """Ends the writer. Whatever still waits is not sent."""
        self._flush()
        self.closed = True
        self._outgoing = Outgoing()
        self._waiting.set()

    def drop(self) -> None:
        self.close()
        self._abort()

    def _added(self) -> None:
        self._waiting.set()
        if self._outgoing.overfull:
            log.warning("%s does not read what it is sent: dropped with %d messages", self, len(self._outgoing))
            self.drop()

    def __str__(self) -> str:
        return f"client {self.number} ({self.client_name or 'unnamed'}, {self.address})"
