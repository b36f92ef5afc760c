"""What a G-code command acts on, and what a command is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from simulators.klipper.parser import Line
from simulators.klipper.printer import Printer


@dataclass
class Console:
    """What a command acts on. `respond` writes one line to all listeners. `call_remote` is False when nobody registered; with
    None for the parameters it only asks that."""

    printer: Printer
    gcodes_dir: Path
    respond: Callable[[str], None]
    call_remote: Callable[[str, dict[str, object] | None], bool]
    on_shutdown: Callable[[], None]

    def info(self, text: str) -> None:
        self.respond("\n".join(f"// {line}" for line in text.split("\n")))

    def shutdown(self, message: str, now: float) -> None:
        if self.printer.state != "shutdown":
            self.printer.shutdown(message, now)
            self.respond("// Klipper state: Shutdown")
            self.on_shutdown()


Handler = Callable[[Console, Line, float], float]
"""Changes the printer at `now` and returns how many seconds the command holds the G-code mutex. GcodeError = refused."""


class Command(NamedTuple):
    handler: Handler
    help: str
