"""HTTP's and JSON-RPC's view of the table of methods. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from bus.api import METHODS, Method
from bus.config import Config


@dataclass(frozen=True, slots=True)
class Route:
    """`path` in the router's words: `{name}` is one segment, `{name:.+}` the rest."""

    verb: str
    path: str
    method: Method


def available(config: Config, debug: bool) -> dict[str, Method]:
    """The rows that exist with this configuration."""
    return {
        name: row
        for name, row in METHODS.items()
        if (row.section is None or config.has(row.section)) and (debug or not row.debug)
    }


def routes(rows: Iterable[Method], prefix: str = "") -> list[Route]:
    """`prefix` is "" or "/something". A row that can only be read over HTTP answers HEAD as well."""
    table = []
    for row in rows:
        pairs = [(verb, path.replace(":*}", ":.+}")) for verb, path in (route.split(" ", 1) for route in row.http)]
        if all(verb == "GET" for verb, _ in pairs):
            pairs += [("HEAD", path) for _, path in pairs]
        table += [Route(verb, prefix + path, row) for verb, path in pairs]
    return table
