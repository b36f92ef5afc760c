"""How a ZeroMQ socket is read: as many messages per wake-up as are there, without a task or a future for each.

The socket's file descriptor tells of changes only, and any use of the socket may take a change over. So a wake-up reads until
nothing is left, and whoever sent something says so.
"""

import asyncio
from collections.abc import Callable

import zmq

BATCH = 32
"""Messages after which everything else has its turn."""


class Reader:
    """Hands each message to `take(frames)`, in order, until `close`. Needs a running loop."""

    def __init__(self, socket: zmq.Socket[bytes], take: Callable[[list[bytes]], None]) -> None:
        self._socket = socket
        self._take = take
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(socket.FD, self._drain)
        self.sent()

    def sent(self) -> None:
        """The socket was used otherwise: what arrived meanwhile may not be told of again."""
        if int(self._socket.get(zmq.EVENTS)) & zmq.POLLIN:
            self._loop.call_soon(self._drain)

    def close(self) -> None:
        """Before the socket is."""
        self._closed = True
        self._loop.remove_reader(self._socket.FD)

    def _drain(self) -> None:
        if self._closed:
            return
        more = True
        try:
            for _ in range(BATCH):
                try:
                    frames = self._socket.recv_multipart(zmq.NOBLOCK)
                except zmq.Again:
                    more = False
                    return
                self._take(frames)
        finally:
            if more:  # also after a bug in `take`: the messages behind this one are not told of again
                self._loop.call_soon(self._drain)
