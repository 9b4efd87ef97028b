"""The daily summary: the figures of each UTC day, folded from the log, and their text.

Days are those of the equity curve: a candle and its consequences belong to the day in which the candle opened. A day's
summary is due with the first candle that closes at 00:05 UTC or later on a following day.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from msgspec import Struct, field, structs

from papertape.events.facts import (
    CandleClosed,
    Closing,
    FundingPaid,
    KillSwitchTripped,
    PositionIncreased,
    PositionOpened,
    PositionReduced,
    Timing,
)
from papertape.events.units import DAY_MS
from papertape.projections.alerts.lines import (
    NO_POSITIONS,
    STATE_MARKS,
    closed_text,
    costs_text,
    parts_text,
    position_label,
    positions_part,
    trip_line,
)
from papertape.projections.alerts.markup import footer, message, table, text
from papertape.projections.alerts.texts import Stamp
from papertape.projections.persistence.append_only import CHUNK_LENGTH, AppendOnlyList
from papertape.projections.text.formats import gain, gain_percent, money, utc

if TYPE_CHECKING:
    from papertape.events.log import Recorded
    from papertape.projections.folds.equity import EquityView
    from papertape.projections.folds.kill_switches import State, TripView
    from papertape.projections.folds.portfolio import Portfolio, PositionView
    from papertape.projections.folds.trades import Trades, TradeView

DAYS_KEPT_MAX = 400
DUE_AFTER_MS = 300_000
STRATEGIES_SHOWN_MAX = 20
TRIPS_KEPT_MAX = 20
SUMMARY = "☰"
_WARM_UP = Timing.WARM_UP


class DayFigures(Struct, frozen=True):
    """The figures of a UTC day. `day` counts from 1970; fees and funding (received is positive) are booked in it.

    `trades`, `wins`, `net_usdt`, `best` and `worst` cover the trades closed in it; `closed` counts them by strategy.
    `adds` and `partial_exits` count the fills that enlarged and reduced positions.
    """

    day: int
    trades: int = 0
    wins: int = 0
    net_usdt: float = 0.0
    fees_usdt: float = 0.0
    funding_usdt: float = 0.0
    best: TradeView | None = None
    worst: TradeView | None = None
    closed: dict[str, int] = field(default_factory=dict)
    trips: tuple[TripView, ...] = ()
    adds: int = 0
    partial_exits: int = 0

    def with_close(self, trade: TradeView, fee_usdt: float) -> DayFigures:
        """Return the figures after a trade was closed at a fee."""
        best, worst = self.best, self.worst
        return structs.replace(
            self,
            trades=self.trades + 1,
            wins=self.wins + (trade.net_usdt > 0.0),
            net_usdt=self.net_usdt + trade.net_usdt,
            fees_usdt=self.fees_usdt + fee_usdt,
            closed={**self.closed, trade.strategy: self.closed.get(trade.strategy, 0) + 1},
            best=trade if best is None or trade.net_usdt > best.net_usdt else best,
            worst=trade if worst is None or trade.net_usdt < worst.net_usdt else worst,
        )


class DayRow(Struct, frozen=True):
    """One strategy's day: the change of its equity, the trades it closed, and its current state."""

    strategy: str
    result_usdt: float
    trades: int
    state: State


class DayView(Struct, frozen=True):
    """One UTC day that began at `day_ms`. Results are changes of equity, open positions included; best row first.

    `trips` are the kill switches that tripped in it, `positions` those open now.
    """

    day_ms: int
    equity_usdt: float
    result_usdt: float
    result_percent: float
    rows: tuple[DayRow, ...]
    trades: int
    wins: int
    net_usdt: float
    best: TradeView | None
    worst: TradeView | None
    fees_usdt: float
    funding_usdt: float
    trips: tuple[TripView, ...]
    positions: tuple[PositionView, ...]
    adds: int = 0
    partial_exits: int = 0


