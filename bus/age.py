"""How old a thing is that was written down. The wall clock may have been set since then; seconds since boot were not, and count
while the machine runs. What was written before a reboot has nothing but the wall clock."""

import time
from dataclasses import dataclass
from functools import cache

from bus.envelope import boot_time_s
from bus.life import BOOT_ID


@dataclass(frozen=True, slots=True)
class Moment:
    """`at` is wall time, `boot_s` seconds since the boot named `boot_id`, which is "" where nobody knows."""

    at: float
    boot_id: str = ""
    boot_s: float = 0.0

    @classmethod
    def now(cls) -> "Moment":
        return cls(time.time(), _boot_id(), boot_time_s())

    def age_s(self, now: "Moment") -> float:
        """Never negative."""
        if self.boot_id == now.boot_id:
            return max(0.0, now.boot_s - self.boot_s)
        return max(0.0, now.at - self.at)


@cache
def _boot_id() -> str:
    return BOOT_ID.read_text().strip()
