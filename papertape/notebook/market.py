"""Markets of a notebook: candle files and polars frames as the feed of a backtest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import polars as pl

from papertape.engine.feeds.files.csv_reader import read_candles
from papertape.engine.feeds.files.feed import FileFeed, FileSettings
from papertape.engine.ports.clock import SystemClock
from papertape.events.errors import UsageError
from papertape.events.units import TIMEFRAMES_MS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from papertape.engine.feeds.files.columns import CandleColumns

Source = str | Path | pl.DataFrame
Sources = Source | Sequence[str | Path] | Mapping[str, Source]
"""One file or frame, several files, or one file or frame for each symbol."""
CANDLE_COLUMNS = ("open", "high", "low", "close", "volume")
TIME = pl.Datetime("ms", "UTC")


def candles(path: str | Path, timeframe: str | None = None) -> pl.DataFrame:
    """Read a candle file: `time` (UTC, when a candle opens), prices in USDT, volume in coins.

    The file may be of any kind that a backtest reads, with the same checks. `timeframe` ("1m", "5m", "15m", "1h")
    overrides the one that is recognised. Raise MarketDataError for a file that is not a table of candles.
    """
    if timeframe is not None and timeframe not in TIMEFRAMES_MS:
        raise UsageError(f"timeframe {timeframe!r}: there are {', '.join(TIMEFRAMES_MS)}")
    table = read_candles(Path(path), None if timeframe is None else TIMEFRAMES_MS[timeframe])
    return candle_frame(table)


def candle_frame(table: CandleColumns) -> pl.DataFrame:
    """Return a table of candles as a frame."""
    columns = dict(zip(CANDLE_COLUMNS, table.values(), strict=True))
    return pl.DataFrame({"time": table.open_time_ms, **columns}).with_columns(pl.col("time").cast(TIME))


@contextmanager
def feed_of(
    market: Sources, funding: Sources | None = None, open_interest: Sources | None = None
) -> Iterator[FileFeed]:
    """Yield the feed of files and frames; a frame takes the same way as a file, through the same checks."""
    with TemporaryDirectory(prefix="papertape-") as folder:
        written = Path(folder)
        settings = FileSettings(
            candles=_files(market, written, "candles"),
            funding=_files(funding, written, "funding"),
            open_interest=_files(open_interest, written, "open_interest"),
        )
        yield FileFeed(settings, SystemClock())


def _files(sources: Sources | None, folder: Path, kind: str) -> tuple[str, ...]:
    """Return the files of sources as a command line names them; write those of frames."""
    if sources is None:
        return ()
    if isinstance(sources, str | Path):
        return (str(sources),)
    if isinstance(sources, pl.DataFrame):
        raise UsageError(f"{kind}: a frame has no symbol; write {{'BTCUSDT': frame}}")
    if isinstance(sources, Mapping):
        return tuple(f"{symbol}={_file(source, folder, kind, symbol)}" for symbol, source in sources.items())
    return tuple(map(str, sources))


def _file(source: Source, folder: Path, kind: str, symbol: str) -> Path:
    """Return the file of one source, written if it is a frame."""
    if not isinstance(source, pl.DataFrame):
        return Path(source)
    if "time" not in source.columns:
        raise UsageError(f"{kind} of {symbol}: the frame needs the column 'time'; it has {', '.join(source.columns)}")
    path = folder / f"{kind}-{len(list(folder.iterdir()))}.csv"
    time_name = {"candles": "open_time_ms", "funding": "funding_time_ms"}.get(kind, "time_ms")
    times = pl.col("time").dt.epoch("ms") if source.schema["time"].is_temporal() else pl.col("time")
    source.with_columns(times.alias(time_name)).drop("time").write_csv(path)
    return path
