"""`papertape twin bitget`: a stand-in of the exchange on this machine, to try the live feed without the internet."""

from __future__ import annotations

import asyncio
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cli.streams import tell
from cli.tasks import run_tasks
from engine.clock import ScaledClock, SystemClock
from engine.feeds.bitget_settings import DEFAULT_SYMBOLS
from engine.feeds.sim_plan import DAY_MS
from events.errors import UsageError

if TYPE_CHECKING:
    from engine.clock import Clock

CHECKOUT: Final = Path(__file__).resolve().parents[1]
STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
UPDATE_MS, UPDATE_MS_MAX = 500, 20_000
TICKER_MS, TICKER_MS_MAX = 300, 20_000
"""At a higher speed frames come less often in market time, so that no more of them come in real time."""
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
    """Serve a simulated market of now (or recorded candles, moved to now) until SIGINT or SIGTERM.

    `speed` is market seconds a wall second; `faults` is the seed of a script of faults. Raises UsageError where the
    stand-in is not installed (it lies beside the tests), for a speed that is none, and for a port that is taken.
    """
    if not 0.0 < speed < float("inf"):
        raise UsageError(f"--speed {speed}: a number above 0; 1 is real time")
    if not (CHECKOUT / "tests" / "twins" / "bitget.py").is_file():
        raise UsageError(
            f"the stand-in lies beside the tests and is not installed with papertape: there is none in {CHECKOUT}; "
            "run `papertape twin bitget` from a checkout of the repository"
        )
    if str(CHECKOUT) not in sys.path:
        sys.path.insert(0, str(CHECKOUT))
    run_tasks(lambda: _serve(_twin(port, host, speed, symbols, candles, faults, seed), speed))


def _twin(
    port: int, host: str, speed: float, symbols: list[str], candles: list[str], faults: int | None, seed: int
) -> Any:
    clock = ScaledClock(SystemClock(), speed)
    market = _recorded(candles, clock) if candles else _simulated(symbols, seed)
    now_ms, script = clock.now_ms(), None
    if faults is not None:
        chance = import_module("tests.twins.bitget_script").FaultScript
        script = chance(faults, market.symbols, now_ms, now_ms + SCRIPT_DAYS * DAY_MS)
    return import_module("tests.twins.bitget").Twin(
        market,
        clock,
        script=script,
        update_ms=int(min(UPDATE_MS_MAX, UPDATE_MS * max(1.0, speed))),
        ticker_ms=int(min(TICKER_MS_MAX, TICKER_MS * max(1.0, speed))),
        host=host,
        port=port,
    )


def _simulated(symbols: list[str], seed: int) -> Any:
    return import_module("tests.twins.bitget_market").SimTwinMarket(symbols or DEFAULT_SYMBOLS, seed)


def _recorded(candles: list[str], clock: Clock) -> Any:
    """The files' market, of which the first days are history already. Where the record ends it stands still."""
    from engine.feeds.file import FileFeed, FileSettings  # noqa: PLC0415 - only for recorded candles.

    recorded = import_module("tests.twins.bitget_recorded")
    feed = FileFeed(FileSettings(candles=tuple(candles)), clock)
    return recorded.FileTwinMarket(feed, recorded.shift_to(feed, clock.now_ms() - HISTORY_DAYS * DAY_MS))


async def _serve(twin: Any, speed: float) -> None:
    stop = asyncio.Event()
    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        async with twin:
            tell(
                f"bitget stand-in at {twin.rest_url} and {twin.ws_url}: papertape run --feed bitget --speed {speed:g} "
                f"--set feed.bitget.rest_url={twin.rest_url} --set feed.bitget.ws_url={twin.ws_url}\n"
            )
            await stop.wait()
    except OSError as error:
        raise UsageError(f"{twin.rest_url} cannot be served: {error.strerror or error}") from error
