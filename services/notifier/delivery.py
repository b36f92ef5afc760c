"""Carries out what the core decides: takes journal entries in, sends what is due, records outcomes, publishes the outbox."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from bus.age import Moment
from bus.envelope import boot_time_s
from bus.errors import not_found
from bus.journal import Entry
from bus.node import Node
from bus.secrets import Secrets
from services.notifier.core import (
    ATTEMPTS_WITH_ATTACHMENTS,
    FINAL,
    SHOWN_MOST,
    Lines,
    Outcome,
    Push,
    context_of,
    lateness,
    recipients,
    shown,
    ttl_s,
)  # fmt: skip
from services.notifier.outbox import Outbox
from services.notifier.report import Report
from services.notifier.sender import SEND_S, Sender
from services.notifier.settings import DEFAULT_TTL_S, Notifier
from services.notifier.snapshots import clear, folder_of

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
        now = Moment.now()
        self._lines = Lines({p.id: self._with_ttl(p) for p in outbox.pending(now)})
        self._failed = deque((self._with_ttl(p) for p in outbox.failed(now)), SHOWN_MOST)
        outbox.hold(lambda: (*self._failed, *self._lines.pushes.values()))
        self._snapshots = node.data / "moonbus" / "snapshots"
        clear(self._snapshots, self._lines.pushes.values())
        self._report = Report(notifiers, outbox.delivered(), self._failed)
        self._changed = asyncio.Event()
        self._changed.set()
        self._sending: set[asyncio.Task[None]] = set()

    async def take(self, entry: Entry) -> None:
        """An entry of a journal. Raises sqlite3.Error where the disk refuses; then it has to come again."""
        now = Moment.now()
        happened_at = now.at - now.boot_s + entry.born
        meant = recipients(self._notifiers, entry.topic, entry.value)
        told = [notifier for notifier in meant if not happened_at < self._since[notifier.name] <= now.at]
        if not told and now.boot_s - entry.born > DEFAULT_TTL_S:
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
            push = Push(push_id, *line, context["event_name"], entry.at, entry.born, context)
            self._gave_up(self._lines.add(self._with_ttl(push)))
        self._changed.set()

    def _with_ttl(self, push: Push) -> Push:
        push.ttl_s = ttl_s(self._notifiers.get(push.notifier), push.event)
        return push

    def retry(self, name: str | None, push_id: int | None) -> int:
        """Puts what was given up back into its line: all of it, one notifier's, or one push. Returns how many. Raises Fault
        404 for a push that is not there, sqlite3.Error where the disk refuses."""
        chosen = [p for p in self._failed if name in (None, p.notifier) and push_id in (None, p.id)]
        if push_id is not None and not chosen:
            raise not_found(f"No dead letter has the id {push_id}")
        self._outbox.revive(chosen, Moment.now())
        for push in chosen:
            self._failed.remove(push)
            push.happens("revive")
            push.attempts, push.due, push.revived = 0, 0.0, boot_time_s()
            self._gave_up(self._lines.add(push))
        self._changed.set()
        return len(chosen)

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
        self._outbox.database.close()

    async def test(self, notifier: Notifier, context: dict[str, Any]) -> list[Outcome]:
        """Sends to all targets at once, past the outbox."""
        jobs = [job_for(notifier, target, context, snapshots=None) for target in range(len(notifier.targets))]
        outcomes = await asyncio.gather(*(self._sender.send(job) for job in jobs))
        return [self._for_people(outcome) for outcome in outcomes]

    def _for_people(self, outcome: Outcome) -> Outcome:
        return outcome._replace(detail=self._secrets.mask(outcome.detail)[:DETAIL_SHOWN])

    async def _send(self, push: Push) -> None:
        notifier = self._notifiers.get(push.notifier)
        if notifier is None or push.target >= len(notifier.targets):
            outcome = Outcome("refused", "no longer configured")
        else:
            pictures = str(folder_of(self._snapshots, push))
            job = job_for(notifier, push.target, push.context, pictures, push.attempts, boot_time_s() - push.born)
            outcome = self._for_people(await self._sender.send(job, SEND_S))
        self._lines.finish(push, outcome, boot_time_s(), random.random())
        wall = time.time()
        self._report.take(push, outcome, wall)
        self._record(push, outcome, wall)
        if push.state in FINAL:
            clear(self._snapshots, self._lines.pushes.values())
        self._changed.set()

    def _record(self, push: Push, outcome: Outcome, wall: float) -> None:
        log = self._node.log
        if push.state == "sent":
            self._outbox.sent(push, wall)
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
            self._failed.append(push)
            self._outbox.gave_up(push, time.time())

    def _publish(self) -> None:
        failed = [shown(push) for push in self._failed]
        self._node.publish("notifier.outbox", {"pending": self._lines.shown(), "failed": failed})
        wall_at_boot = time.time() - boot_time_s()
        self._node.publish("notifier.status", self._report.status(self._lines.pushes.values(), wall_at_boot))


def job_for(
    notifier: Notifier,
    target: int,
    context: Mapping[str, Any],
    snapshots: str | None,
    attempt: int = 1,
    age_s: float = 0.0,
) -> dict[str, Any]:
    """What the worker needs for one push to one target. `snapshots` is the folder of the event's pictures."""
    late = lateness(age_s)
    notes = [late] if late else []
    attach = notifier.attach
    if attach is not None and attempt > ATTEMPTS_WITH_ATTACHMENTS:
        attach, notes = None, [*notes, "(attachment left out: the message did not get through with it)"]
    return {"url": notifier.targets[target], "title": notifier.title, "body": notifier.body, "attach": attach,
            "body_format": notifier.body_format, "context": context, "notes": notes,
            "snapshots": snapshots}  # fmt: skip
