"""`cors_domains`: which web pages may read answers. `*` stands for any text, but not in the top-level domain; an entry that
is `*` alone lets every page in, as its owner asked."""

import re

from services.gateway.trust import TrustedClients, parse_address

ORIGIN = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[^/:@\s]+)(?::(\d+))?", re.I)
ENTRY = re.compile(r"(?:(https?|\*)://)?(\[[0-9a-f:.]+\]|[^/:@\s]+)(?::(\d+|\*))?/?", re.I)


class Origins:
    """Origins at trusted addresses are allowed too: the interface of one printer showing another."""

    def __init__(self, entries: list[str], clients: TrustedClients) -> None:
        self.warnings: list[str] = []
        self._clients = clients
        self._any = "*" in entries
        self._patterns: list[re.Pattern[str]] = []
        for entry in entries:
            parts = ENTRY.fullmatch(entry)
            if entry == "*":
                self.warnings.append("`*` lets every web page use this printer: name the ones you use instead")
            elif parts is None:
                self.warnings.append(f"expected scheme://host:port, got {entry!r}; entry left out")
            elif "*" in parts[2].rpartition(".")[2]:
                self.warnings.append(f"{entry!r} has a wildcard in the top-level domain; entry left out")
            else:
                self._patterns.append(_pattern(*parts.groups()))

    def allow(self, origin: str) -> bool:
        if self._any:
            return True
        parts = ORIGIN.fullmatch(origin)
        if parts is None:
            return False
        if any(pattern.fullmatch(origin) for pattern in self._patterns):
            return True
        address = parse_address(parts[2].strip("[]"))
        return address is not None and self._clients.trust(address)


def _pattern(scheme: str | None, host: str, port: str | None) -> re.Pattern[str]:
    schemes = re.escape(scheme) if scheme not in (None, "*") else "https?"
    hosts = re.escape(host).replace(r"\*", "[^/:@]*")
    ports = {None: "", "*": r"(:\d+)?"}.get(port, f":{port}")
    return re.compile(f"{schemes}://{hosts}{ports}", re.I)
