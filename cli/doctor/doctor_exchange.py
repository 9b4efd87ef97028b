"""The doctor's checks of an exchange: is it reachable, do the clocks agree, does a subscription deliver data."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.cli.doctor.doctor_finding import Finding
from papertape.cli.environment.tasks import run_tasks
from papertape.cli.environment.variables import prepare_network
from papertape.cli.wiring import warn
from papertape.engine.feeds.live.exchange import NORMAL
from papertape.engine.feeds.live.stream_state import StreamState
from papertape.engine.ports.clock import ScaledClock, SystemClock
from papertape.events.errors import ExchangeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from papertape.engine.feeds.live.exchange import ExchangeClient, LiveSettings
    from papertape.engine.feeds.live.feed import LiveFeed

SKEW_MS_WARN: Final = 2_000
DATA_WITHIN_S: Final = 10.0
SYMBOLS_CHECKED_MAX: Final = 3
SYMBOLS_SHOWN_MAX: Final = 10


class ExchangeCheckResult(Struct):
    """The result of the checks. `rest_fault` and `stream_fault` say why one was impossible."""

    section: str = ""
    address: str = ""
    limits: str = ""
    lacks: tuple[str, ...] = ()
    rest_fault: str = ""
    offset_ms: int = 0
    round_trip_ms: int = 0
    unknown: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    stream_fault: str = ""
    silent: tuple[str, ...] = ()
    first_data_s: float = 0.0


def check_exchange(feed: LiveFeed) -> ExchangeCheckResult:
    """Run all checks once, in at most half a minute."""
    prepare_network(warn)
    return run_tasks(lambda: _check(feed))


async def _check(feed: LiveFeed) -> ExchangeCheckResult:
    clock = ScaledClock(SystemClock(), feed.settings.speed)
    client = feed.client(clock)
    result = ExchangeCheckResult(client.section, client.address, client.limits, tuple(client.lacks))
    try:
        await _check_rest(client, clock, feed.settings, result)
    except ExchangeError as error:
        result.rest_fault = str(error)
    try:
        await _check_stream(client, clock, feed, result)
    finally:
        await client.close()
    return result


async def _check_rest(
    client: ExchangeClient, clock: ScaledClock, settings: LiveSettings, result: ExchangeCheckResult
) -> None:
    """Check the time and the contracts."""
    before_ms = clock.now_ms()
    await client.server_time_ms()
    result.round_trip_ms, result.offset_ms = clock.now_ms() - before_ms, client.offset_ms
    contracts = await client.contracts()
    bodies, faults = contracts.readable, contracts.unreadable
    result.unknown = tuple(symbol for symbol in settings.symbols if symbol not in bodies and symbol not in faults)
    result.unreadable = tuple(f"{symbol} ({faults[symbol]})" for symbol in settings.symbols if symbol in faults)
    known = [bodies[symbol] for symbol in settings.symbols if symbol in bodies]
    result.closed = tuple(f"{body.symbol} ({body.status})" for body in known if body.status != NORMAL)


async def _check_stream(
    client: ExchangeClient, clock: ScaledClock, feed: LiveFeed, result: ExchangeCheckResult
) -> None:
    """Subscribe to a few symbols on one connection, and wait for the first data of every channel."""
    symbols = feed.settings.symbols[:SYMBOLS_CHECKED_MAX]
    stream = client.connection(symbols, StreamState(symbols, feed.settings.timeframe_ms, feed.refusals))
    running, whole = asyncio.ensure_future(stream.run()), asyncio.ensure_future(stream.complete.wait())
    began_ms = clock.now_ms()
    try:
        await asyncio.wait({running, whole}, timeout=DATA_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
        result.first_data_s = (clock.now_ms() - began_ms) / 1_000.0
        if running.done():
            result.stream_fault = running.result()
    except ExchangeError as error:
        result.stream_fault = str(error)
    finally:
        for task in (running, whole):
            task.cancel()
        await asyncio.gather(running, whole, return_exceptions=True)
    result.silent = tuple(stream.silent_channels())


def findings(settings: LiveSettings, result: ExchangeCheckResult) -> Iterator[Finding]:
    """Yield a finding for each check."""
    if result.rest_fault:
        advice = "check the network, a proxy or a firewall; an engine keeps trying and fetches what it missed"
        yield Finding("fail", "exchange", result.rest_fault, advice)
    else:
        yield Finding("ok", "exchange", f"{result.address} answers within {result.round_trip_ms} ms")
        yield _skew(result)
        yield from _symbols(settings, result)
    yield _subscription(settings, result)
    yield Finding("ok", "limits", result.limits)
    for lack in result.lacks:
        yield Finding("warn", "exchange", lack, "choose another exchange if your strategies need it")


def _skew(result: ExchangeCheckResult) -> Finding:
    direction = "behind" if result.offset_ms > 0 else "ahead of"
    text = f"this machine's clock is {abs(result.offset_ms)} ms {direction} the exchange's"
    if abs(result.offset_ms) > SKEW_MS_WARN:
        return Finding("warn", "clock skew", text, "set the clock; the feed itself uses the exchange's time")
    return Finding("ok", "clock skew", text)


def _symbols(settings: LiveSettings, result: ExchangeCheckResult) -> Iterator[Finding]:
    if result.unknown:
        names = ", ".join(result.unknown)
        yield Finding("fail", "symbols", f"not traded there: {names}", f"correct {result.section}.symbols")
    if result.unreadable:
        advice = "the other symbols start; the exchange is queried again every five minutes"
        yield Finding("warn", "symbols", f"contract cannot be read: {', '.join(result.unreadable)}", advice)
    if result.closed:
        names = ", ".join(result.closed)
        yield Finding("warn", "symbols", f"not open for trading: {names}", "no position is opened in them meanwhile")
    if not result.unknown and not result.closed and not result.unreadable:
        more = len(settings.symbols) - SYMBOLS_SHOWN_MAX
        names = ", ".join(settings.symbols[:SYMBOLS_SHOWN_MAX])
        yield Finding("ok", "symbols", names + (f" and {more} more" if more > 0 else ""))


def _subscription(settings: LiveSettings, result: ExchangeCheckResult) -> Finding:
    if result.stream_fault:
        advice = "check the network; meanwhile the engine requests every symbol once per candle"
        return Finding("fail", "subscription", result.stream_fault, advice)
    if result.silent:
        text = f"no data within {DATA_WITHIN_S:g} s from {', '.join(result.silent)}"
        return Finding("warn", "subscription", text, "check the symbol: it may belong to another product")
    count = min(len(settings.symbols), SYMBOLS_CHECKED_MAX)
    return Finding("ok", "subscription", f"live data of {count} symbols within {result.first_data_s:.1f} s")
