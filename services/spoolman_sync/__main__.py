"""Wires the ledger, the reports, the link and the proxy to the bus and to Spoolman."""

import asyncio
import logging
import sqlite3
from typing import Any

from bus.api import METHODS
from bus.config import ConfigError
from bus.errors import Fault, not_found, unavailable
from bus.node import Node
from bus.process import main
from services.spoolman_sync import proxy
from services.spoolman_sync.books import Books
from services.spoolman_sync.http import Http, NoAnswer, NotSent
from services.spoolman_sync.link import Link
from services.spoolman_sync.reports import Reports
from services.spoolman_sync.settings import PACE, Pace, Settings, read_settings
from services.spoolman_sync.store import Store

log = logging.getLogger("moonbus.spoolman_sync")

COMPONENT = "spoolman_sync.component"


async def start(node: Node) -> None:
    """Idles without a [spoolman] section, and without one it can use."""
    if not node.config.has("spoolman"):
        node.publish(COMPONENT, {"components": [], "failed": [], "warnings": []})
        serve_none(node, not_found("[spoolman] is not configured"))
        return
    try:
        settings = read_settings(node.config.section("spoolman"))
    except ConfigError as error:
        refuse(node, str(error))
        return
    problem = open_and_run(node, settings)
    if problem:
        refuse(node, problem)
        node.spawn(keep_opening(node, settings, problem))


async def keep_opening(node: Node, settings: Settings, said: str) -> None:
    """A disk that is full or read-only now need not be later."""
    while True:
        await asyncio.sleep(PACE.reopen_s)
        problem = open_and_run(node, settings)
        if not problem:
            return
        if problem != said:
            refuse(node, problem)
        said = problem


def open_and_run(node: Node, settings: Settings) -> str:
    """What keeps the database from being opened; "" when everything runs."""
    warnings: list[str] = []

    def warn(text: str) -> None:
        warnings.append(text)
        node.publish(COMPONENT, {"components": ["spoolman"], "failed": [], "warnings": warnings})

    try:
        store = Store(node.data / "moonbus" / "spoolman_sync.sqlite", warn)
    except (OSError, sqlite3.Error) as error:
        return f"[spoolman]: its database cannot be opened, trying again: {error}"
    node.publish(COMPONENT, {"components": ["spoolman"], "failed": [], "warnings": warnings})
    run(node, store, settings, PACE)
    return ""


def refuse(node: Node, text: str) -> None:
    """Spoolman is disabled, and every request says why."""
    log.error("%s", text)
    node.publish(COMPONENT, {"components": [], "failed": ["spoolman"], "warnings": [text]})
    serve_none(node, unavailable(f"Spoolman is disabled: {text}"))


def run(node: Node, store: Store, settings: Settings, pace: Pace) -> None:
    """Everything, until the node closes."""
    books = Books(node, store, pace)
    http = Http(settings, pace.connect_timeout_s)
    proxied = Http(settings, pace.connect_timeout_s)
    reports = Reports(books, http, node.spawn, settings, pace)
    link = Link(http, settings, pace, reports.link_changed, books.fail, reports.spool_updated, books.forget)

    async def status() -> dict[str, Any]:
        return books.status

    async def get_spool_id() -> dict[str, Any]:
        return books.active

    async def post_spool_id(spool_id: int | None) -> dict[str, Any]:
        await books.choose(spool_id)
        return {"spool_id": spool_id}

    async def pass_on(request_method: str, path: str, query: str | None, body: Any, use_v2_response: bool) -> Any:
        target, content = proxy.check_request(request_method, path, query, body)
        await link.first_try()
        if not books.connected:
            return proxy.shape(unavailable("Spoolman server not available"), use_v2_response)
        try:
            url = settings.api + target
            answer = await proxied.request(request_method, url, content, pace.proxy_timeout_s)
        except (NotSent, NoAnswer) as error:
            return proxy.shape(proxy.read_error(error), use_v2_response)
        return proxy.shape(answer, use_v2_response)

    node.serve(
        {
            "server.spoolman.status": status,
            "server.spoolman.get_spool_id": get_spool_id,
            "server.spoolman.post_spool_id": post_spool_id,
            "server.spoolman.proxy": pass_on,
        }
    )
    books.publish()
    for topic, cursor in books.cursors.items():
        node.follow(topic, cursor, books.handle)
        node.subscribe(topic, books.hear_hint)
    node.subscribe("printer.extruders", books.hear_extruders)
    tasks = [node.spawn(work) for work in (books.catch_up(), books.run(), reports.run(), link.run())]

    async def end() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(reports.finish(), *tasks, return_exceptions=True)
        books.end()
        await http.close()
        await proxied.close()

    node.stack.push_async_callback(end)


def serve_none(node: Node, fault: Fault) -> None:
    """All rows answer this."""

    async def refuse(**_: Any) -> Any:
        raise Fault(fault.code, fault.message)  # a new one: raised again, an exception keeps all its former frames

    node.serve({name: refuse for name, row in METHODS.items() if row.owner == node.name})


if __name__ == "__main__":
    main({"spoolman_sync": start})
