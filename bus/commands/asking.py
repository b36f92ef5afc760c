"""Calls from the command line: the same links the services use, without a name of one's own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import zmq

from bus.calls import Calls, Link
from bus.rundir import RunDir

CALLER = "command line"


@asynccontextmanager
async def calls_to(run_dir: RunDir) -> AsyncIterator[Calls]:
    """Links to any owner, closed at the end."""
    context = zmq.Context()
    calls = Calls(lambda owner: Link(context, CALLER, owner, run_dir.requests(owner)))
    try:
        yield calls
    finally:
        calls.close()
        context.destroy(linger=0)
