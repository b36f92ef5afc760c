"""Job events out of print_stats: the table, what Klipper leaves unsaid, and what happened while nobody watched."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.klipper_bridge.jobs import GONE, RESTARTED, UNSEEN, Jobs

READY = ("ready", "Printer is ready")
HALT = ("shutdown", "Shutdown due to webhooks request\nOnce the underlying issue is corrected, use FIRMWARE_RESTART\n")


def stats(state: str, total: float = 1.0, filename: str = "a.gcode", message: str = "") -> dict[str, Any]:
    return {"state": state, "filename": filename, "total_duration": total, "message": message}


def play(jobs: Jobs, *seen: dict[str, Any], restarted: bool = False) -> list[str]:
    return [event.event for one in seen for event in jobs.see(one, *READY, restarted)]


def watching(state: str, total: float = 1.0) -> Jobs:
    """Connected since long, with this as the last update."""
    jobs = Jobs(None)
    assert jobs.see(stats(state, total), *READY) == []
    return jobs


@pytest.mark.parametrize("idle", ["standby", "complete", "cancelled", "error"])
@pytest.mark.parametrize(
    ("now", "events"),
    [
        ("printing", ["started"]),
        ("paused", ["started", "paused"]),
        ("standby", ["standby"]),
    ],
)
def test_from_idle(idle: str, now: str, events: list[str]) -> None:
    assert play(watching(idle), stats(now, 2.0)) == ([] if idle == now else events)


def test_a_job_too_short_to_be_seen_still_started() -> None:
    assert play(watching("standby"), stats("complete", 0.1)) == ["started", "complete"]
    assert play(watching("cancelled"), stats("error", 0.1)) == ["started", "error"]


@pytest.mark.parametrize("end", ["complete", "cancelled", "error", "standby"])
@pytest.mark.parametrize("running", ["printing", "paused"])
def test_from_a_running_job(running: str, end: str) -> None:
    assert play(watching(running), stats(end, 2.0), stats(end, 2.0)) == [end]


def test_paused_then_printing_is_resumed_when_it_is_the_same_job() -> None:
    assert play(watching("paused", 5.0), stats("printing", 5.5)) == ["resumed"]
    assert play(watching("paused", 5.0), stats("printing", 0.2)) == ["cancelled", "started"]
    assert play(watching("paused", 5.0), stats("printing", 9.0, filename="b.gcode")) == ["cancelled", "started"]


def test_a_job_that_followed_within_one_update_is_another_one() -> None:
    jobs = watching("printing", 5.0)
    ended, started = jobs.see(stats("printing", 0.1, filename="b.gcode"), *READY)
    assert (ended.event, ended.value["message"], ended.current["filename"]) == ("error", UNSEEN, "a.gcode")
    assert (started.event, started.current["filename"]) == ("started", "b.gcode")
    assert play(watching("complete", 5.0), stats("complete", 0.1)) == ["started", "complete"]
    assert play(watching("complete", 5.0), stats("complete", 5.0)) == []


def test_a_state_nobody_knows_is_no_event() -> None:
    jobs = watching("printing")
    assert play(jobs, stats("dreaming", 2.0), {}, {"state": None}) == []
    assert play(jobs, stats("complete", 3.0)) == ["complete"]


def test_events_hold_print_stats_before_and_after() -> None:
    (event,) = watching("printing").see(stats("error", 2.0, message="Move out of range"), *READY)
    assert event.value["previous"]["state"] == "printing"
    assert event.value["current"]["state"] == "error" and event.value["message"] == "Move out of range"


def test_an_emergency_stop_is_one_error_with_its_reason_though_klipper_says_paused() -> None:
    jobs = watching("printing")
    (event,) = jobs.see(stats("paused", 2.0), *HALT)
    assert event.event == "error" and event.value["message"].startswith("Shutdown due to webhooks request")
    assert event.value["current"]["state"] == "error"
    assert jobs.see(stats("paused", 3.0), *HALT) == []
    assert jobs.disconnect() == []
    assert play(jobs, stats("standby", 0.0, filename=""), restarted=True) == []


def test_a_lost_microcontroller_halts_one_update_before_print_stats_shows_it() -> None:
    jobs = watching("printing")
    assert [event.event for event in jobs.see(stats("printing", 2.0), *HALT)] == ["error"]
    assert jobs.see(stats("paused", 2.2), *HALT) == []


def test_a_configuration_error_after_a_crash_ends_the_job_even_without_print_stats() -> None:
    for unknown in ({}, stats("standby", 0.0, filename="")):
        (event,) = Jobs(stats("printing")).see(unknown, "error", "Section 'fann' is not valid", restarted=True)
        assert event.event == "error" and event.current["filename"] == "a.gcode"


def test_a_shutdown_after_the_end_of_a_print_does_not_change_its_end() -> None:
    jobs = Jobs(stats("printing"))
    assert [event.event for event in jobs.see(stats("complete", 9.0), *HALT)] == ["complete"]
    assert jobs.see(stats("complete", 9.0), *HALT) == []


def test_a_print_that_began_and_was_halted_unseen_is_told_whole() -> None:
    for last in (stats("standby", 0.0, filename=""), stats("complete", 0.5), stats("error", 3.0, filename="b.gcode")):
        jobs = Jobs(last)
        assert [event.event for event in jobs.see(stats("paused", 2.0), *HALT)] == ["started", "error"]
        assert jobs.see(stats("paused", 3.0), *HALT) == []
    assert Jobs(None).see(stats("paused"), *HALT) == []


def test_a_bridge_that_comes_back_to_a_halted_printer_does_not_tell_it_again() -> None:
    jobs = watching("printing")
    jobs.see(stats("paused", 2.0), *HALT)
    assert Jobs(jobs.last).see(stats("paused", 60.0), *HALT) == []


def test_klipper_gone_in_a_print_is_an_error_and_the_next_life_begins_silently() -> None:
    jobs = watching("paused")
    (event,) = jobs.disconnect()
    assert event.value["event"] == "error" and event.value["message"] == GONE
    assert jobs.disconnect() == []
    assert play(jobs, stats("standby", 0.0, filename=""), restarted=True) == []
    assert play(jobs, stats("printing", 0.1)) == ["started"]


@pytest.mark.parametrize(
    ("state", "events"),
    [("printing", ["resumed"]), ("paused", ["resumed", "paused"]), ("complete", ["resumed", "complete"])],
)
def test_only_the_connection_was_lost_and_the_print_goes_on(state: str, events: list[str]) -> None:
    jobs = watching("printing")
    jobs.disconnect()
    assert play(jobs, stats(state, 9.0)) == events
    jobs = watching("printing")
    jobs.disconnect()
    assert play(jobs, stats(state, 9.0), restarted=True)[0] == "started"


def test_klipper_gone_without_a_print_is_no_event() -> None:
    assert watching("complete").disconnect() == []
    assert Jobs(None).disconnect() == []


@pytest.mark.parametrize(
    ("last", "now", "events"),
    [
        (None, stats("printing"), []),
        (stats("printing"), stats("printing", 9.0), []),
        (stats("printing"), stats("complete", 9.0), ["complete"]),
        (stats("printing"), stats("cancelled", 9.0), ["cancelled"]),
        (stats("printing"), stats("paused", 9.0), ["paused"]),
        (stats("paused"), stats("printing", 9.0), ["resumed"]),
        (stats("printing"), stats("standby", 0.0, filename=""), ["standby"]),
        (stats("printing", 8.0), stats("printing", 0.5), ["error", "started"]),
        (stats("paused", 8.0), stats("complete", 9.0, filename="b.gcode"), ["error", "started", "complete"]),
        (stats("complete", 8.0), stats("complete", 8.0), []),
        (stats("complete", 8.0), stats("complete", 3.0), ["started", "complete"]),
        (stats("complete", 8.0), stats("printing", 3.0), ["started"]),
        (stats("complete", 8.0), stats("paused", 3.0), ["started", "paused"]),
        (stats("complete", 8.0), stats("standby", 0.0, filename=""), []),
        (stats("error", 8.0), stats("printing", 9.0), ["started"]),
        (stats("error", 8.0, message=GONE), stats("printing", 9.0), ["resumed"]),
    ],
)
def test_what_happened_while_the_bridge_was_down(last: Any, now: Any, events: list[str]) -> None:
    jobs = Jobs(last)
    assert play(jobs, now) == events
    assert play(jobs, now) == []


@pytest.mark.parametrize(
    ("now", "events"),
    [
        (stats("standby", 0.0, filename=""), ["error"]),
        (stats("printing", 0.5), ["error", "started"]),
        (stats("complete", 9.0), ["error", "started", "complete"]),
    ],
)
def test_klipper_was_restarted_while_the_bridge_was_down(now: Any, events: list[str]) -> None:
    jobs = Jobs(stats("printing"))
    told = jobs.see(now, *READY, restarted=True)
    assert [event.event for event in told] == events
    assert told[0].value["message"] == RESTARTED and told[0].current["filename"] == "a.gcode"


STATES = st.sampled_from(["standby", "printing", "paused", "complete", "cancelled", "error"])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["see", "see", "see", "halt", "gone", "restarted", "bridge restarted"]),
        STATES,
        st.floats(0, 100),
        st.sampled_from(["a", "b"]),
    ),
    max_size=40,
)


@given(STEPS)
def test_each_job_starts_once_and_ends_once(steps: list[tuple[str, str, float, str]]) -> None:
    jobs = Jobs(stats("standby"))
    told: list[Any] = []
    for what, state, total, name in steps:
        if what == "gone":
            told += jobs.disconnect()
        elif what == "bridge restarted":
            jobs = Jobs(told[-1].current if told else stats("standby"))
        else:
            klipper = HALT if what == "halt" else READY
            told += jobs.see(stats(state, total, name), *klipper, restarted=what == "restarted")
    running = False
    before = stats("standby")
    for event in told:
        if event.event == "started":
            assert not running, told
        elif event.event == "resumed":
            assert running or before["message"] == GONE, told
        elif event.event != "standby":
            assert running, told
        running = event.event in ("started", "resumed", "paused")
        before = event.current
