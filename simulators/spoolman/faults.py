"""Failures on request: which requests go wrong, how, and how often. Pure."""

import re
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["status", "not_json", "cut", "hang", "delay", "drop_reply", "late_reply"]


@dataclass
class Fault:
    """What happens to requests whose method and path (regular expressions, searched) match.

    | kind | executed | the client sees |
    |---|---|---|
    | status | no | `status` with `body` as JSON |
    | not_json | no | `status` with an HTML page |
    | cut | no | the connection closed |
    | hang | no | nothing, until the server stops |
    | delay | after `delay_s`, also when the client has gone | the answer, late |
    | drop_reply | yes | the connection closed |
    | late_reply | yes, at once | the answer after `delay_s` |

    `times` is how many requests it hits; None = all, until it is removed from the list.
    """

    kind: Kind
    method: str = ""
    path: str = ""
    status: int = 503
    delay_s: float = 0.0
    times: int | None = 1
    body: Any = field(default_factory=lambda: {"message": "injected"})

    def matches(self, method: str, path: str) -> bool:
        return bool(re.search(self.method, method) and re.search(self.path, path))


def take_fault(faults: list[Fault], method: str, path: str) -> Fault | None:
    """The first fault for this request. It is counted, and removed when it is used up."""
    for fault in faults:
        if fault.matches(method, path):
            if fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    faults.remove(fault)
            return fault
    return None
