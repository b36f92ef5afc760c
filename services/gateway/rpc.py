"""JSON-RPC messages of any door, answered."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from bus.errors import Fault, unavailable
from services.gateway import jsonrpc
from services.gateway.connection import Caller, Connection
from services.gateway.methods import Methods

log = logging.getLogger("moonbus.gateway")

MOST_UNDER_WAY = 512
"""Messages of one client that are being answered. Reading goes on, and what is urgent is still taken: an emergency stop must
get past waiting scripts."""

TURN = 64
"""Messages of one client after which the others have their turn."""

Spawn = Callable[[Coroutine[Any, Any, None]], object]


class Rpc:
    def __init__(self, methods: Methods, spawn: Spawn) -> None:
        self._methods = methods
        self._spawn = spawn

    async def receive(self, connection: Connection, data: bytes | str) -> None:
        """Answers a message of a websocket or Unix-socket client, in the background what needs somebody else; messages
        overtake each other."""
        incoming = jsonrpc.read(data)
        connection.received += 1
        reply = self._at_once(incoming, connection)
        if reply is None:
            connection.under_way += 1
            self._spawn(self._reply(connection, incoming))
        elif not connection.closed:
            connection.reply(reply)
        # Reading does not suspend while messages wait: what needs nobody is answered before the next one counts, and what
        # was answered is sent before there is too much of it. A client with very many leaves the others their turn.
        if reply is None or connection.behind or connection.received % TURN == 0:
            await asyncio.sleep(0)

    def _at_once(self, incoming: jsonrpc.Incoming, caller: Caller) -> bytes | None:
        """The reply to a single call whose answer lies ready."""
        if incoming.batch or len(incoming.items) != 1:
            return None
        call = incoming.items[0]
        if isinstance(call, bytes) or not call.answered:
            return None
        try:
            result = self._methods.call_at_once(call.method, call.params, caller)
        except Fault as fault:
            return jsonrpc.failure(call.id, fault.code, fault.message)
        return None if result is None else jsonrpc.success(call.id, result)

    async def _reply(self, connection: Connection, incoming: jsonrpc.Incoming) -> None:
        try:
            reply = await self._carry_out_all(incoming, connection)
        finally:
            connection.under_way -= 1
        if reply is not None and not connection.closed:
            connection.reply(reply)

    async def answer(self, data: bytes | str, caller: Caller) -> bytes | None:
        """The reply to a message, None where there is none. A batch is carried out in order."""
        return await self._carry_out_all(jsonrpc.read(data), caller)

    async def _carry_out_all(self, incoming: jsonrpc.Incoming, caller: Caller) -> bytes | None:
        replies = []
        for item in incoming.items:
            reply = item if isinstance(item, bytes) else await self._carry_out(item, caller)
            if reply is not None:
                replies.append(reply)
        return jsonrpc.join(replies, incoming.batch)

    async def _carry_out(self, call: jsonrpc.Call, caller: Caller) -> bytes | None:
        try:
            busy = isinstance(caller, Connection) and caller.under_way > MOST_UNDER_WAY
            if busy and not self._methods.urgent(call.method):
                raise unavailable(f"{MOST_UNDER_WAY} messages of this client are still being answered")
            result = await self._methods.call(call.method, call.params, caller)
        except Fault as fault:
            if not call.answered:
                log.info("%s, sent without an id, failed: %s", call.method[:60], fault.message)
                return None
            return jsonrpc.failure(call.id, fault.code, fault.message)
        return jsonrpc.success(call.id, result) if call.answered else None
