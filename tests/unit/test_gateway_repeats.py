"""Which bytes are one request, and what is answered to bytes that came before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.repeats import MOST_KEPT, Repeat, Repeats, is_one_get

HEAD = b"GET /server/info HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [b"", HEAD[:-1], HEAD[:-2], HEAD + HEAD, HEAD + b"x", HEAD.replace(b"\r\n", b"\n"), b"\n" + HEAD[1:],
     HEAD.replace(b"GET", b"POST"), b"GET / HTTP/1.1\n\nGET /b HTTP/1.1\r\n\r\n", HEAD.replace(b"a\r", b"a\rb\r")],
)  # fmt: skip
def test_only_a_whole_get_by_itself_counts(data: bytes) -> None:
    assert not is_one_get(data)
    assert is_one_get(HEAD)


@given(st.binary(max_size=30), st.binary(max_size=30))
def test_what_has_an_end_inside_is_not_one_request(before: bytes, after: bytes) -> None:
    assert not is_one_get(b"GET " + before + b"\r\n\r\n" + after + b"\r\n\r\n")


def test_the_same_bytes_are_answered_with_what_is_true_now() -> None:
    bodies, trusted = [b"1", b"22"], [True, True, False]
    repeats = Repeats()
    repeat = Repeat(lambda address: address == "a" and trusted.pop(0), lambda: bodies.pop(0) if bodies else None)
    assert repeats.answer(HEAD, "a") is None
    repeats.keep(HEAD, repeat, {"Vary": "Origin", "Date": "then", "Content-Length": "7"})
    answer = repeats.answer(HEAD, "a") or b""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == b"1" and head.startswith(b"HTTP/1.1 200 OK\r\nVary: Origin\r\nContent-Length: 1\r\nDate: ")
    assert b"then" not in head
    assert repeats.answer(HEAD, "b") is None
    assert (repeats.answer(HEAD, "a") or b"").endswith(b"\r\n\r\n22")
    assert repeats.answer(HEAD, "a") is None, "no longer admitted"
    trusted.append(True)
    assert repeats.answer(HEAD, "a") is None, "no longer ready"


def test_what_is_kept_has_an_end() -> None:
    repeats = Repeats()
    for number in range(MOST_KEPT + 1):
        repeats.keep(b"GET /%d" % number, Repeat(lambda _: True, lambda: b"x"), {})
    assert repeats.answer(b"GET /0", "a") is None
    assert repeats.answer(b"GET /%d" % MOST_KEPT, "a") is not None
