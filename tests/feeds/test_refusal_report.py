"""What was refused is reports as facts: the first of a reason at once, the others once an hour, none twice."""

from __future__ import annotations

import pytest

from papertape.engine.feeds.refusal_report import REPORT_EVERY_MS, RefusalReporter
from papertape.engine.ports.feed import REFUSAL_TEXT_CHARS_MAX, RefusalLog, RefusalReason
from papertape.events.codec import CODEC
from papertape.events.facts import DataRefused
from papertape.events.log import Entry
from papertape.events.units import MINUTE_MS

BEGUN_MS = 1_800_000_000_000
STALE, CUT = RefusalReason.STALE, RefusalReason.NOT_JSON


def test_the_first_refusal_of_each_reason_is_told_at_once_with_its_newest_text() -> None:
    refusals = RefusalLog()
    reporter = RefusalReporter(refusals, "bitget", BEGUN_MS)
    assert reporter.due(BEGUN_MS) == []
    refusals.refuse("BTCUSDT", 0, STALE, "a frame")
    refusals.refuse("BTCUSDT", 0, STALE, "another")
    refusals.refuse("ws://x", 0, CUT, "{")
    now_ms = BEGUN_MS + MINUTE_MS
    assert reporter.due(now_ms) == [
        DataRefused(now_ms, "bitget", "stale", 2, BEGUN_MS, "BTCUSDT: another"),
        DataRefused(now_ms, "bitget", "not_json", 1, BEGUN_MS, "ws://x: {"),
    ]
    assert reporter.due(now_ms + MINUTE_MS) == []


def test_what_follows_is_counted_and_told_once_an_hour_and_reason() -> None:
    refusals = RefusalLog()
    reporter = RefusalReporter(refusals, "bitget", BEGUN_MS)
    reports: list[DataRefused] = []
    for minute in range(1, 6 * 60):
        refusals.refuse("BTCUSDT", 0, STALE, str(minute))
        reports += [fact for fact in reporter.due(BEGUN_MS + minute * MINUTE_MS) if isinstance(fact, DataRefused)]
    assert [fact.at_ms for fact in reports] == [BEGUN_MS + MINUTE_MS + n * REPORT_EVERY_MS for n in range(6)]
    assert [fact.count for fact in reports] == [1, 60, 60, 60, 60, 60]
    assert [fact.since_ms for fact in reports[1:]] == [fact.at_ms for fact in reports[:-1]]


def test_nothing_is_told_where_nothing_more_was_refused() -> None:
    refusals = RefusalLog()
    refusals.refuse("BTCUSDT", 0, STALE, "once")
    reporter = RefusalReporter(refusals, "bitget", BEGUN_MS)
    assert len(reporter.due(BEGUN_MS)) == 1
    assert reporter.due(BEGUN_MS + 10 * REPORT_EVERY_MS) == []


def test_a_clock_that_was_set_back_holds_no_word_back() -> None:
    refusals = RefusalLog()
    reporter = RefusalReporter(refusals, "bitget", BEGUN_MS)
    refusals.refuse("BTCUSDT", 0, STALE, "first")
    reporter.due(BEGUN_MS)
    refusals.refuse("BTCUSDT", 0, STALE, "second")
    (fact,) = reporter.due(BEGUN_MS - REPORT_EVERY_MS)
    assert isinstance(fact, DataRefused)
    assert (fact.count, fact.since_ms) == (1, BEGUN_MS - REPORT_EVERY_MS)


@pytest.mark.parametrize("text", ["\ud800\x00\x1b[31m", "line\nline\r\nline", "x" * 10_000])
def test_whatever_was_refused_its_text_is_one_short_line_that_the_log_takes(text: str) -> None:
    refusals = RefusalLog()
    refusals.refuse("ws://x", 0, CUT, text)
    (fact,) = RefusalReporter(refusals, "bitget", BEGUN_MS).due(BEGUN_MS)
    assert isinstance(fact, DataRefused)
    assert fact.newest.isprintable() and len(fact.newest) <= REFUSAL_TEXT_CHARS_MAX + 10
    assert [*CODEC.decode(1, CODEC.encode_commit([Entry(fact)]))[0]] == [fact]
