"""Carries out what the core decides: takes journal entries in, sends what is due, records outcomes, publishes the outbox."""

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from bus.envelope import boot_time_s
from bus.journal import Entry
from bus.node import Node
from bus.secrets import Secrets
from services.notifier.core import (
    ATTEMPTS_WITH_ATTACHMENTS,
    SHOWN_MOST,
    STALE_S,
    Lines,
    Outcome,
    Push,
    context_of,
    lateness,
    recipients,
    shown,
)  # fmt: skip
from services.notifier.outbox import Outbox
from services.notifier.sender import SEND_S, Sender
from services.notifier.settings import Notifier

FINISH_S = 0.7
"""At SIGTERM: time for sends under way to end, so that they need not be sent again."""

DETAIL_SHOWN = 300
"""Characters of what a push service said."""


class Delivery:
    """Owns the outbox, in memory and on disk. `started_at` is the wall time of the service's start."""

    def __init__(
        self,
        node: Node,
        notifiers: Mapping[str, Notifier],
        outbox: Outbox,
        sender: Sender,
        secrets: Secrets,
        started_at: float,
    ) -> None:
        self._node = node
        self._notifiers = notifiers
        self._outbox = outbox
        self._sender = sender
        self._secrets = secrets
        self._since = outbox.known_since(notifiers, started_at)
        self._lines = Lines({p.id: p for p in outbox.pending(boot_time_s(), time.time())})
        self._failed = deque(outbox.failed(), SHOWN_MOST)
        self._changed = asyncio.Event()
        self._changed.set()
        self._sending: set[asyncio.Task[None]] = set()

    async def take(self, entry: Entry) -> None:
        """An entry of a journal. Raises sqlite3.Error where the disk refuses; then it has to come again."""
        wall = time.time()
        age_s = max(0.0, wall - entry.at)
        meant = recipients(self._notifiers, entry.topic, entry.value)
        told = [notifier for notifier in meant if not entry.at < self._since[notifier.name] <= wall]
        if not told and age_s > STALE_S:
            return  # stays stale: a long journal read for the first time is not worth a write each
        if not meant and entry.value.get("method") == "notify":
            asked, known = entry.value["params"].get("name"), ", ".join(self._notifiers)
            self._node.log.warning(
                "a macro asked for notifier %r, which is not configured; there are: %s", asked, known
            )
        context = context_of(entry.topic, entry.value)
        lines = [(notifier.name, target) for notifier in told for target in range(len(notifier.targets))]
        ids = self._outbox.take(entry, lines, context["event_name"], context)
        for push_id, line in zip(ids, lines, strict=True):
            push = Push(push_id, *line, context["event_name"], entry.at, boot_time_s() - age_s, context)
            self._gave_up(self._lines.add(push))
        self._changed.set()

    def start(self) -> None:
        self._running = self._node.spawn(self._run())

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            self._gave_up(self._lines.give_up_stale(boot_time_s()))
            for push in self._lines.begin(boot_time_s()):
                task = self._node.spawn(self._send(push))
                self._sending.add(task)
                task.add_done_callback(self._sending.discard)
            self._publish()
            wake_at = self._lines.wake_at()
            timeout = asyncio.timeout(None if wake_at is None else max(0.0, wake_at - boot_time_s()))
            try:
                async with timeout:
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def close(self) -> None:
        """Gives what is under way a moment; the rest stays in the outbox."""
        self._running.cancel()
        if self._sending:
            await asyncio.wait(self._sending, timeout=FINISH_S)
        for task in self._sending:
            task.cancel()
        await self._sender.close()
        self._outbox.connection.close()

    async def test(self, notifier: Notifier, context: dict[str, Any]) -> list[Outcome]:
        """Sends to all targets at once, past the outbox."""
        jobs = [job_for(notifier, target, context) for target in range(len(notifier.targets))]
        outcomes = await asyncio.gather(*(self._sender.send(job) for job in jobs))
        return [self._for_people(outcome) for outcome in outcomes]

    def _for_people(self, outcome: Outcome) -> Outcome:
        return Outcome(outcome.result, self._secrets.mask(outcome.detail)[:DETAIL_SHOWN])

    async def _send(self, push: Push) -> None:
        notifier = self._notifiers.get(push.notifier)
        if notifier is None or push.target >= len(notifier.targets):
            outcome = Outcome("refused", "no longer configured")
        else:
            job = job_for(notifier, push.target, push.context, push.attempts, boot_time_s() - push.born)
            outcome = self._for_people(await self._sender.send(job, SEND_S))
        self._lines.finish(push, outcome, boot_time_s())
        self._record(push, outcome)
        self._changed.set()

    def _record(self, push: Push, outcome: Outcome) -> None:
        log = self._node.log
        if push.state == "sent":
            self._outbox.sent(push.id)
            if outcome.detail:
                log.warning("%s: %s sent %s", push.notifier, push.event, outcome.detail)
            elif push.attempts > 1:
                log.info("%s: %s sent at attempt %d", push.notifier, push.event, push.attempts)
        elif push.state == "failed":
            self._gave_up([push])
        elif push.attempts == 1:
            log.warning("%s: %s not sent, will be tried again: %s", push.notifier, push.event, push.error)

    def _gave_up(self, pushes: list[Push]) -> None:
        for push in pushes:
            self._node.log.warning("%s: %s given up: %s", push.notifier, push.event, push.error)
            self._outbox.gave_up(push, time.time())
            self._failed.append(push)

    def _publish(self) -> None:
        failed = [shown(push) for push in self._failed]
        self._node.publish("notifier.outbox", {"pending": self._lines.shown(), "failed": failed})


def job_for(
    notifier: Notifier, target: int, context: Mapping[str, Any], attempt: int = 1, age_s: float = 0.0
) -> dict[str, Any]:
    """What the worker needs for one push to one target."""
    late = lateness(age_s)
    notes = [late] if late else []
    attach = notifier.attach
    if attach is not None and attempt > ATTEMPTS_WITH_ATTACHMENTS:
        attach, notes = None, [*notes, "(attachment left out: the message did not get through with it)"]
    return {"url": notifier.targets[target], "title": notifier.title, "body": notifier.body, "attach": attach,
            "body_format": notifier.body_format, "context": context, "notes": notes}  # fmt: skip
