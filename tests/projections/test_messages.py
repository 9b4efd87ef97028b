"""The list of messages is what the chat receives, as of any event."""

from __future__ import annotations

from hypothesis import given

from papertape.projections.host import fold
from papertape.projections.site.messages import FAULTS_MAX, HEARTBEAT, NOTES_MAX, UnloggedContents, messages
from papertape.projections.site.views import ALERTS_MAX, Views
from tests.alerts.example_day import CASES, alerts_of, last_alert
from tests.alerts.random_log import lengths, random_log, seeds
from tests.build import recorded


@given(seeds, lengths)
def test_the_views_keep_exactly_the_alerts_that_are_sent(seed: int, length: int) -> None:
    log, views = random_log(seed, length), Views()
    fold([views], log)
    assert list(views.alerts) == alerts_of(log)[-ALERTS_MAX:]


def test_a_start_message_includes_its_unlogged_note() -> None:
    events, note = CASES["start_after_crash"], "1,234 events replayed in 56 ms"
    views, unlogged = Views(), UnloggedContents().with_note(len(events), note).with_note(1, "of another start")
    fold([views], recorded(events))
    newest, *_, oldest = messages(views, unlogged)
    assert newest.html == last_alert(events, note).html
    assert f"\n{note}\n" in newest.text
    assert "of another start" in oldest.text


def test_unlogged_messages_are_sorted_among_the_events() -> None:
    events = CASES["stop"]
    views, at = Views(), len(events) - 1
    fold([views], recorded(events))
    unlogged = (
        UnloggedContents().with_beat(at, 1, "<b>1,000.00 USDT</b>").with_fault(len(events), 2, "a fault", silent=False)
    )
    shown = messages(views, unlogged)
    assert [one.kind for one in shown[:3]] == ["fault", "stop", HEARTBEAT]
    assert (shown[2].text, shown[2].silent, shown[0].silent) == ("1,000.00 USDT", True, False)


def test_messages_as_of_an_event_include_nothing_later() -> None:
    events = CASES["daily"]
    log = recorded(events)
    unlogged = UnloggedContents().with_beat(20, 1, "beat").with_fault(21, 1, "fault", silent=False).with_note(1, "note")
    for seq in range(1, len(log) + 1):
        views = Views()
        fold([views], log[:seq])
        shown = messages(views, unlogged)
        assert max(one.seq for one in shown) <= seq
        assert [one.html for one in shown if one.kind not in ("fault", HEARTBEAT, "start")] == [
            one.html for one in reversed(alerts_of(log[:seq])) if one.kind.value != "start"
        ]
        assert ("fault" in {one.kind for one in shown}) == (seq >= 21)


def test_unlogged_messages_are_bounded_and_dropped_when_the_log_was_restored() -> None:
    unlogged = UnloggedContents()
    for seq in range(1, 200):
        unlogged = (
            unlogged.with_note(seq, "note").with_fault(seq, seq, "fault", silent=False).with_beat(seq, seq, "beat")
        )
    assert (len(unlogged.notes), len(unlogged.faults)) == (NOTES_MAX, FAULTS_MAX)
    assert unlogged.up_to(0) == UnloggedContents()
    assert unlogged.up_to(195).heartbeat is None
    assert [one.seq for one in unlogged.up_to(195).faults] == [192, 193, 194, 195]
