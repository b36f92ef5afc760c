"""The proxy, the link and the configuration of spoolman_sync with a real HTTP server on the other side."""

import asyncio
import logging
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import pytest

from bus.errors import Fault as Refusal
from bus.testing import eventually
from services.spoolman_sync.__main__ import start
from simulators.spoolman import Fault
from tests.process.spoolman_world import QUICK, World, play, ready

UNAVAILABLE = {"response": None, "error": {"status_code": 503, "message": "Spoolman server not available"}}


async def refused(call: Any) -> tuple[int, str]:
    with pytest.raises(Refusal) as refusal:
        await call
    return refusal.value.code, refusal.value.message


def test_both_versions_pass_answers_on() -> None:
    async def scenario(made: World) -> None:
        await ready(made)
        spool = await made.proxy("GET", f"/v1/spool/{made.spool}")
        assert spool["id"] == made.spool
        second = await made.proxy("GET", "/v1/spool", query="limit=2&sort=id:asc", use_v2_response=True)
        assert [s["id"] for s in second["response"]] == [1, 2] and second["error"] is None
        assert "X-Total-Count" in second["response_headers"]
        created = await made.proxy("POST", "/v1/spool", body={"filament_id": 1})
        patched = await made.proxy("PATCH", f"/v1/spool/{created['id']}", body='{"comment": "grün"}')
        assert patched["comment"] == "grün"
        assert await made.proxy("DELETE", f"/v1/spool/{created['id']}") == {"message": "Success!"}

    play(scenario)


def test_both_versions_pass_errors_on() -> None:
    async def scenario(made: World) -> None:
        await ready(made)
        assert await refused(made.proxy("GET", "/v1/spool/99")) == (404, "No spool with ID 99 found.")
        error = {"status_code": 404, "message": "No spool with ID 99 found."}
        assert await made.proxy("GET", "/v1/spool/99", use_v2_response="true") == {"response": None, "error": error}
        assert await refused(made.proxy("POST", "/v1/spool")) == (422, HTTPStatus(422).phrase)
        made.spoolman.faults.append(Fault("not_json", method="GET", status=200))
        assert (await refused(made.proxy("GET", "/v1/info")))[0] == 502
        made.spoolman.faults.append(Fault("drop_reply", method="DELETE"))
        assert (await refused(made.proxy("DELETE", f"/v1/spool/{made.other_spool}")))[0] == 502
        made.spoolman.faults.append(Fault("delay", method="GET", delay_s=1.0))
        assert await refused(made.proxy("GET", "/v1/info")) == (504, "Spoolman gave no answer within 0.5 s")
        assert sum(request.method == "DELETE" for request in made.spoolman.requests) == 1, "not sent again"

    play(scenario)


def test_without_a_link_the_proxy_refuses_at_once() -> None:
    async def scenario(made: World) -> None:
        await ready(made)
        await made.spoolman.stop()
        await made.linked(False)
        assert await refused(made.proxy("GET", "/v1/info")) == (503, "Spoolman server not available")
        assert await made.proxy("GET", "/v1/info", use_v2_response=True) == UNAVAILABLE
        assert (await refused(made.proxy("get", "/v1/info", use_v2_response=True)))[0] == 400

    play(scenario)


def test_path_and_query_arrive_as_they_were_sent() -> None:
    async def scenario(made: World) -> None:
        await ready(made)
        await made.proxy("GET", "/v1/spool", query="filament.name=a%2fb%20c+d&lot_nr=%zz&x=1%26")
        assert made.spoolman.requests[-1].query == {"filament.name": "a/b c d", "lot_nr": "%zz", "x": "1&"}

    play(scenario)


def test_proxied_requests_that_hang_do_not_hold_up_reports() -> None:
    async def scenario(made: World) -> None:
        await ready(made, replace(QUICK, proxy_timeout_s=30.0))
        made.spoolman.faults.append(Fault("hang", path="/info$", times=None))
        hanging = [asyncio.create_task(made.proxy("GET", "/v1/info")) for _ in range(60)]
        await eventually(lambda: sum(r.path.endswith("/info") for r in made.spoolman.requests) >= 16)
        made.extrude(25.0)
        await made.booked()
        assert not any(task.done() for task in hanging)
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)

    play(scenario)


