"""Deaths and hangs on the way of a push: of a send, of the send worker, of the notifier itself."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bus.rundir import CHECKOUT
from bus.testing import eventually
from services.notifier import core, delivery, sender
from tests.process.notifier_world import FOREVER, World, run, workers


def test_a_send_that_never_ends_costs_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World) -> None:
        monkeypatch.setattr(delivery, "SEND_S", 2.0)
        monkeypatch.setattr(core, "RETRY_AFTER_S", (600.0,))
        await world.notifier(
            f"[notifier endless]\nurl: SINK/endless\nevents: started\nbody: {FOREVER}\n"
            "[notifier phone]\nurl: SINK/phone\nevents: *\n"
        )
        world.job("paused")
        await world.arrived("/phone")
        (first,) = workers(os.getpid())
        world.job("started")
        await eventually(lambda: [p["error"] for p in world.outbox["pending"]] == ["no outcome within 2 s"])
        await eventually(lambda: first not in workers(os.getpid()))
        world.job("complete")
        assert [p.message for p in await world.arrived("/phone", 3)] == ["paused", "started", "complete"]
        assert len(list((world.bus.data / "moonbus" / "sending").iterdir())) == 1

    run(scenario)


def test_a_killed_worker_costs_no_push(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World) -> None:
        monkeypatch.setattr(core, "RETRY_AFTER_S", (600.0,))
        world.sink.modes["/phone"] = "hang"
        node = await world.notifier("[notifier phone]\nurl: SINK/phone\nevents: *\n")
        world.job("started")
        await world.arrived("/phone")
        (worker,) = workers(os.getpid())
        assert os.getpriority(os.PRIO_PROCESS, worker) > os.getpriority(os.PRIO_PROCESS, 0), "Klipper goes first"
        world.sink.modes.clear()
        os.kill(worker, signal.SIGKILL)
        await world.arrived("/phone", 2)
        await eventually(lambda: not world.outbox["pending"] and not workers(os.getpid()))
        await node.close()

    run(scenario)


@contextmanager
def notifier_process(world: World, config: str) -> Iterator[subprocess.Popen[bytes]]:
    path = world.bus.data / "moonbus.conf"
    path.write_text(config.replace("SINK", world.sink.apprise_url))
    environment = {**os.environ, "MOONBUS_RUN": str(world.bus.run_dir.path), "MOONBUS_DATA": str(world.bus.data),
                   "MOONBUS_CONFIG": str(path)}  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", "services.notifier"], cwd=CHECKOUT, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait(5)


def exists(pid: int) -> bool:
    try:
        return b"services.notifier" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_notifier_that_dies_while_it_sends_sends_again(number: signal.Signals) -> None:
    async def scenario(world: World) -> None:
        config = "[notifier phone]\nurl: SINK/phone\nevents: *\n"
        world.sink.modes["/phone"] = "hang"
        with notifier_process(world, config) as process:
            await eventually(lambda: not world.gateway.silent("notifier"))
            world.job("started")
            await world.arrived("/phone")
            (worker,) = workers(process.pid)
            process.send_signal(number)
            assert await asyncio.to_thread(process.wait, 5) == (0 if number == signal.SIGTERM else -number)
            await eventually(lambda: not exists(worker))
        world.job("complete")
        world.sink.modes.clear()
        seen = len(world.posts("/phone"))
        with notifier_process(world, config) as process:
            await world.arrived("/phone", seen + 2)
            assert [p.message for p in world.posts("/phone")[seen:]] == ["started", "complete"]
            await eventually(lambda: not world.outbox["pending"])
            process.terminate()
            assert await asyncio.to_thread(process.wait, 5) == 0
        with notifier_process(world, config):
            world.job("error")
            await world.arrived("/phone", seen + 3)
        assert [p.message for p in world.posts("/phone")[seen:]] == ["started", "complete", "error"], "each once"

    run(scenario)


def test_an_idle_worker_ends_and_the_next_push_has_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World) -> None:
        monkeypatch.setattr(sender, "IDLE_S", 0.05)
        await world.notifier("[notifier phone]\nurl: SINK/phone\nevents: *\n")
        for count, event in enumerate(("started", "complete"), 1):
            world.job(event)
            await world.arrived("/phone", count)
            await eventually(lambda: not workers(os.getpid()))
        assert [p.message for p in world.posts("/phone")] == ["started", "complete"]

    run(scenario)


def test_the_notifier_itself_stays_small() -> None:
    script = "import sys, services.notifier.__main__; print(sorted({'apprise', 'aiohttp'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
