"""Push services in virtual time, and what each of them really got."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson

from services.notifier.core import Outcome
from tests.simulation.clock import LIFE, Life, VirtualLoop, is_dead

FAULTS = ("500", "cut", "hang after", "hang before", "worker died after", "worker died before")
HANG_S = 20.0


def key_of(context: Any) -> bytes:
    """What tells one event from another in a message."""
    return orjson.dumps([context["event_name"], context["event_args"], context["event_message"]])


@dataclass
class Attempt:
    """One send: what the target did, and what the notifier was told, and whether it could write that down at once."""

    target: str
    key: bytes
    life: Life | None
    number: int
    delivered: bool = False
    result: str = ""
    told_at: float = -1.0
    on_full_disk: bool = False


class Pushes:
    """`faults` by target: the kinds of trouble it has at the moment; an attempt meets one with `trouble` probability."""

    def __init__(
        self, loop: VirtualLoop, random: Random, tell: Callable[[str], None], disk_is_full: Callable[[], bool]
    ) -> None:
        self.loop = loop
        self.random = random
        self.tell = tell
        self.disk_is_full = disk_is_full
        self.faults: dict[str, tuple[str, ...]] = {}
        self.attempts: list[Attempt] = []

    async def push(self, job: dict[str, Any], deadline_s: float) -> Outcome:
        attempt = Attempt(job["url"], key_of(job["context"]), LIFE.get(), len(self.attempts))
        self.attempts.append(attempt)
        fault = self.random.choice(self.faults.get(attempt.target) or ("",))
        attempt.delivered = fault in ("", "hang after", "worker died after")
        did = f"{fault or 'ok'}{', delivered' if attempt.delivered and fault else ''}"
        self.tell(f"{attempt.target} gets {job['context']['event_name']}: {did}")
        await asyncio.sleep(min(deadline_s, HANG_S) if fault.startswith("hang") else self.random.uniform(0.01, 0.4))
        result = "unknown" if fault.startswith("hang") else "sent" if not fault else "failed"
        attempt.result, attempt.told_at, attempt.on_full_disk = result, self.loop.now, self.disk_is_full()
        return Outcome(result, fault)


class Sender:
    """In place of services.notifier.sender.Sender."""

    pushes: Pushes

    def __init__(self, *_: Any) -> None:
        """Nothing is started."""

    async def send(self, job: dict[str, Any], deadline_s: float = HANG_S) -> Outcome:
        if is_dead():
            return Outcome("failed", "the process is gone")
        return await self.pushes.push(job, deadline_s)

    async def close(self) -> None:
        """Nothing to do."""
