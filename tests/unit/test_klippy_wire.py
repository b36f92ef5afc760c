"""The wire to Klipper: what is odd on it costs that message, never the connection."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest

from bus.errors import Fault
from services.klipper_bridge.klippy import CUT_OFF, Connection

FINE = b'{"method":"gcode","params":{"response":"ok"}}\x03'


def hear(sent: bytes, notify: Callable[[Any], None], take: Callable[[Any], None] | None = None) -> Any:
    """A connection that asks for `info`, is sent this and is closed; what it was answered."""

    async def main() -> Any:
        ours, klippers = socket.socketpair()
        with klippers:
            loop = asyncio.get_running_loop()
            transport, connection = await loop.create_unix_connection(lambda: Connection(notify), sock=ours)
            asking = asyncio.create_task(connection.request("info", take=take))
            await asyncio.sleep(0)
            klippers.sendall(sent + b'{"id":1,"result":{"state":"ready"}}\x03')
            klippers.shutdown(socket.SHUT_WR)
            await connection.ended()
            assert transport.is_closing()
            return await asking

    return asyncio.run(main())


def test_what_is_no_json_object_is_left_out() -> None:
    heard: list[Any] = []
    odd = (b"5", b"null", b'"id"', b"[1]", b"{broken", b"\xff", b"", b'{"id":9}')
    assert hear(b"\x03".join(odd) + b"\x03" + FINE, heard.append) == {"state": "ready"}
    assert heard == [{"method": "gcode", "params": {"response": "ok"}}]


def test_numbers_that_json_does_not_know_are_null() -> None:
    """Python's own encoder writes NaN and Infinity; a sensor's NaN must not cost the rest of the update."""
    heard: list[Any] = []
    hear(b'{"method":"status","params":{"status":{"t":{"temperature":NaN,"a":-Infinity,"b":1.5}}}}\x03', heard.append)
    assert heard[0]["params"]["status"]["t"] == {"temperature": None, "a": None, "b": 1.5}


def test_a_handler_that_fails_does_not_end_the_connection() -> None:
    def fail(_: object) -> None:
        raise ValueError("what a bug raises")

    assert hear(FINE, fail, fail) == {"state": "ready"}


@pytest.mark.parametrize("size", [1, 7, 100])
def test_messages_may_come_in_pieces(size: int) -> None:
    heard: list[Any] = []

    async def main() -> Any:
        connection = Connection(heard.append)
        connection.connection_made(Mock(is_closing=lambda: False))
        asking = asyncio.create_task(connection.request("info"))
        await asyncio.sleep(0)
        sent = FINE + b'{"id":1,"result":{"text":"\xc3\xa4\xc3\xb6"}}\x03' + FINE
        for start in range(0, len(sent), size):
            connection.data_received(sent[start : start + size])
        return await asking

    assert asyncio.run(main()) == {"text": "äö"}
    assert len(heard) == 2


def test_who_watches_the_connection_hears_of_its_end_before_who_asked() -> None:
    """A client that is told `ok` for its restart and looks at the printer's state must not see the one before."""
    heard: list[str] = []

    async def main() -> None:
        connection = Connection(lambda _: None)
        connection.connection_made(Mock(is_closing=lambda: False))

        async def ask() -> None:
            with pytest.raises(Fault, match=CUT_OFF):
                await connection.request("restart")
            heard.append("asked")

        async def watch() -> None:
            await connection.ended()
            heard.append("watched")

        tasks = [asyncio.create_task(work) for work in (ask(), watch())]
        await asyncio.sleep(0)
        connection.connection_lost(None)
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert heard == ["watched", "asked"]
