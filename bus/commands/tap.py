"""Shows what crosses the bus: retained state first, then live traffic.

Coloured lines on a terminal (NO_COLOR is honoured), in a pipe one JSON object per line: topic, at, number, full, value.
"""

import argparse
import asyncio
import os
import select
import signal
import stat
import sys
import time
from collections.abc import Callable
from contextlib import aclosing
from fnmatch import fnmatchcase
from typing import Any

import orjson

from bus.commands.listener import listen
from bus.commands.place import existing_run_dir
from bus.envelope import Message
from bus.rundir import RunDir
from bus.topics import TOPICS, Kind

QUIET = ("heartbeat", "trace")
"""Kinds of topics every service has that are heard only when the pattern names them."""

WIDEST = 400
"""Characters of a value on a terminal; a pipe gets all of it."""

COLOURS = {Kind.STATE: 32, Kind.MIRROR: 36, Kind.EVENT: 33, Kind.JOURNAL: 35}
DIM, RED, BLUE = 2, 31, 34
Paint = Callable[[str, int], str]


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pattern", nargs="?", default="*", metavar="PATTERN",
                        help="names of topics, as in 'spoolman.*'; all but heartbeats without it")  # fmt: skip
    parser.add_argument("--requests", action="store_true", help="also each call answered by the owners of these topics")


def run(given: argparse.Namespace) -> int:
    topics = chosen(given.pattern, given.requests)
    if not topics:
        print(f"no topic is called {given.pattern!r}: `python -m bus topics` names them", file=sys.stderr)
        return 1
    asyncio.run(_tap(existing_run_dir(), topics, _form()))
    return 0


def chosen(pattern: str, requests: bool) -> list[str]:
    """The topics a pattern stands for, with the traces of their owners when requests are asked for."""
    named = [
        name
        for name in TOPICS
        if fnmatchcase(name, pattern) and not any(name.endswith(f".{q}") and q not in pattern for q in QUIET)
    ]
    traces = {f"{TOPICS[name].owner}.trace" for name in named} if requests else set()
    return sorted({*named, *traces})


def as_json(message: Message) -> str:
    return orjson.dumps(
        {"topic": message.topic, "at": message.at, "number": message.number, "full": message.full,
         "value": orjson.Fragment(message.body)}
    ).decode()  # fmt: skip


def as_line(message: Message, paint: Paint) -> str:
    moment = time.strftime("%H:%M:%S", time.localtime(message.at)) + f"{message.at % 1:.3f}"[1:]
    if message.topic.endswith(".trace"):
        return f"{paint(moment, DIM)} {_request(message.value, message.topic.removesuffix('.trace'), paint)}"
    text = message.body.decode()
    text = text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"
    number = paint(f"#{message.number}{' full' if message.full else ''}", DIM)
    return f"{paint(moment, DIM)} {paint(message.topic, COLOURS[TOPICS[message.topic].kind])} {number} {text}"


def _request(trace: dict[str, Any], owner: str, paint: Paint) -> str:
    outcome = paint(trace["outcome"], COLOURS[Kind.STATE] if trace["outcome"] == "ok" else RED)
    return f"{paint(trace['method'], BLUE)} {trace['caller']} → {owner} {trace['duration_ms']:.1f} ms {outcome}"


def _form() -> Callable[[Message], str]:
    if not sys.stdout.isatty():
        return as_json
    coloured = not os.environ.get("NO_COLOR")
    return lambda message: as_line(message, lambda text, code: f"\033[{code}m{text}\033[0m" if coloured else text)


async def _tap(run_dir: RunDir, topics: list[str], form: Callable[[Message], str]) -> None:
    show = asyncio.current_task()
    assert show is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, show.cancel)
    watch = asyncio.create_task(_end_with_reader(show))
    try:
        async with aclosing(listen(run_dir, topics)) as messages:
            async for message in messages:
                print(form(message), flush=True)
    except asyncio.CancelledError:
        return
    finally:
        watch.cancel()


async def _end_with_reader(show: asyncio.Task[Any]) -> None:
    """Ends the tap when the reader of the pipe has gone, also while the bus is quiet and nothing is written."""
    if not stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode):
        return
    pipe = select.poll()
    pipe.register(sys.stdout.fileno(), 0)  # errors are told without being asked for
    while not pipe.poll(0):
        await asyncio.sleep(0.2)
    show.cancel()
