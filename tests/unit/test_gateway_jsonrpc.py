"""Every message gets a valid reply or none; what is sent back is what JSON-RPC 2.0 and Moonraker's clients expect."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway import jsonrpc
from services.gateway.jsonrpc import Call

SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=10)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
ALMOST = st.fixed_dictionaries(
    {},
    optional={"jsonrpc": st.just("2.0") | JSON, "method": st.just("server.info") | JSON, "params": JSON, "id": JSON,
              "result": JSON, "error": JSON},
)  # fmt: skip


def answer(data: bytes | str) -> Any:
    """What goes back when every call succeeds with its own parameters; None for nothing."""
    incoming = jsonrpc.read(data)
    replies = []
    for item in incoming.items:
        if isinstance(item, bytes):
            replies.append(item)
        elif item.answered:
            replies.append(jsonrpc.success(item.id, orjson.dumps(item.params)))
    joined = jsonrpc.join(replies, incoming.batch)
    return None if joined is None else orjson.loads(joined)


def check(reply: Any) -> None:
    assert set(reply) in ({"jsonrpc", "result", "id"}, {"jsonrpc", "error", "id"})
    assert reply["jsonrpc"] == "2.0"
    if "error" in reply:
        assert isinstance(reply["error"]["code"], int) and reply["error"]["message"]
    else:
        assert reply["result"] is not None


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_any_bytes_are_answered_or_not_but_never_with_an_exception(data: bytes | str) -> None:
    check(answer(data))


@given(ALMOST | JSON | st.lists(ALMOST | JSON, max_size=4))
def test_any_json_is_answered_with_valid_replies(message: Any) -> None:
    reply = answer(orjson.dumps(message))
    if isinstance(message, list) and message:
        assert reply is None or isinstance(reply, list)
        for one in reply or []:
            check(one)
    elif reply is not None:
        check(reply)


@given(st.integers(-(2**53), 2**53) | st.text(max_size=20) | st.floats(allow_nan=False, allow_infinity=False))
def test_an_id_comes_back_as_it_was(id_: Any) -> None:
    reply = answer(orjson.dumps({"jsonrpc": "2.0", "method": "server.info", "id": id_}))
    assert reply == {"jsonrpc": "2.0", "result": {}, "id": id_}


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"{", -32700), (b"\xff\xfe", -32700), (b"", -32700),
        (b"[]", -32600), (b"5", -32600), (b'"x"', -32600), (b"null", -32600), (b"{}", -32600),
        (b'{"jsonrpc":"1.0","method":"a","id":1}', -32600),
        (b'{"jsonrpc":"2.0","method":5,"id":1}', -32600),
        (b'{"jsonrpc":"2.0","id":1}', -32600),
        (b'{"jsonrpc":"2.0","method":"a","id":{}}', -32600),
        (b'{"jsonrpc":"2.0","method":"a","params":[],"id":1}', -32602),
        (b'{"jsonrpc":"2.0","method":"a","params":null,"id":1}', -32602),
    ],
)  # fmt: skip
def test_what_is_no_request_gets_its_error(message: bytes, code: int) -> None:
    assert answer(message)["error"]["code"] == code


def test_a_batch_answers_each_that_wants_an_answer() -> None:
    batch = b'[{"jsonrpc":"2.0","method":"a","id":0},1,{"jsonrpc":"2.0","method":"b"},{"jsonrpc":"2.0","method":"c","id":"x"}]'
    replies = answer(batch)
    assert [reply.get("id") for reply in replies] == [0, None, "x"]
    assert answer(b'[{"jsonrpc":"2.0","method":"a"}]') is None
    assert answer(orjson.dumps([1] * 1001))["error"]["code"] == -32600


def test_notifications_and_responses_are_not_answered() -> None:
    assert answer(b'{"jsonrpc":"2.0","method":"a"}') is None
    assert answer(b'{"jsonrpc":"2.0","method":"a","id":null}') is None
    assert answer(b'{"jsonrpc":"2.0","result":"pong","id":4}') is None
    assert jsonrpc.read(b'{"jsonrpc":"2.0","method":"a"}').items == (Call("a", {}, None, answered=False),)


def test_errors_carry_the_codes_clients_know() -> None:
    codes = {404: -32601, 401: -32602, 400: 400, 503: 503, -32700: -32700}
    for given_code, shown in codes.items():
        assert orjson.loads(jsonrpc.failure(1, given_code, "x"))["error"]["code"] == shown
    assert orjson.loads(jsonrpc.success(1, b"null"))["result"] == {}
    assert jsonrpc.notification("notify_klippy_ready", None) == b'{"jsonrpc":"2.0","method":"notify_klippy_ready"}'
