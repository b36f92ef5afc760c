"""A service's presence on the bus: what it publishes, hears, asks and answers. Wiring only; the thinking is elsewhere.

One XPUB and one ROUTER bound under the run directory, one SUB connected to the owners heard, one DEALER per owner
asked. One reader per socket, which nothing waits for: cancelling a receive can lose its message.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import zmq

from bus.calls import RECONNECT_MAX_MS, RECONNECT_MS, UNSET, Calls, Link
from bus.config import Config
from bus.dispatch import Dispatch, Handler, caused
from bus.envelope import (
    TERMINATOR,
    Message,
    Number,
    Reply,
    Request,
    boot_time_s,
    read_message,
    read_request,
    until_next,
)
from bus.errors import not_found
from bus.follow import Follower
from bus.guard import dispatch_event, guarded
from bus.inbox import Inbox, Verdict
from bus.journal import Cursor, Entry, Journal
from bus.life import Ending, Life
from bus.outbox import Outbox, Snapshot
from bus.reader import Reader
from bus.rundir import RunDir, take_lock
from bus.services import SERVICES, silent_after_s
from bus.topics import TOPICS, Kind

Hear = Callable[[Message], None]
"""A subscriber's handler. It must not block; slow work belongs in `Node.spawn`."""

QUEUED_PUBLICATIONS = 10_000
"""Messages kept for a subscriber that does not read; some minutes of a busy print."""


