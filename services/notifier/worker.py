"""The send worker: the one place where Apprise runs, in a process that is started for the work and may be killed.

Lines of JSON: {"secrets", "data"} first, then jobs on standard input; {"ready": true} and each job's
{"id", …Sent} on standard output. Sends run side by side in threads and have no deadline here: who gives the work also
kills. It ends with its input.
"""

import contextlib
import contextvars
import ctypes
import json
import logging
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import apprise.apprise
from apprise import Apprise, AppriseAsset, AppriseAttachment
from apprise.attachment.file import AttachFile

from services.notifier.compose import CannotCompose, Message, compose
from services.notifier.mask import hidden_parts, mask
from services.notifier.patience import asked_for, listen, requested_s
from services.notifier.snapshots import fetched_once

THREADS = 64
ATTACHMENTS_S = 8.0
"""A camera that answers later sends no picture; well within the deadline of a send."""
MEMORY_MOST = 512 * 1024 * 1024
FILE_MOST = 50 * 1024 * 1024
"""Of an attachment fetched: the address of an endless video stream must not fill the disk."""
BETWEEN_LINES = {"text": "\n", "html": "<br>\n", "markdown": "\n\n"}
STACK = 1024 * 1024
SWITCH_S = 0.001
"""A template that computes for ever must leave the other sends enough of the interpreter."""
OUT_OF_MEMORY_FIRST = "800"
DETAIL_MOST = 10_000
"""Characters; who shows it masks it first and cuts it then, so that no half of a secret is left at the end."""
PR_SET_PDEATHSIG = 1

said: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("said", default=None)
"""What was logged while the current job ran. It goes to nobody else: libraries log whole URLs."""


class Sent(NamedTuple):
    """What became of a job, as the parent is told. `stuck`: a thread was left behind, this process should not be used much
    longer."""

    result: str
    detail: str
    stuck: bool = False
    retry_after_s: float = 0.0


Answer = Callable[[int, Sent], None]


class Sends:
    """`answer` is called in any thread with a job's id and what became of it."""

    def __init__(self, secrets: dict[str, Any], data: Path, answer: Answer) -> None:
        self._secrets = secrets
        self._data = data
        self._answer = answer
        self._threads = ThreadPoolExecutor(THREADS)

    def begin(self, job: dict[str, Any]) -> None:
        future = self._threads.submit(contextvars.copy_context().run, self._send, job)
        future.add_done_callback(partial(self._done, job["id"]))

    def _done(self, job_id: int, future: Future[Sent]) -> None:
        error = future.exception()
        self._answer(job_id, Sent("failed", f"{type(error).__name__} in Apprise", True) if error else future.result())

    def _send(self, job: dict[str, Any]) -> Sent:
        said.set([])
        asked_for.set([])
        try:
            message = compose(job, self._secrets, self._data)
        except CannotCompose as error:
            return Sent("refused", str(error))
        hidden = hidden_parts(message.url)
        target = Apprise(asset=AppriseAsset())
        if not target.add(message.url):
            return Sent("refused", mask(_detail("Apprise cannot use this url"), hidden))
        attachments, missing, stuck = self._attachments(message, job["snapshots"])
        body = BETWEEN_LINES[job["body_format"] or "text"].join(filter(None, (message.body, *message.notes, *missing)))
        if not (body or message.title or attachments):
            body = job["context"]["event_name"]
        delivered = target.notify(body, message.title, body_format=job["body_format"], attach=attachments)
        detail = "; ".join((*message.notes, *missing)) if delivered else _detail("the push service did not accept it")
        return Sent("sent" if delivered else "failed", mask(detail, hidden), stuck, requested_s())

    def _attachments(self, message: Message, snapshots: str | None) -> tuple[AppriseAttachment | None, list[str], bool]:
        """What could be fetched, what to say of the rest, and whether a fetch is stuck."""
        fetches = [self._threads.submit(_attachment, place, snapshots) for place in message.attachments]
        _, late = wait(fetches, ATTACHMENTS_S)
        fetched = [f.result() for f in fetches if f not in late and not f.exception()]
        found = [attachment for attachment in fetched if attachment is not None]
        missing = ["(attachment left out: it took too long)"] * len(late)
        missing += ["(attachment left out: it cannot be reached)"] * (len(fetches) - len(late) - len(found))
        attachments = AppriseAttachment()
        for attachment in found:
            attachments.add(attachment)
        return attachments if found else None, missing, bool(late)


def _attachment(place: str, snapshots: str | None) -> Any:
    """The attachment with its content at hand, or None. `snapshots` is the folder of the event's pictures."""
    open_file: Callable[..., Any] = AttachFile
    if place.startswith("/"):
        return _at_hand(open_file(place))
    if snapshots is None:
        return _fetch(place)
    return fetched_once(
        place, Path(snapshots), _fetch, lambda path, name, kind: _at_hand(open_file(path, name=name, mimetype=kind))
    )


def _fetch(url: str) -> Any:
    return _at_hand(AppriseAttachment.instantiate(url))


def _at_hand(attachment: Any) -> Any:
    return attachment if attachment else None


def _detail(otherwise: str) -> str:
    lines = said.get() or [otherwise]
    return "; ".join(lines)[:DETAIL_MOST]


class _Listener(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        lines = said.get()
        if lines is not None:
            lines.append(record.getMessage())


def _confine() -> None:
    """Ends with its parent, not with signals to the group; has less memory than the host; is first to go without."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    for kind, most in ((resource.RLIMIT_DATA, MEMORY_MOST), (resource.RLIMIT_FSIZE, FILE_MOST)):
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    threading.stack_size(STACK)
    sys.setswitchinterval(SWITCH_S)
    with contextlib.suppress(OSError):  # some containers do not let anybody
        Path("/proc/self/oom_score_adj").write_text(OUT_OF_MEMORY_FIRST)
    logging.basicConfig(handlers=[_Listener()], level=logging.WARNING)


def _widen() -> None:
    """Apprise runs the sends of all threads in two pools of its own, a few threads each: as many targets that hang would
    hold up every other one of this process."""
    for getter in ("get_shared_executor", "get_coordinator_executor"):
        pool = ThreadPoolExecutor(THREADS)
        setattr(apprise.apprise, getter, lambda pool=pool: pool)


def _own_output() -> IO[str]:
    """Standard output for answers alone: what libraries print there, or to standard error, goes nowhere."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return answers


def main() -> None:
    _confine()
    _widen()
    listen()
    answers, lock = _own_output(), threading.Lock()

    def say(value: dict[str, Any]) -> None:
        with lock:
            answers.write(json.dumps(value) + "\n")

    def answer(job_id: int, sent: Sent) -> None:
        say({"id": job_id, **sent._asdict()})

    first = json.loads(sys.stdin.readline() or "null")
    if first is None:
        os._exit(0)
    sends = Sends(first["secrets"], Path(first["data"]), answer)
    say({"ready": True})
    for line in sys.stdin:
        sends.begin(json.loads(line))
    os._exit(0)  # threads that hang must not hold the process


if __name__ == "__main__":
    main()
