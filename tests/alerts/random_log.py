"""Random logs with every event that is worth an alert, and arbitrary names and reasons."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from papertape.events.facts import (
    GLOBAL_SCOPE,
    AnomalyCleared,
    AnomalyPersists,
    AnomalyRaised,
    ContractDelisted,
    DataRefused,
    EngineStarted,
    EngineStopped,
    EpochBegan,
    FeedConnected,
    FeedLost,
    FundingPaid,
    GapFilled,
    GapFound,
    KillSwitchReset,
    KillSwitchTripped,
    OrderCancelled,
    OrderPlaced,
    OrderRejected,
    PositionIncreased,
    PositionReduced,
    RunnerPaused,
    RunnerResumed,
    Side,
    StopMoved,
    SymbolResumed,
    SymbolSuspended,
    Target,
    TargetsMoved,
    Timing,
    TripReason,
)
from papertape.events.units import DAY_MS
from tests.build import (
    NOON_MS,
    candle_at,
    closed_whole,
    configured,
    liquidated_whole,
    listed,
    opened_whole,
    recorded,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.events.facts import Event
    from papertape.events.log import Recorded

WIDE = "\U0001d49c"
"""A letter of two UTF-16 units."""
NASTY = ("<b>", "</b>", "&", "&amp;", "a<b&c>d", "\"'", WIDE * 310, "<" * 900, "\n\n", "", "\u202ereversed", "\x00")
PLAIN = ("momentum", "BTCUSDT", "vwap_rsi", "GALAUSDT")
MONEY = (0.0, -0.0, 1e-9, -0.004, 0.009, -6.42, 12_345.678, -1e12)
EXTREME = (*MONEY, 1e300, -1e300)
PRICES = (1e-9, 0.00384, 1.0, 100.0, 84_018.7, 1e9)
STEPS_MS = (0, 20_000, 60_000, 900_000, DAY_MS)
EVENTS_MAX = 60
words = st.one_of(st.sampled_from(NASTY), st.text(max_size=400))


seeds = st.integers(0, 2**32)
lengths = st.integers(1, EVENTS_MAX)
pools = st.lists(words.filter(lambda word: word != GLOBAL_SCOPE), min_size=4, max_size=8, unique=True)
"""What names and reasons are taken from."""


def random_log(seed: int, length: int, pool: Sequence[str] = PLAIN, amounts: Sequence[float] = MONEY) -> list[Recorded]:
    """Two runners on two symbols, then so many events of any kind in any order, time going on."""
    chance = Random(seed)
    runners, symbols = (pool[0], pool[2]), (pool[1], pool[3])
    tick = chance.choice([(1, 10), (1, 100_000), (5, 1)])
    events: list[Event] = [
        EngineStarted(NOON_MS, pool[0], pool[1], pool[2]),
        *[listed(symbol, tick, (1, 10_000)) for symbol in symbols],
        *[configured(runner, symbols) for runner in runners],
        *[candle_at(NOON_MS, symbol, 100.0) for symbol in symbols],
    ]
    at_ms = NOON_MS
    for _ in range(length):
        at_ms += chance.choice(STEPS_MS)
        runner, symbol = chance.choice(runners), chance.choice(symbols)
        makers = chance.choice((_trading, _risk, _operation, _market))
        events.append(chance.choice(makers(chance, at_ms, runner, symbol, pool, amounts)))
    return recorded(events)


def _trading(
    chance: Random, at_ms: int, runner: str, symbol: str, pool: Sequence[str], amounts: Sequence[float]
) -> list[Event]:
    side: Side = chance.choice(("long", "short"))
    why = chance.choice(pool)
    money: Any = chance.choices(amounts, k=7)
    prices: Any = chance.choices(PRICES, k=9)
    planned: Any = (money[0], {})
    entered_ms = at_ms - chance.choice(STEPS_MS)
    closing: Any = (
        at_ms,
        runner,
        symbol,
        side,
        why,
        prices[0],
        entered_ms,
        *prices[1:4],
        *money,
    )
    ambiguous = chance.random() < 0.5
    at: Any = (at_ms, runner, symbol, side)
    targets = (Target(prices[0], 0.0, 0.5), Target(prices[1], 0.0, 0.5))
    grown: Any = (*at, "limit", 2, 1.0, *prices[:4], money[0], *prices[4:], ambiguous)
    shrunk: Any = (*at, why, 1, *prices[:4], *money, *prices[5:7], ambiguous)
    add: Any = (at_ms, runner, symbol, "add", side, why, *prices[:5], *planned, "limit", prices[0], 0, 0, 2)
    change: Any = (*at, "ladder", money[0], {}, "change")
    cancelled: Any = (*at, "expired", "add", 2)
    replaced: Any = (*at, targets[: chance.randrange(3)])
    moved: Any = (*at, *prices[:2], 0.01, 0.02, 0.0)
    return [
        OrderPlaced(at_ms, runner, symbol, "entry", side, why, *prices[:5], *planned),
        OrderPlaced(*add),
        OrderRejected(*change),
        OrderCancelled(*cancelled),
        StopMoved(*moved),
        TargetsMoved(*replaced),
        PositionIncreased(*grown),
        PositionReduced(*shrunk),
        opened_whole(at_ms, runner, symbol, side, *prices, *prices[:1]),
        closed_whole(*closing, ambiguous=ambiguous),
        liquidated_whole(*closing, ambiguous=ambiguous),
        FundingPaid(at_ms, runner, symbol, side, at_ms, 0.0001, *prices[:2], *money[:1]),
    ]


def _risk(
    chance: Random, at_ms: int, runner: str, _: str, pool: Sequence[str], amounts: Sequence[float]
) -> list[Event]:
    scope, who, why = chance.choice((runner, GLOBAL_SCOPE)), chance.choice(pool), chance.choice(pool)
    reasons: tuple[TripReason, ...] = ("session_loss", "manual", "global_loss")
    reason, percent = chance.choice(reasons), chance.choice((5.0, 0.0))
    money: Any = chance.choices(amounts, k=3)
    actor: Any = (percent, who, why)
    return [
        KillSwitchTripped(at_ms, scope, reason, *money, *actor),
        KillSwitchReset(at_ms, scope, chance.randrange(EVENTS_MAX), who, why),
        RunnerPaused(at_ms, runner, who, why),
        RunnerResumed(at_ms, runner, who, why),
    ]


def _operation(
    chance: Random, at_ms: int, _: str, symbol: str, pool: Sequence[str], __: Sequence[float]
) -> list[Event]:
    kind, subject, detail = chance.choice(pool[:2]), chance.choice(pool[:2]), chance.choice(pool)
    return [
        EngineStarted(at_ms, detail, subject, kind),
        EngineStopped(at_ms, detail),
        EpochBegan(at_ms, 1, subject, 2, kind, detail),
        AnomalyRaised(at_ms, kind, subject, detail),
        AnomalyPersists(at_ms, kind, subject, detail, at_ms - chance.choice(STEPS_MS)),
        AnomalyCleared(at_ms, kind, subject, detail),
        SymbolSuspended(at_ms, symbol, detail),
        ContractDelisted(at_ms, symbol, detail),
        SymbolResumed(at_ms, symbol, detail),
    ]


def _market(chance: Random, at_ms: int, _: str, symbol: str, pool: Sequence[str], __: Sequence[float]) -> list[Event]:
    close = chance.choice(PRICES)
    return [
        candle_at(at_ms, symbol, close),
        candle_at(at_ms, symbol, close, Timing.LATE),
        FeedLost(at_ms, pool[0], chance.choice(pool)),
        FeedConnected(at_ms, pool[0], at_ms, 1.0),
        GapFound(at_ms, symbol, at_ms, at_ms, 3),
        GapFilled(at_ms, symbol, at_ms, at_ms, 3),
        DataRefused(at_ms, pool[0], chance.choice(pool), 3, at_ms, chance.choice(pool)),
    ]
