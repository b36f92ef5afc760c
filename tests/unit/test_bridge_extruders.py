"""Positions per extruder and sessions."""

from hypothesis import given
from hypothesis import strategies as st

from services.klipper_bridge.extruders import ENDS_MOST, Extruders, untouched


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
    ended = {"session": 1, "position": {"extruder": 500.0}, "previous": None}
    assert extruders.value == {"session": 2, "active": None, "position": {}, "previous": ended}
    extruders.begin(3)
    assert extruders.value["previous"] == ended, "a session in which nothing was seen has no end to tell"


def test_the_end_of_a_session_is_its_highest_position_and_the_ends_before_it() -> None:
    extruders = Extruders(1)
    for e_mm in (500.0, 495.0):
        extruders.see(toolhead("extruder", e_mm))
    for session in range(2, ENDS_MOST + 5):
        extruders.begin(session)
        extruders.see(toolhead("extruder", float(session)))
    told, end = [], extruders.value["previous"]
    while end is not None:
        told.append((end["session"], end["position"]["extruder"]))
        end = end["previous"]
    newest = ENDS_MOST + 3
    assert told == [(session, float(session)) for session in range(newest, newest - ENDS_MOST, -1)]


def test_a_bridge_that_starts_again_knows_the_ends() -> None:
    former = Extruders(1)
    former.see(toolhead("extruder", 500.0))
    former.see(toolhead("extruder", 490.0))
    same = Extruders(1, former.end)
    same.see(toolhead("extruder", 495.0))
    assert same.value["previous"] is None
    assert same.end == {"session": 1, "position": {"extruder": 500.0}, "previous": None}
    assert Extruders(2, former.end).value["previous"] == same.end


@given(st.lists(st.tuples(st.sampled_from(["extruder", "extruder1", "extruder2"]), st.floats(-5, 1e4)), max_size=30))
def test_the_last_word_of_each_counts(seen: list[tuple[str, float]]) -> None:
    extruders = Extruders(1)
    for name, e_mm in seen:
        extruders.see(toolhead(name, e_mm))
    assert extruders.value["position"] == dict(seen)
