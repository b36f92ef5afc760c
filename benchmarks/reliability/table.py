"""The rows of the table, and the table. Pure."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from benchmarks.reliability.systems import Peer

EXACT_MM = 0.05
TICK_MM = 1.5
"""What an extruder pushes at 5 mm/s between two of Klipper's updates: who is killed in between tells nobody."""


@dataclass(frozen=True)
class Pace:
    """How long the faults last, in seconds."""

    outage_s: float = 30.0
    late_s: float = 60.0
    frozen_s: float = 90.0
    away_s: float = 5.0


QUICK = Pace(outage_s=12.0, late_s=30.0, frozen_s=40.0, away_s=5.0)


@dataclass(frozen=True)
class Cell:
    """What was measured; `right`: nothing was lost, doubled or blocked."""

    text: str
    right: bool


@dataclass(frozen=True)
class Row:
    """`alone`: its times mean something only while nothing else runs."""

    what: str
    play: Callable[[Peer, Pace], Awaitable[Cell]]
    alone: bool = False


def filament(extruded_mm: float, booked_mm: float, exact_mm: float = EXACT_MM) -> Cell:
    """`exact_mm`: how far off nobody could know better."""
    error_mm = booked_mm - extruded_mm
    shown = "0" if abs(error_mm) < EXACT_MM else f"{error_mm:+.2f}".replace("-", "−")
    return Cell(f"{extruded_mm:.2f} → {booked_mm:.2f} mm: {shown}", abs(error_mm) < exact_mm)


def both(*cells: Cell) -> Cell:
    """Two findings of one case."""
    return Cell("; ".join(cell.text for cell in cells), all(cell.right for cell in cells))


def markdown(names: Sequence[str], sections: Sequence[tuple[str, Sequence[tuple[str, Sequence[Cell]]]]]) -> str:
    """`sections` are (title, rows), a row is (what, a cell for each name). Wrong cells are bold."""
    lines = []
    for title, rows in sections:
        lines += [f"| {title} | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
        for what, cells in rows:
            texts = [cell.text if cell.right else f"**{cell.text}**" for cell in cells]
            lines.append(f"| {what} | {' | '.join(texts)} |")
        lines.append("")
    return "\n".join(lines)
