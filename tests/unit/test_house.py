"""The rules of the house that a machine can hold."""

import ast
import re
from pathlib import Path

import pytest

from bus.api import METHODS
from bus.rundir import CHECKOUT, LONGEST_SOCKET
from bus.services import SERVICES
from bus.topics import TOPICS, Kind

SOURCES = sorted(
    p for folder in ("bus", "services", "simulators", "moonbus") for p in (CHECKOUT / folder).rglob("*.py")
)
ALL = [*SOURCES, *sorted((CHECKOUT / "tests").rglob("*.py"))]


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("path", ALL, ids=lambda p: str(p.relative_to(CHECKOUT)))
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(CHECKOUT)))
def test_imports_form_a_tree(path: Path) -> None:
    room = path.relative_to(CHECKOUT).parts[0]
    own = ".".join(path.relative_to(CHECKOUT).parts[:2])
    for name in imported(path):
        other = name.split(".")[0]
        if room == "bus":
            assert other not in {"services", "simulators", "moonbus"}, name
        elif room == "services":
            assert other not in {"simulators", "moonbus"}, name
            assert not name.startswith("services.") or name.startswith(own), name
        elif room == "simulators":
            assert other not in {"bus", "services", "moonbus"}, name


def test_any_exception_is_caught_in_three_places_only() -> None:
    broad = re.compile(r"except( Exception| BaseException)?( as \w+)?:|except \(?.*\b(Base)?Exception\b")
    places = [f"{p.name}:{line.strip()}" for p in SOURCES for line in p.read_text().splitlines() if broad.search(line)]
    assert len(places) == 3, places


def test_nothing_hides_from_the_type_checker_or_waits_to_be_done() -> None:
    words = ("TYPE_" + "CHECKING", "TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error")
    for path in ALL:
        text = path.read_text()
        assert not any(word in text for word in words), path


def test_every_owner_is_a_service_with_a_folder_and_a_program() -> None:
    conf = (CHECKOUT / "supervisord.conf").read_text()
    for name in SERVICES:
        assert (CHECKOUT / "services" / name / "__main__.py").exists()
        assert f"[program:{name}]\ncommand = python -m services.{name}\n" in conf
        assert len(f"{name}.pub") <= len(LONGEST_SOCKET)
    assert {t.owner for t in TOPICS.values()} | {m.owner for m in METHODS.values()} <= set(SERVICES)


def test_the_tables_fit_together() -> None:
    for method in METHODS.values():
        if method.answer:
            assert TOPICS[method.answer].owner == method.owner
            assert TOPICS[method.answer].kind in (Kind.STATE, Kind.MIRROR)
        assert method.rpc or method.http, f"{method.name} cannot be reached"
        assert not (method.raw and method.rpc) and not (method.raw and method.params)
        for route in method.http:
            assert re.fullmatch(r"(GET|POST|DELETE) /[a-z_/{}:*]*", route)
        names = [param.name for param in method.params]
        assert len(names) == len(set(names))
    routes = [route for method in METHODS.values() for route in method.http]
    assert len(routes) == len(set(routes))


def test_an_error_is_made_where_it_is_raised() -> None:
    """One that is raised again and again keeps all its former frames, and all that those held."""
    makers = {"Fault", "bad_request", "not_found", "unavailable", "too_late"}
    for path in SOURCES:
        for node in ast.parse(path.read_text()).body:
            made = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
            called = made.func if isinstance(made, ast.Call) else None
            assert not (isinstance(called, ast.Name) and called.id in makers), f"{path}:{node.lineno}"
