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
"""Messages of one client that are being answered. Emergency stops must get past waiting scripts, so reading goes on."""

Spawn = Callable[[Coroutine[Any, Any, None]], object]


class Rpc:
    def __init__(self, methods: Methods, spawn: Spawn) -> None:
        self._methods = methods
        self._spawn = spawn

    async def receive(self, connection: Connection, data: bytes | str) -> None:
        """Answers a message of a websocket or Unix-socket client in the background; messages overtake each other."""
        connection.under_way += 1
        self._spawn(self._reply(connection, data))
        # Reading does not suspend while messages wait: what needs nobody is answered before the next one counts.
        await asyncio.sleep(0)

    async def _reply(self, connection: Connection, data: bytes | str) -> None:
        try:
            reply = await self.answer(data, connection)
        finally:
            connection.under_way -= 1
        if reply is not None and not connection.closed:
            connection.reply(reply)

    async def answer(self, data: bytes | str, caller: Caller) -> bytes | None:
        """The reply to a message, None where there is none. A batch is carried out in order."""
        incoming = jsonrpc.read(data)
        replies = []
        for item in incoming.items:
            reply = item if isinstance(item, bytes) else await self._carry_out(item, caller)
            if reply is not None:
                replies.append(reply)
        return jsonrpc.join(replies, incoming.batch)

    async def _carry_out(self, call: jsonrpc.Call, caller: Caller) -> bytes | None:
        try:
            if isinstance(caller, Connection) and caller.under_way > MOST_UNDER_WAY:
                raise unavailable(f"{MOST_UNDER_WAY} messages of this client are still being answered")
            result = await self._methods.call(call.method, call.params, caller)
        except Fault as fault:
            if not call.answered:
                log.info("%s, sent without an id, failed: %s", call.method[:60], fault.message)
                return None
            return jsonrpc.failure(call.id, fault.code, fault.message)
        return jsonrpc.success(call.id, result) if call.answered else None
