"""Calls a method and prints its result as JSON; a failure goes to stderr with exit status 1.

Every service also answers SERVICE.ping, .info, .stats and .journal.
"""

import argparse
import asyncio
import sys
from typing import Any

import orjson

from bus.commands.asking import calls_to
from bus.commands.place import existing_run_dir
from bus.errors import Fault
from bus.rundir import RunDir


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("method", metavar="METHOD", help="as `python -m bus api` names it")
    how = "a parameter: JSON where it reads as such, else text; `-` takes a JSON object from stdin"
    parser.add_argument("params", nargs="*", metavar="KEY=VALUE", help=how)


def run(given: argparse.Namespace) -> int:
    try:
        params = read_params(given.params)
        result = asyncio.run(_call(existing_run_dir(), given.method, params))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    except Fault as fault:
        print(f"{fault.code} {fault.message}", file=sys.stderr)
        return 1
    print(orjson.dumps(result, option=orjson.OPT_INDENT_2).decode())
    return 0


def read_params(words: list[str]) -> dict[str, Any]:
    """The parameters these words stand for. Raises ValueError saying what was expected."""
    params: dict[str, Any] = {}
    for word in words:
        if word == "-":
            params.update(_from_stdin())
            continue
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise ValueError(f"expected KEY=VALUE or `-`, got {word!r}")
        params[key] = _value(value)
    return params


def _value(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _from_stdin() -> dict[str, Any]:
    try:
        params = orjson.loads(sys.stdin.buffer.read())
    except orjson.JSONDecodeError as error:
        raise ValueError(f"stdin is not JSON: {error}") from None
    if not isinstance(params, dict):
        raise ValueError('stdin: expected a JSON object, as in {"spool_id": 5}')
    return params


async def _call(run_dir: RunDir, method: str, params: dict[str, Any]) -> Any:
    async with calls_to(run_dir) as calls:
        return (await calls.call(method, params)).result
