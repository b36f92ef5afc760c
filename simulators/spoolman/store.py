"""Vendors, filaments and spools as Spoolman keeps and shows them. Pure: no I/O, no clock; `now` is a UTC datetime."""

import math
from datetime import datetime
from typing import Any

Entity = dict[str, Any]

FIELDS: dict[str, dict[str, type]] = {
    "vendor": {"name": str, "comment": str, "empty_spool_weight": float, "external_id": str, "extra": dict},
    "filament": {
        "name": str,
        "vendor_id": int,
        "material": str,
        "price": float,
        "density": float,
        "diameter": float,
        "weight": float,
        "spool_weight": float,
        "article_number": str,
        "comment": str,
        "settings_extruder_temp": int,
        "settings_bed_temp": int,
        "color_hex": str,
        "external_id": str,
        "extra": dict,
    },
    "spool": {
        "first_used": str,
        "last_used": str,
        "filament_id": int,
        "price": float,
        "initial_weight": float,
        "spool_weight": float,
        "remaining_weight": float,
        "used_weight": float,
        "location": str,
        "lot_nr": str,
        "comment": str,
        "archived": bool,
        "extra": dict,
    },
    "use": {"use_length": float, "use_weight": float},
}
REQUIRED = {"vendor": ("name",), "filament": ("density", "diameter"), "spool": ("filament_id",), "use": ()}
NEVER_NULL = frozenset({"name", "density", "diameter", "filament_id", "used_weight", "archived", "extra"})
"""Fields whose null in a request changes nothing."""

PARSE_ERRORS = {
    int: ("int_parsing", "Input should be a valid integer, unable to parse string as an integer"),
    float: ("float_parsing", "Input should be a valid number, unable to parse string as a number"),
    str: ("string_type", "Input should be a valid string"),
    bool: ("bool_parsing", "Input should be a valid boolean, unable to interpret input"),
    dict: ("dict_type", "Input should be a valid dictionary"),
}


class Refused(Exception):
    """What Spoolman answers instead: an HTTP status and a JSON body."""

    def __init__(self, status: int, body: Entity) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body


def not_valid(kind: str, where: list[str | int], message: str, value: object) -> Refused:
    """The 422 of FastAPI."""
    return Refused(422, {"detail": [{"type": kind, "loc": where, "msg": message, "input": value}]})


def check(resource: str, body: object, partial: bool) -> Entity:
    """The known fields of a request body. `partial`: required fields may be absent (PATCH). Refused 422 otherwise."""
    if not isinstance(body, dict):
        message = "Input should be a valid dictionary or object to extract fields from"
        raise not_valid("model_attributes_type", ["body"], message, body)
    for name in REQUIRED[resource]:
        if body.get(name) is None and not partial:
            raise not_valid("missing", ["body", name], "Field required", body)
    return {
        name: _convert(name, kind, body[name]) if body[name] is not None else None
        for name, kind in FIELDS[resource].items()
        if name in body and (body[name] is not None or name not in NEVER_NULL)
    }


def _convert(name: str, kind: type, value: object) -> object:
    fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if fits:
        return value
    if kind in (int, float) and isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return kind(value)
        except (ValueError, OverflowError):
            pass
    raise not_valid(PARSE_ERRORS[kind][0], ["body", name], PARSE_ERRORS[kind][1], value)


