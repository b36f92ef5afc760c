"""The `[spoolman]` section: where Spoolman is and how often it is told."""

import base64
from dataclasses import dataclass

from yarl import URL

from bus.config import Section


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things may take, in seconds.

    A report's answer is waited for long, with the connection kept open: while it is open nothing is uncertain, and a
    Spoolman that was frozen or slow answers in the end. `settle_s`: see `booking.decide`. A ping is sent after `ping_s`
    without a message, and has half as long again to be answered. `reopen_s`: between attempts to open the database.
    """

    settle_s: float = 15.0
    report_timeout_s: float = 120.0
    read_timeout_s: float = 10.0
    connect_timeout_s: float = 10.0
    first_try_s: float = 2.0
    proxy_timeout_s: float = 10.0
    ping_s: float = 7.0
    close_s: float = 0.3
    last_answer_s: float = 0.3
    reconnect_s: float = 2.0
    reconnect_most_s: float = 10.0
    status_s: float = 1.0
    catch_up_s: float = 1.0
    reopen_s: float = 10.0


PACE = Pace()


@dataclass(frozen=True, slots=True)
class Settings:
    """`api` is the URL every path of Spoolman's API goes behind: "http://host:7912/prefix/api". Its user info is in
    `authorization` alone, a header's value, so that `api` may be shown."""

    api: str
    authorization: str | None
    sync_rate_s: float

    @property
    def websocket(self) -> str:
        """The events of all spools."""
        return f"ws{self.api.removeprefix('http')}/v1/spool"

    @property
    def headers(self) -> dict[str, str]:
        known = {"User-Agent": "moonbus"}
        return known if self.authorization is None else {**known, "Authorization": self.authorization}


def read_settings(section: Section) -> Settings:
    """Raises ConfigError. The text of `server` is never quoted: it may hold a password."""
    text = section.string("server")
    try:
        url = URL(text if "://" in text else f"http://{text}")
        complete = url.scheme in ("http", "https") and bool(url.host) and url.port is not None
        authorization = _authorization(url)
    except ValueError:
        complete = False
    if not complete:
        raise section.error("server", "expected a URL like http://spoolman.local:7912 (http or https)")
    if url.raw_query_string or url.raw_fragment:
        raise section.error("server", "expected a URL without a query (?) or a fragment (#)")
    base = str(url.with_user(None)).rstrip("/")
    return Settings(f"{base}/api", authorization, section.number("sync_rate", 5.0, minimum=1))


def _authorization(url: URL) -> str | None:
    if not url.user and not url.password:
        return None
    return "Basic " + base64.b64encode(f"{url.user or ''}:{url.password or ''}".encode()).decode()
