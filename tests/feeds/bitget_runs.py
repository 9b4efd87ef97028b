"""Watched runs of the live feed: a stand-in exchange that writes down what it is asked, and what must hold."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from functools import cache
from itertools import pairwise
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from papertape.engine.feeds.bitget.feed import BitgetFeed
from papertape.engine.feeds.bitget.settings import BitgetSettings
from papertape.engine.feeds.live.feed import LiveFeed
from papertape.engine.ports.feed import ResumePoint
from papertape.events.facts import (
    CandleClosed,
    FeedFact,
    FundingRateSettled,
    MarketFact,
    OpenInterestObserved,
    SymbolResumed,
    SymbolSuspended,
    Timing,
)
from papertape.events.units import DAY_MS, HOUR_MS, MINUTE_MS
from papertape.sandbox.bitget.faults import BitgetFault, BitgetFaultInjector
from papertape.sandbox.bitget.market import SimTwinMarket, TwinMarket
from papertape.sandbox.bitget.rest import RestResponse
from papertape.sandbox.bitget.script import FaultScript
from papertape.sandbox.bitget.socket import Session
from papertape.sandbox.bitget.twin import BitgetTwin
from papertape.sandbox.bitget.venue import ExchangeBehaviour
from papertape.sandbox.bitget.wire import TwinConnection
from papertape.sandbox.faults import ActiveFault
from tests.sandbox.virtual_time import VirtualClock, run

START_MS: Final = 20_600 * DAY_MS + 6 * HOUR_MS + 40 * MINUTE_MS + 17_300
"""06:40:17.3 UTC of a day in 2026."""
NOW_MS: Final = START_MS // MINUTE_MS * MINUTE_MS
BTC, ETH, SOL = "BTCUSDT", "ETHUSDT", "SOLUSDT"
THREE: Final = (BTC, ETH, SOL)
SPARSE: Final = ExchangeBehaviour(update_ms=20_000, ticker_ms=20_000, snapshot_rows=20)
"""Few frames a minute: what counts is shown all the same, the last row shortly before each close."""


ASKED_KEPT_MAX: Final = 20_000
STANDS_MS_MAX: Final = 11_000
SETTLED_PUSH_MS: Final = 2_050
SETTLED_LATE_MS_MAX: Final = 15 * MINUTE_MS


class Asked(Struct, frozen=True):
    """One request as the exchange saw it, and whether it was served."""

    at_ms: int
    target: str
    served: bool


class WatchedTwin(BitgetTwin):
    """The stand-in, writing down what it is asked. `states` are contracts' states that are not `normal`."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.asked: deque[Asked] = deque(maxlen=ASKED_KEPT_MAX)
        self.attempts_ms: deque[int] = deque(maxlen=ASKED_KEPT_MAX)
        self.states: dict[str, str] = {}
        self.set_ms: deque[int] = deque(maxlen=ASKED_KEPT_MAX)

    def answer(self, target: str, ip: str) -> RestResponse:
        reply = super().answer(target, ip)
        served = reply.status == 200 and reply.body.startswith(b'{"code":"00000"')
        self.asked.append(Asked(self.now_ms(), target, served))
        return self._stated(reply) if self.states and "/contracts" in target else reply

    def _stated(self, reply: RestResponse) -> RestResponse:
        rows = reply.body.decode().split('{"symbol":"')
        for number, row in enumerate(rows):
            state = self.states.get(row.split('"', 1)[0])
            rows[number] = row if state is None else row.replace('"normal"', f'"{state}"')
        return RestResponse(reply.status, '{"symbol":"'.join(rows).encode(), reply.headers, reply.delivery, reply.kind)

    def _next_candles_ms(self, now_ms: int) -> int:
        """One more push where the real exchange makes many: when the corrections of the last candle are over."""
        settled_ms = now_ms // MINUTE_MS * MINUTE_MS + SETTLED_PUSH_MS
        next_ms = super()._next_candles_ms(now_ms)
        return min(next_ms, settled_ms) if now_ms < settled_ms else next_ms

    def _act(self, active: ActiveFault[BitgetFault]) -> None:
        if active.fault is BitgetFault.SKEW:
            self.set_ms.append(self.now_ms())
        super()._act(active)

    def stands(self, at_ms: int) -> bool:
        """Whether its clock may have been standing still: set back, it shows one moment for some seconds."""
        return any(0 <= at_ms - set_ms <= STANDS_MS_MAX for set_ms in self.set_ms)

    def welcome(self, wire: TwinConnection) -> Session | RestResponse:
        self.attempts_ms.append(self.now_ms())
        return super().welcome(wire)

    def pages(self, name: str, symbol: str = "", from_ms: int = 0) -> list[int]:
        """When a page was asked for."""
        return [
            one.at_ms
            for one in self.asked
            if f"/{name}?" in one.target + "?" and f"symbol={symbol}" in one.target + "symbol=" and one.at_ms >= from_ms
        ]


