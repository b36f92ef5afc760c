"""The host: what it is (`system_info`) and how busy (`proc_stats`), from /proc and /sys.

Boards differ: each source that is missing or reads otherwise leaves its value empty, never an error.
"""

import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from services.gateway.hardware import read, system_info

SAMPLES = 30
NETWORK_FIELDS = (("rx_bytes", 0), ("tx_bytes", 8), ("rx_packets", 1), ("tx_packets", 9), ("rx_errs", 2), ("tx_errs", 10),
                  ("rx_drop", 3), ("tx_drop", 11))  # fmt: skip
"""Columns of /proc/net/dev, in the order clients see them."""

THROTTLED = {0: "Under-Voltage Detected", 1: "Frequency Capped", 2: "Currently Throttled", 3: "Temperature Limit Active",
             16: "Previously Under-Volted", 17: "Previously Frequency Capped", 18: "Previously Throttled",
             19: "Previously Temperature Limited"}  # fmt: skip
"""Bits of a Raspberry Pi's throttled state."""


FRESH_S = 1.5
"""Age up to which the last measurement is an answer."""


class Machine:
    """`websocket_count()` is what `websocket_connections` shows. `proc` and `sys` stand for /proc and /sys."""

    def __init__(
        self, websocket_count: Callable[[], int], proc: Path = Path("/proc"), sys: Path = Path("/sys")
    ) -> None:
        self._websocket_count = websocket_count
        self._proc = proc
        self._sys = sys
        self._stats: deque[dict[str, Any]] = deque(maxlen=SAMPLES)
        self._noted_at = 0.0
        self._own_cpu_s = 0.0
        self._measured_at = 0.0
        self._idle: dict[str, tuple[int, int]] = {}
        self._transferred: dict[str, int] = {}
        self._last: dict[str, Any] = {}

    def system_info(self) -> dict[str, Any]:
        """Blocks for some milliseconds."""
        return {"system_info": system_info(self._proc, self._sys)}

    def proc_stats(self) -> dict[str, Any]:
        """The host's load now, with the history of this process's own."""
        if not self._stats:
            self.note()
        if not self._last or time.monotonic() - self._measured_at > FRESH_S:
            self._measure()
        last = self._last
        return {
            "moonraker_stats": list(self._stats),
            "throttled_state": self._throttled(),
            "cpu_temp": last["cpu_temp"],
            "network": last["network"],
            "system_cpu_usage": last["system_cpu_usage"],
            "system_uptime": time.clock_gettime(time.CLOCK_BOOTTIME),
            "system_memory": last["system_memory"],
            "websocket_connections": self._websocket_count(),
        }

    def note(self) -> None:
        """This process's own load, in percent since the note before this one: for the history."""
        now, own_cpu_s = time.monotonic(), time.process_time()
        elapsed_s = _since(self._noted_at, now)
        load = round(100 * (own_cpu_s - self._own_cpu_s) / elapsed_s, 2) if elapsed_s else 0.0
        self._noted_at, self._own_cpu_s = now, own_cpu_s
        self._stats.append({"time": time.time(), "cpu_usage": load, "memory": self._own_memory(), "mem_units": "kB"})

    def sample(self) -> dict[str, Any]:
        """Measures: the parameter of notify_proc_stat_update. Loads are means since the sample before this one, in
        percent; bandwidth is bytes per second, both ways."""
        self.note()
        return {"moonraker_stats": self._stats[-1], **self._measure()}

    def _measure(self) -> dict[str, Any]:
        now = time.monotonic()
        elapsed_s = _since(self._measured_at, now)
        self._measured_at = now
        self._last = {
            "cpu_temp": self._temperature(),
            "network": self._network(elapsed_s),
            "system_cpu_usage": self._cpu_usage(),
            "system_memory": self._memory(),
            "websocket_connections": self._websocket_count(),
        }
        return self._last

    def _own_memory(self) -> int | None:
        pages = read(self._proc / "self" / "statm").split()
        if len(pages) < 2 or not pages[1].isdecimal():
            return None
        return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") // 1024

    def _temperature(self) -> float | None:
        text = read(self._sys / "class/thermal/thermal_zone0/temp").strip()
        return round(int(text) / 1000, 2) if text.lstrip("-").isdecimal() else None

    def _throttled(self) -> dict[str, Any] | None:
        for path in self._sys.glob("devices/platform/soc*/soc*:firmware/get_throttled"):
            try:
                bits = int(read(path).strip(), 16)
            except ValueError:
                continue
            return {"bits": bits, "flags": [text for bit, text in THROTTLED.items() if bits >> bit & 1]}
        return None

    def _network(self, elapsed_s: float) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for line in read(self._proc / "net/dev").splitlines():
            name, colon, rest = line.partition(":")
            columns = rest.split()
            if not colon or len(columns) < 12 or not all(column.isdecimal() for column in columns):
                continue
            values: dict[str, Any] = {field: int(columns[column]) for field, column in NETWORK_FIELDS}
            total = values["rx_bytes"] + values["tx_bytes"]
            before = self._transferred.get(name.strip(), total)
            values["bandwidth"] = round(max(0, total - before) / elapsed_s, 2) if elapsed_s else 0.0
            self._transferred[name.strip()] = total
            found[name.strip()] = values
        return found

    def _cpu_usage(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for line in read(self._proc / "stat").splitlines():
            name, *columns = line.split()
            if not name.startswith("cpu"):
                break
            if len(columns) < 5 or not all(column.isdecimal() for column in columns):
                continue
            ticks = [int(column) for column in columns[:8]]
            idle, total = ticks[3] + ticks[4], sum(ticks)
            before = self._idle.get(name, (idle, total))
            passed = total - before[1]
            found[name] = round(min(100.0, max(0.0, 100 * (1 - (idle - before[0]) / passed))), 2) if passed > 0 else 0.0
            self._idle[name] = (idle, total)
        return found

    def _memory(self) -> dict[str, int]:
        values = {}
        for line in read(self._proc / "meminfo").splitlines()[:3]:
            name, _, rest = line.partition(":")
            if rest.split()[:1] and rest.split()[0].isdecimal():
                values[name] = int(rest.split()[0])
        if "MemTotal" not in values or "MemAvailable" not in values:
            return {}
        total, available = values["MemTotal"], values["MemAvailable"]
        return {"total": total, "available": available, "used": total - available}


def _since(before: float, now: float) -> float:
    """Seconds, 0.0 where there is no before."""
    return max(now - before, 1e-3) if before else 0.0
