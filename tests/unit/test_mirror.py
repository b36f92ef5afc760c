"""Selecting, merging and comparing Klipper's objects."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bus.mirror import Status, difference, restrict, select, union

NAMES = st.sampled_from(["fan", "toolhead", "print_stats"])
FIELDS = st.sampled_from(["a", "b", "c"])
STATUS = st.dictionaries(NAMES, st.dictionaries(FIELDS, st.integers(0, 2)))
OBJECTS = st.dictionaries(NAMES, st.none() | st.lists(FIELDS, unique=True))


def test_what_klipper_does_not_know_is_empty_or_null() -> None:
    status = {"fan": {"speed": 1.0}}
    assert select(status, {"fan": ["speed", "rpm"], "nosuch": None, "other": ["x"]}) == {
        "fan": {"speed": 1.0, "rpm": None},
        "nosuch": {},
        "other": {"x": None},
    }


def test_an_update_holds_only_what_was_asked_for_and_changed() -> None:
    changes: Status = {"fan": {"speed": 1.0}, "toolhead": {"position": [0], "extruder": "e"}}
    assert restrict(changes, {"toolhead": ["position"]}) == {"toolhead": {"position": [0]}}
    assert restrict(changes, {"toolhead": ["homed_axes"], "fan": None}) == {"fan": {"speed": 1.0}}


@given(st.lists(OBJECTS, max_size=4))
def test_a_union_serves_every_wish_and_nothing_else(wishes: list[dict[str, Any]]) -> None:
    merged = union(*wishes)
    assert set(merged) == {name for wish in wishes for name in wish}
    for name, fields in merged.items():
        asked = [wish[name] for wish in wishes if name in wish]
        if fields is None:
            assert None in asked
        else:
            assert set(fields) == {field for wish in asked for field in wish or []}


@given(STATUS, STATUS)
def test_a_difference_brings_the_old_to_the_new(before: dict[str, Any], changes: dict[str, Any]) -> None:
    after = {name: {**before.get(name, {}), **changes.get(name, {})} for name in {**before, **changes}}
    patch = difference(before, after)
    assert {n: {**before.get(n, {}), **patch.get(n, {})} for n in after} == after
    assert all(before.get(n, {}).get(f, object()) != v for n, fields in patch.items() for f, v in fields.items())
