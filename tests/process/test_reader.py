"""Sockets are read to the end at each wake-up, in order, whatever else they are used for."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import zmq

from bus.reader import BATCH, Reader
from bus.testing import eventually

MANY = 10 * BATCH + 1


@contextmanager
def pair() -> Iterator[tuple[zmq.Socket[bytes], zmq.Socket[bytes]]]:
    context = zmq.Context()
    one, other = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    one.bind("inproc://pair")
    other.connect("inproc://pair")
    try:
        yield one, other
    finally:
        context.destroy(linger=0)


def test_all_messages_come_in_order() -> None:
    async def main() -> None:
        with pair() as (one, other):
            heard: list[bytes] = []
            reader = Reader(other, lambda frames: heard.append(frames[0]))
            for number in range(MANY):
                one.send_multipart([b"%d" % number])
            await eventually(lambda: len(heard) == MANY)
            assert heard == [b"%d" % number for number in range(MANY)]
            one.send_multipart([b"last"])
            await eventually(lambda: heard[-1] == b"last")
            reader.close()
            one.send_multipart([b"too late"])
            await asyncio.sleep(0)
            assert heard[-1] == b"last"

    asyncio.run(main())


def test_what_arrives_while_something_is_sent_is_heard() -> None:
    async def main() -> None:
        with pair() as (one, other):
            left = [MANY]

            def answer(frames: list[bytes]) -> None:
                left[0] -= 1
                one.send_multipart(frames)

            def ask_again(frames: list[bytes]) -> None:
                if left[0] > 0:
                    other.send_multipart(frames)
                    asking.sent()

            answering = Reader(one, answer)
            asking = Reader(other, ask_again)
            other.send_multipart([b"x"])
            asking.sent()
            await eventually(lambda: left[0] == 0)
            answering.close()
            asking.close()

    asyncio.run(main())


def test_a_bug_in_one_message_does_not_hold_up_the_next() -> None:
    async def main() -> None:
        errors: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context["exception"]))
        with pair() as (one, other):
            heard: list[bytes] = []

            def take(frames: list[bytes]) -> None:
                if frames[0] == b"bad":
                    raise ValueError("a bug")
                heard.append(frames[0])

            for text in (b"bad", b"good"):
                one.send_multipart([text])
            reader = Reader(other, take)
            await eventually(lambda: heard)
            assert heard == [b"good"] and isinstance(errors[0], ValueError)
            reader.close()

    asyncio.run(main())
