"""Where Klipper's API socket is: `klippy_uds_address` in [server], a template that may name `data_path` and secrets."""

import re
from pathlib import Path

from bus.config import Config
from bus.secrets import Secrets

DEFAULT = "/tmp/klippy_uds"


def klippy_address(config: Config, data: Path) -> tuple[Path, list[str]]:
    """The socket's path, and what is wrong with what the configuration says of it: then it is the default."""
    section = config.section("server")
    # The usual template needs no Jinja2, which costs 4 MB.
    text = re.sub(r"\{\s*data_path\s*\}", lambda _: str(data), section.string("klippy_uds_address", DEFAULT))
    try:
        text = _rendered(text, data) if "{" in text else text
        if not text.strip():
            raise ValueError("expected a path, got nothing")
        return Path(text.strip()).expanduser(), []
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        return Path(DEFAULT), [str(section.error("klippy_uds_address", f"{error}; {DEFAULT} is used"))]


def _rendered(text: str, data: Path) -> str:
    """Raises what templates raise; ValueError for what Jinja2 refuses."""
    from bus.templates import TemplateError, render

    try:
        return render(text, Secrets(data).values, {"data_path": str(data)})
    except TemplateError as error:
        raise ValueError(str(error)) from error
