"""The host's load and hardware: Moonraker's shapes, whatever the board lacks."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from bus.rundir import CHECKOUT
from services.gateway.machine import Machine

GOLDEN = CHECKOUT / "tests" / "golden" / "spoolman.jsonl"

INFO = {"cpu_info", "sd_info", "distribution", "virtualization", "network", "canbus", "python", "available_services",
        "service_state", "provider", "instance_ids"}  # fmt: skip
STATS = {"moonraker_stats", "throttled_state", "cpu_temp", "network", "system_cpu_usage", "system_uptime", "system_memory",
         "websocket_connections"}  # fmt: skip


def recorded() -> dict[str, Any]:
    for line in GOLDEN.read_text().splitlines():
        if '"notify_proc_stat_update"' in line:
            said = [
                n for n in json.loads(line)["response"]["notifications"] if n["method"] == "notify_proc_stat_update"
            ]
            return dict(said[0]["params"][0])
    raise AssertionError("no golden sample")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    now = {"monotonic": 100.0, "process": 5.0}
    monkeypatch.setattr(time, "monotonic", lambda: now["monotonic"])
    monkeypatch.setattr(time, "process_time", lambda: now["process"])
    return now


def board(folder: Path) -> tuple[Path, Path]:
    proc, sys = folder / "proc", folder / "sys"
    for path in (proc / "net", proc / "self", sys / "class/thermal/thermal_zone0"):
        path.mkdir(parents=True)
    (proc / "stat").write_text("cpu  10 0 10 80 0 0 0 0 0 0\ncpu0 10 0 10 80 0 0 0 0 0 0\nintr 5\n")
    (proc / "meminfo").write_text("MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 400 kB\n")
    (proc / "net/dev").write_text("head | er\nface |bytes\n  eth0: 1000 1 2 3 0 0 0 0 500 4 5 6 0 0 0 0\n")
    (proc / "self/statm").write_text("9 8 7\n")
    (sys / "class/thermal/thermal_zone0/temp").write_text("48312\n")
    return proc, sys


def test_a_sample_has_the_recorded_shape() -> None:
    golden, sample = recorded(), Machine(lambda: 1).sample()
    assert set(sample) == set(golden)
    for part in ("moonraker_stats", "system_memory"):
        assert set(sample[part]) == set(golden[part])
    assert set(sample["network"]["lo"]) == set(golden["network"]["lo"])
    assert {"cpu", "cpu0"} <= set(sample["system_cpu_usage"])
    json.dumps(sample)


def test_loads_are_means_since_the_last_sample(tmp_path: Path, clock: dict[str, float]) -> None:
    proc, sys = board(tmp_path)
    machine = Machine(lambda: 3, proc, sys)
    first = machine.sample()
    assert first["moonraker_stats"]["cpu_usage"] == 0.0 and first["network"]["eth0"]["bandwidth"] == 0.0
    assert first["system_cpu_usage"] == {"cpu": 0.0, "cpu0": 0.0}
    clock["monotonic"] += 2.0
    clock["process"] += 0.5
    (proc / "stat").write_text("cpu  40 0 10 150 0 0 0 0 0 0\ncpu0 40 0 10 150 0 0 0 0 0 0\n")
    (proc / "net/dev").write_text("  eth0: 2000 1 2 3 0 0 0 0 700 4 5 6 0 0 0 0\n")
    second = machine.sample()
    assert second["moonraker_stats"]["cpu_usage"] == 25.0
    assert second["system_cpu_usage"] == {"cpu": 30.0, "cpu0": 30.0}
    assert second["network"]["eth0"] == {"rx_bytes": 2000, "tx_bytes": 700, "rx_packets": 1, "tx_packets": 4, "rx_errs": 2,
                                         "tx_errs": 5, "rx_drop": 3, "tx_drop": 6, "bandwidth": 600.0}  # fmt: skip
    assert second["cpu_temp"] == 48.31 and second["websocket_connections"] == 3
    assert second["system_memory"] == {"total": 1000, "available": 400, "used": 600}
    stats = machine.proc_stats()
    assert set(stats) == STATS and len(stats["moonraker_stats"]) == 2 and stats["throttled_state"] is None


def test_an_old_measurement_is_no_answer(tmp_path: Path, clock: dict[str, float]) -> None:
    proc, sys = board(tmp_path)
    machine = Machine(lambda: 0, proc, sys)
    machine.sample()
    (proc / "meminfo").write_text("MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 300 kB\n")
    assert machine.proc_stats()["system_memory"]["available"] == 400
    clock["monotonic"] += 2.0
    machine.note()
    stats = machine.proc_stats()
    assert stats["system_memory"]["available"] == 300 and len(stats["moonraker_stats"]) == 2


def test_the_history_is_bounded(tmp_path: Path) -> None:
    machine = Machine(lambda: 0, *board(tmp_path))
    for _ in range(40):
        machine.sample()
    assert len(machine.proc_stats()["moonraker_stats"]) == 30


@pytest.mark.parametrize(
    "text", ["", "rubbish", "cpu a b c\ncpu0\n", "eth0: x y\n", "MemTotal:\nMemTotal: x\n", "\0" * 50, "12"]
)
def test_what_reads_otherwise_is_left_empty(tmp_path: Path, text: str) -> None:
    proc, sys = board(tmp_path)
    for path in (*proc.rglob("*"), *sys.rglob("*")):
        if path.is_file():
            path.write_text(text)
    (sys / "class/net").mkdir()
    machine = Machine(lambda: 0, proc, sys)
    machine.sample()
    assert set(machine.proc_stats()) == STATS and set(machine.system_info()["system_info"]) == INFO


def test_a_board_without_anything(tmp_path: Path) -> None:
    machine = Machine(lambda: 0, tmp_path / "proc", tmp_path / "sys")
    sample = machine.sample()
    assert sample["cpu_temp"] is None and sample["network"] == {} and sample["system_memory"] == {}
    info = machine.system_info()["system_info"]
    assert info["sd_info"] == {} and info["canbus"] == {} and info["cpu_info"]["total_memory"] is None


def test_a_raspberry_pi(tmp_path: Path) -> None:
    proc, sys = board(tmp_path)
    firmware = sys / "devices/platform/soc/soc:firmware"
    device = sys / "block/mmcblk0/device"
    can = sys / "class/net/can0"
    for folder in (firmware, device, can):
        folder.mkdir(parents=True)
    (firmware / "get_throttled").write_text("50005\n")
    (proc / "cpuinfo").write_text("processor : 0\n\nHardware\t: BCM2835\nSerial : 00ab\nModel : Raspberry Pi 4\n")
    for name, text in (("type", "SD"), ("manfid", "0x000003"), ("name", "SC32G"), ("serial", "0x1")):
        (device / name).write_text(f"{text}\n")
    (sys / "block/mmcblk0/size").write_text("62333952\n")
    (can / "type").write_text("280\n")
    (can / "tx_queue_len").write_text("128\n")
    machine = Machine(lambda: 0, proc, sys)
    throttled = machine.proc_stats()["throttled_state"]
    assert throttled["bits"] == 0x50005
    assert throttled["flags"] == ["Under-Voltage Detected", "Currently Throttled", "Previously Under-Volted",
                                  "Previously Throttled"]  # fmt: skip
    info = machine.system_info()["system_info"]
    assert info["cpu_info"]["model"] == "Raspberry Pi 4" and info["cpu_info"]["serial_number"] == "00ab"
    assert info["sd_info"]["product_name"] == "SC32G" and info["sd_info"]["total_bytes"] == 62333952 * 512
    assert info["canbus"]["can0"]["tx_queue_len"] == 128


def test_this_host() -> None:
    info = Machine(lambda: 0).system_info()["system_info"]
    assert set(info) == INFO and info["cpu_info"]["cpu_count"] >= 1 and info["cpu_info"]["total_memory"] > 0
    assert info["instance_ids"] == {"moonraker": "moonraker", "klipper": "klipper"}
    for interface in info["network"].values():
        assert set(interface) == {"mac_address", "ip_addresses"} and interface["ip_addresses"]
    json.dumps(info)
