"""One client that asks for more than can be answered at once."""

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from bus.api import METHODS
from services.gateway.connection import Caller, Connection
from services.gateway.methods import Methods
from services.gateway.rpc import MOST_UNDER_WAY, Rpc


class Heating(Methods):
    """Scripts wait for a heater until it is `hot`; everything else is answered."""

    def __init__(self) -> None:
        self.rows = METHODS
        self.hot = asyncio.Event()

    def call_at_once(self, name: str, given: Mapping[str, Any], caller: Caller) -> bytes | None:
        return None

    async def call(self, name: str, given: Mapping[str, Any], caller: Caller) -> bytes:
        if name == "printer.gcode.script":
            await self.hot.wait()
        return b'"ok"'


async def ask(methods: list[str]) -> dict[int, Any]:
    """These requests after as many scripts as may wait, and what each of these was told before the heater was hot."""
    replies: dict[int, Any] = {}

    def push(frames: list[bytes]) -> bool:
        replies.update({reply["id"]: reply for reply in map(orjson.loads, frames)})
        return True

    async def send(_: bytes) -> None:
        raise AssertionError("everything was pushed")

    client = Connection(1, "test", None, push, send, lambda: None)
    heating, tasks = Heating(), list[asyncio.Task[None]]()
    rpc = Rpc(heating, lambda work: tasks.append(asyncio.create_task(work)))
    for number, method in enumerate(["printer.gcode.script"] * MOST_UNDER_WAY + methods, -MOST_UNDER_WAY):
        await rpc.receive(client, orjson.dumps({"jsonrpc": "2.0", "method": method, "id": number}))
    await asyncio.sleep(0)
    told = dict(replies)
    heating.hot.set()
    await asyncio.gather(*tasks)
    await asyncio.sleep(0)
    assert len(replies) == MOST_UNDER_WAY + len(methods), "each request is answered in the end"
    return told


@pytest.mark.parametrize("method", ["printer.gcode.script", "printer.info", "no.such.method"])
def test_what_is_too_much_is_told_to_come_back(method: str) -> None:
    told = asyncio.run(ask([method]))
    assert told.keys() == {0}
    assert told[0]["error"]["code"] == 503 and "512 messages" in told[0]["error"]["message"]


def test_an_emergency_stop_is_never_too_much() -> None:
    told = asyncio.run(ask(["printer.emergency_stop", "printer.info"]))
    assert told[0]["result"] == "ok"
    assert told[1]["error"]["code"] == 503
