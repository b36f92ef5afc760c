"""supervisord's loop wakes for signals and for whoever wakes it, and sleeps otherwise."""

import os
import select
import signal
from collections.abc import Iterator

import pytest

from moonbus.selfpipe import SelfPipe


@pytest.fixture
def sockets() -> Iterator[dict[int, object]]:
    """supervisord's map with our entry, attached."""
    before, handler = signal.set_wakeup_fd(-1), signal.signal(signal.SIGUSR1, lambda *_: None)
    sockets: dict[int, object] = {}
    pipe = SelfPipe()
    pipe.attach(sockets)
    yield sockets
    if sockets:
        pipe.detach(sockets)
    signal.signal(signal.SIGUSR1, handler)
    signal.set_wakeup_fd(before)


def entry(sockets: dict[int, object]) -> tuple[int, SelfPipe]:
    ((handle, pipe),) = sockets.items()
    assert isinstance(pipe, SelfPipe) and pipe.readable() and not pipe.writable()
    return handle, pipe


def awake(handle: int) -> bool:
    return bool(select.select([handle], [], [], 0)[0])


def test_a_signal_wakes_until_it_was_seen(sockets: dict[int, object]) -> None:
    handle, pipe = entry(sockets)
    assert not awake(handle)
    os.kill(os.getpid(), signal.SIGUSR1)
    assert awake(handle)
    pipe.handle_read_event()
    assert not awake(handle)
    pipe.handle_read_event()
    pipe.handle_error()


def test_many_wake_ups_are_one(sockets: dict[int, object]) -> None:
    handle, pipe = entry(sockets)
    for _ in range(100_000):
        pipe.wake()
    assert awake(handle)
    while awake(handle):
        pipe.handle_read_event()


def test_what_was_detached_leaves_nothing(sockets: dict[int, object]) -> None:
    handle, pipe = entry(sockets)
    pipe.detach(sockets)
    assert not sockets and signal.set_wakeup_fd(-1) == -1
    with pytest.raises(OSError):
        os.fstat(handle)
