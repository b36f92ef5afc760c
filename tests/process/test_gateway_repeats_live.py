"""A client that sends the same bytes again on one connection, among others that it sends."""

import asyncio

from tests.process.gateway_world import Bridge, World, run, spoolman

GET = b"GET /server/spoolman/spool_id HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /server/spoolman/spool_id?spool_id=%d HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def answer(self) -> tuple[bytes, bytes]:
        head = await self.reader.readuntil(b"\r\n\r\n")
        lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        return head, await self.reader.readexactly(int(lines[b"Content-Length"]))

    async def ask(self, *pieces: bytes) -> tuple[bytes, bytes]:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0.01)
        return await self.answer()


def lasting(head: bytes) -> set[bytes]:
    """Its lines but for the date."""
    return {line for line in head.split(b"\r\n") if not line.startswith(b"Date: ")}


async def connected(world: World) -> Client:
    return Client(*await asyncio.open_connection("127.0.0.1", world.gateway.runner.addresses[0][1]))


def test_repeated_requests_see_each_change() -> None:
    async def scenario(world: World) -> None:
        spoolman(world.bus)
        client, other = await connected(world), await connected(world)
        first = await client.ask(GET)
        assert first[1] == b'{"result":{"spool_id":null}}'
        for _ in range(3):
            again = await client.ask(GET)
            assert (lasting(again[0]), again[1]) == (lasting(first[0]), first[1])
        for number in (4, 5):
            assert b"200" in (await other.ask(POST % number))[0]
            assert (await client.ask(GET))[1] == b'{"result":{"spool_id":%d}}' % number
        client.writer.close()
        other.writer.close()

    run(scenario)


def test_bytes_in_the_middle_of_something_else_are_what_they_are_there() -> None:
    async def scenario(world: World) -> None:
        Bridge(world.bus)
        spoolman(world.bus)
        client = await connected(world)
        for _ in range(3):
            assert (await client.ask(GET))[1] == b'{"result":{"spool_id":null}}'
        # As the body of another request:
        post = b"POST /server/spoolman/spool_id HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
        head, _ = await client.ask(post % len(GET), GET)
        assert b" 415 " in head
        # Many at once, and one in pieces:
        client.writer.write(GET * 3)
        assert [(await client.answer())[1] for _ in range(3)] == [b'{"result":{"spool_id":null}}'] * 3
        assert (await client.ask(GET[:20], GET[20:]))[1] == b'{"result":{"spool_id":null}}'
        client.writer.close()

    run(scenario)


def test_who_is_no_longer_admitted_is_refused() -> None:
    async def scenario(world: World) -> None:
        spoolman(world.bus)
        key = world.gateway._access.api_key()
        request = GET.replace(b"Host: x", b"Host: x\r\nX-Api-Key: " + key.encode() + b"\r\nX-Forwarded-For: 8.8.8.8")
        client = await connected(world)
        for _ in range(3):
            assert b" 200 " in (await client.ask(request))[0]
        world.gateway._access.new_api_key()
        assert b" 401 " in (await client.ask(request))[0]
        client.writer.close()

    run(scenario)
