"""`trusted_clients`: addresses, ranges and host names whose requests need no key.

Names are looked up forwards (the reverse zone belongs to whoever owns the address) and off the event loop: a name server
that hangs costs no request anything, and its last answer stays good until the next one.
"""

import ipaddress
import logging
import re
import socket
import threading
from collections.abc import Callable, Mapping

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOKUP_PERIOD_S = 60.0
FIRST_LOOKUP_S = 0.5
"""Seconds the start waits for the first answers."""

NAME = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.I)
PROXY_HEADERS = ("x-forwarded-for", "x-real-ip")

log = logging.getLogger("moonbus.gateway")


def parse_address(text: str) -> Address | None:
    """An IPv4 client of a socket for both families shows as ::ffff:192.168.1.5; it is 192.168.1.5."""
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


class TrustedClients:
    """`warnings` names entries that are none of the three."""

    def __init__(self, entries: list[str], clock: Callable[[], float]) -> None:
        self.warnings: list[str] = []
        self._networks: list[Network] = []
        names: list[str] = []
        for entry in entries:
            try:
                self._networks.append(ipaddress.ip_network(entry))
            except ValueError:
                if NAME.fullmatch(entry) and not entry.rpartition(".")[2].isdigit():
                    names.append(entry)
                else:
                    self.warnings.append(_explain(entry))
        self._names = _Names(names, clock) if names else None

    def trust(self, address: Address | None) -> bool:
        if address is None:
            return False
        if any(address in network for network in self._networks):
            return True
        return self._names is not None and address in self._names.addresses()

    def trust_request(self, peer: str, headers: Mapping[str, str]) -> bool:
        """Every address a reverse proxy reports has to be trusted, besides the peer's own: what an outsider writes into
        the header himself only adds to them. A proxy on this host has to be listed too: what else comes from there, a
        tunnel say, passes on whatever header an outsider sends."""
        reported = [part for name, value in headers.items() if name.lower() in PROXY_HEADERS
                    for part in value.split(",") if part.strip()]  # fmt: skip
        return all(self.trust(parse_address(address)) for address in (peer, *reported))


def _explain(entry: str) -> str:
    text = f"expected an address, a range or a host name, got {entry!r}; entry left out"
    try:
        return f"{text} (did you mean {ipaddress.ip_network(entry, strict=False)}?)"
    except ValueError:
        return text


class _Names:
    """Host names and their latest addresses. One thread at a time looks them up, at most once in `LOOKUP_PERIOD_S`."""

    def __init__(self, names: list[str], clock: Callable[[], float]) -> None:
        self._clock = clock
        self._found: dict[str, frozenset[Address]] = dict.fromkeys(names, frozenset())
        self._all: frozenset[Address] = frozenset()
        self._looked_up_at = clock()
        self._thread = self._look_up()
        self._thread.join(FIRST_LOOKUP_S)

    def addresses(self) -> frozenset[Address]:
        now = self._clock()
        if now - self._looked_up_at > LOOKUP_PERIOD_S and not self._thread.is_alive():
            self._looked_up_at = now
            self._thread = self._look_up()
        return self._all

    def _look_up(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, name="trusted clients", daemon=True)
        thread.start()
        return thread

    def _run(self) -> None:
        for name in self._found:
            try:
                answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as error:
                log.warning("trusted_clients: %s has no address now (%s)", name, error)
                continue
            found = (parse_address(str(answer[4][0])) for answer in answers)
            self._found[name] = frozenset(address for address in found if address is not None)
            self._all = frozenset().union(*self._found.values())
