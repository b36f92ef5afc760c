"""A bug in the gateway itself: still an answer in JSON, and only for that request."""

from typing import Any

import pytest

from services.gateway import arguments
from tests.process.gateway_world import World, run


def test_an_exception_nobody_foresaw_is_a_500_in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World) -> None:
        with monkeypatch.context() as broken:
            broken.setattr(arguments, "collect", lambda *_: dict[str, Any]()["what a bug raises"])
            status, answer = await world.http("GET", "/server/info")
        assert status == 500 and answer["error"]["code"] == 500
        assert answer["error"]["message"] == "The gateway failed to answer /server/info: see its log"
        healthy: tuple[int, Any] = await world.http("GET", "/server/info")
        assert healthy[0] == 200

    run(scenario)
