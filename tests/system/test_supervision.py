"""What our extension makes of the real supervisord: forks where that is possible, a reload, a start again at once."""

import re
from pathlib import Path

from bus.rundir import CHECKOUT
from bus.services import SERVICES
from tests.system.conftest import World, wait_for

COMMON_KB = 5_000
"""Less than what a fork has in common with supervisord, more than processes of their own have."""


def in_common_kb(pid: int) -> int:
    found = re.search(r"^Shared_Dirty: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
    assert found
    return int(found[1])


def test_services_are_forks_but_for_one_with_settings_of_its_own_and_come_back_after_a_reload(world: World) -> None:
    text = (CHECKOUT / "supervisord.conf").read_text()
    command = "command = python -m services.octo_shim\n"
    world.configure_supervisor(text.replace(command, f'{command}environment = PYTHONNODEBUGRANGES="1"\n'))
    world.start_simulators()
    world.up()
    world.ready()
    forked = {name for name, pid in world.pids().items() if in_common_kb(pid) > COMMON_KB}
    assert forked == set(SERVICES) - {"octo_shim"}
    for name, pid in world.pids().items():
        assert f"-m\0services.{name}" in Path(f"/proc/{pid}/cmdline").read_text().replace(" ", "\0")
    before = world.pids()
    world.ctl("reload")
    wait_for(lambda: set(pids := world.pids().values()).isdisjoint({0, *before.values()}) and pids, "all are new")
    world.ready()
    for name in ("notifier", "octo_shim"):
        world.kill(name)
        world.ready()
