"""One subscription for everybody: it grows, and the mirror stays what Klipper says."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bus.mirror import select
from services.klipper_bridge.objects import OWN, Objects

NAMES = st.sampled_from(["fan", "extruder", "heater_bed", "nosuch"])
WANTED = st.dictionaries(NAMES, st.none() | st.lists(st.sampled_from(["a", "b"]), unique=True, max_size=2), max_size=3)


def test_what_klipper_does_not_know_is_covered_and_empty() -> None:
    objects = Objects()
    objects.want("gateway.wants", {"nosuch": None})
    wanted = objects.lacking()
    assert wanted is not None and wanted["nosuch"] is None and set(OWN) <= set(wanted)
    change = objects.subscribed({"eventtime": 1.0, "status": {"webhooks": {"state": "ready"}}}, wanted)
    assert change["covers"]["nosuch"] is None and objects.status["nosuch"] == {}
    assert objects.lacking() is None


def test_it_shrinks_only_with_the_connection() -> None:
    objects = Objects()
    objects.want("gateway.wants", {"fan": None})
    objects.subscribed({"eventtime": 1.0, "status": {}}, objects.lacking() or {})
    objects.want("gateway.wants", {})
    assert objects.lacking() is None and "fan" in objects.covers
    objects.clear()
    assert "fan" not in (objects.lacking() or {})


@given(st.lists(st.one_of(WANTED, st.tuples(NAMES, st.sampled_from(["a", "b"]), st.integers(0, 5))), max_size=30))
def test_growing_between_updates_loses_nothing(steps: list[Any]) -> None:
    """A follower that applies the changes has the same as Klipper, in all that is covered."""
    truth: dict[str, dict[str, int]] = {
        "fan": {"a": 0, "b": 0},
        "extruder": {"a": 0, "b": 0},
        "heater_bed": {"a": 0, "b": 0},
    }
    objects, follower = Objects(), dict[str, dict[str, Any]]()

    def follow(change: dict[str, Any]) -> None:
        for name, fields in change["status"].items():
            follower[name] = {**follower.get(name, {}), **fields}

    for step in steps:
        if isinstance(step, dict):
            objects.want("gateway.wants", step)
            wanted = objects.lacking()
            if wanted is not None:
                follow(objects.subscribed({"eventtime": 1.0, "status": select(truth, wanted)}, wanted))
        else:
            name, field, value = step
            if name in truth and truth[name][field] != value:
                truth[name][field] = value
                covered = objects.covers.get(name, [])
                if covered is None or field in covered:
                    follow(objects.updated({"eventtime": 2.0, "status": {name: {field: value}}}))
    for name, fields in select(truth, objects.covers).items():
        assert {f: follower.get(name, {}).get(f) for f in fields} == fields
        assert {f: objects.status[name].get(f) for f in fields} == fields
