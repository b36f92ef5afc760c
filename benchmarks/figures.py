"""What is compared, and how it is told. Pure: figures of several rounds in, a table with ratios and spreads out."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Better = Literal["more", "less"]


@dataclass(frozen=True)
class Figure:
    """One measured value. `goal` is the ratio of ours to the peer's that is wanted, at least where more is better, at most
    where less is; None: no goal, told beside the others. Without a peer (`alone`) the goal is for the value itself."""

    what: str
    value: float
    unit: str
    better: Better
    goal: float | None
    alone: bool = False


@dataclass(frozen=True)
class Row:
    """A figure over all rounds. `ratios` has one entry per round, empty where there is no peer."""

    figure: Figure
    ours: tuple[float, ...]
    peers: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        return (
            tuple(ours / peer for ours, peer in zip(self.ours, self.peers, strict=True) if peer) if self.peers else ()
        )

    @property
    def reached(self) -> bool | None:
        """None where there is no goal."""
        goal, measured = self.figure.goal, self.ours if self.figure.alone else self.ratios
        if goal is None or not measured:
            return None
        middle = statistics.median(measured)
        return middle >= goal if self.figure.better == "more" else middle <= goal


def rows(rounds: Sequence[tuple[Sequence[Figure], Sequence[Figure]]]) -> list[Row]:
    """`rounds` are (ours, the peer's); a figure the peer has not is ours alone."""
    found = []
    for place, figure in enumerate(rounds[0][0]):
        peers = [next((f.value for f in peer if f.what == figure.what), None) for _, peer in rounds]
        ours = tuple(own[place].value for own, _ in rounds)
        found.append(Row(figure, ours, tuple(value for value in peers if value is not None)))
    return found


def markdown(table: Iterable[Row], peer: str) -> str:
    """Medians, ratios with their spread; the rows that miss their goal are bold."""
    lines = [f"| what | moonbus | {peer} | ratio (from – to) | goal | |", "|---|---|---|---|---|---|"]
    for row in table:
        figure, ratios = row.figure, row.ratios
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} – {max(ratios):.2f})" if ratios else ""
        sign = "≥" if figure.better == "more" else "≤"
        unit = f" {figure.unit}" if figure.alone else " ×"
        goal = "" if figure.goal is None else f"{sign} {figure.goal:g}{unit}"
        verdict = {None: "", True: "reached", False: "**missed**"}[row.reached]
        peers = shown(row.peers, figure.unit) if row.peers else ""
        lines.append(f"| {figure.what} | {shown(row.ours, figure.unit)} | {peers} | {ratio} | {goal} | {verdict} |")
    return "\n".join(lines) + "\n"


def shown(values: Sequence[float], unit: str) -> str:
    """The median, with as many digits as say something."""
    value = statistics.median(values)
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
