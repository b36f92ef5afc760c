"""Who is told, and what becomes of each push, in any order of outcomes."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.core import (
    FINAL,
    JITTER,
    PROGRESS_TTL_S,
    RETRY_AFTER_S,
    SHOWN_MOST,
    TRANSITIONS,
    WAITING_MOST,
    Lines,
    Outcome,
    Push,
    context_of,
    lateness,
    recipients,
    told_s,
    ttl_s,
)
from services.notifier.settings import DEFAULT_TTL_S, Notifier

STATS: dict[str, Any] = {"filename": "a.gcode", "state": "printing"}


def notifier(name: str, *events: str) -> Notifier:
    return Notifier(name, "json://h/", ("json://h/",), events)


def push(number: int, name: str = "phone", born: float = 0.0) -> Push:
    return Push(number, name, 0, "started", 0.0, born, {})


def job(event: str) -> dict[str, Any]:
    return {"event": event, "previous": STATS, "current": STATS, "message": ""}


def call(**params: Any) -> dict[str, Any]:
    return {"method": "notify", "params": params, "extruders": {}}


CONFIGURED = {
    n.name: n for n in (notifier("all", "*"), notifier("some", "started", "standby"), notifier("macro", "gcode"))
}


@pytest.mark.parametrize(
    ("event", "told"),
    [("started", ["all", "some"]), ("cancelled", ["all"]), ("standby", ["some"]), ("error", ["all"])],
)
def test_job_events_reach_who_asked_for_them(event: str, told: list[str]) -> None:
    assert [n.name for n in recipients(CONFIGURED, "printer.jobs", job(event))] == told


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (call(name="macro", message="x"), ["macro"]),
        (call(name="all"), ["all"]),
        (call(name="nobody", message="x"), []),
        (call(message="x"), []),
        (call(name=7), []),
        ({"method": "spoolman_set_active_spool", "params": {"name": "all"}}, []),
    ],
)
def test_a_macros_call_reaches_the_one_it_names(value: dict[str, Any], told: list[str]) -> None:
    assert [n.name for n in recipients(CONFIGURED, "printer.remote_calls", value)] == told


def test_what_templates_see() -> None:
    assert context_of("printer.jobs", {**job("error"), "message": "Klipper is gone"}) == {
        "event_name": "error",
        "event_args": [STATS, STATS],
        "event_message": "",
    }
    remote = {"event_name": "remote_action", "event_args": [], "event_message": "100% ä"}
    assert context_of("printer.remote_calls", call(name="all", message="100% ä")) == remote
    assert context_of("printer.remote_calls", call(name="all", message=None))["event_message"] == ""
    assert context_of("printer.remote_calls", call(name="all", message=5))["event_message"] == "5"


def test_late_is_told() -> None:
    told = [lateness(age_s) for age_s in (0.0, 59.0, 60.0, 12 * 60.0, 3599.0, 5400.0)]
    assert told == [None, None, "(1 minute late)", "(12 minutes late)", "(1 h 0 min late)", "(1 h 30 min late)"]


def test_a_failed_push_is_tried_again_ever_later_until_it_is_stale() -> None:
    lines, now, attempts = Lines(), 0.0, []
    lines.add(push(1))
    while lines.pushes:
        for sending in lines.begin(now):
            attempts.append(now)
            lines.finish(sending, Outcome("failed", "500"), now)
        given_up = lines.give_up_stale(now)
        now = lines.wake_at() or now
        now += 0.001
    waits = [later - earlier for earlier, later in pairwise(attempts)]
    assert waits[:5] == pytest.approx([*RETRY_AFTER_S, RETRY_AFTER_S[-1]], abs=0.01)
    assert attempts[-1] <= DEFAULT_TTL_S < attempts[-1] + RETRY_AFTER_S[-1]
    assert [(p.state, p.error) for p in given_up] == [("failed", "given up after 6 h: 500")]


def test_a_push_that_cannot_succeed_is_not_tried_again_and_frees_its_line() -> None:
    lines = Lines()
    lines.add(push(1))
    lines.add(push(2))
    (first,) = lines.begin(0.0)
    assert lines.begin(0.0) == []
    lines.finish(first, Outcome("refused", "the template of body failed"), 0.0)
    assert first.state == "failed"
    assert [p.id for p in lines.begin(0.0)] == [2]


def test_a_line_that_cannot_send_does_not_hold_others_nor_memory() -> None:
    lines = Lines()
    for number in range(WAITING_MOST + 5):
        dropped = lines.add(push(number))
        if number == 0:
            lines.begin(0.0)
    lines.add(push(1000, "other"))
    assert [p.id for p in lines.begin(0.0)] == [1000]
    assert [p.id for p in dropped] == [4] and dropped[0].error == "too many waited for this target"
    assert len(lines.shown()) == SHOWN_MOST


def test_an_impossible_transition_is_an_error() -> None:
    with pytest.raises(KeyError):
        push(1).happens("sent")
    leaving = {state for state, what in TRANSITIONS if what != "revive"}
    assert {state for state in TRANSITIONS.values() if state not in leaving} == set(FINAL)


@pytest.mark.parametrize(
    ("event", "ttl", "expected"),
    [
        ("started", 6 * 3600.0, PROGRESS_TTL_S),
        ("resumed", 90.0, 90.0),
        ("error", 60.0, 60.0),
        ("complete", 86400.0, 86400.0),
    ],
)
def test_how_a_print_ended_is_worth_longer_than_how_it_goes_on(event: str, ttl: float, expected: float) -> None:
    assert ttl_s(Notifier("phone", "json://h/", ("json://h/",), ("*",), ttl_s=ttl), event) == expected
    assert ttl_s(None, "error") == DEFAULT_TTL_S


def test_a_wait_differs_by_chance_and_is_never_shorter_than_was_asked_for() -> None:
    dues = []
    for outcome, chance in (
        (Outcome("failed", "500"), 0.0),
        (Outcome("failed", "500"), 1.0),
        (Outcome("failed", "", 99.0), 0.0),
    ):
        lines = Lines()
        lines.add(push(1))
        (sending,) = lines.begin(0.0)
        lines.finish(sending, outcome, 0.0, chance)
        dues.append(sending.due)
    first = RETRY_AFTER_S[0]
    assert dues == pytest.approx([first * (1 - JITTER), first * (1 + JITTER), 99.0])


def test_what_was_given_up_lives_again_from_when_it_was_put_back() -> None:
    lines = Lines()
    lines.add(push(1))
    (stale,) = lines.give_up_stale(DEFAULT_TTL_S + 1)
    stale.happens("revive")
    stale.revived = DEFAULT_TTL_S + 100
    lines.add(stale)
    assert lines.give_up_stale(DEFAULT_TTL_S + 200) == [] and lines.begin(DEFAULT_TTL_S + 200) == [stale]


def test_durations_are_told_in_their_largest_whole_unit() -> None:
    assert [told_s(s) for s in (6 * 3600.0, 1800.0, 90.0, 5400.0)] == ["6 h", "30 min", "90 s", "90 min"]


@given(
    st.lists(st.sampled_from(["a", "b", "c"]), max_size=12),
    st.lists(st.tuples(st.integers(0, 20), st.sampled_from(["sent", "failed", "unknown", "refused"])), max_size=60),
)
def test_every_push_ends_and_each_line_keeps_its_order(events: list[str], outcomes: list[tuple[int, str]]) -> None:
    lines, now = Lines(), 0.0
    sending: list[Push] = []
    ended: list[Push] = []
    waiting = [push(number, name) for number, name in enumerate(events)]
    script = iter(outcomes)
    while waiting or lines.pushes:
        if waiting:
            lines.add(waiting.pop(0))
        sending += lines.begin(now)
        assert len({p.line for p in sending}) == len(sending), "one at a time in each line"
        if sending:
            which, result = next(script, (0, "sent"))
            chosen = sending.pop(which % len(sending))
            lines.finish(chosen, Outcome(result, result), now)
            if chosen.state in FINAL:
                ended.append(chosen)
        ended += lines.give_up_stale(now)
        wake_at = lines.wake_at()
        now = max(now, wake_at) if wake_at is not None and not sending else now
        now += 0.001
    assert sorted(p.id for p in ended) == list(range(len(events)))
    for name in set(events):
        of_line = [p.id for p in ended if p.notifier == name]
        assert of_line == sorted(of_line)
