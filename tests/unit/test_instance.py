"""Which supervisord.conf an instance runs on."""

from pathlib import Path

import pytest

from bus.rundir import CHECKOUT, instance_dir
from moonbus.instance import configuration


def test_the_checkout_runs_on_its_own_and_a_data_path_on_a_link_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MOONBUS_DATA", raising=False)
    assert configuration() == CHECKOUT / "supervisord.conf"
    monkeypatch.setenv("MOONBUS_DATA", str(tmp_path))
    link = instance_dir(tmp_path) / "supervisord.conf"
    assert configuration() == link and link.readlink() == CHECKOUT / "supervisord.conf"
    link.unlink()
    link.symlink_to(tmp_path / "of a checkout that was moved")
    assert configuration() == link and link.readlink() == CHECKOUT / "supervisord.conf"


def test_a_file_of_ones_own_is_never_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOONBUS_DATA", str(tmp_path))
    own = instance_dir(tmp_path) / "supervisord.conf"
    own.parent.mkdir(parents=True)
    own.write_text("; mine")
    assert configuration() == own and own.read_text() == "; mine"