class Told(Struct, frozen=True):
    """A fact and when it was told."""

    told_ms: int
    fact: FeedFact


class Watching(Struct):
    """A run that is over: what was told, by whom, and the exchange it was told of."""

    twin: WatchedTwin
    feed: LiveFeed
    told: list[Told]
    batches: int = 0

    @property
    def facts(self) -> list[FeedFact]:
        return [one.fact for one in self.told]

    def of(self, *kinds: type[Any], symbol: str | None = None) -> list[Any]:
        """The facts of some kinds, in their order."""
        return [
            fact
            for fact in self.facts
            if isinstance(fact, kinds) and (symbol is None or getattr(fact, "symbol", None) == symbol)
        ]

    def candles(self, symbol: str | None = None, timing: Timing | None = None) -> list[CandleClosed]:
        found: list[CandleClosed] = self.of(CandleClosed, symbol=symbol)
        return [one for one in found if timing is None or one.timing is timing]

    def market(self) -> list[MarketFact]:
        return self.of(CandleClosed, FundingRateSettled, OpenInterestObserved)

    def delays_s(self, symbol: str | None = None) -> list[float]:
        """How long after its close each candle that is not of the warm-up was told."""
        return [
            (one.told_ms - one.fact.at_ms) / 1_000.0
            for one in self.told
            if isinstance(one.fact, CandleClosed)
            and one.fact.timing is not Timing.WARM_UP
            and symbol in (None, one.fact.symbol)
        ]


Then = Callable[[WatchedTwin], object]
"""What happens to the exchange at a moment of the run."""


class Plan(Struct, kw_only=True):
    """A run to watch. `then` are moments in minutes after the start, and what happens to the exchange."""

    minutes: float = 30.0
    symbols: Sequence[str] = THREE
    market: TwinMarket | None = None
    behaviour: ExchangeBehaviour = SPARSE
    script: FaultScript | None = None
    then: Sequence[tuple[float, Then]] = ()
    before: Then = lambda _twin: None
    seen: Mapping[str, ResumePoint] = {}
    start_ms: int = START_MS
    skew_ms: int = 0
    warm_up_minutes: int = 5
    more: Mapping[str, Any] = {}
    through: Callable[[BitgetSettings, VirtualClock], LiveFeed] = BitgetFeed
    """How the exchange is watched: by Bitget's own client, unless a test names another."""


def watched(plan: Plan | None = None, **given: Any) -> Watching:
    """Run the feed against the exchange for some minutes of virtual time; what it delivered."""
    chosen = plan or Plan(**given)

    async def main(clock: VirtualClock) -> Watching:
        async with twin_of(chosen, clock) as twin:
            chosen.before(twin)
            acting = asyncio.ensure_future(act(chosen, twin, clock))
            feed = feed_of(chosen, twin, clock)
            told = await read(feed.facts(chosen.seen, None), clock, chosen.minutes * 60.0)
            acting.cancel()
            await asyncio.gather(acting, return_exceptions=True)
            return Watching(twin, feed, told)

    return run(main, chosen.start_ms)


def twin_of(plan: Plan, clock: VirtualClock) -> WatchedTwin:
    """The exchange of a plan."""
    market = plan.market or market_of(tuple(plan.symbols))
    return WatchedTwin(
        market,
        clock,
        behaviour=plan.behaviour,
        script=plan.script,
        skew_ms=plan.skew_ms,
        faults=BitgetFaultInjector(plan.start_ms),
    )


