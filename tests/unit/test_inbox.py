"""The subscriber's memory under loss, repetition and restarts."""

from hypothesis import given
from hypothesis import strategies as st

from bus.envelope import Message
from bus.inbox import Inbox, Verdict
from bus.mirror import Mirror
from bus.outbox import Outbox


def message(topic: str, epoch: int, number: int, full: bool = False) -> Message:
    return Message(topic, epoch, number, 0.0, b"{}", full)


def test_a_repeated_retained_value_is_seen_once() -> None:
    inbox = Inbox()
    assert inbox.receive(message("spoolman.active", 1, 4)) is Verdict.NEW
    assert inbox.receive(message("spoolman.active", 1, 4)) is Verdict.SEEN
    assert inbox.receive(message("spoolman.active", 1, 3)) is Verdict.SEEN
    assert inbox.receive(message("spoolman.active", 1, 9)) is Verdict.NEW
    assert inbox.receive(message("spoolman.active", 2, 1)) is Verdict.NEW
    assert inbox.receive(message("spoolman.active", 1, 10)) is Verdict.SEEN
    assert inbox.duplicates == 3


def test_a_gap_of_events_shows_and_what_came_is_handled() -> None:
    inbox = Inbox()
    verdicts = [inbox.receive(message("printer.gcode", 1, n)) for n in (5, 6, 8, 9)]
    assert verdicts == [Verdict.NEW, Verdict.NEW, Verdict.GAP, Verdict.NEW]
    assert inbox.gaps == 1
    assert inbox.receive(message("printer.gcode", 2, 1)) is Verdict.NEW
    assert inbox.receive(message("printer.gcode", 3, 2)) is Verdict.GAP


def test_a_mirror_wants_a_full_copy_first_and_after_each_gap() -> None:
    inbox = Inbox()
    assert inbox.receive(message("printer.objects", 1, 7)) is Verdict.GAP
    assert inbox.receive(message("printer.objects", 1, 8)) is Verdict.GAP
    assert inbox.receive(message("printer.objects", 1, 8, full=True)) is Verdict.NEW
    assert inbox.receive(message("printer.objects", 1, 8, full=True)) is Verdict.SEEN
    assert inbox.receive(message("printer.objects", 1, 9)) is Verdict.NEW
    assert inbox.receive(message("printer.objects", 1, 11)) is Verdict.GAP
    assert inbox.receive(message("printer.objects", 1, 12)) is Verdict.GAP
    assert inbox.receive(message("printer.objects", 1, 11, full=True)) is Verdict.SEEN
    assert inbox.receive(message("printer.objects", 1, 12, full=True)) is Verdict.NEW


def test_a_heartbeat_tells_what_did_not_arrive() -> None:
    inbox = Inbox()
    inbox.receive(message("printer.objects", 1, 3, full=True))
    inbox.receive(message("printer.state", 1, 2))
    assert inbox.behind(1, {"printer.objects": 3, "printer.state": 2}) == []
    assert inbox.behind(1, {"printer.objects": 5, "printer.state": 2, "printer.extruders": 1}) == [
        "printer.objects",
        "printer.extruders",
    ]
    assert inbox.receive(message("printer.objects", 1, 5, full=True)) is Verdict.NEW


def test_a_lost_hint_of_a_journal_is_told_once() -> None:
    inbox = Inbox()
    assert inbox.behind(1, {"printer.jobs": 5}) == ["printer.jobs"]
    assert inbox.behind(1, {"printer.jobs": 5}) == []
    assert inbox.receive(message("printer.jobs", 1, 6)) is Verdict.NEW
    assert inbox.behind(1, {"printer.jobs": 7}) == ["printer.jobs"]


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["change", "change", "lose", "subscriber", "restart"]), st.integers(0, 3)), max_size=60
)


@given(ACTIONS)
def test_whatever_is_lost_the_mirror_is_in_step_once_the_heartbeat_was_answered(actions: list[tuple[str, int]]) -> None:
    truth: dict[str, dict[str, int]] = {"a": {}, "b": {}}

    def owner(epoch: int) -> Outbox:
        made = Outbox("klipper_bridge", epoch)
        made.mirror("printer.objects", lambda: {"eventtime": 0.0, "status": truth, "covers": {}})
        return made

    outbox, inbox, mirror = owner(1), Inbox(), Mirror()

    asked_again = False

    def deliver(sent: Message) -> None:
        nonlocal asked_again
        verdict = inbox.receive(sent)
        asked_again = asked_again or verdict is Verdict.GAP
        if verdict is Verdict.NEW:
            mirror.apply(sent)

    for count, (action, number) in enumerate(actions):
        if action == "restart":
            outbox = owner(outbox.epoch + 1)
        elif action == "subscriber":
            for sent in outbox.retained(b"printer.objects\0", 0.0):
                deliver(sent)
        else:
            change = {"ab"[number % 2]: {f"field{number}": count}}
            for name, fields in change.items():
                truth = {**truth, name: {**truth[name], **fields}}
            sent = outbox.publish("printer.objects", {"eventtime": 0.0, "status": change}, 0.0)
            if action == "change":
                deliver(sent)
    if inbox.behind(outbox.epoch, outbox.numbers) or asked_again:
        for sent in outbox.retained(b"printer.objects\0", 0.0):
            deliver(sent)
    if outbox.numbers:
        assert mirror.status == truth
