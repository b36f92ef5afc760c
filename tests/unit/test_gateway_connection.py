"""What one client is sent, in which order, and with how many writes."""

import asyncio
from collections.abc import Callable

from services.gateway.connection import Connection
from services.gateway.outgoing import Update


class Client:
    """Its socket: the frames of each write. `reads`: whether it takes them at once."""

    def __init__(self) -> None:
        self.writes: list[list[bytes]] = []
        self.reads = True
        self.aborted = False
        self.connection = Connection(1, "test", None, self._push, self._send, self._abort)

    def _push(self, frames: list[bytes]) -> bool:
        if self.reads:
            self.writes.append(frames)
        return self.reads

    async def _send(self, frame: bytes) -> None:
        self.writes.append([frame])

    def _abort(self) -> None:
        self.aborted = True


def run(scenario: Callable[[Client], object]) -> Client:
    """`scenario` in one turn of a loop, and the next turn."""

    async def main() -> Client:
        client = Client()
        scenario(client)
        await asyncio.sleep(0)
        return client

    return asyncio.run(main())


def test_the_replies_of_a_turn_are_one_write() -> None:
    def scenario(client: Client) -> None:
        for frame in (b"1", b"2", b"3"):
            client.connection.reply(frame)
        assert client.writes == []

    assert run(scenario).writes == [[b"1", b"2", b"3"]]


def test_a_notification_or_an_update_stays_behind_the_replies_before_it() -> None:
    def scenario(client: Client) -> None:
        client.connection.reply(b"1")
        client.connection.notify(b"n")
        client.connection.reply(b"2")
        client.connection.update(Update({"toolhead": {"position": [1]}}, 2.0))
        client.connection.reply(b"3")

    first, notified, second, updated, third = run(scenario).writes
    assert [first, notified, second, third] == [[b"1"], [b"n"], [b"2"], [b"3"]]
    assert b"notify_status_update" in updated[0]


def test_replies_to_a_client_that_does_not_read_wait_in_their_order() -> None:
    async def main() -> Client:
        client = Client()
        client.reads = False
        client.connection.reply(b"1")
        client.connection.notify(b"n")
        client.connection.reply(b"2")
        await asyncio.sleep(0)
        assert client.writes == [] and client.connection.behind
        client.reads = True
        client.connection.reply(b"3")
        writing = asyncio.create_task(client.connection.write())
        while len(client.writes) < 4:
            await asyncio.sleep(0)
        client.connection.close()
        await writing
        return client

    assert asyncio.run(main()).writes == [[b"1"], [b"n"], [b"2"], [b"3"]]


def test_a_client_that_leaves_in_the_same_turn_has_its_replies() -> None:
    def scenario(client: Client) -> None:
        client.connection.reply(b"1")
        client.connection.close()

    assert run(scenario).writes == [[b"1"]]


def test_a_client_that_never_reads_is_cut_off() -> None:
    def scenario(client: Client) -> None:
        client.reads = False
        for _ in range(3000):
            client.connection.reply(b"1")

    client = run(scenario)
    assert client.aborted and client.connection.closed and client.writes == []
