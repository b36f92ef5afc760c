"""HTTP to Spoolman against a server that does what it wants: nothing is sent twice, altered, followed or taken in whole."""

import asyncio
from collections.abc import Awaitable, Callable

import orjson
import pytest

from services.spoolman_sync.http import MOST_BYTES, Answer, Http, Late, NoAnswer, NotSent
from services.spoolman_sync.settings import Settings

TIMEOUT_S = 5.0


class Server:
    """Answers each request with `answer`, b"" being none, and closes. `requests` are their first lines."""

    def __init__(self, answer: bytes, hangs: bool = False) -> None:
        self.requests: list[str] = []
        self.url = ""
        self._answer = answer
        self._hangs = hangs
        self._over = asyncio.Event()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(head.split(b"\r\n")[0].decode())
        if self._hangs:
            await self._over.wait()
        writer.write(self._answer)
        writer.close()

    async def run(self, scenario: Callable[[Http, "Server"], Awaitable[None]]) -> None:
        listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        http = Http(Settings(f"{self.url}/api", None, 5.0), TIMEOUT_S)
        try:
            async with listener:
                try:
                    await scenario(http, self)
                finally:
                    self._over.set()
        finally:
            await http.close()


def play(answer: bytes, scenario: Callable[[Http, Server], Awaitable[None]], hangs: bool = False) -> None:
    async def main() -> None:
        await Server(answer, hangs).run(scenario)

    asyncio.run(main())


def reply(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", reply(b"{}")[:-1]], ids=["no", "half", "most"]
)
def test_a_cut_connection_is_no_answer_and_nothing_is_sent_again(method: str, answer: bytes) -> None:
    async def scenario(http: Http, server: Server) -> None:
        with pytest.raises(NoAnswer):
            await http.request(method, f"{server.url}/api/v1/spool/1/use", None, TIMEOUT_S)
        assert len(server.requests) == 1

    play(answer, scenario)


@pytest.mark.parametrize("target", ["/a%2fb/%7e;x?q=%zz&r=a+b%20c%2B&s=[1]", "/api/v1/spool?a=/../&b=%C3%bc"])
def test_a_url_is_sent_as_it_is(target: str) -> None:
    async def scenario(http: Http, server: Server) -> None:
        await http.request("GET", server.url + target, None, TIMEOUT_S)
        assert server.requests == [f"GET {target} HTTP/1.1"]

    play(reply(b"{}"), scenario)


def test_headers_that_are_no_text_become_one() -> None:
    async def scenario(http: Http, server: Server) -> None:
        answer = await http.request("GET", f"{server.url}/x", None, TIMEOUT_S)
        assert orjson.loads(orjson.dumps([answer.headers, answer.reason])) == [answer.headers, answer.reason]
        assert answer.headers["Server"] == "caf?"

    play(reply(b"{}", "200 OK", "Server: caf#").replace(b"#", b"\xe9"), scenario)


def test_a_redirect_is_not_followed() -> None:
    async def scenario(http: Http, server: Server) -> None:
        answer = await http.request("GET", f"{server.url}/api/v1/spool/", None, TIMEOUT_S)
        assert (answer.status, len(server.requests)) == (307, 1)

    play(reply(b"", "307 Temporary Redirect", "Location: /api/v1/spool"), scenario)


def test_an_answer_without_end_is_given_up() -> None:
    async def scenario(http: Http, server: Server) -> None:
        with pytest.raises(NoAnswer, match="longer than 16 MiB"):
            await http.request("GET", f"{server.url}/api/v1/spool", None, 30.0)

    play(reply(b" " * (MOST_BYTES + 1)), scenario)


def test_an_answer_that_does_not_come_is_late() -> None:
    async def scenario(http: Http, server: Server) -> None:
        with pytest.raises(Late, match=r"no answer within 0\.1 s"):
            await http.request("PUT", f"{server.url}/x", b"{}", 0.1)

    play(b"", scenario, hangs=True)


def test_what_cannot_be_connected_was_not_sent() -> None:
    async def main() -> None:
        http = Http(Settings("http://127.0.0.1:1/api", None, 5.0), TIMEOUT_S)
        with pytest.raises(NotSent):
            await http.request("PUT", "http://127.0.0.1:1/api/v1/spool/1/use", b"{}", TIMEOUT_S)
        await http.close()

    asyncio.run(main())


@pytest.mark.parametrize(("body", "value", "is_json"), [(b"", {}, True), (b"[1]", [1], True), (b"<html>", None, False)])
def test_an_answer_is_json_or_says_that_it_is_not(body: bytes, value: object, is_json: bool) -> None:
    answer = Answer(200, "OK", {}, body)
    assert (answer.value, answer.is_json) == (value, is_json)
