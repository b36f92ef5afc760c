"""Templates in configuration values: Jinja2's sandbox with Klipper's delimiters.

`{ }` is an expression, `{% %}` a statement, `{# #}` a comment; the `do` extension; `secrets` is a global.
Import it only where templates are used: Jinja2 costs 4 MB.
"""

from collections.abc import Mapping
from typing import Any

from jinja2 import TemplateError
from jinja2.sandbox import SandboxedEnvironment

__all__ = ["TemplateError", "environment", "render"]


def environment(secrets: Mapping[str, Any]) -> SandboxedEnvironment:
    """An environment whose templates may use `secrets`. Autoescape is off: the results are messages, not pages."""
    made = SandboxedEnvironment(
        variable_start_string="{", variable_end_string="}", extensions=["jinja2.ext.do"], autoescape=False
    )
    made.globals["secrets"] = secrets
    return made


def render(text: str, secrets: Mapping[str, Any], context: Mapping[str, Any]) -> str:
    """Raises TemplateError for what Jinja2 refuses."""
    return environment(secrets).from_string(text).render(context)
