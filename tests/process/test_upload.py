"""Uploads as clients send them: recorded exchanges, fields in any order, refusals."""

import json
import os
import re
from typing import Any

import pytest

from bus.errors import Fault
from bus.rundir import CHECKOUT
from services.gateway.files import TEMPORARY
from tests.process.upload_bench import MULTIPART, Bench, form, run

GOLDEN = CHECKOUT / "tests" / "golden" / "upload.jsonl"

BETTER = {
    "name with dirs": 201,  # a 500 there
    "traversal sibling": 400,  # a 500 there
    "root docs": 400,  # no root of ours
    "fake ufp": 400,  # a 201 without a file there
    "not multipart": 400,
    "bad boundary": 400,
    "no boundary": 400,
}
"""Where we answer otherwise than the recording, by the end of its id."""


def recorded() -> list[Any]:
    lines = [json.loads(line) for line in GOLDEN.read_text().splitlines()]
    return [r for r in lines if r["request"]["method"] == "POST" and "_raw" in (r["request"]["body"] or {})]


def test_recorded_uploads_get_the_recorded_answers() -> None:
    exchanges = recorded()
    assert len(exchanges) > 50

    async def scenario(bench: Bench) -> None:
        for exchange in exchanges:
            request, golden, name = exchange["request"], exchange["response"], exchange["id"]
            bench.printing = "p1.gcode" if exchange["state"] == "printing" else None
            body = request["body"]["_raw"].encode("latin-1")
            status, answer, headers = await bench.post(body, request["path"], request["headers"])
            better = next((code for end, code in BETTER.items() if name.endswith(end)), None)
            assert status == (better or golden["status"]), name
            if status != 201:
                assert answer["error"]["code"] == status and answer["error"]["message"], name
                continue
            result = answer.pop("result")
            if better is None:
                golden["body"]["item"]["modified"] = answer["item"]["modified"]
                assert answer == golden["body"], name
                host = bench.url.removeprefix("http://")
                assert headers["Location"] == golden["headers"]["Location"].replace("127.0.0.1:7125", host), name
            assert result == {"print_started": False, "print_queued": False, **answer}
        assert bench.started == ["p1.gcode", "p1.gcode"]
        assert not any(TEMPORARY in name for name in bench.left())
        assert (bench.gcodes / "a" / "b" / "c.gcode").exists() and (bench.gcodes / "ünï täst.gcode").exists()

    run(scenario)


def test_fields_in_any_order_and_both_announcements() -> None:
    async def scenario(bench: Bench) -> None:
        for first in (True, False):
            status, answer, headers = await bench.post(form(first=first, root="gcodes", path="/sub/ä/", print="true"))
            assert status == 201 and answer["item"]["path"] == "sub/ä/a.gcode" and answer["print_started"] is True
            assert headers["Location"].endswith("/server/files/gcodes/sub/%C3%A4/a.gcode")
        assert bench.announced == [("create_file", "sub/ä/a.gcode"), ("modify_file", "sub/ä/a.gcode")]
        status, answer, _ = await bench.post(form("printer.cfg", "[mcu]\n", root="config", print="true"))
        assert status == 201 and "print_started" not in answer and answer["result"]["print_started"] is False
        assert (bench.config / "printer.cfg").read_text() == "[mcu]\n"
        assert bench.started == ["sub/ä/a.gcode"] * 2
        assert (bench.gcodes / "sub" / "ä" / "a.gcode").stat().st_mode & 0o777 == 0o666 & ~_umask()

    run(scenario)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize(
    ("body", "code", "names"),
    [
        (form("../up.gcode"), 400, "path"),
        (form(path="../config"), 400, "path"),
        (form("a\\b.gcode"), 400, "path"),
        (form(".profile.gcode"), 403, "dot"),
        (form(path=".git"), 403, "dot"),
        (form("x" * 256 + ".gcode"), 400, "255"),
        (form("a\tb.gcode"), 400, "control"),
        (form(root="logs"), 403, "reading"),
        (form(root="etc"), 400, "root"),
        (form(checksum="12"), 422, "checksum"),
        (form(path="\udcff".encode("utf-8", "surrogateescape").decode("latin-1")).replace("ÿ".encode(), b"\xff"), 400, "UTF-8"),
        (form(path="x" * 5000), 400, "4096"),
        (form(path="a.gcode"), 400, "folder"),
        (form("folder"), 400, "folder"),
        (form()[:-4], 400, "closing boundary"),
        (form()[:-40], 400, "closing boundary"),
        (form().replace(b"--golden-boundary--", b"") + form("b.gcode"), 400, "one by one"),
        (b"", 400, "closing boundary"),
    ],
)  # fmt: skip
def test_refusals_say_why_and_leave_nothing(body: bytes, code: int, names: str) -> None:
    async def scenario(bench: Bench) -> None:
        (bench.gcodes / "folder").mkdir()
        (bench.gcodes / "a.gcode").write_text("old")
        status, answer, _ = await bench.post(body)
        assert status == code and names in answer["error"]["message"]
        assert bench.left() == ["gcodes/a.gcode"] and not bench.announced
        assert (bench.gcodes / "a.gcode").read_text() == "old"

    run(scenario)


def test_the_printing_file_is_not_replaced_by_any_of_its_names() -> None:
    async def scenario(bench: Bench) -> None:
        target = bench.gcodes / "sub" / "a.gcode"
        target.parent.mkdir()
        target.write_text("old")
        (bench.gcodes / "alias.gcode").symlink_to(target)
        bench.printing = "sub/a.gcode"
        for body in (form(path="sub"), form("alias.gcode"), form("sub/a.gcode")):
            status, answer, _ = await bench.post(body)
            assert status == 403 and "being printed" in answer["error"]["message"]
        status, answer, _ = await bench.post(form("b.gcode", print="true"))
        assert status == 201 and answer["print_started"] is False and not bench.started
        assert target.read_text() == "old"

    run(scenario)


@pytest.mark.parametrize(
    ("busy", "queued"), [(Fault(503, "away"), False), (Fault(400, "SD busy"), False), (Fault(504, "late"), True)]
)
def test_a_print_that_does_not_start_is_an_upload_all_the_same(busy: Fault, queued: bool) -> None:
    async def scenario(bench: Bench) -> None:
        bench.busy = busy
        status, answer, _ = await bench.post(form(print="true"), "/api/files/local")
        assert status == 201 and (answer["print_started"], answer["print_queued"]) == (False, queued)

    run(scenario)


def test_a_host_that_is_none_is_not_repeated() -> None:
    async def scenario(bench: Bench) -> None:
        for host in ("evil.com/<script>", "ü"):
            _, answer, headers = await bench.post(form(), headers={**MULTIPART, "Host": host})
            assert re.fullmatch(r"http://localhost/server/files/gcodes/a\.gcode", headers["Location"]), answer

    run(scenario)
