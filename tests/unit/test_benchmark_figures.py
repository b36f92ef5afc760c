"""The table and the picture of docs/benchmarks.md."""

import xml.etree.ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.figures import Better, Figure, Row, markdown, rows, shown
from benchmarks.plot import svg

VALUES = st.floats(0.001, 1e6)


def figure(value: float, better: Better = "more", goal: float | None = 4.0, alone: bool = False) -> Figure:
    return Figure("GET /x", value, "/s", better, goal, alone)


def test_ratios_are_of_the_same_round() -> None:
    (row,) = rows([([figure(800.0)], [figure(100.0)]), ([figure(300.0)], [figure(150.0)])])
    assert row.ratios == (8.0, 2.0)
    assert row.reached is True, "the median is 5"


@pytest.mark.parametrize(
    ("better", "ours", "peers", "reached"),
    [
        ("more", 400.0, 100.0, True),
        ("more", 399.0, 100.0, False),
        ("less", 40.0, 100.0, True),
        ("less", 410.0, 100.0, False),
    ],
)
def test_a_goal_is_reached_from_its_side(better: Better, ours: float, peers: float, reached: bool) -> None:
    assert Row(figure(0.0, better), (ours,), (peers,)).reached is reached


def test_without_a_peer_the_goal_is_for_the_value() -> None:
    (row,) = rows([([figure(1.1, "less", 1.2, alone=True)], [])])
    assert row.ratios == () and row.reached is True
    assert Row(figure(0.0, goal=None), (1.0,), (1.0,)).reached is None


def test_the_table_tells_what_was_missed() -> None:
    table = rows([([figure(300.0)], [figure(100.0)])])
    assert markdown(table, "Peer").splitlines() == [
        "| what | moonbus | Peer | ratio (from – to) | goal | |",
        "|---|---|---|---|---|---|",
        "| GET /x | 300 /s | 100 /s | 3.00 (3.00 – 3.00) | ≥ 4 × | **missed** |",
    ]
    assert shown((1234.5,), "/s") == "1,234 /s" and shown((0.12345,), "ms") == "0.123 ms"


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=5))
def test_the_picture_is_well_formed_with_a_bar_for_each_row(values: list[tuple[float, float]]) -> None:
    table = [Row(figure(0.0), (ours,), (peers,)) for ours, peers in values]
    root = xml.etree.ElementTree.fromstring(svg([*table, Row(figure(1.0, alone=True), (1.0,), ())], "a < b"))
    bars = root.findall("{http://www.w3.org/2000/svg}rect")
    assert len(bars) == len(values)
    assert all(float(bar.get("x", "")) >= 0 and float(bar.get("width", "")) >= 1 for bar in bars)
