"""An idle printer wears out no card."""

import time
from pathlib import Path

import pytest

from tests.system.conftest import World


def written(folders: list[Path]) -> dict[str, tuple[int, int]]:
    """Every file with its size and when it was changed, in ns."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


@pytest.mark.parametrize("idle_s", [8, pytest.param(600, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_idle_writes_nothing(world: World, idle_s: float) -> None:
    world.start_simulators()
    world.up()
    world.ready()
    world.post("/server/spoolman/spool_id", spool_id=1)
    time.sleep(2)  # what the start and the choice of a spool cause is written by then: the period is 1 s
    before = written([world.data])
    time.sleep(idle_s)
    assert written([world.data]) == before
    assert any(name.endswith("spoolman_sync.sqlite") for name in before)
