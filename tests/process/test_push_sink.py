"""The push sink: remembers what came and fails as it is told."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientConnectionError, ClientSession

from simulators.push_sink import JPEG, Push, PushSink

PATIENCE_S = 10.0
BODY = {"version": "1.0", "title": "T", "message": "M", "attachments": [], "type": "info"}


@asynccontextmanager
async def serving(on_push: Callable[[Push], None] | None = None) -> AsyncIterator[tuple[PushSink, ClientSession]]:
    sink = PushSink(on_push=on_push)
    await sink.start()
    async with ClientSession() as session:
        try:
            yield sink, session
        finally:
            await sink.stop()


def run(test: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(PATIENCE_S * 2):
            await test

    asyncio.run(limited())


def test_bodies() -> None:
    async def test() -> None:
        heard: list[Push] = []
        async with serving(heard.append) as (sink, session):
            async with session.post(f"{sink.url}/phone", json=BODY) as response:
                assert (response.status, await response.text()) == (200, "ok")
            async with session.post(f"{sink.url}/form", data={"title": "F", "message": "form"}) as response:
                assert response.status == 200
            async with session.put(f"{sink.url}/text", data=b"\xff plain") as response:
                assert response.status == 200
            assert [(push.path, push.title, push.message) for push in sink.pushes] == [
                ("/phone", "T", "M"),
                ("/form", "F", "form"),
                ("/text", "", "\N{REPLACEMENT CHARACTER} plain"),
            ]
            assert sink.pushes[0].body == BODY
            assert heard == sink.pushes

    run(test())


def test_picture() -> None:
    async def test() -> None:
        async with serving() as (sink, session), session.get(f"{sink.url}/snapshot.jpg") as response:
            assert (response.content_type, await response.read()) == ("image/jpeg", JPEG)
        assert JPEG.startswith(b"\xff\xd8\xff") and JPEG.endswith(b"\xff\xd9")

    run(test())


def test_modes() -> None:
    async def test() -> None:
        async with serving() as (sink, session):
            sink.modes = {"/error": "error", "/cut": "cut", "/hang": "hang"}
            async with session.post(f"{sink.url}/error", json=BODY) as response:
                assert response.status == 500
            with pytest.raises(ClientConnectionError):
                await session.post(f"{sink.url}/cut", json=BODY)
            hanging = asyncio.create_task(session.post(f"{sink.url}/hang", json=BODY))
            hung = await sink.wait_for(lambda push: push.path == "/hang", PATIENCE_S)
            assert (hung.mode, hanging.done()) == ("hang", False)
            assert [push.mode for push in sink.pushes] == ["error", "cut", "hang"]
            url = sink.url
            await sink.stop()
            await asyncio.gather(hanging, return_exceptions=True)
            await sink.start()
            assert sink.url == url

    run(test())


def test_wait_for() -> None:
    async def test() -> None:
        async with serving() as (sink, session):
            waiting = asyncio.create_task(sink.wait_for(lambda push: push.path == "/b", PATIENCE_S))
            for path in ("/a", "/b"):
                await session.post(sink.url + path, json=BODY)
            assert (await waiting).path == "/b"
            assert (await sink.wait_for(lambda push: push.path == "/a")).path == "/a"
            with pytest.raises(TimeoutError, match=r"no such push within 0.01 s; seen: \[\('/a', 'T', 'M'\)"):
                await sink.wait_for(lambda push: push.path == "/c", 0.01)

    run(test())
