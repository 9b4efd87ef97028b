"""The state: small Structs whose leaves are integers and floats.

CPython uses them as they are; for numba the same tree becomes one record of a structured array
(`engine.research.records`), and the same source works on both. So there are no strings, lists, dicts, booleans or None
inside: flags are 0 or 1, and an absent time is -1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct, field

from papertape.engine.kernel.answers import Ladder
from papertape.engine.kernel.indicators.structs import Adx, Atr
from papertape.engine.kernel.writes import ease_writes

if TYPE_CHECKING:
    from collections.abc import Sequence

# Rings have a power of two rows, so that a row is found with one `&`.
SETTLEMENTS_MAX = 256
SETTLEMENTS_MASK = SETTLEMENTS_MAX - 1
READINGS_MAX = 1_024
READINGS_MASK = READINGS_MAX - 1


class Fact(Struct, array_like=True, gc=False):
    """One market fact. A settlement's rate and the value of an open-interest reading are in `close`."""

    kind: int = 0
    symbol: int = 0
    timing: int = 0
    open_time_ms: int = 0
    time_ms: int = 0
    open: float = 0.0
    high: float = 0.0
    low: float = 0.0
    close: float = 0.0
    volume: float = 0.0


class FactColumns(NamedTuple):
    """Facts as columns named like the fields of `Fact`: plain arrays, or numpy's. They are cheap to make from tables.

    `run_end` is the index behind the unbroken run of facts of one kind and symbol, all of them warm-up or none.
    """

    kind: Any
    symbol: Any
    timing: Any
    open_time_ms: Any
    time_ms: Any
    open: Any
    high: Any
    low: Any
    close: Any
    volume: Any
    run_end: Any

    @property
    def total(self) -> int:
        """The number of facts."""
        return len(self.time_ms)

    def at(self, index: int) -> Fact:
        """Return the fact at an index."""
        return Fact(*(column[index] for column in self[:-1]))


class Bar(Struct, array_like=True, gc=False):
    """One row of a series' history, with what a rolling window may have to drop later."""

    high: float = 0.0
    low: float = 0.0
    close: float = 0.0
    volume: float = 0.0
    atr: float = 0.0


class Settlement(Struct, array_like=True, gc=False):
    """A funding settlement waiting to be booked."""

    time_ms: int = 0
    rate: float = 0.0


class OpenInterest(Struct, array_like=True, gc=False):
    """A reading of open interest, in coins."""

    time_ms: int = 0
    value: float = 0.0


# ---------------------------------------------------------------- series


class Series(Struct, array_like=True):
    """One symbol in one timeframe: the forming candle, the last complete one, and what its regime is made of.

    `row` counts complete candles from 0 since the start or the last reset. `completed` says whether the latest base
    candle completed one; `turbulent_at_open` keeps the high-volatility flag from before it. `missing` counts the base
    candles that the forming candle lacks before `next_ms`; with more than `missing_max` of them it never completes. The
    history holds no row before `oldest_row`, and no more rows than it is long.
    """

    timeframe_ms: int = 0
    base_ms: int = 0
    end_ms: int = -1
    next_ms: int = -1
    missing_max: int = 0
    missing: int = 0
    forming_open: float = 0.0
    forming_high: float = 0.0
    forming_low: float = 0.0
    forming_close: float = 0.0
    forming_volume: float = 0.0
    completed: int = 0
    turbulent_at_open: int = 0
    turbulent: int = 0
    row: int = -1
    oldest_row: int = 0
    open: float = 0.0
    high: float = 0.0
    low: float = 0.0
    close: float = 0.0
    volume: float = 0.0
    atr: Atr = field(default_factory=Atr)
    atr_sum: float = 0.0
    atr_mean: float = 0.0
    adx: Adx = field(default_factory=Adx)
    regime: int = 0


class Market(Struct, array_like=True):
    """One symbol's market, besides its series.

    Settlements `booked .. due - 1` of the ring are due at the open of the latest candle; `readings` counts the
    open-interest readings in the ring since the last reset. A `suspended` symbol (1, or 2 after its contract ended)
    opens no position.
    """

    base_ms: int = 0
    gap_reset_ms: int = 0
    open_time_ms: int = -1
    close_time_ms: int = -1
    close: float = 0.0
    reset: int = 0
    rate: float = 0.0
    rate_time_ms: int = -1
    settled: int = 0
    booked: int = 0
    due: int = 0
    readings: int = 0
    reading_time_ms: int = -1
    suspended: int = 0


# ---------------------------------------------------------------- trading


class Contract(Struct, array_like=True):
    """The kernel's form of a contract specification; `tiers` is the number of rows in the symbol's tier table."""

    tick_numerator: int = 1
    tick_denominator: int = 1
    lot_numerator: int = 1
    lot_denominator: int = 1
    minimum_notional_usdt: float = 5.0
    tiers: int = 1
    group: int = 0


class Tier(Struct, array_like=True):
    """One maintenance tier: the notional where it starts, its rate, and its offset in USDT."""

    start_usdt: float = 0.0
    maintenance_fraction: float = 0.01
    offset_usdt: float = 0.0


class AccountRules(Struct, array_like=True):
    """The rules of one account as fractions, made from `engine.kernel.risk_settings.RiskSettings`."""

    capital_usdt: float = 0.0
    leverage: float = 0.0
    maker_fee: float = 0.0
    taker_fee: float = 0.0
    slippage: float = 0.0
    high_volatility_multiplier: float = 0.0
    risk_per_trade: float = 0.0
    positions_max: int = 0
    same_direction_max: int = 0
    free_margin: float = 0.0
    liquidation_distance_min: float = 0.0
    cost_to_stop_max: float = 0.0
    session_loss: float = 0.0
    daily_loss: float = 0.0
    session_loss_percent: float = 0.0
    daily_loss_percent: float = 0.0