class Store:
    """The database. `rows[resource][id]` are the stored fields, `show` what the API says."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[int, Entity]] = {"vendor": {}, "filament": {}, "spool": {}}

    def load(self, rows: object) -> None:
        """Takes over rows that were saved as JSON. ValueError when they are none."""
        if not isinstance(rows, dict) or rows.keys() != self.rows.keys():
            raise ValueError("expected an object with vendor, filament and spool")
        self.rows = {name: {int(key): row for key, row in kept.items()} for name, kept in rows.items()}

    def create(self, resource: str, fields: Entity, now: datetime) -> int:
        """Returns the new id. Refused 404 when it refers to something that is not there."""
        self._check_references(fields)
        if resource == "spool":
            fields = self._spool_defaults(fields)
        number = max(self.rows[resource], default=0) + 1
        self.rows[resource][number] = {"registered": _seconds(now), "extra": {}} | fields
        return number

    def update(self, resource: str, number: int, fields: Entity) -> None:
        row = self.row(resource, number)
        self._check_references(fields)
        if "remaining_weight" in fields:
            if "used_weight" in fields:
                raise Refused(400, {"message": "Only specify either remaining_weight or used_weight."})
            fields = dict(fields)
            initial_g = fields.get("initial_weight") or row.get("initial_weight") or 0.0
            fields["used_weight"] = max(initial_g - fields.pop("remaining_weight"), 0.0)
        row.update(fields)

    def delete(self, resource: str, number: int) -> None:
        self.row(resource, number)
        users = {"vendor": ("filament", "vendor_id"), "filament": ("spool", "filament_id")}
        if resource in users:
            child, key = users[resource]
            if any(row.get(key) == number for row in self.rows[child].values()):
                raise Refused(403, {"message": f"Failed to delete {resource}, see server logs for more information."})
        del self.rows[resource][number]

    def use(self, number: int, fields: Entity, now: datetime) -> None:
        """Books `use_length` (mm) or `use_weight` (g) once more each time it is called. Used never falls below zero."""
        row = self.row("spool", number)
        length_mm, weight_g = fields.get("use_length"), fields.get("use_weight")
        if length_mm is not None and weight_g is not None:
            raise Refused(400, {"message": "Only specify either use_weight or use_length."})
        if length_mm is None and weight_g is None:
            raise Refused(400, {"message": "Either use_weight or use_length must be specified."})
        if length_mm is not None:
            weight_g = length_mm * self._g_per_mm(row)
        row["used_weight"] = max(row["used_weight"] + weight_g, 0.0)
        row.setdefault("first_used", _seconds(now))
        row["last_used"] = _seconds(now)

    def row(self, resource: str, number: int) -> Entity:
        """Refused 404 with Spoolman's message when it does not exist."""
        row = self.rows[resource].get(number)
        if row is None:
            raise Refused(404, {"message": f"No {resource} with ID {number} found."})
        return row

    def used_mm(self, number: int) -> float:
        """What is booked on the spool."""
        row = self.row("spool", number)
        return float(row["used_weight"]) / self._g_per_mm(row)

    def show(self, resource: str, number: int) -> Entity:
        """The entity as the API answers it; fields without a value are absent."""
        row = self.row(resource, number)
        shown: Entity = {"id": number, "registered": row["registered"]}
        if resource == "spool":
            shown |= self._show_spool(row)
        else:
            if row.get("vendor_id") is not None:
                row = row | {"vendor": self.show("vendor", row["vendor_id"])}
            order = ["name", "vendor", *FIELDS[resource]]
            shown |= {name: row[name] for name in order if name in row and name != "vendor_id"}
        return {name: value for name, value in shown.items() if value is not None}

    def _show_spool(self, row: Entity) -> Entity:
        initial_g, used_g = row.get("initial_weight"), row["used_weight"]
        g_per_mm = self._g_per_mm(row)
        remaining_g = None if initial_g is None else max(initial_g - used_g, 0.0)
        return {
            "first_used": row.get("first_used"),
            "last_used": row.get("last_used"),
            "filament": self.show("filament", row["filament_id"]),
            "price": row.get("price"),
            "remaining_weight": remaining_g,
            "initial_weight": initial_g,
            "spool_weight": row.get("spool_weight"),
            "used_weight": used_g,
            "remaining_length": None if remaining_g is None else remaining_g / g_per_mm,
            "used_length": used_g / g_per_mm,
            "location": row.get("location"),
            "lot_nr": row.get("lot_nr"),
            "comment": row.get("comment"),
            "archived": row.get("archived", False),
            "extra": row["extra"],
        }

    def _spool_defaults(self, fields: Entity) -> Entity:
        filament = self.row("filament", fields["filament_id"])
        row = {"initial_weight": filament.get("weight"), "spool_weight": filament.get("spool_weight")} | fields
        row.setdefault("used_weight", 0.0)
        remaining_g = row.pop("remaining_weight", None)
        if remaining_g is not None:
            row["used_weight"] = max((row["initial_weight"] or 0.0) - remaining_g, 0.0)
        return row

    def _g_per_mm(self, spool: Entity) -> float:
        filament = self.row("filament", spool["filament_id"])
        cross_section_mm2 = math.pi * (filament["diameter"] / 2.0) ** 2
        return float(cross_section_mm2 * filament["density"] / 1000.0)

    def _check_references(self, fields: Entity) -> None:
        for key, resource in (("vendor_id", "vendor"), ("filament_id", "filament")):
            if fields.get(key) is not None:
                self.row(resource, fields[key])


def example_store(now: datetime) -> Store:
    """One vendor, PLA and PETG, spools 1 and 2 of PLA, 3 of PETG; 1000 g each."""
    store = Store()
    vendor = store.create("vendor", {"name": "Example Filaments", "empty_spool_weight": 190.0}, now)
    common = {"vendor_id": vendor, "price": 25.0, "diameter": 1.75, "weight": 1000.0, "spool_weight": 190.0}
    pla = store.create(
        "filament", common | {"name": "Black", "material": "PLA", "density": 1.24, "color_hex": "333333"}, now
    )
    petg = store.create(
        "filament", common | {"name": "Red", "material": "PETG", "density": 1.27, "color_hex": "aa0000"}, now
    )
    for filament in (pla, pla, petg):
        store.create("spool", {"filament_id": filament}, now)
    return store


def _seconds(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
