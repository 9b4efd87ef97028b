"""The stream state: which candle of a stream is complete and final, and which the exchange's history decides."""

from __future__ import annotations

from papertape.engine.feeds.candle_row import CandleRow
from papertape.engine.feeds.live.stream_state import ROWS_KEPT_MAX, CandleFrame, StreamState, TickerFrame
from papertape.engine.ports.feed import RefusalLog, RefusalReason

MINUTE_MS = 60_000
T_MS = 1_790_000_040_000
BTC = "BTCUSDT"
HOUR_MS = 3_600_000


class Shown:
    """The stream state of one symbol whose candles are watched from `T_MS` on; seconds count from there."""

    def __init__(self) -> None:
        self.refusals = RefusalLog()
        self.state = StreamState([BTC], MINUTE_MS, self.refusals)
        self.show(-10.0, (-1, 100.0, 5.0), snapshot=True)

    def show(self, at_s: float, *rows: tuple[int, float, float], snapshot: bool = False, now_s: float = 0.0) -> None:
        """A frame: rows of minute, price and volume."""
        at_ms = T_MS + int(at_s * 1_000)
        found = [
            CandleRow(T_MS + minute * MINUTE_MS, price, price, price, price, volume) for minute, price, volume in rows
        ]
        self.state.take_candles(CandleFrame(BTC, snapshot, at_ms, found, []), int(now_s * 1_000) + at_ms)

    def tick(
        self, at_s: float, mark: float = 100.0, held: float = 7.0, next_ms: int = T_MS // HOUR_MS * HOUR_MS
    ) -> None:
        at_ms = T_MS + int(at_s * 1_000)
        self.state.take_ticker(TickerFrame(BTC, at_ms, mark, held, 0.0, next_ms), at_ms)

    def final(self, minute: int = 0) -> float | None:
        """The volume of the final candle of a minute."""
        row = self.state.final_candle(BTC, T_MS + minute * MINUTE_MS)
        return None if row is None else row.volume

    @property
    def reasons(self) -> list[RefusalReason]:
        return [refusal.reason for refusal in self.refusals.kept]


def whole() -> Shown:
    """The first minute is over, its last row was shown half a second before its end."""
    shown = Shown()
    shown.show(20.0, (0, 100.0, 1.0))
    shown.show(59.5, (0, 101.0, 3.0))
    return shown


def test_a_candle_is_final_when_the_next_one_has_begun_and_not_before() -> None:
    shown = whole()
    assert shown.final() is None
    shown.show(60.3, (1, 101.0, 0.1))
    assert shown.final() == 3.0


def test_the_last_row_may_come_with_the_first_of_the_next_candle_or_after_it() -> None:
    shown = whole()
    shown.show(60.3, (0, 101.5, 3.5), (1, 101.5, 0.1))
    assert shown.final() == 3.5
    shown.show(61.4, (0, 102.0, 3.6))
    assert shown.final() == 3.6


def test_a_candle_that_was_not_watched_from_its_open_is_not_final() -> None:
    shown = Shown()
    shown.state.mark_interrupted([BTC])
    shown.show(20.0, (0, 100.0, 1.0), snapshot=True)
    shown.show(59.9, (0, 101.0, 3.0))
    shown.show(60.3, (1, 101.0, 0.1))
    assert shown.final() is None
    shown.show(119.9, (1, 101.0, 2.0))
    shown.show(120.1, (2, 101.0, 0.1))
    assert shown.final(1) == 2.0


def test_a_break_makes_what_forms_unfinished() -> None:
    shown = whole()
    shown.state.mark_interrupted([BTC])
    shown.show(60.3, (1, 101.0, 0.1))
    assert shown.final() is None


def test_a_candle_last_shown_long_before_its_end_may_miss_trades() -> None:
    shown = Shown()
    shown.show(57.0, (0, 101.0, 3.0))
    shown.show(60.3, (1, 101.0, 0.1))
    assert shown.final() is None


def test_an_old_state_of_a_candle_shown_first_after_its_end_is_not_final() -> None:
    shown = Shown()
    shown.show(-0.2, (-1, 100.0, 6.0))
    shown.show(60.0, (1, 101.0, 0.1))
    shown.show(60.0, (0, 101.0, 3.0))
    assert shown.final() is None


def test_a_candle_that_the_stream_skipped_leaves_the_one_before_to_the_history() -> None:
    shown = whole()
    shown.show(120.2, (2, 101.0, 0.1))
    assert shown.final() is None and shown.final(1) is None


