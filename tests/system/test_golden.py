"""Recorded replies of the real Moonraker against ours: the same shape everywhere, the same values where the state is the same.

What differs on purpose is named here and explained in docs/differences.md.
"""

from pathlib import Path
from typing import Any

import orjson
import pytest
import requests

from bus.rundir import CHECKOUT
from tests.system.conftest import World

GOLDEN = Path(__file__).parent.parent / "golden"
NOT_SERVED = {"/server/history/totals", "/server/job_queue/status", "/server/temperature_store", "/server/gcode_store"}
DIFFERENT = {
    "/server/notifiers/list": "notifiers-with-attachments",
    "server.notifiers.list": "notifiers-with-attachments",
    "/api/login GET": "login-get",
}
SAME_VALUE = {
    "/api/server",
    "/api/login",
    "/api/currentuser",
    "/access/info",
    "/api/printer/command",
    "/printer/gcode/script",
}


def recorded(file: str, state: str) -> list[Any]:
    rows = [orjson.loads(line) for line in (GOLDEN / file).read_bytes().splitlines()]
    return [pytest.param(row, id=f"{n} {row['id']}") for n, row in enumerate(rows) if row["state"] == state]


def same_shape(golden: Any, ours: Any, path: str = "") -> None:
    """Every key of the recorded one, with the same kind of value; null stands for any."""
    if golden is None or ours is None:
        return
    if isinstance(golden, dict):
        assert isinstance(ours, dict), path
        assert set(golden) <= set(ours), f"{path}: without {set(golden) - set(ours)}"
        for key, value in golden.items():
            same_shape(value, ours[key], f"{path}/{key}")
    elif isinstance(golden, list):
        assert isinstance(ours, list), path
        if golden and ours:
            same_shape(golden[0], ours[0], f"{path}/0")
    elif isinstance(golden, int | float) and not isinstance(golden, bool):
        assert isinstance(ours, int | float) and not isinstance(ours, bool), f"{path}: {ours!r}"
    else:
        assert type(golden) is type(ours), f"{path}: {ours!r}"


def ask(system: World, request: dict[str, Any]) -> requests.Response:
    """Sends a recorded request; JSON-RPC ones go over POST, whose replies are the same."""
    if request["transport"] != "http":
        call = {"jsonrpc": "2.0", "id": 4654, "method": request["method"]}
        if request["params"] is not None:
            call["params"] = request["params"]
        return requests.post(f"{system.base}/server/jsonrpc", data=orjson.dumps(call), timeout=10)
    body = request["body"]
    raw = (
        body["_raw"].encode()
        if isinstance(body, dict) and "_raw" in body
        else orjson.dumps(body)
        if body is not None
        else None
    )
    return requests.request(
        request["method"], f"{system.base}{request['path']}", data=raw, headers=request["headers"], timeout=10
    )


@pytest.mark.parametrize("row", recorded("states.jsonl", "ready/standby"))
def test_a_printer_that_is_ready(system: World, row: dict[str, Any]) -> None:
    request, golden = row["request"], row["response"]
    name = request.get("path") or request["method"]
    path = name.split("?")[0]
    if path in NOT_SERVED:
        assert ask(system, request).status_code == 404
        return
    if name in DIFFERENT or f"{name} {request['method']}" in DIFFERENT:
        assert ask(system, request).status_code == 200
        return
    if name == "debug.notifiers.test" or name == "/debug/notifiers/test":
        request = _named(request, "phone")
    answer = ask(system, request)
    assert answer.status_code == golden.get("status", 200), answer.text
    ours, theirs = answer.json(), golden.get("body", golden)
    same_shape(theirs, {**ours, "id": theirs.get("id")} if "jsonrpc" in theirs else ours)
    if path in SAME_VALUE:
        assert ours == theirs


def _named(request: dict[str, Any], name: str) -> dict[str, Any]:
    key = "body" if request["transport"] == "http" else "params"
    return {**request, key: {"name": name}}


@pytest.mark.parametrize("row", recorded("spoolman.jsonl", "spoolman up"))
def test_spoolman_that_is_there(system: World, row: dict[str, Any]) -> None:
    request, golden = row["request"], row["response"]
    if "method" not in request or "non json" in row["id"]:
        pytest.skip("an event, not a request; or of a page that the simulated Spoolman does not have")
    answer = ask(system, request)
    difference = next((d for name, d in SPOOLMAN_DIFFERENT.items() if row["id"].startswith(name)), None)
    if difference is not None:
        assert answer.status_code == difference[0], answer.text
        return
    assert answer.status_code == golden.get("status", 200), answer.text
    theirs = golden.get("body", golden)
    if "error" in theirs and "result" not in theirs:
        assert answer.json()["error"]["code"] == theirs["error"]["code"]
    else:
        ours = answer.json()
        for headers in (theirs["result"], ours["result"]):
            if isinstance(headers, dict):
                headers.pop("response_headers", None)
        same_shape(theirs, ours)


SPOOLMAN_DIFFERENT = {
    "spool_id post float": (400, "spool-ids"),
    "spool_id post bool": (400, "spool-ids"),
    "spool_id post negative": (400, "spool-ids"),
    "spool_id post zero": (400, "spool-ids"),
    "spool_id post huge": (400, "spool-ids"),
    "spool_id post explicit null": (200, "spool-ids"),
    "spool_id post typed query json null": (200, "spool-ids"),
    "server.spoolman.post_spool_id {'spool_id': None}": (200, "spool-ids"),
    "spool_id post invalid json body": (400, "bodies"),
    "spool_id post json array body": (400, "bodies"),
    "spool_id post json string body": (400, "bodies"),
    "proxy post without body": (422, "proxy"),
    "proxy path traversal": (400, "proxy"),
    "HEAD": (200, "verbs"),
    "OPTIONS": (204, "verbs"),
}
"""What an exchange's name begins with → the HTTP status we answer instead, and where docs/differences.md says why."""


def test_every_deliberate_difference_is_explained() -> None:
    text = (CHECKOUT / "docs" / "differences.md").read_text()
    for anchor in {*DIFFERENT.values(), *(anchor for _, anchor in SPOOLMAN_DIFFERENT.values())}:
        assert f'<a id="{anchor}">' in text, anchor