class Days:
    """Fold of the days, based on two folds of its owner. `due` is the day whose summary the last event made due."""

    def __init__(self, portfolio: Portfolio, trades: Trades) -> None:
        """Read both folds, which their owner applies each event to first."""
        self.due: DayFigures | None = None
        self._portfolio = portfolio
        self._trades = trades
        self._today: DayFigures | None = None
        self._finished: AppendOnlyList[DayFigures] = AppendOnlyList(DAYS_KEPT_MAX // CHUNK_LENGTH + 1)
        self._waiting: deque[DayFigures] = deque(maxlen=DAYS_KEPT_MAX)
        self._day_end_ms = 0

    @property
    def today(self) -> DayFigures | None:
        """The current day; None before the first candle."""
        return self._today

    def finished_days(self) -> tuple[DayFigures, ...]:
        """Return the days that are over, oldest first."""
        return tuple(self._finished.latest(DAYS_KEPT_MAX))[::-1]

    def apply(self, recorded: Recorded, *, may_tell: bool = True) -> None:
        """Apply one event. `may_tell` is False if this event already causes another alert."""
        self.due = None
        event = recorded.event
        if type(event) is CandleClosed:
            if event.at_ms - event.timeframe_ms >= self._day_end_ms and event.timing is not _WARM_UP:
                self._roll((event.at_ms - event.timeframe_ms) // DAY_MS)
            if self._waiting and may_tell and event.at_ms >= _due_ms(self._waiting[0]):
                self.due = self._waiting.popleft()
        elif self._today is not None:
            self._book(recorded, self._today)

    def next_ms(self, timeframe_ms: int) -> int:
        """Return the close from which on a candle of a timeframe begins a day or makes a summary due."""
        begins_ms = self._day_end_ms + timeframe_ms
        return min(begins_ms, _due_ms(self._waiting[0])) if self._waiting else begins_ms

    def _roll(self, day: int) -> None:
        if self._today is not None:
            self._finished.append(self._today)
            self._waiting.append(self._today)
        self._today = DayFigures(day)
        self._day_end_ms = (day + 1) * DAY_MS

    def _book(self, recorded: Recorded, today: DayFigures) -> None:
        event = recorded.event
        match event:
            case PositionOpened():
                self._today = structs.replace(today, fees_usdt=today.fees_usdt + event.fee_usdt)
            case PositionIncreased():
                fees_usdt = today.fees_usdt + event.fee_usdt
                self._today = structs.replace(today, fees_usdt=fees_usdt, adds=today.adds + 1)
            case PositionReduced():
                fees_usdt = today.fees_usdt + event.fee_usdt
                self._today = structs.replace(today, fees_usdt=fees_usdt, partial_exits=today.partial_exits + 1)
            case FundingPaid():
                self._today = structs.replace(today, funding_usdt=today.funding_usdt + event.amount_usdt)
            case Closing():
                self._today = today.with_close(self._trades.latest(1)[0], event.fee_usdt)
            case KillSwitchTripped() if len(today.trips) < TRIPS_KEPT_MAX:
                tripped = [trip for trip in self._portfolio.switches.active_trips() if trip.trip_seq == recorded.seq]
                self._today = structs.replace(today, trips=(*today.trips, *tripped))
            case _:
                pass

    def view(self, figures: DayFigures) -> DayView:
        """Return a day, finished or not, with the equities at its end."""
        accounts = self._portfolio.accounts()
        ends = {one.strategy: self._equities(one.strategy, figures.day) for one in accounts}
        rows = [
            DayRow(
                one.strategy,
                ends[one.strategy][1] - ends[one.strategy][0],
                figures.closed.get(one.strategy, 0),
                one.state,
            )
            for one in accounts
        ]
        begin, end = sum(first for first, _ in ends.values()), sum(last for _, last in ends.values())
        return DayView(
            day_ms=figures.day * DAY_MS,
            equity_usdt=end,
            result_usdt=end - begin,
            result_percent=(end - begin) / begin * 100.0 if begin > 0.0 else 0.0,
            rows=tuple(sorted(rows, key=lambda row: (-row.result_usdt, row.strategy))),
            trades=figures.trades,
            wins=figures.wins,
            net_usdt=figures.net_usdt,
            best=figures.best,
            worst=figures.worst,
            fees_usdt=figures.fees_usdt,
            funding_usdt=figures.funding_usdt,
            trips=figures.trips,
            positions=self._portfolio.positions(),
            adds=figures.adds,
            partial_exits=figures.partial_exits,
        )

    def _equities(self, strategy: str, day: int) -> tuple[float, float]:
        curve = self._portfolio.equity_curve(strategy)
        return equity_after(curve, day - 1), equity_after(curve, day)


def _due_ms(figures: DayFigures) -> int:
    return (figures.day + 1) * DAY_MS + DUE_AFTER_MS


def equity_after(curve: EquityView, day: int) -> float:
    """Return the equity at the end of a day: the capital before the first one, the newest after the last one."""
    known, at = curve.day_equities_usdt, day - curve.from_ms // DAY_MS
    return known[min(at, len(known) - 1)] if known and at >= 0 else curve.capital_usdt


# ---------------------------------------------------------------- the text


def daily_summary(stamp: Stamp, day: DayView) -> str:
    """Return the text of a day's summary."""
    date = utc(day.day_ms).partition(" ")[0]
    result = f"{gain(day.result_usdt)} USDT ({gain_percent(day.result_percent)})"
    details = [f"equity {text(money(day.equity_usdt))} USDT", *_rows(day), *_trades(day), *_trips(day), *_open(day)]
    return message(f"{SUMMARY} <b>{text(date)}: {text(result)}</b>", details, footer(stamp.seq, stamp.at_ms))


def _rows(day: DayView) -> list[str]:
    if not day.rows:
        return []
    shown = [
        (f"{STATE_MARKS[row.state]}{row.strategy}", gain(row.result_usdt), f"{row.trades:,}")
        for row in day.rows[:STRATEGIES_SHOWN_MAX]
    ]
    return ["", table([("strategy", "USDT", "trades"), *shown])]


def _trades(day: DayView) -> list[str]:
    result = f": {text(gain(day.net_usdt))}" if day.trades else ""
    return [
        f"{closed_text(day.trades, day.wins)}{result}",
        *parts_text(day.adds, day.partial_exits),
        *[_named(word, trade) for word, trade in (("best", day.best), ("worst", day.worst)) if trade is not None],
        costs_text(day.fees_usdt, day.funding_usdt),
    ]


def _named(word: str, trade: TradeView) -> str:
    return f"{word} {text(gain(trade.net_usdt))} {position_label(trade.strategy, trade.symbol, trade.side)}"


def _trips(day: DayView) -> list[str]:
    return ["", *map(trip_line, day.trips)] if day.trips else []


def _open(day: DayView) -> list[str]:
    return positions_part("open positions", day.positions) or [NO_POSITIONS]