@cache
def market_of(symbols: tuple[str, ...]) -> SimTwinMarket:
    """A market: a pure function of time, so that all runs share its memory."""
    return SimTwinMarket(symbols)


def feed_of(plan: Plan, twin: BitgetTwin, clock: VirtualClock) -> LiveFeed:
    """The feed of a plan."""
    return plan.through(settings_of(plan, twin), clock)


def settings_of(plan: Plan, twin: BitgetTwin) -> BitgetSettings:
    """Where the exchange is, and what of it is watched."""
    warm_up_ms = plan.warm_up_minutes * MINUTE_MS
    named = {"symbols": tuple(plan.symbols), "rest_url": twin.rest_url, "ws_url": twin.ws_url, "warm_up_ms": warm_up_ms}
    return BitgetSettings(**{**named, **plan.more})


async def act(plan: Plan, twin: WatchedTwin, clock: VirtualClock) -> None:
    """Do to the exchange what the plan says, when it says so."""
    for at_minute, then in sorted(plan.then, key=lambda moment: moment[0]):
        await clock.sleep((plan.start_ms + at_minute * MINUTE_MS - clock.now_ms()) / 1_000.0)
        done = then(twin)
        if isinstance(done, Awaitable):
            await done


async def read(batches: AsyncIterator[list[FeedFact]], clock: VirtualClock, seconds: float) -> list[Told]:
    """What a feed tells within some seconds. Raises what it raises."""
    told: list[Told] = []

    async def take() -> None:
        async with aclosing(batches) as stream:  # type: ignore[type-var]
            async for batch in stream:
                told.extend(Told(clock.now_ms(), fact) for fact in batch)

    taking = asyncio.ensure_future(take())
    await asyncio.wait({taking}, timeout=seconds)
    taking.cancel()
    (ended,) = await asyncio.gather(taking, return_exceptions=True)
    if isinstance(ended, Exception):
        raise ended
    return told


# ---------------------------------------------------------------- what must hold of every run


def values(candle: CandleClosed) -> tuple[float, ...]:
    """Open time, prices and volume."""
    return candle.open_time_ms, candle.open, candle.high, candle.low, candle.close, candle.volume


def truth(twin: BitgetTwin, symbol: str, from_ms: int, until_ms: int) -> list[tuple[float, ...]]:
    """The exchange's own candles in the same form."""
    return [
        (row.open_time_ms, row.open, row.high, row.low, row.close, row.volume)
        for row in twin.history(symbol, from_ms, until_ms)
    ]


def assert_candles_are_the_history(
    seen: Watching, symbols: Sequence[str] = THREE, from_ms: int = NOW_MS - 5 * MINUTE_MS, until_ms: int = 0
) -> None:
    """Every candle once, in order, equal to the exchange's, from the first to one that closed of late."""
    for symbol in symbols:
        found = [values(candle) for candle in seen.candles(symbol)]
        assert found, f"{symbol}: no candle at all"
        last_ms = until_ms or int(found[-1][0]) + MINUTE_MS
        assert found == truth(seen.twin, symbol, from_ms, last_ms), difference(seen, symbol, from_ms, last_ms)


def difference(seen: Watching, symbol: str, from_ms: int, until_ms: int) -> str:
    """Where the candles and the history part ways."""
    true = truth(seen.twin, symbol, from_ms, until_ms)
    found = [values(candle) for candle in seen.candles(symbol)]
    lacking = [row for row in true if row not in found]
    foreign = [row for row in found if row not in true]
    return f"{symbol}: lacking {lacking[:3]} of {len(lacking)}, foreign {foreign[:3]} of {len(foreign)}"


def assert_settlements_are_the_truth(seen: Watching, symbols: Sequence[str], from_ms: int, until_ms: int) -> None:
    """Every settlement once, in order, with its rate."""
    for symbol in symbols:
        found = [(fact.at_ms, fact.rate) for fact in seen.of(FundingRateSettled, symbol=symbol)]
        assert [one for one in found if one[0] < until_ms] == seen.twin.settlements(symbol, from_ms, until_ms)


