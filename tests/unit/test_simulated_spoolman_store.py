"""The simulated Spoolman's database: shapes, sums and refusals."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.spoolman.faults import Fault, take_fault
from simulators.spoolman.query import matching, number, page
from simulators.spoolman.store import Entity, Refused, Store, check, example_store

NOW = datetime(2026, 11, 22, 10, 5, 22, tzinfo=UTC)


def use(store: Store, spool_id: int, **fields: float) -> None:
    store.use(spool_id, check("use", fields, partial=True), NOW)


def test_a_fresh_spool_as_recorded() -> None:
    store = example_store(NOW)
    shown = store.show("spool", 1)
    assert list(shown) == [
        *("id", "registered", "filament", "remaining_weight", "initial_weight", "spool_weight", "used_weight"),
        *("remaining_length", "used_length", "archived", "extra"),
    ]
    assert list(shown["filament"])[:4] == ["id", "registered", "name", "vendor"]
    assert shown["filament"]["vendor"] == {
        "id": 1,
        "registered": "2026-11-22T10:05:22Z",
        "name": "Example Filaments",
        "empty_spool_weight": 190.0,
        "extra": {},
    }
    assert shown["remaining_length"] == pytest.approx(335283.6194167644)


def test_use_books_each_time_and_dates() -> None:
    store = example_store(NOW)
    use(store, 1, use_length=100.0)
    use(store, 1, use_length=100.0)
    assert store.used_mm(1) == pytest.approx(200.0)
    shown = store.show("spool", 1)
    assert (shown["first_used"], shown["last_used"]) == ("2026-11-22T10:05:22Z", "2026-11-22T10:05:22Z")
    assert shown["used_weight"] + shown["remaining_weight"] == pytest.approx(1000.0)


@given(st.lists(st.floats(-1000.0, 400_000.0), max_size=20))
def test_neither_used_nor_remaining_falls_below_zero(lengths_mm: list[float]) -> None:
    store = example_store(NOW)
    for length_mm in lengths_mm:
        use(store, 1, use_length=length_mm)
        shown = store.show("spool", 1)
        assert shown["used_length"] >= 0.0
        assert shown["remaining_length"] >= 0.0


def test_weights_of_new_and_changed_spools() -> None:
    store = example_store(NOW)
    fields = check("spool", {"filament_id": 1, "remaining_weight": 300}, partial=False)
    spool = store.create("spool", fields, NOW)
    assert store.show("spool", spool)["used_weight"] == 700.0
    store.update("spool", spool, check("spool", {"remaining_weight": "250.5", "comment": None}, partial=True))
    assert store.show("spool", spool)["remaining_weight"] == 250.5


@pytest.mark.parametrize(
    ("resource", "body", "kind", "where"),
    [
        ("spool", {"filament_id": "x"}, "int_parsing", ["body", "filament_id"]),
        ("spool", {}, "missing", ["body", "filament_id"]),
        ("spool", "abc", "model_attributes_type", ["body"]),
        ("spool", [1], "model_attributes_type", ["body"]),
        ("use", {"use_length": "much"}, "float_parsing", ["body", "use_length"]),
        ("vendor", {"name": 5}, "string_type", ["body", "name"]),
    ],
)
def test_422(resource: str, body: object, kind: str, where: list[str]) -> None:
    with pytest.raises(Refused) as refused:
        check(resource, body, partial=False)
    assert refused.value.status == 422
    detail = refused.value.body["detail"][0]
    assert (detail["type"], detail["loc"]) == (kind, where)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "Either use_weight or use_length must be specified."),
        ({"use_length": 1.0, "use_weight": 1.0}, "Only specify either use_weight or use_length."),
    ],
)
def test_use_needs_exactly_one_amount(fields: dict[str, float], message: str) -> None:
    with pytest.raises(Refused) as refused:
        use(example_store(NOW), 1, **fields)
    assert (refused.value.status, refused.value.body) == (400, {"message": message})


def test_what_is_not_there() -> None:
    store = example_store(NOW)
    with pytest.raises(Refused) as refused:
        use(store, 99, use_length=1.0)
    assert (refused.value.status, refused.value.body) == (404, {"message": "No spool with ID 99 found."})
    with pytest.raises(Refused, match="No filament with ID 9 found"):
        store.create("spool", {"filament_id": 9}, NOW)
    with pytest.raises(Refused, match="Failed to delete filament"):
        store.delete("filament", 1)
    store.delete("spool", 3)
    store.delete("filament", 2)
    assert list(store.rows["filament"]) == [1]


def test_lists() -> None:
    store = example_store(NOW)
    store.update("spool", 1, {"archived": True})
    store.update("spool", 2, {"location": "Shelf A"})
    spools: list[Entity] = [store.show("spool", spool_id) for spool_id in store.rows["spool"]]

    def ids(**query: str) -> list[Any]:
        return [
            spool["id"] for spool in matching(spools, {key.replace("__", "."): text for key, text in query.items()})
        ]

    assert ids() == [2, 3]
    assert ids(allow_archived="true", sort="id:desc") == [3, 2, 1]
    assert ids(allow_archived="true", sort="filament.material:asc,id:desc") == [3, 2, 1]
    assert ids(filament__material="pet") == [3]
    assert ids(filament__id="1,7", allow_archived="true") == [1, 2]
    assert ids(location="shelf") == [2]
    assert ids(archived="false") == [2, 3]
    assert [spool["id"] for spool in page(spools, {"offset": "1", "limit": "1"})] == [2]
    with pytest.raises(Refused):
        number("x", "query", "limit")


def test_faults_are_used_up_in_order() -> None:
    faults = [Fault("status", "PUT", "/use$", times=2), Fault("hang", path="/spool", times=None)]
    assert take_fault(faults, "GET", "/api/v1/info") is None
    hits = [take_fault(faults, "PUT", "/api/v1/spool/1/use") for _ in range(4)]
    assert [fault.kind for fault in hits if fault is not None] == ["status", "status", "hang", "hang"]
    assert [fault.kind for fault in faults] == ["hang"]
