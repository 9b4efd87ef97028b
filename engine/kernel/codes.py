"""Numbers for names: inside the kernel every kind, side and reason is an integer.

Events, files and texts use the names; `reason_names` and `reason_code` convert. A strategy's own exit reasons are
numbered from `FIRST_EXIT_REASON` on, in the order of its `EXIT_REASONS`.
"""

from __future__ import annotations

from papertape.events.facts import EngineReason

# Kinds of facts.
CANDLE = 0
FUNDING = 1
OPEN_INTEREST = 2
EXTERNAL_SIGNAL = 3

# Timing of a candle, the numbers of events.facts.Timing.
ON_TIME = 0
LATE = 1
WARM_UP = 2

# Kinds of decisions.
FUNDING_PAID = 1
ORDER_PLACED = 2
ORDER_REJECTED = 3
ORDER_CANCELLED = 4
POSITION_OPENED = 5
POSITION_CLOSED = 6
KILL_SWITCH_TRIPPED = 7
POSITION_INCREASED = 8
POSITION_REDUCED = 9
STOP_MOVED = 10
TARGETS_MOVED = 11

# Sides of a position.
LONG = 1
SHORT = -1
FLAT = 0

# Actions of an order; CHANGE is what a refused answer of `manage` asked for. A target is placed with its position.
NO_ORDER = 0
ENTRY = 1
EXIT = 2
ADD = 3
REDUCE = 4
TARGET_ORDER = 5
CHANGE = 6

# Kinds of an order.
MARKET_ORDER = 0
LIMIT_ORDER = 1
STOP_ORDER = 2

# Regimes of a series.
REGIME_UNKNOWN = 0
HIGH_VOLATILITY = 1
LOW_VOLATILITY = 2
TRENDING_UP = 3
TRENDING_DOWN = 4
RANGING = 5

# Whether a symbol is tradable: `Market.suspended`.
TRADABLE = 0
SUSPENDED = 1
ENDED = 2

# Reasons.
NO_REASON = 0
SIGNAL = 1
STOP = 2
TARGET = 3
LIQUIDATION = 4
DELISTED = 5
UNNAMED_EXIT = 6
TRAILING_STOP = 7
BREAKEVEN_STOP = 8
REDUCED = 9
MAX_POSITIONS = 10
CORRELATION = 11
STOP_TOO_CLOSE = 12
STOP_BEYOND_LIQUIDATION = 13
COST_TO_STOP = 14
BELOW_MINIMUM = 15
NOT_A_NUMBER = 16
STOP_WRONG_SIDE = 17
TARGET_WRONG_SIDE = 18
LIMIT_BEYOND_MARKET = 19
NEXT_CANDLE_MISSING = 20
LATE_CANDLE = 21
KILL_SWITCH = 22
MARGIN = 23
NOT_TRADABLE = 24
EXPIRED = 25
REPLACED = 26
POSITION_ENDED = 27
PAUSED = 28
STRATEGY_FAILED = 29
SESSION_LOSS = 30
DAILY_LOSS = 31
GLOBAL_LOSS = 32
MANUAL = 33
STOP_BEHIND_MARKET = 40
LADDER = 41
UNITS = 42
STOP_THROUGH_MARKET = 43
TARGET_THROUGH_MARKET = 44
TARGET_1 = 51
TARGET_2 = 52
TARGET_3 = 53
TARGET_4 = 54
FIRST_EXIT_REASON = 100

REASON_NAMES: dict[int, EngineReason] = {
    SIGNAL: "signal",
    STOP: "stop",
    TARGET: "target",
    LIQUIDATION: "liquidation",
    DELISTED: "delisted",
    UNNAMED_EXIT: "unnamed_exit",
    TRAILING_STOP: "trailing_stop",
    BREAKEVEN_STOP: "breakeven_stop",
    REDUCED: "reduced",
    MAX_POSITIONS: "max_positions",
    CORRELATION: "correlation",
    STOP_TOO_CLOSE: "stop_too_close",
    STOP_BEYOND_LIQUIDATION: "stop_beyond_liquidation",
    COST_TO_STOP: "cost_to_stop",
    BELOW_MINIMUM: "below_minimum",
    NOT_A_NUMBER: "not_a_number",
    STOP_WRONG_SIDE: "stop_wrong_side",
    TARGET_WRONG_SIDE: "target_wrong_side",
    LIMIT_BEYOND_MARKET: "limit_beyond_market",
    NEXT_CANDLE_MISSING: "next_candle_missing",
    LATE_CANDLE: "late_candle",
    KILL_SWITCH: "kill_switch",
    MARGIN: "margin",
    NOT_TRADABLE: "not_tradable",
    EXPIRED: "expired",
    REPLACED: "replaced",
    POSITION_ENDED: "position_closed",
    PAUSED: "paused",
    STRATEGY_FAILED: "strategy_failed",
    SESSION_LOSS: "session_loss",
    DAILY_LOSS: "daily_loss",
    GLOBAL_LOSS: "global_loss",
    MANUAL: "manual",
    STOP_BEHIND_MARKET: "stop_behind_market",
    LADDER: "ladder",
    UNITS: "units",
    STOP_THROUGH_MARKET: "stop_through_market",
    TARGET_THROUGH_MARKET: "target_through_market",
    TARGET_1: "target_1",
    TARGET_2: "target_2",
    TARGET_3: "target_3",
    TARGET_4: "target_4",
}
REASON_CODES = {name: code for code, name in REASON_NAMES.items()}
REGIME_NAMES = ("unknown", "high_volatility", "low_volatility", "trending_up", "trending_down", "ranging")


def reason_names(exit_reasons: tuple[str, ...]) -> dict[int, str]:
    """Return the names of all reasons by number: the common ones and a strategy's own."""
    return REASON_NAMES | dict(enumerate(exit_reasons, FIRST_EXIT_REASON))


def reason_code(name: str, exit_reasons: tuple[str, ...]) -> int:
    """Return the number of a reason, the inverse of `reason_names`."""
    if name in REASON_CODES:
        return REASON_CODES[name]
    return FIRST_EXIT_REASON + exit_reasons.index(name)
