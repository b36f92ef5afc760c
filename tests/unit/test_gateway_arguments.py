"""What an HTTP request's query, body and path amount to, and what is refused."""

from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.api import METHODS
from bus.errors import Fault
from services.gateway.arguments import collect

QUERY = METHODS["printer.objects.query"]
SPOOL = METHODS["server.spoolman.post_spool_id"]
COMMANDS = METHODS["octoprint.printer_command"]
SELECT = METHODS["octoprint.select"]
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"

NAMES = st.text(st.characters(categories=("L", "N"), include_characters="_ "), min_size=1, max_size=12)


@given(
    row=st.sampled_from(sorted(METHODS)),
    query=st.text(max_size=40),
    kind=st.sampled_from([JSON, FORM, "text/plain", ""]) | st.text(max_size=20),
    body=st.binary(max_size=40),
)
def test_anything_is_arguments_or_an_error_of_the_callers(row: str, query: str, kind: str, body: bytes) -> None:
    try:
        assert isinstance(collect(METHODS[row], query, kind, body, {}), dict)
    except Fault as fault:
        assert fault.code in (400, 415) and fault.message


@given(st.dictionaries(NAMES.filter(lambda n: n not in ("_", "token", "apikey")), st.text(max_size=10), max_size=5))
def test_text_survives_the_query_and_the_form(given_: dict[str, str]) -> None:
    assert collect(SPOOL, urlencode(given_), "", b"", {}) == given_
    assert collect(SPOOL, "", f"{FORM}; charset=utf-8", urlencode(given_).encode(), {}) == given_


@given(
    st.dictionaries(NAMES, st.none() | st.lists(NAMES.map(str.strip).filter(bool), min_size=1, max_size=4), max_size=4)
)
def test_objects_survive_the_bare_query(objects: dict[str, list[str] | None]) -> None:
    objects = {name: fields for name, fields in objects.items() if name not in ("_", "token", "apikey", "objects")}
    query = urlencode({name: "" if fields is None else ",".join(fields) for name, fields in objects.items()})
    expected = {"objects": objects} if objects else {}
    assert collect(QUERY, query, "", b"", {}) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("print_stats=a,b&toolhead&heaters=", {"print_stats": ["a", "b"], "toolhead": None, "heaters": None}),
        ("temperature_sensor%20mcu+a=temperature&token=x&_=1", {"temperature_sensor mcu a": ["temperature"]}),
        ("a=x&a=y", {"a": ["x", "y"]}), ("a=x&a", {"a": None}), ("a&a=x", {"a": None}),
    ],
)  # fmt: skip
def test_bare_objects(query: str, expected: Any) -> None:
    assert collect(QUERY, query, "", b"", {}) == {"objects": expected}


def test_objects_by_their_name_in_query_or_body() -> None:
    body = orjson.dumps({"objects": {"toolhead": None}})
    assert collect(QUERY, "", JSON, body, {}) == {"objects": {"toolhead": None}}
    assert collect(QUERY, "objects:json=%7B%22fan%22:null%7D", "", b"", {}) == {"objects": {"fan": None}}


@pytest.mark.parametrize(
    ("query", "value"),
    [("x:int=3", 3), ("x:float=1.5", 1.5), ("x:bool=True", True), ("x:json=[1]", [1]), ("x:str=3", "3"), ("x=3", "3")],
)
def test_type_hints(query: str, value: Any) -> None:
    assert collect(SPOOL, query, "", b"", {}) == {"x": value}


@pytest.mark.parametrize(
    "query", ["x:int=a", f"x:int={10**19}", "x:float=nan", "x:bool=1", "x:json={", "x:what=1", "x=%ff"]
)
def test_wrong_hints_are_refused(query: str) -> None:
    with pytest.raises(Fault) as refused:
        collect(SPOOL, query, "", b"", {})
    assert refused.value.code == 400


def test_the_body_wins_over_the_query_and_the_path_over_both() -> None:
    given_ = collect(
        SELECT, "root=a&command=b", JSON, b'{"command":"select","path":"x"}', {"root": "gcodes", "path": "y"}
    )
    assert given_ == {"root": "gcodes", "command": "select", "path": "y"}


def test_lists_of_strings_may_repeat() -> None:
    assert collect(COMMANDS, "commands=G28&commands=M112", "", b"", {}) == {"commands": ["G28", "M112"]}


@pytest.mark.parametrize("kind", [JSON, FORM, "", "text/plain; charset=utf-8"])
def test_json_is_json_whatever_it_is_called(kind: str) -> None:
    assert collect(SPOOL, "", kind, b' {"spool_id": 4}', {}) == {"spool_id": 4}


@pytest.mark.parametrize(
    ("kind", "body", "code", "words"),
    [
        (JSON, b'{"spool_id": 1', 400, "not valid JSON"), (FORM, b'{"spool_id": 1', 400, "not valid JSON"),
        (JSON, b"[1]", 400, "an array"), (JSON, b'"x"', 400, "a string"), (JSON, b"5", 400, "a number"),
        (JSON, b"true", 400, "a boolean"), (JSON, b"null", 400, "null"), (FORM, b"\xff=1", 400, "UTF-8"),
        ("application/octet-stream", b"\0\1", 415, "application/json"), ("", b"spool_id=1", 415, "(none)"),
        (FORM, b"a&" * 1001, 400, "1000"),
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_read_is_no_empty_body(kind: str, body: bytes, code: int, words: str) -> None:
    with pytest.raises(Fault) as refused:
        collect(SPOOL, "", kind, body, {})
    assert refused.value.code == code and words in refused.value.message
