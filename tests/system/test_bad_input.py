"""Every route and method of the table under input that is wrong in every way: a clear refusal, and the system as before.

Driven by the table, so a new row is covered by itself.
"""

import re
from typing import Any

import orjson
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.api import METHODS, Method
from tests.system.conftest import World

ROUTES = sorted((route, method.name) for method in METHODS.values() for route in method.http if not method.raw)
CALM = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
DISRUPTIVE = {"access.post_api_key"}
"""Valid without any argument and changing something: calling it is not bad input."""

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
NOT_JSON = st.sampled_from([b"{", b'{"a": 1', b"nonsense", b"\xff\xfe\x00", b"[1,]", b'{"a":NaN}', b"\x00" * 50])
NOT_AN_OBJECT = st.sampled_from([b"[]", b"[1,2]", b'"x"', b"5", b"true"])


def concrete(route: str) -> tuple[str, str]:
    verb, path = route.split(" ")
    return verb, re.sub(r"\{[^}]*\}", "x", path)


def wrong_values(method: Method) -> st.SearchStrategy[dict[str, Any]]:
    """Arguments of any kind under the declared names, most of them wrong."""
    return st.fixed_dictionaries({}, optional={param.name: JSON for param in method.params})


def is_refusal(answer: requests.Response) -> bool:
    """A 4xx or 503/504 in JSON with a sentence, never a traceback or a 500."""
    error = answer.json()["error"]
    assert error["code"] == answer.status_code and len(error["message"]) > 3, answer.text
    assert "Traceback" not in answer.text and 'File "' not in answer.text
    return 400 <= answer.status_code < 500 or answer.status_code in (502, 503, 504, 507)


@pytest.fixture
def unchanged(system: World) -> Any:
    """The same processes and the same state before and after."""

    def look() -> Any:
        pids = {service: system.pid(service) for service in ("gateway", "klipper_bridge", "octo_shim")}
        files = sorted(p.name for p in (system.data / "gcodes").iterdir())
        return pids, files, system.get("/server/info")["klippy_state"]

    before = look()
    yield
    assert look() == before


@pytest.mark.parametrize(("route", "name"), ROUTES, ids=[route for route, _ in ROUTES])
def test_a_body_that_is_no_object_and_a_wrong_verb_are_refused(system: World, route: str, name: str) -> None:
    verb, path = concrete(route)
    if verb == "POST":
        for body in (b"{", b"[1,2]", b'"x"', b"\xff\xfe"):
            answer = requests.post(
                f"{system.base}{path}", data=body, headers={"Content-Type": "application/json"}, timeout=10
            )
            assert answer.status_code == 400 and is_refusal(answer), (body, answer.text)
    wrong = requests.request("PATCH", f"{system.base}{path}", timeout=10)
    assert wrong.status_code == 405 and is_refusal(wrong)


@CALM
@given(data=st.data())
def test_wrong_arguments_over_http(system: World, unchanged: Any, data: st.DataObject) -> None:
    route, name = data.draw(st.sampled_from([(r, n) for r, n in ROUTES if METHODS[n].params]))
    verb, path = concrete(route)
    arguments = data.draw(wrong_values(METHODS[name]))
    if verb == "GET":
        texts = {key: value for key, value in arguments.items() if isinstance(value, str)}
        answer = requests.get(f"{system.base}{path}", params=texts, timeout=30)
    else:
        answer = requests.post(f"{system.base}{path}", data=orjson.dumps(_small(arguments)), timeout=30,
                               headers={"Content-Type": "application/json"})  # fmt: skip
    assert answer.ok or is_refusal(answer)


@CALM
@given(data=st.data())
def test_wrong_arguments_over_json_rpc(system: World, unchanged: Any, data: st.DataObject) -> None:
    names = sorted(m.name for m in METHODS.values() if m.rpc and m.params and m.name not in DISRUPTIVE)
    method = METHODS[data.draw(st.sampled_from(names))]
    params = data.draw(wrong_values(method) | JSON)
    request = {"jsonrpc": "2.0", "id": 7, "method": method.name, "params": _small(params)}
    answer = requests.post(f"{system.base}/server/jsonrpc", data=orjson.dumps(request), timeout=30)
    assert answer.status_code == 200
    reply = answer.json()
    assert reply["id"] == 7
    if "error" in reply:
        assert reply["error"]["code"] != 500 and len(reply["error"]["message"]) > 3
        assert "Traceback" not in answer.text


@CALM
@given(body=NOT_JSON | NOT_AN_OBJECT | st.binary(max_size=60))
def test_what_is_no_json_rpc_is_answered_as_such(system: World, body: bytes) -> None:
    answer = requests.post(f"{system.base}/server/jsonrpc", data=body, timeout=10)
    assert answer.status_code == 200
    replies = answer.json() if answer.content else []
    for reply in replies if isinstance(replies, list) else [replies]:
        assert reply["error"]["code"] in (-32700, -32600) and reply["id"] is None


@pytest.mark.parametrize("name", ["nosuch", "server.nosuch", "notifier.journal.x", "", "x" * 5000, "gateway.ping"])
def test_an_unknown_name_is_not_found(system: World, name: str) -> None:
    request = {"jsonrpc": "2.0", "id": 0, "method": name}
    reply = requests.post(f"{system.base}/server/jsonrpc", data=orjson.dumps(request), timeout=10).json()
    assert reply["error"]["code"] == -32601 and reply["id"] == 0
    missing = requests.get(f"{system.base}/server/nosuch", timeout=10)
    assert missing.status_code == 404 and is_refusal(missing)


def test_an_over_long_body_is_refused(system: World) -> None:
    body = orjson.dumps({"script": "M117 " + "x" * 20_000_000})
    answer = requests.post(f"{system.base}/printer/gcode/script", data=body, timeout=20,
                           headers={"Content-Type": "application/json"})  # fmt: skip
    assert answer.status_code == 413 and is_refusal(answer)


def _small(value: Any) -> Any:
    """Without integers that JSON of this library cannot carry: they become floats, as other libraries send them."""
    if isinstance(value, dict):
        return {key: _small(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_small(item) for item in value]
    if isinstance(value, int) and abs(value) >= 2**63:
        return float(value)
    return value