def test_a_spoolman_behind_a_prefix_and_a_password(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(made: World) -> None:
        caplog.set_level(logging.DEBUG)
        made.start_bridge()
        server = made.spoolman.url.replace("://", "://printer:hunter2%2F@")
        made.start_sync(server=server)
        await made.linked()
        await made.seen()
        await made.choose(made.spool)
        made.extrude(25.0)
        await made.booked()
        answer = await made.proxy("GET", "/v1/info", use_v2_response=True)
        await made.spoolman.stop()
        await made.linked(False)
        assert (
            "hunter2"
            not in f"{caplog.text} {answer} {made.heard} {await made.proxy('GET', '/v1/info', use_v2_response=True)}"
        )

    play(scenario, prefix="/spoolman", basic_auth=("printer", "hunter2/"))


def test_the_link_comes_back_and_a_spool_deleted_meanwhile_is_unset() -> None:
    async def scenario(made: World) -> None:
        await ready(made)
        await made.spoolman.stop()
        await made.linked(False)
        made.spoolman.store.delete("spool", made.spool)
        await made.spoolman.start()
        await made.linked()
        await eventually(lambda: made.heard["spoolman.active"][-1] == {"spool_id": None})
        assert made.heard["spoolman.link"][-3:] == [{"spoolman_connected": up} for up in (True, False, True)]

    play(scenario)


def test_a_404_of_something_in_front_of_spoolman_unsets_nothing() -> None:
    async def scenario(made: World) -> None:
        await ready(made)
        made.spoolman.faults.append(Fault("not_json", path=f"/spool/{made.spool}$", status=404))
        made.spoolman.cut_websockets()
        await made.linked(False)
        await made.linked()
        await eventually(lambda: not made.spoolman.faults)
        made.extrude(25.0)
        await made.booked()
        assert await made.call("get_spool_id") == {"spool_id": made.spool}

    play(scenario)


def test_the_same_spool_again_says_nothing_new() -> None:
    async def scenario(made: World) -> None:
        await ready(made)
        for spool_id in (str(made.spool), made.spool, made.spool):
            assert await made.call("post_spool_id", spool_id=spool_id) == {"spool_id": made.spool}
        assert await made.call("post_spool_id") == {"spool_id": None}
        await eventually(lambda: made.heard["spoolman.active"][-1] == {"spool_id": None})
        assert [said["spool_id"] for said in made.heard["spoolman.active"]] == [None, made.spool, None]
        status = await made.call("status")
        documented = {"spoolman_connected": True, "pending_reports": [], "spool_id": None}
        added = {"since", "last_error", "next_try", "unassigned", "uncertain"}
        assert status.items() >= documented.items() and status.keys() - documented.keys() == added

    play(scenario)


@pytest.mark.parametrize(
    ("config", "component", "code"),
    [
        ("", {"components": [], "failed": [], "warnings": []}, 404),
        (
            "[spoolman]\nserver: ftp://me:hunter2@x\n",
            {"components": [], "failed": ["spoolman"], "warnings": ["spoolman_sync.conf:2: [spoolman] server: "
             "expected a URL like http://spoolman.local:7912 (http or https)"]},
            503,
        ),
        ("[spoolman]\nserver: 127.0.0.1:1\n", {"components": ["spoolman"], "failed": [], "warnings": []}, 503),
    ],
    ids=["not configured", "cannot be used", "away"],
)  # fmt: skip
def test_what_the_configuration_makes_of_it(config: str, component: dict[str, Any], code: int) -> None:
    async def scenario(made: World) -> None:
        node = made.bus.node("spoolman_sync", config)
        await start(node)
        said = node.outbox.last("spoolman_sync.component")
        assert said is not None and said.value == component
        assert (await refused(made.proxy("GET", "/v1/info")))[0] == code

    play(scenario)


def test_a_database_that_cannot_be_opened_disables_spoolman_alone() -> None:
    async def scenario(made: World) -> None:
        (made.bus.data / "moonbus" / "spoolman_sync.sqlite").mkdir(parents=True)
        node = made.bus.node("spoolman_sync", "[spoolman]\nserver: 127.0.0.1:1\n")
        await start(node)
        said = node.outbox.last("spoolman_sync.component")
        assert said is not None and said.value["failed"] == ["spoolman"]
        assert "its database cannot be opened" in (await refused(made.call("status")))[1]

    play(scenario)
