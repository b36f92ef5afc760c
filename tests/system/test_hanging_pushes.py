"""Push services that hang hold nobody else up: while all of them hang, everything else is answered."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import requests

from simulators.push_sink import PushSink
from tests.system.conftest import World, wait_for

HANGING = 32


@contextmanager
def hanging_sink(port: int) -> Iterator[PushSink]:
    """In a thread of its own, so that the test sees what has arrived."""
    sink = PushSink(port=port)
    sink.modes.update({f"/{number}": "hang" for number in range(HANGING)})
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(sink.start(), loop).result(10)
    try:
        yield sink
    finally:
        asyncio.run_coroutine_threadsafe(sink.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def test_thirty_two_pushes_that_hang_hold_up_no_download_upload_or_other_push(world: World) -> None:
    sections = [
        f"[notifier n{n}]\nurl: json://127.0.0.1:{world.ports['push']}/{n}?rto=15\nevents: *\n" for n in range(HANGING)
    ]
    config = world.data / "config" / "moonraker.conf"
    config.write_text(config.read_text() + "".join(sections))
    world.start_simulators()
    standing_in = world.processes.pop("push")
    standing_in.kill()
    standing_in.wait(5)
    with hanging_sink(world.ports["push"]) as sink:
        world.up()
        world.ready()
        (world.data / "gcodes" / "a.gcode").write_text("G28\nG1 X10 Y10 F6000\n")
        world.post("/printer/print/start", filename="a.gcode")
        wait_for(lambda: {p.path for p in sink.pushes} >= set(sink.modes), "every push hangs")
        assert "/phone" in {p.path for p in sink.pushes}, "the one that does not hang was told with the others"
        for number in range(5):
            content = b"; %d\n" % number * 100_000
            sent = requests.post(
                f"{world.base}/server/files/upload", files={"file": (f"{number}.gcode", content)}, timeout=10
            )
            assert sent.status_code == 201
            assert requests.get(f"{world.base}/server/files/gcodes/{number}.gcode", timeout=10).content == content
        rows = {row["name"]: row for row in world.get("/server/notifiers/status")["notifiers"]}
        assert all(rows[f"n{n}"]["sending"] == 1 and rows[f"n{n}"]["last_delivery"] is None for n in range(HANGING))
        assert rows["phone"]["last_delivery"] is not None
