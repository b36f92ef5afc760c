"""Writes docs/api.md and docs/topics.md from the tables; --check only compares, and fails when they are stale."""

import argparse
import sys
from collections.abc import Callable, Iterable

import orjson

from bus.api import BUILT_IN, METHODS, Method
from bus.params import REQUIRED, Param
from bus.rundir import CHECKOUT
from bus.services import SERVICES, Service
from bus.topics import TOPICS, Topic

GENERATED = "<!-- Written by `python -m bus docs` from the tables in bus/. Change those. -->\n\n"

API_HEAD = """# Methods

Over HTTP a result comes as `{"result": ...}` and an error as `{"error": {"code", "message"}}` with that status; where it
says *bare*, the result is the whole body. Parameters come as query, JSON or form. Over the websocket, the Unix socket
and `POST /server/jsonrpc` the methods are JSON-RPC 2.0 under the names below. In parentheses: the default. *State*: answered
from what the owner said last, without asking it. *Section*: exists only when the configuration has it.
"""

TOPICS_HEAD = """# Topics

| kind | promise |
|---|---|
| state | the newest value, also for who comes late |
| mirror | a dictionary kept in step: a full copy first, then changes |
| event | now or never |
| journal | never lost: on the owner's disk before it is published; who was away asks for what it missed |

The last column is the JSON-RPC notification that websocket clients get.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 when a page is stale")


def run(given: argparse.Namespace) -> int:
    folder = CHECKOUT / "docs"
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} does not exist: the pages are part of a checkout of the project")
    stale = []
    for name, page in PAGES.items():
        path, text = folder / name, page()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not given.check:
                path.write_text(text, encoding="utf-8")
    for name in stale:
        print(f"docs/{name} {'is stale: run `python -m bus docs`' if given.check else 'written'}", file=sys.stderr)
    return int(bool(stale) and given.check)


def api_page() -> str:
    parts = [GENERATED, API_HEAD]
    for service in SERVICES.values():
        owned = [method for method in METHODS.values() if method.owner == service.name]
        parts += [_title(service), *_table(("method", "HTTP", "parameters", "what it does"), map(_method, owned))]
    parts.append("\n## Every service\n\nOn the bus alone, as in `python -m bus call notifier.ping`.\n\n")
    parts += _table(
        ("method", "parameters"), ((f"`SERVICE.{verb}`", _parameters(params)) for verb, params in BUILT_IN.items())
    )
    return "".join(parts)


def topics_page() -> str:
    general = [t for t in TOPICS.values() if _of_every_service(t)]
    parts = [GENERATED, TOPICS_HEAD]
    for service in SERVICES.values():
        owned = [t for t in TOPICS.values() if t.owner == service.name and t not in general]
        if owned:
            parts += [_title(service), *_table(("topic", "kind", "value", "notification"), map(_topic, owned))]
    first = [t for t in general if t.owner == next(iter(SERVICES))]
    parts.append("\n## Every service\n\n")
    parts += _table(("topic", "kind", "value"), ((f"`SERVICE.{_last(t)}`", t.kind.value, t.meaning) for t in first))
    return "".join(parts)


PAGES: dict[str, Callable[[], str]] = {"api.md": api_page, "topics.md": topics_page}


def _title(service: Service) -> str:
    return f"\n## {service.name}\n\n{service.owns[0].upper()}{service.owns[1:]}.\n\n"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    titles = list(head)
    return [_line(titles), _line(["---"] * len(titles)), *map(_line, rows)]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _method(row: Method) -> tuple[str, str, str, str]:
    routes = "<br>".join(f"`{route}`" for route in row.http)
    notes = [
        f"status {row.status}" if row.status != 200 else "",
        "bare" if row.bare else "",
        f"state `{row.answer}`" if row.answer else "",
        f"section `[{row.section}]`" if row.section else "",
        "needs `enable_debug`" if row.debug else "",
        "websocket and Unix socket only" if row.connection and not row.http else "",
        "HTTP only" if not row.rpc else "",
        "open to everyone" if row.public else "",
        "no deadline" if row.deadline_s is None else "",
    ]
    told = "; ".join(note for note in notes if note)
    return f"`{row.name}`", routes, _parameters(row.params), f"{row.meaning}" + (f" *({told})*" if told else "")


def _parameters(params: tuple[Param, ...]) -> str:
    return "<br>".join(map(_parameter, params))


def _parameter(param: Param) -> str:
    default = "" if param.default is REQUIRED else f" ({orjson.dumps(param.default).decode()})"
    return f"`{param.name}`: {param.expected}{default}" + (f", {param.meaning}" if param.meaning else "")


def _topic(topic: Topic) -> tuple[str, str, str, str]:
    return f"`{topic.name}`", topic.kind.value, topic.meaning, f"`{topic.notification}`" if topic.notification else ""


def _of_every_service(topic: Topic) -> bool:
    return all(f"{name}.{_last(topic)}" in TOPICS for name in SERVICES)


def _last(topic: Topic) -> str:
    return topic.name.rpartition(".")[2]
