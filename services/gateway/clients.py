"""All connected clients, and what goes to many of them."""

import itertools
from collections.abc import Callable

from services.gateway.access import User
from services.gateway.connection import Connection, Push, Send
from services.gateway.outgoing import Update
from services.gateway.subscriptions import Subscriptions


class Clients:
    """`forgotten()` is called when a client that had subscribed is gone."""

    def __init__(self, subscriptions: Subscriptions[Connection], forgotten: Callable[[], None]) -> None:
        self.connections: dict[int, Connection] = {}
        self.subscriptions = subscriptions
        self._forgotten = forgotten
        self._numbers = itertools.count(1)

    def open(self, address: str, user: User | None, push: Push, send: Send, abort: Callable[[], None]) -> Connection:
        connection = Connection(next(self._numbers), address, user, push, send, abort)
        self.connections[connection.number] = connection
        return connection

    def close(self, connection: Connection) -> None:
        connection.close()
        del self.connections[connection.number]
        self.subscriptions.drop(connection)
        self._forgotten()

    def broadcast(self, frame: bytes) -> None:
        """A notification for everybody we know; strangers hear nothing."""
        for connection in list(self.connections.values()):
            if connection.user is not None and not connection.closed:
                connection.notify(frame)

    def update(self, update: Update, connections: tuple[Connection, ...]) -> None:
        for connection in connections:
            if not connection.closed:
                connection.update(update)
