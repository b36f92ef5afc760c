"""What the query of a list asks for: filters, order, page. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from simulators.spoolman.store import Entity, not_valid

FILTERS = frozenset({
    "name", "material", "article_number", "color_hex", "external_id", "vendor.name", "vendor.id", "filament.name",
    "filament.id", "filament.material", "filament.vendor.name", "filament.vendor.id", "location", "lot_nr",
})  # fmt: skip
"""What lists can be filtered by; Spoolman ignores every other name, as in the exporter's archived=false."""


def number(text: str, *where: str) -> int:
    """Refused 422 naming the parameter when it is no integer."""
    try:
        return int(text)
    except ValueError:
        message = "Input should be a valid integer, unable to parse string as an integer"
        raise not_valid("int_parsing", list(where), message, text) from None


def matching(entities: list[Entity], query: Mapping[str, str]) -> list[Entity]:
    """Filtered and sorted: allow_archived, sort=field:asc|desc, and the dotted fields of FILTERS (filament.material=PLA): texts
    match when they contain it, numbers when they are in the comma list."""
    if query.get("allow_archived", "false").lower() != "true":
        entities = [entity for entity in entities if not entity.get("archived")]
    for path, wanted in query.items():
        if path in FILTERS:
            entities = [entity for entity in entities if _fits(_field(entity, path), wanted)]
    for order in reversed([part for part in query.get("sort", "").split(",") if part]):
        path, _, direction = order.partition(":")
        entities = sorted(entities, key=_by(path), reverse=direction == "desc")
    return entities


def page(entities: list[Entity], query: Mapping[str, str]) -> list[Entity]:
    """The part between offset and offset + limit."""
    first = number(query.get("offset", "0"), "query", "offset")
    count = number(query.get("limit", str(len(entities))), "query", "limit")
    return entities[first : first + count]


def _field(entity: Entity, path: str) -> Any:
    value: Any = entity
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _fits(value: Any, wanted: str) -> bool:
    if isinstance(value, str):
        return wanted.lower() in value.lower()
    return str(value) in wanted.split(",")


def _by(path: str) -> Callable[[Entity], tuple[bool, float, str]]:
    def key(entity: Entity) -> tuple[bool, float, str]:
        value = _field(entity, path)
        return value is None, float(value) if isinstance(value, int | float) else 0.0, str(value)

    return key
