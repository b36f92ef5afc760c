"""Who may come in: the API key, one-shot tokens, trusted clients; and which web pages may ask (CORS).

Without an `[authorization]` section nobody is trusted, as in Moonraker: the API key alone opens the door.
"""

import hmac
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bus.config import Config, ConfigError, Section
from bus.errors import Fault, not_found
from services.gateway.keyfile import KeyFile
from services.gateway.origins import Origins
from services.gateway.trust import TrustedClients

TOKEN_LIFE_S = 5.0
MOST_TOKENS = 1000
"""Tokens outstanding; the oldest goes first."""

log = logging.getLogger("moonbus.gateway")


@dataclass(frozen=True)
class User:
    """Whom a request comes from, and who says so."""

    username: str
    source: str = "moonraker"


TRUSTED_USER = User("_TRUSTED_USER_")
API_KEY_USER = User("_API_KEY_USER_")


class Access:
    """`data` is the data path, `clock` counts seconds and is never set, `started_at` is wall time. `warnings`
    names what of the configuration is not used."""

    def __init__(self, config: Config, data: Path, clock: Callable[[], float], started_at: float) -> None:
        self.warnings: list[str] = []
        self._clock = clock
        self._started_at = started_at
        self._tokens: dict[str, float] = {}
        section = config.section("authorization")
        self._force_logins: bool = self._read(section, "force_logins", False, section.boolean)
        self._clients = TrustedClients(self._read(section, "trusted_clients", [], section.words), clock)
        self._origins = Origins(self._read(section, "cors_domains", [], section.words), self._clients)
        self.warnings += [str(section.error("trusted_clients", text)) for text in self._clients.warnings]
        self.warnings += [str(section.error("cors_domains", text)) for text in self._origins.warnings]
        self._keys = KeyFile(data / "moonbus" / "api_key")
        if self._read(section, "enable_api_key", True, section.boolean):
            self.warnings += self._keys.open()
        if not config.has("authorization"):
            self.warnings.append(
                "[authorization] is missing: no client is trusted, only those with the API key come in"
            )
        elif self._force_logins:
            self.warnings.append(
                str(section.error("force_logins", "there are no users here: every client needs the API key"))
            )

    def _read(self, section: Section, option: str, default: Any, read: Callable[..., Any]) -> Any:
        try:
            return read(option, default)
        except ConfigError as error:
            self.warnings.append(str(error))
            return default

    def admit(self, address: str, headers: Mapping[str, str], query: Mapping[str, str]) -> User | None:
        """The user of a request from `address` ("unix": the Unix socket), or None: not admitted.

        The API key or a token admits from anywhere. A wrong one counts as none: slicers send dummies, and a trusted
        client stays trusted.
        """
        if address == "unix":
            return TRUSTED_USER
        for key in (headers.get("X-Api-Key"), _bearer(headers.get("Authorization")), query.get("apikey")):
            if key and (user := self.admit_key(key)):
                return user
        if self._redeem(query.get("token")):
            return API_KEY_USER
        if not self._force_logins and self._clients.trust_request(address, headers):
            return TRUSTED_USER
        return None

    def admit_key(self, key: str) -> User | None:
        """The user an API key stands for."""
        right = self._keys.key
        if right is None or not hmac.compare_digest(right.encode(), key.encode(errors="replace")):
            return None
        return API_KEY_USER

    def allows_origin(self, origin: str) -> bool:
        """Whether web pages of this origin (`scheme://host[:port]`) may read answers."""
        return self._origins.allow(origin)

    def info(self, user: User | None) -> dict[str, Any]:
        """How to log in; open to everyone."""
        return {"default_source": "moonraker", "available_sources": ["moonraker"],
                "login_required": self._force_logins, "trusted": user == TRUSTED_USER}  # fmt: skip

    def current_user(self, user: User) -> dict[str, Any]:
        return {"username": user.username, "source": user.source, "created_on": self._started_at}

    def api_key(self) -> str:
        """Raises Fault where the configuration switches API keys off."""
        if self._keys.key is None:
            raise not_found("API keys are switched off: set enable_api_key: True in [authorization]")
        return self._keys.key

    def new_api_key(self) -> str:
        """Replaces the key; the old one is worthless at once. Raises Fault, and keeps the old one, where it cannot be stored."""
        self.api_key()
        try:
            key = self._keys.replace()
        except OSError as error:
            raise Fault(507, f"the new API key cannot be stored ({error.strerror}): the old one stays") from None
        log.info("a new API key was made")
        return key

    def oneshot_token(self) -> str:
        """Good for one request (`?token=`) within `TOKEN_LIFE_S`."""
        token = secrets.token_hex(16)
        while len(self._tokens) >= MOST_TOKENS:
            del self._tokens[next(iter(self._tokens))]
        self._tokens[token] = self._clock()
        return token

    def _redeem(self, token: str | None) -> bool:
        if not token or (made_at := self._tokens.pop(token, None)) is None:
            return False
        return self._clock() - made_at <= TOKEN_LIFE_S


def _bearer(authorization: str | None) -> str | None:
    scheme, _, value = (authorization or "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else None
