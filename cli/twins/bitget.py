"""`papertape twin bitget`: a local stand-in for the exchange, to try the live feed without the internet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from papertape.cli.environment.early_signals import call_on_stop
from papertape.cli.environment.streams import write_message
from papertape.cli.environment.tasks import run_tasks
from papertape.engine.feeds.files.feed import FileFeed, FileSettings
from papertape.engine.feeds.live.exchange import DEFAULT_SYMBOLS
from papertape.engine.ports.clock import ScaledClock, SystemClock
from papertape.events.errors import UsageError
from papertape.events.units import DAY_MS
from papertape.sandbox.bitget.market import SimTwinMarket
from papertape.sandbox.bitget.recorded import FileTwinMarket, shift_to
from papertape.sandbox.bitget.script import FaultScript
from papertape.sandbox.bitget.twin import BitgetTwin

if TYPE_CHECKING:
    from papertape.engine.ports.clock import Clock
    from papertape.sandbox.bitget.market import TwinMarket

UPDATE_MS, UPDATE_MS_MAX = 500, 20_000
TICKER_MS, TICKER_MS_MAX = 300, 20_000
"""At a higher speed, frames are further apart in market time, so that their real-time rate stays the same."""
HISTORY_DAYS: Final = 2
SCRIPT_DAYS: Final = 3_650


def serve_bitget(
    port: int,
    host: str,
    speed: float,
    symbols: list[str],
    candles: list[str],
    faults: int | None = None,
    seed: int = 7,
) -> None:
    """Serve a simulated market from now on, or recorded candles shifted to now, until SIGINT or SIGTERM.

    `speed` is market seconds per wall second; `faults` is the seed of a script of faults. Raise UsageError if the
    speed is not a positive number or the port is taken.
    """
    if not 0.0 < speed < float("inf"):
        raise UsageError(f"--speed {speed}: must be a number above 0 (1 is real time)")
    run_tasks(lambda: _serve(_twin(port, host, speed, symbols, candles, faults, seed), speed))


def _twin(
    port: int, host: str, speed: float, symbols: list[str], candles: list[str], faults: int | None, seed: int
) -> BitgetTwin:
    clock = ScaledClock(SystemClock(), speed)
    market: TwinMarket = _recorded(candles, clock) if candles else SimTwinMarket(symbols or DEFAULT_SYMBOLS, seed)
    now_ms, script = clock.now_ms(), None
    if faults is not None:
        script = FaultScript(faults, market.symbols, now_ms, now_ms + SCRIPT_DAYS * DAY_MS)
    return BitgetTwin(
        market,
        clock,
        script=script,
        update_ms=int(min(UPDATE_MS_MAX, UPDATE_MS * max(1.0, speed))),
        ticker_ms=int(min(TICKER_MS_MAX, TICKER_MS * max(1.0, speed))),
        host=host,
        port=port,
    )


def _recorded(candles: list[str], clock: Clock) -> FileTwinMarket:
    """Return the files' market, whose first days are already history. It stands still where the record ends."""
    feed = FileFeed(FileSettings(candles=tuple(candles)), clock)
    return FileTwinMarket(feed, shift_to(feed, clock.now_ms() - HISTORY_DAYS * DAY_MS))


async def _serve(twin: BitgetTwin, speed: float) -> None:
    stop = asyncio.Event()
    call_on_stop(stop.set)
    try:
        async with twin:
            write_message(
                f"Bitget stand-in at {twin.rest_url} and {twin.ws_url}: papertape run --feed bitget --speed {speed:g} "
                f"--set feed.bitget.rest_url={twin.rest_url} --set feed.bitget.ws_url={twin.ws_url}\n"
            )
            await stop.wait()
    except OSError as error:
        raise UsageError(f"{twin.rest_url} cannot be served: {error.strerror or error}") from error
