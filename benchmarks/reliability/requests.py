"""What a request may do that it should not."""

from pathlib import Path

import aiohttp

from benchmarks.reliability.pushes import notifier
from benchmarks.reliability.rig import SPOOL, rig
from benchmarks.reliability.systems import Peer
from benchmarks.reliability.table import Cell, Pace, Row, both

TOKEN = "s3cr3t-t0ken"


async def upload_beside_the_root(peer: Peer, pace: Pace) -> Cell:
    async with rig(peer) as made:
        outside = made.data / "gcodes_evil"
        outside.mkdir()
        form = aiohttp.FormData(quote_fields=False)
        form.add_field("file", b"G28\n", filename="../gcodes_evil/x.gcode")
        async with made.session.post(f"{made.system.base}/server/files/upload", data=form) as answer:
            status = answer.status
        written = (outside / "x.gcode").exists()
        return Cell(f"{status}, {'written outside' if written else 'nothing outside'}", not written)


async def body_that_is_no_json(peer: Peer, pace: Pace) -> Cell:
    async with rig(peer) as made:
        status, _ = await made.system.post("/server/spoolman/spool_id", b'{"spool_id": 1')
        active = (await made.system.get("/server/spoolman/spool_id"))["result"]["spool_id"]
        return Cell(f"{status}, the spool {'stays' if active == SPOOL else 'is unset'}", active == SPOOL)


async def token_in_a_url(peer: Peer, pace: Pace) -> Cell:
    url = f"json://user:{TOKEN}@127.0.0.1:9/x"
    async with rig(peer, notifier("first", url=url)) as made:
        listed = str(await made.system.get("/server/notifiers/list"))
        return Cell("readable by every client" if TOKEN in listed else "masked", TOKEN not in listed)


async def bearer(peer: Peer, pace: Pace) -> Cell:
    async with rig(peer) as made:
        key = (await made.system.get("/access/api_key"))["result"]
        headers = {"Authorization": f"Bearer {key}"}
        async with made.session.get(f"{made.system.base}/printer/info", headers=headers) as answer:
            status = answer.status
        logged = any(key in path.read_text(errors="replace") for path in _logs(made.data))
        return both(
            Cell(f"answers {status}", status == 200),
            Cell("the key is in the log" if logged else "not logged", not logged),
        )


def _logs(data: Path) -> list[Path]:
    return [path for path in data.rglob("*.log*") if path.is_file()]


ROWS = (
    Row("an upload named `../gcodes_evil/x.gcode`", upload_beside_the_root),
    Row("a spool is set with a body that is not JSON", body_that_is_no_json),
    Row("a token in a notifier's `url`", token_in_a_url),
    Row("`Authorization: Bearer` with the API key", bearer),
)