class Node:
    """`config` is what was read at the start, `data` the data path. Use `start()` and `close()`, or `bus.process.run`."""

    def __init__(
        self, name: str, context: zmq.Context[zmq.Socket[bytes]], run_dir: RunDir, config: Config, data: Path
    ) -> None:
        self.name = name
        self.config = config
        self.data = data
        self.log = logging.getLogger(f"moonbus.{name}")
        self.stack = contextlib.AsyncExitStack()
        self.lag_s = 0.0
        self.inbox = Inbox()
        self.journal: Journal | None = None
        self.outbox = Outbox(name, time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        self.calls = Calls(self._open_link)
        built_in: dict[str, Handler] = {
            "ping": self._ping,
            "info": self._info,
            "stats": self._stats,
            "journal": self._read_journal,
        }
        self.dispatch = Dispatch(name, built_in, self._trace)
        self._context = context
        self._run_dir = run_dir
        self._hearers: dict[str, list[Hear]] = {}
        self._followers: dict[str, Follower] = {}
        self._life_s = 0.0
        self._heard_at: dict[str, float] = {}
        self._awaited: list[tuple[list[tuple[str, Number]], asyncio.Future[None]]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._answers: set[asyncio.Task[None]] = set()
        self._listeners: Counter[bytes] = Counter()
        self._started_at = boot_time_s()
        self._publications: zmq.Socket[bytes]
        self._requests: zmq.Socket[bytes]
        self._subscriptions: zmq.Socket[bytes]
        self._readers: dict[zmq.Socket[bytes], Reader] = {}

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Takes the name, binds, listens. Raises BlockingIOError while another process has the name."""
        handle = self._run_dir.lock(self.name)
        self.stack.callback(os.close, handle)
        self._lock_data()
        self.life = Life(handle)
        self.stack.callback(self.life.end)
        self._publications = self._context.socket(zmq.XPUB)
        self._requests = self._context.socket(zmq.ROUTER)
        self._subscriptions = self._context.socket(zmq.SUB)
        self.stack.push_async_callback(self._stop)
        self._publications.setsockopt(zmq.XPUB_VERBOSER, 1)
        self._publications.setsockopt(zmq.SNDHWM, QUEUED_PUBLICATIONS)
        self._subscriptions.setsockopt(zmq.RCVHWM, QUEUED_PUBLICATIONS)
        self._subscriptions.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        self._subscriptions.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)
        self._publications.bind(self._run_dir.publications(self.name))
        self._requests.bind(self._run_dir.requests(self.name))
        self._tell_ending(self.life.begin())
        for socket, take in (
            (self._publications, self._hear_subscriber),
            (self._requests, self._hear_request),
            (self._subscriptions, self._hear_publication),
        ):
            self._readers[socket] = Reader(socket, take)
        self.spawn(self._beat())

    def _tell_ending(self, before: Ending | None) -> None:
        if before is not None:
            self.log.warning("the process before this one (pid %d) did not end cleanly: %s", before.pid, before.reason)
        told = {"pid": before.pid, "reason": before.reason, "at": time.time()} if before else None
        self.publish(f"{self.name}.exit", told)

    def _lock_data(self) -> None:
        """Two instances with run directories of their own on one data path would book and push everything twice."""
        path = self.data / "moonbus" / f"{self.name}.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.stack.callback(os.close, take_lock(path))
        except BlockingIOError:
            raise
        except OSError as error:
            self.log.warning(
                "%s cannot be locked (%s): make sure that nothing else runs on this data path", path, error
            )

    async def close(self) -> None:
        """Stops answering, runs what the service left on `stack`, last first, then frees the sockets and the name."""
        # First: what still arrives is for the next process, and callers learn that this one stopped; a handler that went on
        # without what the service takes down would tell them of that.
        if self._requests in self._readers:
            self._readers.pop(self._requests).close()
        await _cancelled(self._answers)
        await self.stack.aclose()

    async def _stop(self) -> None:
        for reader in self._readers.values():
            reader.close()
        await _cancelled(self._tasks)
        self.calls.close()
        for socket in (self._publications, self._requests, self._subscriptions):
            socket.close(linger=0)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs in the background until the node closes. An exception is logged, and ends this task alone."""
        task = asyncio.create_task(guarded(work, self.log, f"background task {work!r}"))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())  # cancelled before it began, it would warn for ever
        return task

    # -- saying --------------------------------------------------------------------------------------------------

    def publish(self, topic: str, value: object) -> None:
        """A state, an event or a mirror's change. A state equal to the last one is not said again."""
        message = self.outbox.publish_news(topic, value, time.time())
        if message is not None:
            self._send(message)

    def mirror(self, topic: str, snapshot: Snapshot) -> None:
        """Declares a mirror: `snapshot()` is its full copy whenever one is needed."""
        self.outbox.mirror(topic, snapshot)

    def publish_full(self, topic: str) -> None:
        """A mirror changed as a whole: everybody gets the full copy."""
        self._send(self.outbox.full_copy(topic, time.time()))

    def append(self, topic: str, value: object) -> Entry:
        """A journal's next event: on disk before anybody hears of it. Needs `journal` to be set."""
        if self.journal is None:
            raise ValueError(f"{self.name} has no journal")
        entry = self.journal.append(topic, value, time.time())
        position = [entry.position.journal_id, entry.position.number]
        self._send(self.outbox.publish(topic, {"position": position, "entry": value}, entry.at))
        return entry

    def _send(self, message: Message) -> None:
        ledger = caused.get()
        if ledger is not None:
            ledger.append((message.topic, message.epoch, message.number))
        self._put(message)

    def _put(self, message: Message) -> None:
        # Done when it returns: an XPUB never blocks, it drops for a subscriber whose queue is full, who sees the gap.
        self._publications.send_multipart(message.frames(), flags=zmq.NOBLOCK)
        self._used(self._publications)

    def _used(self, socket: zmq.Socket[bytes]) -> None:
        if socket in self._readers:
            self._readers[socket].sent()

    def listeners(self, topic: str) -> int:
        """How many subscriptions to a topic of ours there are, one of this process's own among them."""
        return self._listeners[topic.encode() + TERMINATOR]

    def _trace(self, request: dict[str, Any]) -> None:
        if self.listeners(f"{self.name}.trace"):
            self._put(self.outbox.publish(f"{self.name}.trace", request, time.time()))

    def _hear_subscriber(self, frames: list[bytes]) -> None:
        joins, prefix = frames[0][:1] == b"\x01", frames[0][1:]
        self._listeners[prefix] += 1 if joins else -1
        if joins:
            for message in self.outbox.retained(prefix, time.time()):
                self._put(message)

    async def _beat(self) -> None:
        period_s = SERVICES[self.name].heartbeat_s
        while True:
            value = {"pid": os.getpid(), "uptime_s": round(boot_time_s() - self._started_at, 1),
                     "lag_s": round(self.lag_s, 4), "numbers": self.outbox.numbers}  # fmt: skip
            self._put(self.outbox.publish(f"{self.name}.heartbeat", value, time.time()))
            left_s = until_next(period_s)
            await asyncio.sleep(left_s)
            self._life_s += left_s

    # -- hearing -------------------------------------------------------------------------------------------------

    def subscribe(self, topic: str, hear: Hear) -> None:
        """Calls `hear` for each new message of a topic, the retained one first. Duplicates and gaps are taken care of."""
        owner = TOPICS[topic].owner
        self._listen_to(owner)
        self._hearers.setdefault(topic, []).append(hear)
        self._subscriptions.setsockopt(zmq.SUBSCRIBE, topic.encode() + b"\0")
        self._used(self._subscriptions)

    def follow(self, topic: str, cursor: Cursor, handle: Callable[[Entry], Awaitable[None]]) -> None:
        """Hands over each entry of a journal once, in order, also those from before this start. `handle` stores the
        entry's position together with what it did; when it raises, the entry comes again."""
        owner = TOPICS[topic].owner
        follower = Follower(topic, cursor, lambda params: self.calls.call(f"{owner}.journal", params), handle)
        self._followers[topic] = follower
        self.subscribe(topic, lambda _: follower.wake())
        self.spawn(follower.run())

    def silent(self, service: str) -> bool:
        """Whether a service was not heard of for longer than its declared period allows, by this process's own beats: one
        that was stopped itself has missed nothing yet."""
        heard_at = self._heard_at.get(service)
        return heard_at is None or self._life_s - heard_at > silent_after_s(service)

    async def arrival(self, positions: tuple[tuple[str, int, int], ...], timeout_s: float = 1.0) -> None:
        """Waits until these publications were heard, of topics subscribed to; at most `timeout_s`."""
        wanted = [(topic, (epoch, number)) for topic, epoch, number in positions if topic in self._hearers]
        if self._have(wanted):
            return
        waiter = (wanted, asyncio.get_running_loop().create_future())
        self._awaited.append(waiter)
        with contextlib.suppress(TimeoutError):
            try:
                async with asyncio.timeout(timeout_s):
                    await waiter[1]
            finally:
                self._awaited.remove(waiter)

    def _have(self, wanted: list[tuple[str, Number]]) -> bool:
        return all(self.inbox.last.get(topic, (0, 0)) >= position for topic, position in wanted)

    def _listen_to(self, owner: str) -> None:
        if f"{owner}.heartbeat" not in self._hearers:
            self._hearers[f"{owner}.heartbeat"] = [self._check_heartbeat]
            self._subscriptions.connect(self._run_dir.publications(owner))
            self._subscriptions.setsockopt(zmq.SUBSCRIBE, f"{owner}.heartbeat".encode() + b"\0")

    def _hear_publication(self, frames: list[bytes]) -> None:
        try:
            message = read_message(frames)
        except ValueError as error:
            self.log.warning("%s", error)
            return
        if message.topic in self._hearers:
            self._hear(message)
            for wanted, arrived in self._awaited:
                if not arrived.done() and self._have(wanted):
                    arrived.set_result(None)

    def _hear(self, message: Message) -> None:
        self._heard_at[TOPICS[message.topic].owner] = self._life_s
        verdict = self.inbox.receive(message)
        if verdict is Verdict.GAP and TOPICS[message.topic].kind is Kind.MIRROR:
            self._ask_again(message.topic)
        elif verdict is not Verdict.SEEN:
            for hear in self._hearers[message.topic]:
                dispatch_event(hear, message, self.log)

    def _check_heartbeat(self, message: Message) -> None:
        listened = {t: n for t, n in message.value["numbers"].items() if t in self._hearers and t != message.topic}
        for topic in self.inbox.behind(message.epoch, listened):
            if topic in self._followers:
                self._followers[topic].wake()
            elif TOPICS[topic].kind in (Kind.STATE, Kind.MIRROR):
                self._ask_again(topic)

    def _ask_again(self, topic: str) -> None:
        # A second subscription makes the owner send the last value again; the unsubscription keeps the count at one.
        self._subscriptions.setsockopt(zmq.SUBSCRIBE, topic.encode() + b"\0")
        self._subscriptions.setsockopt(zmq.UNSUBSCRIBE, topic.encode() + b"\0")
        self._used(self._subscriptions)

    # -- asking and answering ------------------------------------------------------------------------------------

    async def call(self, method: str, params: dict[str, Any] | None = None, deadline_s: float | None = UNSET) -> Any:
        """The result of a method, wherever its owner is. Raises Fault."""
        return (await self.ask(method, params, deadline_s)).result

    async def ask(self, method: str, params: dict[str, Any] | None = None, deadline_s: float | None = UNSET) -> Reply:
        """The same as a Reply: its body still as bytes, with the publications it caused. Raises Fault."""
        return await self.calls.call(method, params or {}, deadline_s)

    def serve(self, handlers: Mapping[str, Handler]) -> None:
        """The handlers of all rows of this owner's in the table of methods."""
        self.dispatch.serve(handlers)

    def _open_link(self, owner: str) -> Link:
        return Link(self._context, self.name, owner, self._run_dir.requests(owner))

    def _hear_request(self, frames: list[bytes]) -> None:
        try:
            request = read_request(frames[1:])
        except ValueError as error:
            self.log.warning("%s", error)
            return
        task = asyncio.create_task(self._answer(frames[0], request))
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    async def _answer(self, sender: bytes, request: Request) -> None:
        reply = await self.dispatch.answer(request)
        self._requests.send_multipart([sender, *reply.frames()], flags=zmq.NOBLOCK)
        self._used(self._requests)

    # -- what every service answers ------------------------------------------------------------------------------

    async def _ping(self) -> str:
        return "pong"

    async def _info(self) -> dict[str, Any]:
        return {"name": self.name, "owns": SERVICES[self.name].owns, "pid": os.getpid(),
                "uptime_s": round(boot_time_s() - self._started_at, 1), "data_path": str(self.data)}  # fmt: skip

    async def _stats(self) -> dict[str, Any]:
        return {"lag_s": self.lag_s, "under_way": self.dispatch.under_way, "answered": dict(self.dispatch.answered),
                "failed": dict(self.dispatch.failed), "published": self.outbox.numbers, "gaps": self.inbox.gaps,
                "duplicates": self.inbox.duplicates}  # fmt: skip

    async def _read_journal(self, topic: str, journal_id: str, number: int) -> dict[str, Any]:
        if self.journal is None:
            raise not_found(f"{self.name} keeps no journal")
        entries = self.journal.read(topic, Cursor(journal_id, number))
        rows = [[entry.position.number, entry.at, entry.born, entry.value] for entry in entries]
        return {"journal_id": self.journal.id, "entries": rows}


async def _cancelled(tasks: set[asyncio.Task[None]]) -> None:
    """Returns when all of these have ended."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)
