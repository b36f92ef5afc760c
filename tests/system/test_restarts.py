"""One service restarts under a load of reads, and no reader sees an error."""

import threading
from collections import Counter

import pytest
import requests

from tests.system.conftest import World, wait_for

READS = (
    "/server/info",
    "/server/notifiers/list",
    "/server/spoolman/status",
    "/server/spoolman/spool_id",
    "/printer/info",
    "/printer/objects/list",
    "/printer/objects/query?print_stats",
    "/printer/objects/query?idle_timeout",
    "/printer/gcode/help",
    "/api/version",
    "/api/server",
    "/api/printer",
    "/api/job",
    "/api/settings",
)
PROXIED = {"request_method": "GET", "path": "/v1/spool/1"}


class Readers:
    """One thread for each read, as fast as the answers come, until `stop()`."""

    def __init__(self, base: str) -> None:
        self.answered: Counter[str] = Counter()
        self.failures: list[str] = []
        self._base = base
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._read, args=(path,)) for path in (*READS, "proxy")]
        for thread in self._threads:
            thread.start()

    def _read(self, path: str) -> None:
        with requests.Session() as session:
            while not self._over.is_set():
                try:
                    if path == "proxy":
                        answer = session.post(f"{self._base}/server/spoolman/proxy", json=PROXIED, timeout=15)
                    else:
                        answer = session.get(f"{self._base}{path}", timeout=15)
                except requests.RequestException as error:
                    self.failures.append(f"{path}: {error}")
                else:
                    self.answered[path] += 1
                    if not answer.ok:
                        self.failures.append(f"{path}: {answer.status_code} {answer.text[:200]}")
                self._over.wait(0.02)

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)


@pytest.mark.parametrize("service", ["klipper_bridge", "notifier", "spoolman_sync", "octo_shim"])
def test_a_restart_under_reads_costs_no_request(world: World, service: str) -> None:
    world.start_simulators()
    world.up()
    world.ready()
    readers = Readers(world.base)
    try:
        wait_for(lambda: len(readers.answered) == len(READS) + 1, "each read is answered")
        assert f"{service}: started" in world.ctl("restart", service)
        world.ready()
        seen = Counter(readers.answered)
        wait_for(lambda: all(n > seen[path] for path, n in readers.answered.items()), "each read is answered again")
    finally:
        readers.stop()
    assert readers.failures == []


def test_what_must_not_happen_twice_fails_at_once(world: World) -> None:
    """G-code is neither kept for a bridge that is down nor sent again."""
    world.start_simulators()
    world.up()
    world.ready()
    world.ctl("stop", "klipper_bridge")
    refused = world.post("/printer/gcode/script", script="G28\nM83\nG1 E5 F300")
    assert refused.status_code == 503
    assert refused.json()["error"]["message"] == "klipper_bridge is not running"
    world.ctl("start", "klipper_bridge")
    world.ready()
    assert world.get("/printer/objects/query?toolhead=position")["status"]["toolhead"]["position"][3] == 0.0
    assert world.post("/printer/gcode/script", script="G28\nM83\nG1 E5 F300").ok
    wait_for(
        lambda: world.get("/printer/objects/query?toolhead=position")["status"]["toolhead"]["position"][3] == 5.0,
        "moved",
    )
