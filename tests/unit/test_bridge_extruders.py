"""Positions per extruder and sessions."""

from hypothesis import given
from hypothesis import strategies as st

from services.klipper_bridge.extruders import Extruders, untouched


def toolhead(name: str, e_mm: float) -> dict[str, object]:
    return {"extruder": name, "position": [1.0, 2.0, 3.0, e_mm]}


def test_each_extruder_keeps_its_own_position_over_tool_changes() -> None:
    extruders = Extruders(3)
    for name, e_mm in (("extruder", 172.4), ("extruder1", 3.125), ("extruder1", 30.0), ("extruder", 173.4)):
        extruders.see(toolhead(name, e_mm))
    assert extruders.value["position"] == {"extruder": 173.4, "extruder1": 30.0}
    assert (extruders.value["session"], extruders.value["active"]) == (3, "extruder")


def test_nulls_of_a_klipper_without_configuration_say_nothing() -> None:
    extruders = Extruders(1)
    for nothing in (
        {},
        {"extruder": None, "position": None},
        {"extruder": "extruder"},
        {"extruder": "", "position": [0] * 4},
    ):
        extruders.see(nothing)
    assert extruders.value["position"] == {} and extruders.value["active"] is None
    assert not extruders.restarted({})


def test_a_long_fall_nobody_saw_is_a_restart_and_a_retraction_is_not() -> None:
    extruders = Extruders(1)
    extruders.see(toolhead("extruder", 500.0))
    assert extruders.restarted(toolhead("extruder", 0.0))
    assert extruders.restarted(toolhead("extruder", 120.0))
    assert not extruders.restarted(toolhead("extruder", 410.0))
    assert not extruders.restarted(toolhead("extruder", 500.0))
    assert not extruders.restarted(toolhead("extruder", 510.0))
    assert not extruders.restarted(toolhead("extruder1", 0.0))


def test_nothing_is_extruded_at_the_start() -> None:
    assert untouched({}) and untouched(toolhead("extruder", 0.0))
    assert untouched({"extruder": None, "position": None})
    assert not untouched(toolhead("extruder", -2.0)) and not untouched(toolhead("extruder1", 3.0))


def test_a_new_session_knows_no_position_and_where_the_last_one_ended() -> None:
    extruders = Extruders(1)
    extruders.see(toolhead("extruder", 500.0))
    extruders.begin(2)
    ended = {"session": 1, "position": {"extruder": 500.0}}
    assert extruders.value == {"session": 2, "active": None, "position": {}, "previous": ended}
    extruders.begin(3)
    assert extruders.value["previous"] is None


@given(st.lists(st.tuples(st.sampled_from(["extruder", "extruder1", "extruder2"]), st.floats(-5, 1e4)), max_size=30))
def test_the_last_word_of_each_counts(seen: list[tuple[str, float]]) -> None:
    extruders = Extruders(1)
    for name, e_mm in seen:
        extruders.see(toolhead(name, e_mm))
    assert extruders.value["position"] == dict(seen)
