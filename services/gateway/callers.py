"""The methods that are about who asks: identification, identity, subscriptions."""

from collections.abc import Callable
from typing import Any

from bus.errors import Fault, bad_request
from services.gateway.access import Access
from services.gateway.connection import Caller, Connection
from services.gateway.methods import ConnectionHandler
from services.gateway.printer import Printer
from services.gateway.subscriptions import Subscriptions

COVERED_WITHIN_S = 5.0
KINDS = ("web", "mobile", "desktop", "display", "bot", "agent", "other")
UNAUTHORIZED = "Unauthorized"


class Callers:
    """`wanted()` is called when what clients want mirrored may have changed."""

    def __init__(
        self, access: Access, printer: Printer, subscriptions: Subscriptions[Connection], wanted: Callable[[], None]
    ) -> None:
        self._access = access
        self._printer = printer
        self._subscriptions = subscriptions
        self._wanted = wanted

    def handlers(self) -> dict[str, ConnectionHandler]:
        return {
            "server.connection.identify": self._identify,
            "server.websocket.id": self._websocket_id,
            "access.info": self._info,
            "access.get_user": self._user,
            "printer.objects.subscribe": self._subscribe,
        }

    async def _identify(self, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
        connection = _connection(caller)
        if params["type"].lower() not in KINDS:
            raise bad_request(f"Invalid argument type: expected one of {', '.join(KINDS)}")
        key = params["api_key"] or params["access_token"]
        if connection.user is None and key:
            connection.user = self._access.admit_key(key)
        if connection.user is None:
            raise Fault(401, UNAUTHORIZED)
        connection.client_name = params["client_name"][:80]
        return {"connection_id": connection.number}

    async def _websocket_id(self, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
        return {"websocket_id": _connection(caller).number}

    async def _info(self, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
        return self._access.info(caller.user)

    async def _user(self, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
        if caller.user is None:
            raise Fault(401, UNAUTHORIZED)
        return self._access.current_user(caller.user)

    async def _subscribe(self, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
        connection, objects = _connection(caller), params["objects"]
        await self._printer.require_connected()
        former = self._subscriptions.delivered(connection)
        self._subscriptions.wish(connection, objects)
        self._wanted()
        try:
            await self._printer.cover(objects, COVERED_WITHIN_S)
        except Fault:
            self._subscriptions.wish(connection, former)
            raise
        finally:
            if connection.closed:
                self._subscriptions.drop(connection)
            self._wanted()
        if not connection.closed:
            self._subscriptions.deliver(connection, objects)
        return self._printer.select(objects)


def _connection(caller: Caller) -> Connection:
    if isinstance(caller, Connection):
        return caller
    raise bad_request("This method needs a connection that stays: use the websocket or the Unix socket")
