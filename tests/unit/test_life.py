"""The mark of a process's life, on disks of all kinds."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.life import NO_GOODBYE, Life
from bus.rundir import RunDir


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[int]:
    handle = os.open(tmp_path / "service.lock", os.O_RDWR | os.O_CREAT)
    yield handle
    os.close(handle)


def test_an_end_is_told_to_the_next_process_unless_it_was_clean(mark: int) -> None:
    first, second, third = Life(mark), Life(mark), Life(mark)
    assert first.begin() is None
    before = second.begin()
    assert before is not None and (before.pid, before.reason) == (os.getpid(), NO_GOODBYE)
    second.tell("it hung " + "é" * 1000)
    second.end()
    before = third.begin()
    assert before is not None and before.reason.startswith("it hung é")
    third.end()
    assert Life(mark).begin() is None


def test_a_full_disk_takes_the_end_of_a_process_that_it_took_the_start_of(mark: int) -> None:
    life = Life(mark)
    life.begin()
    blocks = os.fstat(mark).st_size
    life.tell("it hung")
    life.end()
    assert os.fstat(mark).st_size == blocks


def test_a_disk_that_refuses_keeps_no_process_from_starting_or_ending() -> None:
    handle = os.open("/dev/full", os.O_RDWR)
    try:
        life = Life(handle)
        life.begin()
        life.tell("it hung")
        life.end()
    finally:
        os.close(handle)


def test_a_run_directory_that_is_private_is_not_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    RunDir(tmp_path / "run")
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700

    def refuse(*_: object) -> None:
        raise OSError("Read-only file system")

    monkeypatch.setattr(Path, "chmod", refuse)
    RunDir(tmp_path / "run")