class Needs(Struct, array_like=True):
    """The complete candles that a strategy needs before it may enter: of its timeframe, and of its filter's."""

    candles: int = 1
    filter_candles: int = 1


class Order(Struct, array_like=True):
    """An entry or an exit that waits to be filled; an entry carries the plan of its position.

    A market order is filled at the next open; a limit or stop entry rests at `price_usdt` until `expires_ms`. `units`
    is how large the position may become, in first fills.
    """

    action: int = 0
    kind: int = 0
    side: int = 0
    reason: int = 0
    placed_at_ms: int = 0
    expires_ms: int = 0
    quantity_base: float = 0.0
    price_usdt: float = 0.0
    planned_price_usdt: float = 0.0
    stop_fraction: float = 0.0
    stop_price_usdt: float = 0.0
    risk_usdt: float = 0.0
    trail_fraction: float = 0.0
    trail_after_fraction: float = 0.0
    breakeven_after_fraction: float = 0.0
    targets: Ladder = field(default_factory=Ladder)
    adds: Ladder = field(default_factory=Ladder)


class Closed(Struct, array_like=True):
    """What is settled of a trade while its position is still open: its closing fills so far."""

    parts: int = 0
    ambiguous: int = 0
    quantity_base: float = 0.0
    turnover_usdt: float = 0.0
    gross_usdt: float = 0.0
    fees_usdt: float = 0.0
    funding_usdt: float = 0.0
    slippage_usdt: float = 0.0


class Position(Struct, array_like=True):
    """An open position; side 0 is flat.

    The entry price is the average of what is open. Fees, slippage and funding are those of the open part; `closed` has
    the rest. `opened_base` and `opened_usdt` are the sums of all opening fills, `first_base` is the first of them, and
    `units` counts them in first fills. `target_price_usdt` is that of the nearest resting target, 0 if there is none;
    `targets_left` is 1 minus the parts of the targets filled. `stop_reason` is the reason of a stop at its present
    price. `best_usdt` and `worst_usdt` are the extremes since the fill, `age_candles` counts candles of the strategy's
    timeframe. `profit_usdt` is the profit of leaving at the last close of that timeframe after all costs of the open
    part, `result_r` the whole trade valued at that close, without costs of leaving, in multiples of its planned risk.
    """

    side: int = 0
    entry_time_ms: int = 0
    candle_open_ms: int = 0
    stop_reason: int = 0
    age_candles: int = 0
    adds_due: int = 0
    quantity_base: float = 0.0
    entry_price_usdt: float = 0.0
    stop_price_usdt: float = 0.0
    target_price_usdt: float = 0.0
    liquidation_price_usdt: float = 0.0
    margin_usdt: float = 0.0
    fee_usdt: float = 0.0
    slippage_usdt: float = 0.0
    funding_usdt: float = 0.0
    risk_usdt: float = 0.0
    first_base: float = 0.0
    max_base: float = 0.0
    units: float = 0.0
    opened_base: float = 0.0
    opened_usdt: float = 0.0
    best_usdt: float = 0.0
    worst_usdt: float = 0.0
    profit_usdt: float = 0.0
    result_r: float = 0.0
    targets_left: float = 0.0
    reduce_fraction: float = 0.0
    closed: Closed = field(default_factory=Closed)
    trail_fraction: float = 0.0
    trail_after_fraction: float = 0.0
    breakeven_after_fraction: float = 0.0
    targets: Ladder = field(default_factory=Ladder)
    adds: Ladder = field(default_factory=Ladder)


class SymbolState(Struct, array_like=True):
    """One strategy on one symbol.

    `entry_placed_ms` is the time of its last entry order and `exited_ms` that of its last exit, -1 if there was none;
    `candles_since_exit` counts candles of the strategy's timeframe since then. `close_ms` is the close of its last
    candle.
    """

    mark_usdt: float = 0.0
    close_ms: int = -1
    entry_placed_ms: int = -1
    exited_ms: int = -1
    candles_since_exit: int = -1
    last_exit_reason: int = 0
    order: Order = field(default_factory=Order)
    position: Position = field(default_factory=Position)


class Account(Struct, array_like=True):
    """One strategy's isolated capital. `tripped` is 0 or the reason of its kill switch's trip.

    `free_slots` is how many more symbols may be entered, which positions and pending entries both use up; it is
    negative after the limit was lowered below what is held.
    """

    cash_usdt: float = 0.0
    equity_usdt: float = 0.0
    peak_usdt: float = 0.0
    session_base_usdt: float = 0.0
    day_base_usdt: float = 0.0
    day_end_ms: int = -1
    positions: int = 0
    free_slots: int = 0
    tripped: int = 0
    paused: int = 0


class GlobalKillSwitch(Struct, array_like=True):
    """The global kill switch; its `hours` maxima are in a separate array, the current one at `hour % hours`."""

    max_loss: float = 0.0
    max_loss_percent: float = 0.0
    hours: int = 25
    hour: int = -1
    hour_end_ms: int = -1
    total_usdt: float = 0.0
    peak_usdt: float = 0.0
    tripped: int = 0


if TYPE_CHECKING:
    Bars = Sequence[Bar]
    Settlements = Sequence[Settlement]
    Readings = Sequence[OpenInterest]
    Desks = Sequence[SymbolState]
    Contracts = Sequence[Contract]
    Tiers = Sequence[Tier]
    TierTables = Sequence[Tiers]


ease_writes(vars())
