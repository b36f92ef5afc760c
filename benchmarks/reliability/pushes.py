"""Does every push arrive, and does one that does not hold up anything else?"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import aiohttp

from benchmarks.reliability.rig import Rig, rig
from benchmarks.reliability.systems import Peer
from benchmarks.reliability.table import Cell, Pace, Row, both
from simulators.push_sink import Mode, Push

PATIENCE_S = 60.0
HANG_S = 30.0
SLOW_S = 1.0
"""An upload or download of a megabyte takes some milliseconds."""
MEGABYTE = b"; a line of G-code \n" * 50_000


def notifier(name: str, url: str = "", body: str = "{event_name}", more: str = "") -> str:
    return f"[notifier {name}]\nurl: {url or '{sink}/' + name}\nevents: *\nbody: {body}\n{more}"


def is_start(name: str) -> Callable[[Push], bool]:
    return lambda push: push.path == f"/{name}" and push.mode == "ok" and push.message == "started"


async def arrives(made: Rig, name: str, within_s: float = PATIENCE_S) -> float | None:
    """When the start of the print reached a target that took it, epoch seconds; None: not in time."""
    with suppress(TimeoutError):
        return (await made.sink.wait_for(is_start(name), within_s)).time
    return None


async def one_hangs(peer: Peer, pace: Pace) -> Cell:
    async with rig(peer, notifier("first") + notifier("second")) as made:
        made.sink.modes["/first"] = "hang"
        await made.start_print("boat.gcode", 300.0)
        hanging = await made.sink.wait_for(lambda push: push.path == "/first", PATIENCE_S)
        second = await arrives(made, "second")
        await asyncio.sleep(HANG_S)
        made.sink.modes["/first"] = "ok"
        late_s = None if second is None else max(0.0, second - hanging.time)
        shown = "never" if late_s is None else f"{late_s:.1f} s late"
        return both(
            Cell(f"the next one is {shown}", late_s is not None and late_s < SLOW_S), await _delivered(made, "first")
        )


def one_fails(mode: Mode) -> Callable[[Peer, Pace], Awaitable[Cell]]:
    async def play(peer: Peer, pace: Pace) -> Cell:
        async with rig(peer, notifier("first")) as made:
            made.sink.modes["/first"] = mode
            status, _ = await made.system.post("/debug/notifiers/test", {"name": "first"})
            await made.start_print("boat.gcode", 300.0)
            await made.sink.wait_for(lambda push: push.path == "/first" and push.message == "started", PATIENCE_S)
            await asyncio.sleep(3.0)
            made.sink.modes["/first"] = "ok"
            says = "success" if status == 200 else f"failure ({status})"
            return both(await _delivered(made, "first"), Cell(f"a test call says {says}", status != 200))

    return play


async def _delivered(made: Rig, name: str) -> Cell:
    delivered = await arrives(made, name) is not None
    return Cell("it is delivered when the target works again" if delivered else "its push is lost", delivered)


async def bad_template(peer: Peer, pace: Pace) -> Cell:
    async with rig(peer, notifier("first", body="{1 // 0}") + notifier("second")) as made:
        await made.start_print("boat.gcode", 100.0)
        arrived = await arrives(made, "second", 15.0) is not None
        return Cell(f"the next one {'gets its push' if arrived else 'gets nothing'}", arrived)


async def attachment(peer: Peer, pace: Pace) -> Cell:
    more = "attach: http://127.0.0.1:9/snapshot.jpg\n"
    async with rig(peer, notifier("first", more=more)) as made:
        async with made.session.get(f"{made.system.base}/server/notifiers/list") as answer:
            http = answer.status
        listed = await _list_by_websocket(made)
        text = f"HTTP {http}, websocket {'answers' if listed else 'never answers'}"
        return Cell(text, http == 200 and listed)


async def _list_by_websocket(made: Rig) -> bool:
    async with made.session.ws_connect(f"{made.system.base}/websocket") as client:
        await client.send_json({"jsonrpc": "2.0", "method": "server.notifiers.list", "id": 1})
        with suppress(TimeoutError):
            async with asyncio.timeout(10.0):
                while True:
                    message = await client.receive_json()
                    if message.get("id") == 1:
                        return "result" in message
    return False


def many_hang(count: int) -> Row:
    """How long a download or an upload takes at the most while that many pushes hang, all asked for by one macro."""

    async def play(peer: Peer, pace: Pace) -> Cell:
        targets = [f"target{number}" for number in range(count)]
        async with rig(peer, "".join(notifier(name) for name in targets)) as made:
            made.sink.modes.update({f"/{name}": "hang" for name in targets})
            (made.data / "gcodes" / "big.gcode").write_bytes(MEGABYTE)
            calm_s = await _slowest(made, 3.0)
            await made.klipper.run_script("\n".join(f"NOTIFY NAME={name} MSG=hello" for name in targets))
            await made.sink.wait_for(lambda push: push.mode == "hang", PATIENCE_S)
            worst_s = await _slowest(made, 15.0)
            return Cell(f"{worst_s:.2f} s at the most (before: {calm_s:.2f} s)", worst_s < SLOW_S)

    return Row(f"{count} pushes hang: a download or upload of 1 MB by somebody else", play, alone=True)


async def _slowest(made: Rig, for_s: float) -> float:
    """Of downloads and uploads one after the other, s."""
    end, slowest = time.monotonic() + for_s, 0.0
    while time.monotonic() < end:
        began = time.monotonic()
        async with made.session.get(f"{made.system.base}/server/files/gcodes/big.gcode") as answer:
            assert await answer.read() == MEGABYTE
        form = aiohttp.FormData()
        form.add_field("file", MEGABYTE, filename="other.gcode")
        middle = time.monotonic()
        async with made.session.post(f"{made.system.base}/server/files/upload", data=form) as answer:
            assert answer.status == 201, await answer.text()
        slowest = max(slowest, middle - began, time.monotonic() - middle)
        await asyncio.sleep(0.05)
    return slowest


ROWS = (
    Row("a target hangs for 30 s", one_hangs),
    Row("a target answers 500 for some seconds", one_fails("error")),
    Row("a target cuts the connection for some seconds", one_fails("cut")),
    Row("a notifier's template fails", bad_template),
    Row("a notifier with `attach`: the list of notifiers", attachment),
    many_hang(8),
    many_hang(16),
    many_hang(32),
)
