"""Calls from the command line: the same links the services use, without a name of one's own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import zmq.asyncio

from bus.calls import Calls, Link
from bus.rundir import RunDir

CALLER = "command line"


@asynccontextmanager
async def calls_to(run_dir: RunDir) -> AsyncIterator[Calls]:
    """Links to any owner, closed at the end."""
    context = zmq.asyncio.Context()
    tasks: list[asyncio.Task[None]] = []

    def open_link(owner: str) -> Link:
        link = Link(context, CALLER, owner, run_dir.requests(owner))
        tasks.extend((asyncio.create_task(link.read()), asyncio.create_task(link.watch())))
        return link

    calls = Calls(open_link)
    try:
        yield calls
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        calls.close()
        context.destroy(linger=0)
