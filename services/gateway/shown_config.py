"""The configuration as `server.config` shows it: everything read, no secret. Pure.

What a template takes from the secrets file stays as it is written; what stands in the open where credentials belong
does not: logins in URLs, a notifier's address behind its scheme, options called password, token and the like.
"""

import re
from collections.abc import Callable
from typing import Any

from bus.config import Config

MASK = "***"
SECRET_OPTION = re.compile(r"(^|_)(password|passphrase|token|secret|api_?key|credentials?)$")
LOGIN = re.compile(r"(://)[^/@\s{}]*@")
SECRET_ARGUMENT = re.compile(
    r"([?&;](?:token|key|pass|password|pwd|secret|api_?key|auth|access_token)=)[^&;\s{}]+", re.IGNORECASE
)
TEMPLATE = re.compile(r"\{[^}]*\}")
SCHEME = r"[A-Za-z][\w+.-]*://"
TARGET = re.compile(rf"({SCHEME})((?:\{{[^}}]*\}}|(?![,\s]+{SCHEME})[^\n{{])*)")
NUMBER = re.compile(r"-?(\d{1,15}|\d{1,15}\.\d{1,15})")
BOOLEANS = {"true": True, "false": False}
NO_SECRETS = frozenset({"enable_api_key"})


def shown(config: Config, mask: Callable[[str], str]) -> dict[str, Any]:
    """`config` with numbers and booleans as such, `orig` the texts, `files` what was read from where. `mask` takes the
    values of the secrets file out of a text."""
    original = {
        section.name: {name: mask(_shown(section.name, name, option.text)) for name, option in section.options.items()}
        for section in config.sections.values()
    }
    parsed = {name: {option: _parsed(text) for option, text in options.items()} for name, options in original.items()}
    return {"config": parsed, "orig": original, "files": _files(config)}


def _shown(section: str, option: str, text: str) -> str:
    if option not in NO_SECRETS and SECRET_OPTION.search(option) and _literal(text):
        return MASK
    if section.startswith("notifier ") and option == "url":
        return TARGET.sub(_shown_target, text) if "://" in text or not _literal(text) else MASK
    if section.startswith("notifier ") and text.startswith("//"):
        return MASK  # a url's second line that lost its indentation: read as an option named after the scheme
    return SECRET_ARGUMENT.sub(rf"\g<1>{MASK}", LOGIN.sub(rf"\g<1>{MASK}@", text))


def _shown_target(match: re.Match[str]) -> str:
    """A push target's address is its key: shown only as far as it is made of templates."""
    return f"{match[1]}{MASK}" if _literal(match[2]) else match[0]


def _literal(text: str) -> str:
    """What of a text is neither template nor punctuation."""
    return re.sub(r"[\W_]", "", TEMPLATE.sub("", text))


def _parsed(text: str) -> Any:
    if NUMBER.fullmatch(text):
        return float(text) if "." in text else int(text)
    return BOOLEANS.get(text.lower(), text)


def _files(config: Config) -> list[dict[str, Any]]:
    """A section is listed with every file that has a line of it."""
    files = []
    for path in config.files:
        sections = [
            section.name
            for section in config.sections.values()
            if path.name in {where.rpartition(":")[0] for where in
                             (section.where, *(option.where for option in section.options.values()))}
        ]  # fmt: skip
        files.append({"filename": path.name, "sections": sections})
    return files