def assert_readings_are_true(seen: Watching) -> None:
    """Every reading is what stood on the exchange at its time, and comes once."""
    readings: list[OpenInterestObserved] = seen.of(OpenInterestObserved)
    for fact in readings:
        assert fact.open_interest_base == seen.twin.open_interest(fact.symbol, fact.at_ms), fact
    assert len({(fact.symbol, fact.at_ms) for fact in readings}) == len(readings)


def rank(fact: MarketFact, symbols: Sequence[str]) -> tuple[int, int, int]:
    """The binding order: time, then candles, settlements, readings, then the symbols as configured."""
    kind = (CandleClosed, FundingRateSettled, OpenInterestObserved).index(type(fact))
    return fact.at_ms, kind, list(symbols).index(fact.symbol)


class Order:
    """The binding order, fact by fact: `misplaced` counts what came behind its place, `wrong` keeps what may not.

    Two kinds may: late candles and settlements of a symbol that is suspended, and a settlement that the exchange
    did not show for a while.
    """

    def __init__(self, symbols: Sequence[str]) -> None:
        self._symbols = symbols
        self._highest = (0, 0, 0)
        self._suspended: set[str] = set()
        self.misplaced = 0
        self.wrong: list[FeedFact] = []

    def take(self, fact: FeedFact) -> None:
        match fact:
            case SymbolSuspended():
                self._suspended.add(fact.symbol)
            case SymbolResumed():
                self._suspended.discard(fact.symbol)
            case CandleClosed() | FundingRateSettled() | OpenInterestObserved():
                place = rank(fact, self._symbols)
                if place < self._highest:
                    self.misplaced += 1
                    if not self._may(fact):
                        self.wrong.append(fact)
                self._highest = max(self._highest, place)

    def _may(self, fact: MarketFact) -> bool:
        if isinstance(fact, FundingRateSettled):
            return self._highest[0] - fact.at_ms <= SETTLED_LATE_MS_MAX or fact.symbol in self._suspended
        return isinstance(fact, CandleClosed) and fact.timing is Timing.LATE and fact.symbol in self._suspended


def order_of(seen: Watching, symbols: Sequence[str] = THREE) -> Order:
    """The order of a whole run."""
    order = Order(symbols)
    for fact in seen.facts:
        order.take(fact)
    return order


def assert_within_limits(twin: WatchedTwin) -> None:
    """Nothing was asked too often, and nothing that failed was tried again within a second.

    What an exchange counts while its own clock stands still is left out: to it all of that is one moment.
    """
    breaches = twin.statistics.breaches
    assert len(breaches) == twin.statistics.refused_by_limit.total()
    beyond = [one for one in breaches if not twin.stands(one.at_ms)]
    assert beyond == [], beyond[:5]
    repeats = [(one, other) for one, other in _repeats(twin.asked) if not one.served]
    hasty = [pair for pair in repeats if pair[1].at_ms - pair[0].at_ms < 999 and not twin.stands(pair[1].at_ms)]
    assert hasty == [], hasty[:5]
    early = [other for one, other in pairwise(twin.attempts_ms) if other - one < 999 and not twin.stands(other)]
    assert early == [], early[:5]


def _repeats(asked: Iterable[Asked]) -> list[tuple[Asked, Asked]]:
    newest: dict[str, Asked] = {}
    pairs = []
    for one in asked:
        if one.target in newest:
            pairs.append((newest[one.target], one))
        newest[one.target] = one
    return pairs


def true_fact(twin: BitgetTwin, fact: MarketFact) -> MarketFact:
    """The fact with the numbers of the exchange's own history; its time and timing stay."""
    match fact:
        case CandleClosed():
            (row,) = truth(twin, fact.symbol, fact.open_time_ms, fact.at_ms)
            _, opened, high, low, close, volume = row
            return replace(fact, open=opened, high=high, low=low, close=close, volume=volume)
        case FundingRateSettled():
            ((_, rate),) = twin.settlements(fact.symbol, fact.at_ms, fact.at_ms + 1)
            return replace(fact, rate=rate)
        case OpenInterestObserved():
            return replace(fact, open_interest_base=twin.open_interest(fact.symbol, fact.at_ms))
