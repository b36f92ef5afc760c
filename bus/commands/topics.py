"""The table of topics."""

import argparse

from bus.commands.table import table
from bus.topics import TOPICS


def arguments(_: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(_: argparse.Namespace) -> int:
    rows = [(topic.name, topic.kind.value, topic.owner, topic.meaning) for topic in TOPICS.values()]
    print(table(("TOPIC", "KIND", "OWNER", "MEANING"), rows))
    return 0
