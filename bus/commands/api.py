"""The table of methods."""

import argparse

from bus.api import METHODS, Method
from bus.commands.table import table
from bus.params import REQUIRED


def arguments(_: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(_: argparse.Namespace) -> int:
    rows = [(m.name, m.owner, parameters(m), ", ".join(m.http), m.meaning) for m in METHODS.values()]
    print(table(("METHOD", "OWNER", "PARAMETERS", "HTTP", "MEANING"), rows))
    return 0


def parameters(method: Method) -> str:
    """`name [optional]` of each parameter."""
    return " ".join(p.name if p.default is REQUIRED else f"[{p.name}]" for p in method.params)
