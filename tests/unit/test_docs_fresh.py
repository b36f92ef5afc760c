"""The generated pages say what the tables say."""

import re
from argparse import Namespace
from pathlib import Path

import pytest

from bus.api import METHODS
from bus.commands import docs
from bus.rundir import CHECKOUT
from bus.topics import TOPICS


@pytest.mark.parametrize("name", docs.PAGES)
def test_the_pages_are_fresh(name: str) -> None:
    written = (CHECKOUT / "docs" / name).read_text(encoding="utf-8")
    assert written == docs.PAGES[name](), "stale: run `python -m bus docs`"


def test_every_row_is_there() -> None:
    api, topics = docs.api_page(), docs.topics_page()
    assert all(f"| `{name}` |" in api for name in METHODS)
    for name in TOPICS:
        service, _, last = name.rpartition(".")
        assert f"| `{name}` |" in topics or f"| `SERVICE.{last}` |" in topics, service


def test_every_line_of_a_table_has_the_columns_of_its_head() -> None:
    for page in docs.PAGES.values():
        columns = 0
        for line in page().splitlines():
            if not line.startswith("|"):
                columns = 0
                continue
            found = len(re.findall(r"(?<!\\)\|", line))
            assert columns in (0, found), line
            columns = found


def test_check_tells_a_stale_page_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docs, "CHECKOUT", tmp_path)
    with pytest.raises(FileNotFoundError, match="checkout"):
        docs.run(Namespace(check=True))
    (tmp_path / "docs").mkdir()
    assert docs.run(Namespace(check=True)) == 1 and not list((tmp_path / "docs").iterdir())
    assert docs.run(Namespace(check=False)) == 0
    assert docs.run(Namespace(check=True)) == 0