def test_candles_stay_final_while_a_few_more_go_by_and_doubt_in_them_stays() -> None:
    shown = whole()
    doubted = 3
    for minute in range(1, ROWS_KEPT_MAX):
        for second in (0.3, 30.0, 59.5):
            shown.show(minute * 60.0 + second, (minute, 101.0, 1.0 + second))
        if minute == doubted:
            shown.show(minute * 60.0 + 59.7, (minute, 101.0, 1.0))
    shown.show(ROWS_KEPT_MAX * 60.0 + 0.3, (ROWS_KEPT_MAX, 101.0, 1.0))
    final = [minute for minute in range(ROWS_KEPT_MAX) if shown.final(minute) is not None]
    assert final == [minute for minute in range(1, ROWS_KEPT_MAX) if abs(minute - doubted) > 1]


def test_an_older_state_is_stale_and_makes_the_candle_doubtful() -> None:
    shown = whole()
    shown.show(59.9, (0, 100.0, 2.0))
    shown.show(60.3, (1, 101.0, 0.1))
    assert shown.final() is None and shown.reasons == [RefusalReason.STALE]


def test_a_frame_from_the_past_or_the_future_is_refused() -> None:
    shown = whole()
    shown.show(30.0, (0, 100.0, 9.0))
    shown.show(80.0, (0, 100.0, 9.0), now_s=-10.0)
    assert shown.reasons == [RefusalReason.STALE, RefusalReason.STALE]


def test_a_candle_of_the_future_is_refused_and_changes_nothing() -> None:
    shown = whole()
    shown.show(59.9, (10, 101.0, 1.0))
    assert shown.reasons == [RefusalReason.TIME_OUT_OF_RANGE]
    assert shown.state.symbols[BTC].newest_open_ms < T_MS + MINUTE_MS


def test_an_absurd_price_is_refused() -> None:
    shown = whole()
    shown.show(59.9, (0, 1_010.0, 4.0))
    assert shown.reasons == [RefusalReason.ABSURD_JUMP]
    shown.show(60.3, (1, 101.0, 0.1))
    assert shown.final() is None, "one that lied may have hidden the truth"


def test_a_candle_counts_as_over_when_the_streams_still_spoke_two_seconds_later() -> None:
    shown, close_ms = whole(), T_MS + MINUTE_MS
    shown.show(60.3, (1, 101.0, 0.1))
    assert not shown.state.is_over(BTC, close_ms, 2_000) and shown.state.final_candle(BTC, T_MS, 2_000) is None
    shown.tick(62.1)
    assert shown.state.is_over(BTC, close_ms, 2_000) and shown.state.final_candle(BTC, T_MS, 2_000) is not None


def test_few_rows_are_kept_however_many_come() -> None:
    shown = Shown()
    for minute in range(500):
        shown.show(minute * 60.0 + 30.0, (minute, 100.0, 1.0))
    shown.show(30_001.0, *[(minute, 100.0, 1.0) for minute in range(500)], snapshot=True)
    watched = shown.state.symbols[BTC]
    assert len(watched.rows) <= ROWS_KEPT_MAX + 1 and len(watched.shown_ms) <= ROWS_KEPT_MAX + 1
    assert len(watched.suspect_opens_ms) <= ROWS_KEPT_MAX + 2


# ---------------------------------------------------------------- tickers


def test_the_first_ticker_of_five_minutes_is_the_reading() -> None:
    shown, five_ms = Shown(), 300_000
    first_s = (five_ms - T_MS % five_ms) / 1_000.0
    shown.tick(first_s - 0.1, held=7.0)
    shown.tick(first_s + 0.2, held=8.0)
    shown.tick(first_s + 0.5, held=9.0)
    watched = shown.state.symbols[BTC]
    assert (watched.reading_ms, watched.open_interest_base) == (T_MS + int(first_s * 1_000), 8.0)


def test_a_ticker_long_after_the_five_minutes_is_no_reading_of_them() -> None:
    shown, five_ms = Shown(), 300_000
    shown.tick((five_ms - T_MS % five_ms) / 1_000.0 + 61.0)
    assert shown.state.symbols[BTC].reading_ms == -1


def test_an_absurd_mark_price_is_refused_until_the_next_one_confirms_it() -> None:
    shown = Shown()
    for at_s, mark in ((1.0, 100.0), (2.0, 1_000.0), (3.0, 100.0), (4.0, 1_000.0), (5.0, 1_001.0)):
        shown.tick(at_s, mark)
    assert shown.reasons == [RefusalReason.ABSURD_JUMP] * 2
    assert shown.state.symbols[BTC].mark_usdt == 1_001.0


def test_a_settlement_off_the_hour_is_refused() -> None:
    shown = Shown()
    shown.tick(1.0, next_ms=T_MS // HOUR_MS * HOUR_MS + 1)
    assert shown.reasons == [RefusalReason.OFF_GRID]
    assert shown.state.symbols[BTC].next_settlement_ms == 0


def test_a_refused_ticker_leaves_the_candles_alone() -> None:
    shown = whole()
    shown.tick(1.0, 100.0)
    shown.tick(59.8, 1_000.0)
    shown.show(60.3, (1, 101.0, 0.1))
    assert shown.final() == 3.0
