"""The doctor's look at an exchange: reachable, clocks that agree, a subscription that brings data, limits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.cli.environment.tasks import run_tasks
from papertape.cli.environment.variables import prepare_network
from papertape.cli.offline.doctor_finding import Finding
from papertape.cli.wiring import warn
from papertape.engine.feeds.bitget.connection import ARGS_AN_HOUR_MAX, StreamConnection
from papertape.engine.feeds.bitget.rest import BitgetRest
from papertape.engine.feeds.bitget.stream_state import StreamState
from papertape.engine.ports.clock import ScaledClock, SystemClock
from papertape.engine.ports.feed import RefusalLog
from papertape.events.errors import ExchangeError, ExchangeUnreachable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from papertape.engine.feeds.bitget.settings import BitgetSettings

SKEW_MS_WARN: Final = 2_000
DATA_WITHIN_S: Final = 10.0
SYMBOLS_ASKED_MAX: Final = 3
SYMBOLS_SHOWN_MAX: Final = 10


class ExchangeCheckResult(Struct):
    """What the exchange showed; a text in `rest_fault` or `stream_fault` says why it did not."""

    rest_fault: str = ""
    offset_ms: int = 0
    round_trip_ms: int = 0
    unknown: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    stream_fault: str = ""
    silent: tuple[str, ...] = ()
    first_data_s: float = 0.0


def look_at_exchange(settings: BitgetSettings) -> ExchangeCheckResult:
    """Ask the exchange once for everything; never longer than half a minute."""
    prepare_network(warn)
    return run_tasks(lambda: _look(settings))


async def _look(settings: BitgetSettings) -> ExchangeCheckResult:
    seen, clock = ExchangeCheckResult(), ScaledClock(SystemClock(), settings.speed)
    refusals = RefusalLog()
    rest = BitgetRest(settings, clock, refusals)
    try:
        await _fetch_exchange(rest, clock, settings, seen)
    except ExchangeError as error:
        seen.rest_fault = str(error)
    finally:
        await rest.close()
    await _listen(rest, clock, settings, refusals, seen)
    return seen


async def _fetch_exchange(
    rest: BitgetRest, clock: ScaledClock, settings: BitgetSettings, seen: ExchangeCheckResult
) -> None:
    """The time and the contracts."""
    before_ms = clock.now_ms()
    await rest.server_time_ms()
    seen.round_trip_ms, seen.offset_ms = clock.now_ms() - before_ms, rest.offset_ms
    contracts = await rest.contracts()
    bodies, faults = contracts.readable, contracts.unreadable
    seen.unknown = tuple(symbol for symbol in settings.symbols if symbol not in bodies and symbol not in faults)
    seen.unreadable = tuple(f"{symbol} ({faults[symbol]})" for symbol in settings.symbols if symbol in faults)
    known = [bodies[symbol] for symbol in settings.symbols if symbol in bodies]
    seen.closed = tuple(f"{body.symbol} ({body.status})" for body in known if body.status != "normal")


async def _listen(
    rest: BitgetRest, clock: ScaledClock, settings: BitgetSettings, refusals: RefusalLog, seen: ExchangeCheckResult
) -> None:
    """Subscribe a few symbols on one connection, and wait for the first data of every channel."""
    symbols = settings.symbols[:SYMBOLS_ASKED_MAX]
    board = StreamState(symbols, settings.timeframe_ms, refusals)
    stream = StreamConnection(symbols, settings, clock, rest.server_now_ms, board, refusals)
    running, whole = asyncio.ensure_future(stream.run()), asyncio.ensure_future(stream.whole.wait())
    began_ms = clock.now_ms()
    try:
        await asyncio.wait({running, whole}, timeout=DATA_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
        seen.first_data_s = (clock.now_ms() - began_ms) / 1_000.0
        if running.done():
            seen.stream_fault = running.result()
    except ExchangeUnreachable as error:
        seen.stream_fault = str(error)
    finally:
        for task in (running, whole):
            task.cancel()
        await asyncio.gather(running, whole, return_exceptions=True)
    seen.silent = tuple(f"{one.symbol} {one.name}" for one in stream.channels.values() if one.heard_s < 0.0)


def findings(settings: BitgetSettings, seen: ExchangeCheckResult) -> Iterator[Finding]:
    """Everything that was looked at, a line each."""
    if seen.rest_fault:
        advice = "look at the network, a proxy or a firewall; the engine keeps trying and makes up for what it missed"
        yield Finding("fail", "exchange", seen.rest_fault, advice)
    else:
        yield Finding("ok", "exchange", f"{settings.rest_url} answers within {seen.round_trip_ms} ms")
        yield _skew(seen)
        yield from _symbols(settings, seen)
    yield _subscription(settings, seen)
    lines = -(-len(settings.symbols) // settings.symbols_a_connection)
    rest = f"at most {settings.requests_per_s:g} of 20 REST requests a second"
    text = f"{lines} of 100 connections, {rest}, at most {ARGS_AN_HOUR_MAX} of 240 subscriptions an hour and connection"
    yield Finding("ok", "limits", text)


def _skew(seen: ExchangeCheckResult) -> Finding:
    where = "behind" if seen.offset_ms > 0 else "ahead of"
    text = f"this machine's clock is {abs(seen.offset_ms)} ms {where} the exchange's"
    if abs(seen.offset_ms) > SKEW_MS_WARN:
        return Finding("warn", "clock skew", text, "set the clock; the feed itself goes by the exchange's time")
    return Finding("ok", "clock skew", text)


def _symbols(settings: BitgetSettings, seen: ExchangeCheckResult) -> Iterator[Finding]:
    if seen.unknown:
        names = ", ".join(seen.unknown)
        yield Finding("fail", "symbols", f"not traded there: {names}", "correct feed.bitget.symbols")
    if seen.unreadable:
        advice = "the other symbols start; the exchange is queried again every five minutes"
        yield Finding("warn", "symbols", f"contract cannot be read: {', '.join(seen.unreadable)}", advice)
    if seen.closed:
        names = ", ".join(seen.closed)
        yield Finding("warn", "symbols", f"not open for trading: {names}", "nothing is opened on them meanwhile")
    if not seen.unknown and not seen.closed and not seen.unreadable:
        more = len(settings.symbols) - SYMBOLS_SHOWN_MAX
        names = ", ".join(settings.symbols[:SYMBOLS_SHOWN_MAX])
        yield Finding("ok", "symbols", names + (f" and {more} more" if more > 0 else ""))


def _subscription(settings: BitgetSettings, seen: ExchangeCheckResult) -> Finding:
    if seen.stream_fault:
        advice = "meanwhile every symbol is asked for once a candle"
        return Finding("fail", "subscription", seen.stream_fault, advice)
    if seen.silent:
        text = f"no data within {DATA_WITHIN_S:g} s from {', '.join(seen.silent)}"
        return Finding("warn", "subscription", text, "the name may be that of another product")
    asked = min(len(settings.symbols), SYMBOLS_ASKED_MAX)
    text = f"candles and ticker of {asked} symbols within {seen.first_data_s:.1f} s"
    return Finding("ok", "subscription", text)
