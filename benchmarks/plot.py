"""The ratios as a picture: one bar per row, the goal as a mark."""

import math
import statistics
from collections.abc import Sequence
from html import escape

from benchmarks.figures import Row

BAR, GAP, LEFT, WIDTH, SIDE = 14, 6, 420, 360, 60
"""Pixels: a bar's height, the space below it, the texts' width, the bars' width, the numbers'."""
LEAST, MOST = 0.05, 20.0
"""Ratios shown, on a logarithmic scale."""


def svg(table: Sequence[Row], title: str) -> str:
    """Only rows with a peer. Bars grow to the right of 1 where moonbus does more, to the left where it needs less."""
    shown = [row for row in table if row.ratios]
    height = (len(shown) + 2) * (BAR + GAP)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + SIDE}" height="{height}" font-size="11" '
        'font-family="sans-serif">',
        f'<text x="4" y="{BAR}" font-weight="bold">{escape(title)}</text>',
        f'<line x1="{_x(1)}" x2="{_x(1)}" y1="{BAR + GAP}" y2="{height}" stroke="#888"/>',
    ]
    for place, row in enumerate(shown, start=1):
        lines += _bar(row, place * (BAR + GAP) + GAP)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _bar(row: Row, top: int) -> list[str]:
    ratio = statistics.median(row.ratios)
    start, end = sorted((_x(1), _x(ratio)))
    colour = "#888" if row.reached is None else "#2a7" if row.reached else "#c43"
    texts = [
        f'<text x="4" y="{top + BAR - 3}">{escape(row.figure.what)}</text>',
        f'<rect x="{start}" y="{top}" width="{max(1, end - start)}" height="{BAR}" fill="{colour}"/>',
        f'<text x="{LEFT + WIDTH + 4}" y="{top + BAR - 3}">{ratio:.2f} ×</text>',
    ]
    if row.figure.goal is not None:
        x = _x(row.figure.goal)
        texts.append(f'<line x1="{x}" x2="{x}" y1="{top - 2}" y2="{top + BAR + 2}" stroke="#000" stroke-width="2"/>')
    return texts


def _x(ratio: float) -> int:
    share = math.log(min(MOST, max(LEAST, ratio)) / LEAST) / math.log(MOST / LEAST)
    return LEFT + round(WIDTH * share)
