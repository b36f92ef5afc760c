"""The one way a method is carried out, whatever door it came through."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from bus.api import Method
from bus.envelope import Reply, Request, boot_time_s
from bus.errors import Fault, bad_request, not_found
from bus.node import Node
from bus.params import check
from services.gateway.answers import Answers
from services.gateway.connection import Caller

ConnectionHandler = Callable[[Caller, dict[str, Any]], Awaitable[Any]]
"""`async def handler(caller, params)`: for methods that are about who asks."""

OWN = "gateway"


class Methods:
    """`rows` are the methods that exist here, `by_caller` the handlers of those with `connection`; `own` are those without
    parameters whose answers lie ready."""

    def __init__(
        self,
        node: Node,
        rows: Mapping[str, Method],
        answers: Answers,
        by_caller: Mapping[str, ConnectionHandler],
        own: Mapping[str, Callable[[], bytes | None]],
    ) -> None:
        wanted = {row.name for row in rows.values() if row.connection}
        if wanted != set(by_caller):
            raise ValueError(f"rows and handlers by caller differ: {sorted(wanted ^ set(by_caller))}")
        self.rows = rows
        self._node = node
        self._answers = answers
        self._by_caller = by_caller
        self._own_answers = own

    async def call(self, name: str, given: Mapping[str, Any], caller: Caller) -> bytes:
        """JSON-RPC's way in: by name. Raises Fault."""
        row = self.rows.get(name)
        if caller.user is None and not (row is not None and row.public):
            raise Fault(401, "Unauthorized")
        if row is None or not row.rpc:
            raise not_found("Method not found")
        return await self.run(row, given, caller)

    def urgent(self, name: str) -> bool:
        """Whether it is taken however much its caller has under way; not for what is no method."""
        row = self.rows.get(name)
        return row is not None and row.urgent

    def call_at_once(self, name: str, given: Mapping[str, Any], caller: Caller) -> bytes | None:
        """What `call` would answer, where that is known. Raises Fault."""
        row = self.rows.get(name)
        if row is None or not row.rpc or caller.user is None:
            return None
        return self.at_once(row, given)

    def at_once(self, row: Method, given: Mapping[str, Any]) -> bytes | None:
        """What `run` would answer, where that is known without asking or waiting for anybody. Raises Fault."""
        if row.answer is not None:
            return self._answers.at_once(row, check(row.params, given))
        return self._own_answers[row.name]() if row.name in self._own_answers else None

    async def run(self, row: Method, given: Mapping[str, Any], caller: Caller) -> bytes:
        """The result as JSON, after all that the call published has been heard here. Raises Fault."""
        params = check(row.params, given)
        if row.connection:
            return orjson.dumps(await self._by_caller[row.name](caller, params))
        if row.answer is not None and (body := await self._answers.answer(row, params)) is not None:
            return body
        reply = await self._own(row, params) if row.owner == OWN else await self._ask(row, params)
        await self._node.arrival(reply.caused)
        return reply.body

    async def _own(self, row: Method, params: dict[str, Any]) -> Reply:
        deadline_at = None if row.deadline_s is None else boot_time_s() + row.deadline_s
        reply = await self._node.dispatch.answer(Request(0, row.name, OWN, deadline_at, params))
        if not reply.ok:
            raise Fault(reply.code, reply.result)
        return reply

    async def _ask(self, row: Method, params: dict[str, Any]) -> Reply:
        try:
            return await self._node.ask(row.name, params)
        except orjson.JSONEncodeError as error:
            raise bad_request(f"The arguments cannot be passed on: {error}") from None
