"""Job events out of print_stats: the table, what Klipper leaves unsaid, and what happened while nobody watched."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.klipper_bridge.jobs import Jobs

READY = ("ready", "Printer is ready")
HALT = ("shutdown", "Shutdown due to webhooks request\nOnce the underlying issue is corrected, use FIRMWARE_RESTART\n")


def stats(state: str, total: float = 1.0, filename: str = "a.gcode", message: str = "") -> dict[str, Any]:
    return {"state": state, "filename": filename, "total_duration": total, "message": message}


def play(jobs: Jobs, *seen: dict[str, Any]) -> list[str]:
    return [event.event for one in seen for event in jobs.see(one, *READY)]


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
    assert play(watching("paused", 5.0), stats("printing", 0.2)) == ["started"]
    assert play(watching("paused", 5.0), stats("printing", 9.0, filename="b.gcode")) == ["started"]


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
    assert jobs.disconnect("gone") == []
    assert play(jobs, stats("standby", 0.0, filename="")) == []


def test_a_lost_microcontroller_halts_one_update_before_print_stats_shows_it() -> None:
    jobs = watching("printing")
    assert [event.event for event in jobs.see(stats("printing", 2.0), *HALT)] == ["error"]
    assert jobs.see(stats("paused", 2.2), *HALT) == []


def test_a_configuration_error_after_a_crash_ends_the_job_even_without_print_stats() -> None:
    jobs = Jobs(stats("printing"))
    assert [event.event for event in jobs.see({}, "error", "Section 'fann' is not valid")] == ["error"]


def test_klipper_gone_in_a_print_is_an_error_and_the_next_life_begins_silently() -> None:
    jobs = watching("paused")
    (event,) = jobs.disconnect("Klipper disconnected during the print")
    assert event.value["event"] == "error" and event.value["message"] == "Klipper disconnected during the print"
    assert jobs.disconnect("again") == []
    assert play(jobs, stats("standby", 0.0, filename="")) == []
    assert play(jobs, stats("printing", 0.1)) == ["started"]


def test_klipper_gone_without_a_print_is_no_event() -> None:
    assert watching("complete").disconnect("gone") == []
    assert Jobs(None).disconnect("gone") == []


@pytest.mark.parametrize(
    ("last", "now", "events"),
    [
        (None, stats("printing"), []),
        (stats("printing"), stats("printing", 9.0), []),
        (stats("printing"), stats("complete", 9.0), ["complete"]),
        (stats("printing"), stats("cancelled", 9.0), ["cancelled"]),
        (stats("printing"), stats("paused", 9.0), ["paused"]),
        (stats("paused"), stats("printing", 9.0), ["resumed"]),
        (stats("printing"), stats("standby", 0.0, filename=""), ["error"]),
        (stats("printing", 8.0), stats("printing", 0.5), ["started"]),
        (stats("complete", 8.0), stats("complete", 8.0), []),
        (stats("complete", 8.0), stats("complete", 3.0), ["started", "complete"]),
        (stats("complete", 8.0), stats("printing", 3.0), ["started"]),
        (stats("complete", 8.0), stats("paused", 3.0), ["started", "paused"]),
        (stats("complete", 8.0), stats("standby", 0.0, filename=""), []),
        (stats("error", 8.0), stats("printing", 9.0), ["resumed"]),
    ],
)
def test_what_happened_while_the_bridge_was_down(last: Any, now: Any, events: list[str]) -> None:
    jobs = Jobs(last)
    assert play(jobs, now) == events
    assert play(jobs, now) == []


STATES = st.sampled_from(["standby", "printing", "paused", "complete", "cancelled", "error"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("see"), STATES, st.floats(0, 100), st.sampled_from(["a", "b"])),
        st.tuples(st.just("halt"), STATES, st.floats(0, 100), st.sampled_from(["a", "b"])),
        st.tuples(st.just("gone"), st.just(""), st.just(0.0), st.just("")),
    ),
    max_size=40,
)


@given(STEPS)
def test_every_end_has_a_start_before_it(steps: list[tuple[str, str, float, str]]) -> None:
    jobs = Jobs(stats("standby"))
    told: list[str] = []
    for what, state, total, name in steps:
        if what == "gone":
            told += [event.event for event in jobs.disconnect("gone")]
        else:
            klipper = READY if what == "see" else HALT
            told += [event.event for event in jobs.see(stats(state, total, name), *klipper)]
    running = False
    for event in told:
        if event in ("complete", "cancelled", "error", "paused"):
            assert running or event == "error", told
        running = event in ("started", "resumed", "paused")
