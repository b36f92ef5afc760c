"""Wires the notifier: configuration in, journals followed, pushes out."""

import asyncio
import sqlite3
import time
from collections.abc import Mapping
from typing import Any

from bus.database import Tell
from bus.errors import not_found, too_late, unavailable
from bus.mirror import Mirror
from bus.node import Node
from bus.process import main
from bus.secrets import Secrets
from services.notifier.delivery import Delivery
from services.notifier.mask import shown_attach, shown_urls
from services.notifier.outbox import Outbox
from services.notifier.sender import Sender
from services.notifier.settings import Notifier, read_notifiers

JOURNALS = ("printer.jobs", "printer.remote_calls")
TEST_S = 25.0
"""For a test call; below the deadline of its row."""
REOPEN_S = 10.0
TEST_FILE = "notifier_test.gcode"
PRINT_STATS = {
    "print_duration": 0.0, "total_duration": 0.0, "filament_used": 0.0, "filename": "", "state": "standby",
    "message": "", "info": {"total_layer": None, "current_layer": None},
}  # fmt: skip
"""What a test sees where Klipper is away or has no such field."""


async def start(node: Node) -> None:
    started_at = time.time()
    notifiers, problems = read_notifiers(node.config)
    secrets = Secrets(node.data)
    configured = node.config.has("notifier")
    warnings = [*problems, *secrets.warnings] if configured else []
    for warning in warnings:
        node.log.warning("%s", warning)
    node.publish("notifier.list", listed(notifiers))
    node.publish("notifier.wants", {"print_stats": None} if notifiers else {})
    component = ["notifier"] if configured else []
    disabled = [f"notifier {name}" for name in node.config.named("notifier") if name not in notifiers]
    failed = disabled if notifiers else [*component, *disabled]

    def warn(text: str) -> None:
        warnings.append(text)
        node.publish("notifier.component", {"components": component, "failed": failed, "warnings": warnings})

    node.publish("notifier.component", {"components": component, "failed": failed, "warnings": warnings})
    printer = Mirror()
    delivering: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()

    async def show() -> dict[str, Any]:
        return listed(notifiers)

    def delivery() -> Delivery:
        if not delivering.done():
            raise unavailable("the notifier's outbox is not open: see its log")
        return delivering.result()

    def named(name: str) -> Notifier:
        if name not in notifiers:
            raise not_found(f"Notifier '{name}' not found")
        return notifiers[name]

    async def status() -> dict[str, Any]:
        raise unavailable("the notifier's outbox is not open: see its log")

    async def test(name: str) -> dict[str, Any]:
        notifier = named(name)
        return await run_test(delivery(), notifier, printer.status.get("print_stats", {}))

    async def retry(name: str | None, id: int | None) -> dict[str, Any]:
        only = None if name is None else named(name).name
        try:
            return {"retried": delivery().retry(only, id)}
        except sqlite3.Error as error:
            raise unavailable(f"the outbox cannot be written: {error}") from None

    def open_outbox() -> bool:
        delivery = _delivery(node, notifiers, secrets, started_at, warn)
        if delivery is not None:
            delivering.set_result(delivery)
        return delivery is not None

    async def keep_opening() -> None:
        while not open_outbox():
            await asyncio.sleep(REOPEN_S)

    node.serve(
        {
            "server.notifiers.list": show,
            "server.notifiers.status": status,
            "server.notifiers.retry": retry,
            "server.notifiers.test": test,
            "debug.notifiers.test": test,
        }
    )
    if not notifiers:
        node.publish("notifier.status", {"notifiers": []})
    else:
        node.subscribe("printer.objects", lambda message: _forget(printer.apply(message)))
        if not open_outbox():
            node.spawn(keep_opening())


def _delivery(
    node: Node, notifiers: Mapping[str, Notifier], secrets: Secrets, started_at: float, warn: Tell
) -> Delivery | None:
    """Running; None while the disk has no place for the outbox."""
    folder = node.data / "moonbus"
    try:
        outbox = Outbox(folder / "notifier.sqlite", warn)
        sender = Sender(secrets.values, node.data, folder / "sending", node.spawn)
        delivery = Delivery(node, notifiers, outbox, sender, secrets, started_at)
    except (OSError, sqlite3.Error) as error:
        node.log.error("the outbox cannot be opened (%s): nothing is pushed until it can", error)
        return None
    delivery.start()
    node.stack.push_async_callback(delivery.close)
    for topic in JOURNALS:
        node.follow(topic, outbox.cursor(topic), delivery.take)
    return delivery


def listed(notifiers: Mapping[str, Notifier]) -> dict[str, Any]:
    """The answer to server.notifiers.list."""
    rows = [
        {"name": n.name, "url": shown_urls(n.url), "title": n.title, "body": n.body, "body_format": n.body_format,
         "events": list(n.events), "attach": shown_attach(n.attach)}
        for n in notifiers.values()
    ]  # fmt: skip
    return {"notifiers": rows}


async def run_test(delivery: Delivery, notifier: Notifier, print_stats: Mapping[str, Any]) -> dict[str, Any]:
    """Pushes now; the answer comes when all targets have it. Raises Fault 503 with what failed, 504."""
    stats = {**PRINT_STATS, **print_stats, "filename": TEST_FILE}
    context = {"event_name": notifier.events[0], "event_args": [stats, stats], "event_message": ""}
    try:
        async with asyncio.timeout(TEST_S):
            outcomes = await delivery.test(notifier, context)
    except TimeoutError:
        raise too_late(f"Notifier '{notifier.name}': no outcome within {TEST_S:g} s") from None
    failed = [outcome for outcome in outcomes if outcome.result != "sent"]
    text = f"Notifier '{notifier.name}': " + "; ".join(outcome.detail for outcome in failed)
    if any(outcome.result == "unknown" for outcome in failed):
        raise too_late(text)
    if failed:
        raise unavailable(text)
    return {"status": "success", "stats": stats}


def _forget(_: object) -> None:
    """A subscriber returns nothing."""


if __name__ == "__main__":
    main({"notifier": start})
