"""A subscriber that is no service: it hears any topics of any owners, and needs none of them to be there."""

from collections.abc import AsyncGenerator, Iterable

import zmq
import zmq.asyncio

from bus.calls import RECONNECT_MAX_MS, RECONNECT_MS
from bus.envelope import TERMINATOR, Message, read_message
from bus.inbox import Inbox, Verdict
from bus.rundir import RunDir
from bus.topics import TOPICS


async def listen(run_dir: RunDir, topics: Iterable[str]) -> AsyncGenerator[Message, None]:
    """Each message once, the retained ones first; those of an owner that comes later when it comes. Never ends.

    A mirror's change that arrives before its full copy means nothing yet and is left out.
    """
    inbox = Inbox()
    context = zmq.asyncio.Context()
    try:
        socket = context.socket(zmq.SUB)
        socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)
        for topic in topics:
            socket.setsockopt(zmq.SUBSCRIBE, topic.encode() + TERMINATOR)
        for owner in sorted({TOPICS[topic].owner for topic in topics}):
            socket.connect(run_dir.publications(owner))
        while True:
            try:
                message = read_message(await socket.recv_multipart())
            except ValueError:
                continue
            known = message.topic in inbox.last
            verdict = inbox.receive(message)
            if verdict is Verdict.NEW or (verdict is Verdict.GAP and known):
                yield message
    finally:
        context.destroy(linger=0)
