"""The check every request goes through: what passes comes out in its kind, what does not names itself."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.api import METHODS, SPOOL_ID
from bus.errors import Fault
from bus.params import Param, check

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KINDS = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "object": dict,
    "strings": list,
    "objects": dict,
}


@given(kind=st.sampled_from(sorted(KINDS)), value=JSON)
def test_a_value_comes_out_in_its_kind_or_is_refused_by_name(kind: str, value: Any) -> None:
    try:
        result = check((Param("thing", kind),), {"thing": value})["thing"]
    except Fault as fault:
        assert fault.code == 400 and "thing" in fault.message and "expected" in fault.message
    else:
        assert type(result) is KINDS[kind]


@pytest.mark.parametrize(
    ("given_value", "expected"),
    [(None, None), (5, 5), ("5", 5), (" 7 ", 7), (3.0, 3)],
)
def test_a_spool_id_as_clients_send_it(given_value: Any, expected: int | None) -> None:
    assert check((SPOOL_ID,), {"spool_id": given_value, "other": 1}) == {"spool_id": expected}
    assert check((SPOOL_ID,), {}) == {"spool_id": None}


@pytest.mark.parametrize("bad", ["", "abc", "1.7", 1.7, True, [1], {"a": 1}, 0, -1, 1e30, 2**60, "9" * 400, "١"])
def test_a_spool_id_that_is_none_is_refused(bad: Any) -> None:
    with pytest.raises(Fault) as refused:
        check((SPOOL_ID,), {"spool_id": bad})
    assert refused.value.message.startswith("Invalid argument spool_id: expected an integer of at least 1 or null")
    assert len(refused.value.message) < 160


def test_what_is_missing_and_what_is_too_long_say_so() -> None:
    with pytest.raises(Fault, match=r"No data for argument: name \(expected a string\)"):
        check((Param("name", "string"),), {})
    with pytest.raises(Fault, match="name: longer than 3 characters"):
        check((Param("name", "string", max_length=3),), {"name": "four"})


@pytest.mark.parametrize("bad", ["position", {"toolhead": "position"}, {"toolhead": [1]}, {"": None}, [1], 5])
def test_objects_klipper_would_choke_on_are_refused(bad: Any) -> None:
    with pytest.raises(Fault):
        check((Param("objects", "objects"),), {"objects": bad})


def test_objects_may_be_a_list_of_names() -> None:
    assert check((Param("objects", "objects"),), {"objects": ["fan"]}) == {"objects": {"fan": None}}


@given(st.sampled_from(sorted(METHODS)), st.dictionaries(st.text(max_size=12), JSON, max_size=4))
def test_no_row_of_the_table_lets_anything_through_unchecked(name: str, arguments: dict[str, Any]) -> None:
    params = METHODS[name].params
    try:
        values = check(params, arguments)
    except Fault as fault:
        assert fault.code == 400
    else:
        assert set(values) == {param.name for param in params}
