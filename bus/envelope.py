"""What travels: the frames of a publication, a request and a reply. JSON only; bodies stay bytes until somebody reads them.

    publication  topic + NUL | {epoch, number, at, full} | body      NUL: subscriptions are prefixes, so a name must end
    request      {id, method, caller, deadline, begin_by} | params
    reply        {id, ok, code, caused}                  | result or message

`epoch` is the boot-time clock of the publisher's start in ns: it grows over restarts, whatever the wall clock does.
`number` counts per topic from 1. `deadline` is an absolute boot-time in seconds, the same clock for all processes.
"""

import time
from dataclasses import dataclass
from typing import Any

import orjson

TERMINATOR = b"\0"
Number = tuple[int, int]
"""(epoch, number): orders all messages of one topic."""


def boot_time_s() -> float:
    """Seconds since boot: one clock for all processes of the host, never set back."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def until_next(period_s: float) -> float:
    """Seconds until the boot clock shows a multiple of this period, at least half of it: what many timers of many
    processes are due for at one moment costs one wake-up each, not one for each timer."""
    left_s = period_s - boot_time_s() % period_s
    return left_s if left_s > period_s / 2 else left_s + period_s


@dataclass(frozen=True, slots=True)
class Message:
    """One publication. `at` is wall time in seconds; `full` marks a mirror's full copy."""

    topic: str
    epoch: int
    number: int
    at: float
    body: bytes
    full: bool = False

    @property
    def position(self) -> Number:
        return (self.epoch, self.number)

    @property
    def value(self) -> Any:
        return orjson.loads(self.body)

    def frames(self) -> list[bytes]:
        header = {"epoch": self.epoch, "number": self.number, "at": self.at, "full": self.full}
        return [self.topic.encode() + TERMINATOR, orjson.dumps(header), self.body]


def read_message(frames: list[bytes]) -> Message:
    """Raises ValueError for anything that is not a publication of ours."""
    try:
        topic, header, body = frames
        head = orjson.loads(header)
        return Message(
            topic.removesuffix(TERMINATOR).decode(), head["epoch"], head["number"], head["at"], body, head["full"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"not a publication: {error}") from error


@dataclass(frozen=True, slots=True)
class Request:
    """`deadline_at` is a boot-time in seconds, None for a call that may take for ever. One that reaches its owner after
    `begin_by`, because that hung, is not carried out all the same."""

    id: int
    method: str
    caller: str
    deadline_at: float | None
    params: dict[str, Any]
    begin_by: float | None = None

    def frames(self) -> list[bytes]:
        header = {"id": self.id, "method": self.method, "caller": self.caller, "deadline": self.deadline_at,
                  "begin_by": self.begin_by}  # fmt: skip
        return [orjson.dumps(header), orjson.dumps(self.params)]


def read_request(frames: list[bytes]) -> Request:
    """Raises ValueError for anything that is not a request of ours."""
    try:
        header, body = frames
        head, params = orjson.loads(header), orjson.loads(body)
        if not isinstance(params, dict):
            raise ValueError("params is not an object")
        return Request(head["id"], head["method"], head["caller"], head["deadline"], params, head["begin_by"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"not a request: {error}") from error


@dataclass(frozen=True, slots=True)
class Reply:
    """`body` is the result as JSON, or the error's message. `caused` names the publications the request led to."""

    id: int
    code: int
    body: bytes
    caused: tuple[tuple[str, int, int], ...] = ()

    @property
    def ok(self) -> bool:
        return self.code == 0

    @property
    def result(self) -> Any:
        return orjson.loads(self.body)

    def frames(self) -> list[bytes]:
        return [orjson.dumps({"id": self.id, "code": self.code, "caused": self.caused}), self.body]


def read_reply(frames: list[bytes]) -> Reply:
    """Raises ValueError for anything that is not a reply of ours."""
    try:
        header, body = frames
        head = orjson.loads(header)
        return Reply(head["id"], head["code"], body, tuple((t, e, n) for t, e, n in head["caused"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"not a reply: {error}") from error
