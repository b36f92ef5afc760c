"""What a test opened is closed behind it: Python 3.13 warns of a database that nobody closed."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def databases_are_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    connect = sqlite3.connect
    with ExitStack() as opened:

        def connect_until_the_end(*args: Any, **kwargs: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*args, **kwargs)
            opened.callback(connection.close)
            return connection

        monkeypatch.setattr(sqlite3, "connect", connect_until_the_end)
        yield
