"""The API key's file: made once, readable for its owner alone, replaced whole or not at all."""

import os
import secrets
from pathlib import Path

SHORTEST_KEY = 16
"""What an owner may have written there himself; anything shorter is a damaged file."""


class KeyFile:
    """`key` is None until `open()`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.key: str | None = None

    def open(self) -> list[str]:
        """Reads the key or makes the first one. What was in the way comes back as warnings, never with the key in them."""
        try:
            text = self.path.read_text(encoding="ascii").strip()
            self.path.chmod(0o600)
        except FileNotFoundError:
            text = ""
        except (OSError, UnicodeDecodeError) as error:
            return [f"{self.path}: the API key cannot be read ({type(error).__name__}): API keys are off until it can"]
        if len(text) >= SHORTEST_KEY:
            self.key = text
            return []
        try:
            self.replace()
        except OSError as error:
            self.key = secrets.token_hex(16)
            return [f"{self.path}: the API key cannot be stored ({error.strerror}): it changes at each start"]
        return []

    def replace(self) -> str:
        """A new key, on disk before it counts. Raises OSError, and the old key stays."""
        key = secrets.token_hex(16)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(f".{self.path.name}.new")
        fresh.unlink(missing_ok=True)
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(f"{key}\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
        self.key = key
        return key
