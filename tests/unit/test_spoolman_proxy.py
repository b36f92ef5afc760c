"""The proxy's checks and shapes, against the recorded replies where there are some."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from bus.api import METHODS
from bus.errors import Fault
from bus.params import check
from bus.rundir import CHECKOUT
from services.spoolman_sync.http import Answer, Late, NoAnswer, NotSent
from services.spoolman_sync.proxy import check_request, read_error, shape

ROW = METHODS["server.spoolman.proxy"]


def recorded() -> list[Any]:
    """Exchanges of the proxy in which the request never reached Spoolman."""
    lines = Path(CHECKOUT / "tests" / "golden" / "spoolman.jsonl").read_text().splitlines()
    exchanges = [json.loads(line) for line in lines]
    refused = [e for e in exchanges if e["request"].get("path") == "/server/spoolman/proxy"]
    return [e for e in refused if e["response"].get("status") == 400 and e["response"]["body"]["error"]["message"] not in
            ("Unknown", "Bad Request")]  # fmt: skip


@pytest.mark.parametrize("exchange", recorded(), ids=lambda e: f"{e['id']}, {e['state']}")
def test_refusals_are_the_recorded_ones(exchange: Any) -> None:
    with pytest.raises(Fault) as refused:
        params = check(ROW.params, exchange["request"]["body"])
        check_request(params["request_method"], params["path"], params["query"], params["body"])
    assert refused.value.code == 400
    assert refused.value.message.startswith(exchange["response"]["body"]["error"]["message"])


@pytest.mark.parametrize(
    ("path", "query", "target"),
    [
        ("/v1/spool/1", None, "/v1/spool/1"),
        ("/v1/spool", "", "/v1/spool"),
        ("/v1/spool", "limit=2&sort=id:asc", "/v1/spool?limit=2&sort=id:asc"),
        ("/v1/spool", "filament.name=a%2Fb%20c+d&x=%zz", "/v1/spool?filament.name=a%2Fb%20c+d&x=%zz"),
        ("/v1/spool", "name=Grün & blau#1\r\nX: y", "/v1/spool?name=Gr%C3%BCn%20&%20blau%231%0D%0AX:%20y"),
        ("/v1/field/spool/a%20b;c=1", "a=/../?b", "/v1/field/spool/a%20b;c=1?a=/../?b"),
        ("/v1/", None, "/v1/"),
    ],
)
def test_path_and_query_are_passed_on_as_they_are(path: str, query: str | None, target: str) -> None:
    assert check_request("GET", path, query, None) == (target, None)


@pytest.mark.parametrize(
    "path",
    ["/v1/../../", "/v1/..", "/v1/./spool", "/v1/%2e%2e/x", "/v1/.%2E/x", "/v1/%252e%252e/x", "/v1/a%2f..%2fb", "/v1//evil",
     "/v1/a%5c..", "/v1/..\\x", "/v1/spool?x=1", "/v1/spool#x", "/v1/a\r\nb", "/v1/a%0d%0ab", "/v1/a%00", "/v1/..;/x",
     f"/v1/%{'25' * 1500}2e%2e"],
)  # fmt: skip
def test_paths_that_could_lead_out_are_refused(path: str) -> None:
    with pytest.raises(Fault, match="Invalid path, must stay inside the API"):
        check_request("GET", path, None, None)


@pytest.mark.parametrize(
    "path", ["//evil.example/v1/", "http://evil.example/v1/", "@evil.example/v1/", "", "/v1", "/V1/x"]
)
def test_paths_outside_the_version_are_refused(path: str) -> None:
    with pytest.raises(Fault, match="must start with the API version"):
        check_request("GET", path, None, None)


@given(path=st.text(max_size=40), query=st.none() | st.text(max_size=40))
def test_no_path_and_no_query_leads_elsewhere(path: str, query: str | None) -> None:
    try:
        target, _ = check_request("GET", f"/v1/{path}", query, None)
    except Fault as fault:
        assert fault.code == 400
        return
    url = URL(f"http://spoolman.local:7912/prefix/api{target}", encoded=True)
    assert (url.host, url.port, url.raw_fragment) == ("spoolman.local", 7912, "")
    assert url.raw_path.startswith("/prefix/api/v1/") and ".." not in unquote(url.raw_path).split("/")
    assert target.isascii() and target.isprintable() and " " not in target


@pytest.mark.parametrize(
    ("body", "content"),
    [(None, None), ({"a": "ü"}, '{"a":"ü"}'.encode()), ([1], b"[1]"), ('{"filament_id": 1}', b'{"filament_id": 1}')],
)
def test_a_body_is_sent_as_json(body: Any, content: bytes | None) -> None:
    assert check_request("POST", "/v1/spool", None, body)[1] == content


def test_a_body_that_is_too_long_is_refused() -> None:
    with pytest.raises(Fault, match="longer than 1000000 bytes"):
        check_request("POST", "/v1/spool", None, {"comment": "x" * 1_000_000})


def answer(status: int, reason: str, body: bytes) -> Answer:
    return Answer(status, reason, {"Content-Type": "application/json", "Set-Cookie": "session=1"}, body)


def test_success() -> None:
    ok = answer(200, "OK", b'{"id": 1}')
    assert shape(ok, v2=False) == {"id": 1}
    headers = {"Content-Type": "application/json"}
    assert shape(ok, v2=True) == {"response": {"id": 1}, "response_headers": headers, "error": None}
    assert shape(answer(204, "No Content", b""), v2=False) == {}


@pytest.mark.parametrize(
    ("got", "code", "v1", "v2"),
    [
        (answer(404, "Not Found", b'{"message":"No spool with ID 99 found."}'), 404, "No spool with ID 99 found.",
         "No spool with ID 99 found."),
        (answer(404, "Not Found", b'{"detail":"Not Found"}'), 404, "Not Found", "HTTP 404: Not Found"),
        (answer(422, "Unprocessable Entity", b'{"detail":[]}'), 422, "Unprocessable Entity",
         "HTTP 422: Unprocessable Entity"),
        (answer(503, "Service Unavailable", b"<html>"), 503, "Service Unavailable", "HTTP 503: Service Unavailable"),
        (answer(200, "OK", b"<html>"), 502, "Spoolman's answer is not JSON", "Spoolman's answer is not JSON"),
        (read_error(NotSent("refused")), 503, "Spoolman server not available", "Spoolman server not available"),
        (read_error(Late("no answer within 10 s")), 504, "Spoolman gave no answer within 10 s",
         "Spoolman gave no answer within 10 s"),
        (read_error(NoAnswer("cut")), 502, "Spoolman did not answer: cut", "Spoolman did not answer: cut"),
    ],
)  # fmt: skip
def test_failure(got: Answer | Fault, code: int, v1: str, v2: str) -> None:
    with pytest.raises(Fault) as failed:
        shape(got, v2=False)
    assert (failed.value.code, failed.value.message) == (code, v1)
    assert shape(got, v2=True) == {"response": None, "error": {"status_code": code, "message": v2}}


def test_a_redirect_is_a_failure() -> None:
    with pytest.raises(Fault, match="redirect") as failed:
        shape(answer(307, "Temporary Redirect", b""), v2=False)
    assert failed.value.code == 502
