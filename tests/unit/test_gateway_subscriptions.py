"""What a client gathers from its updates is what it would have read: however they were grouped, merged or delayed."""

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from bus.mirror import Objects, Status, select
from services.gateway.outgoing import Outgoing, Update
from services.gateway.subscriptions import Subscriptions

OBJECTS = ("toolhead", "fan", "extruder")
FIELDS = ("a", "b", "c")
CHANGES = st.dictionaries(
    st.sampled_from(OBJECTS), st.dictionaries(st.sampled_from(FIELDS), st.integers(0, 9), min_size=1), min_size=1
)
WISHES = st.dictionaries(
    st.sampled_from(OBJECTS), st.none() | st.lists(st.sampled_from(FIELDS), min_size=1, max_size=3)
)


def take_over(known: Status, changes: Status) -> None:
    for name, fields in changes.items():
        known.setdefault(name, {}).update(fields)


def gathered(queue: Outgoing, known: Status, most: int | None = None) -> None:
    """Reads up to `most` frames, as a client does."""
    while most != 0 and (frame := queue.next()) is not None:
        message = orjson.loads(frame)
        if message["method"] == "notify_status_update":
            take_over(known, message["params"][0])
        most = None if most is None else most - 1


@given(
    wishes=st.lists(WISHES, min_size=1, max_size=5),
    steps=st.lists(st.tuples(CHANGES, st.integers(0, 4), st.integers(0, 2)), max_size=20),
)
def test_clients_end_up_with_the_mirrors_values(wishes: list[Objects], steps: list[tuple[Status, int, int]]) -> None:
    subscriptions: Subscriptions[int] = Subscriptions()
    queues = [Outgoing() for _ in wishes]
    mirror: Status = {name: dict.fromkeys(FIELDS, -1) for name in OBJECTS}
    known: list[Status] = []
    for number, wish in enumerate(wishes):
        subscriptions.deliver(number, wish)
        known.append(select(mirror, wish))
    for eventtime, (changes, reader, frames) in enumerate(steps):
        take_over(mirror, changes)
        for part, clients in subscriptions.updates(changes):
            update = Update(part, float(eventtime))
            for client in clients:
                queues[client].update(update)
        queues[reader % len(queues)].notify(b'{"method":"notify_gcode_response"}')
        gathered(queues[reader % len(queues)], known[reader % len(queues)], frames)
    for number, wish in enumerate(wishes):
        gathered(queues[number], known[number])
        assert known[number] == select(mirror, wish)


@given(st.lists(st.tuples(st.integers(0, 3), WISHES | st.none()), max_size=15), CHANGES)
def test_each_client_is_told_once_and_only_what_it_asked_for(script: list[tuple[int, Any]], changes: Status) -> None:
    subscriptions: Subscriptions[int] = Subscriptions()
    current: dict[int, Objects] = {}
    for client, wish in script:
        if wish is None:
            subscriptions.drop(client)
            current.pop(client, None)
        else:
            subscriptions.deliver(client, wish)
            current[client] = wish
    told = [client for _, clients in subscriptions.updates(changes) for client in clients]
    assert len(told) == len(set(told))
    for part, clients in subscriptions.updates(changes):
        for client in clients:
            for name, fields in part.items():
                wanted = current[client][name]
                assert fields and (wanted is None or set(fields) <= set(wanted))
    union = subscriptions.union()
    assert set(union) == {name for wish in current.values() for name in wish}


def test_the_same_subscription_shares_one_frame() -> None:
    subscriptions: Subscriptions[str] = Subscriptions()
    subscriptions.deliver("a", {"fan": ["a", "b"], "toolhead": None})
    subscriptions.deliver("b", {"toolhead": None, "fan": ["b", "a", "a"]})
    ((part, clients),) = subscriptions.updates({"fan": {"a": 1, "c": 2}})
    assert part == {"fan": {"a": 1}} and set(clients) == {"a", "b"}


def test_a_wish_counts_before_it_is_delivered() -> None:
    subscriptions: Subscriptions[str] = Subscriptions()
    subscriptions.wish("a", {"fan": None})
    assert subscriptions.union() == {"fan": None} and not list(subscriptions.updates({"fan": {"a": 1}}))
    assert subscriptions.delivered("a") == {}
    subscriptions.drop("a")
    assert subscriptions.union() == {}


def test_nothing_newer_is_merged_into_what_stands_before_a_reply() -> None:
    queue = Outgoing()
    queue.update(Update({"fan": {"a": 1}}, 1.0))
    queue.reply(b'{"id":1,"result":{"fan":{"a":2}}}')
    queue.update(Update({"fan": {"a": 3}}, 3.0))
    queue.update(Update({"fan": {"b": 4}}, 4.0))
    frames = [queue.next() for _ in range(4)]
    assert [orjson.loads(frame)["params"] for frame in (frames[0], frames[2]) if frame] == [
        [{"fan": {"a": 1}}, 1.0],
        [{"fan": {"a": 3, "b": 4}}, 4.0],
    ]
    assert frames[3] is None


def test_a_shared_update_is_not_changed_by_a_slow_client() -> None:
    slow, update = Outgoing(), Update({"fan": {"a": 1}}, 1.0)
    slow.update(update)
    slow.update(Update({"fan": {"a": 2}, "toolhead": {"b": 1}}, 2.0))
    assert update.status == {"fan": {"a": 1}} and len(slow) == 1


def test_the_queue_is_bounded_in_frames_and_bytes_but_not_by_updates() -> None:
    queue = Outgoing(most_frames=3, most_bytes=100)
    for number in range(1000):
        queue.update(Update({"fan": {"a": number}}, float(number)))
    assert not queue.overfull
    queue.notify(b"x" * 90)
    assert not queue.overfull
    queue.notify(b"x" * 20)
    assert queue.overfull
    queue.next(), queue.next()
    assert not queue.overfull
    for _ in range(3):
        queue.notify(b"")
    assert queue.overfull
