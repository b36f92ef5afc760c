"""Secrets are known to templates and to nobody else."""

from pathlib import Path

import pytest

from bus.secrets import FILE, Secrets
from bus.templates import TemplateError, render


@pytest.mark.parametrize("text", ["[telegram]\ntoken = 123:abc%x\n", '{"telegram": {"token": "123:abc%x"}}'])
def test_ini_and_json_are_read_and_masked(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    secrets = Secrets(tmp_path)
    assert render("tgram://{secrets.telegram.token}/7", secrets.values, {}) == "tgram://123:abc%x/7"
    assert secrets.mask("POST tgram://123:abc%x/7 failed") == "POST tgram://***/7 failed"


def test_a_file_that_cannot_be_read_is_a_warning_without_its_text(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("hunter2 and no section")
    secrets = Secrets(tmp_path)
    assert secrets.values == {} and len(secrets.warnings) == 1 and "hunter2" not in secrets.warnings[0]
    assert Secrets(tmp_path / "elsewhere").warnings == []


def test_templates_speak_klippers_dialect_in_a_sandbox() -> None:
    context = {"event_args": [{}, {"filename": "a.gcode"}], "items": []}
    assert render("{% if event_args[1].filename %}F:{event_args[1].filename}{% endif %}", {}, context) == "F:a.gcode"
    assert render("{% do items.append(1) %}{items}", {}, context) == "[1]"
    for unsafe in ("{''.__class__.__mro__}{''.__class__.__mro__[1].__subclasses__()}", "{"):
        with pytest.raises(TemplateError):
            render(unsafe, {}, context)
