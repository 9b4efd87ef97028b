"""`papertape sample`: write a simulated market as files, so that a backtest or a sweep needs no download."""

from __future__ import annotations

import re
from contextlib import ExitStack, contextmanager
from gzip import GzipFile
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.cli.config.live_sections import SYMBOL_PATTERN
from papertape.cli.offline.output_files import whole_file
from papertape.cli.progress import progress_bar
from papertape.cli.render.console import emit, stdout
from papertape.engine.feeds.download.partial_file import GZIP_LEVEL, line_of
from papertape.engine.feeds.files.csv_reader import CANDLE_COLUMNS, FUNDING_COLUMNS, OPEN_INTEREST_COLUMNS
from papertape.engine.feeds.sim.market import SimMarket
from papertape.engine.feeds.sim.sample import CANDLE_MINUTES, candle_rows, funding_rows, open_interest_rows
from papertape.engine.feeds.sim.script import START_MS
from papertape.events.durable import make_folder
from papertape.events.errors import UsageError
from papertape.events.units import DAY_MS
from papertape.projections.text.formats import utc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from papertape.engine.feeds.sim.sample import Row

SYMBOLS: Final = ("BTCUSDT", "ETHUSDT")
VARIED: Final = "--vary breakout_lookback=10:60:10 --vary sl_percent=0.2:1.2:0.1 --link 'tp_percent = 2 * sl_percent'"
"""The sets of the first sweep."""
KINDS: Final = {
    f"{CANDLE_MINUTES}m": (CANDLE_COLUMNS, candle_rows),
    "funding": (FUNDING_COLUMNS, funding_rows),
    "open_interest": (OPEN_INTEREST_COLUMNS, open_interest_rows),
}
"""The kinds of files, by the word in their names: their columns, and what yields the rows of a day."""


class SampleOptions(Struct, frozen=True):
    """The options on the command line."""

    folder: Path
    symbols: tuple[str, ...]
    days: int
    seed: int


def write_sample(options: SampleOptions, *, as_json: bool) -> None:
    """Write the files and show the commands that use them. Raise UsageError for a folder that holds something."""
    symbols = options.symbols or SYMBOLS
    _check(options, symbols)
    market, first_day, written = SimMarket(options.seed), START_MS // DAY_MS, 0
    total = options.days * len(symbols)
    with progress_bar("simulating the market, in days", total) as on_progress:
        for symbol in symbols:
            with ExitStack() as stack:
                writers = [stack.enter_context(_writer(_path(options.folder, symbol, kind), kind)) for kind in KINDS]
                for day in range(first_day, first_day + options.days):
                    for writer, (_, rows) in zip(writers, KINDS.values(), strict=True):
                        writer(rows(market, symbol, day))
                    written += 1
                    on_progress(written)
    paths = [_path(options.folder, symbol, kind) for symbol in symbols for kind in KINDS]
    until_ms = START_MS + options.days * DAY_MS
    if as_json:
        emit({"files": paths, "from_ms": START_MS, "until_ms": until_ms, "seed": options.seed})
    else:
        _show(options.folder, symbols, until_ms)


def _check(options: SampleOptions, symbols: tuple[str, ...]) -> None:
    """Create the folder. Raise UsageError for a symbol that cannot be, and for a folder that holds something."""
    for symbol in symbols:
        if re.fullmatch(SYMBOL_PATTERN, symbol) is None:
            raise UsageError(f"--symbol {symbol}: must be capital letters and digits, like BTCUSDT")
    if len(set(symbols)) < len(symbols):
        raise UsageError("--symbol names a symbol twice")
    try:
        make_folder(options.folder)
        if any(options.folder.iterdir()):
            raise UsageError(f"{options.folder} is not empty; name a new folder")
    except OSError as error:
        raise UsageError(f"{options.folder} cannot be written: {error.strerror}") from error


def _path(folder: Path, symbol: str, kind: str) -> Path:
    return folder / f"sim_{symbol}_{kind}.csv.gz"


@contextmanager
def _writer(path: Path, kind: str) -> Iterator[Callable[[Iterator[Row]], None]]:
    """Yield a function that appends rows to a new file, whose bytes follow from its rows alone."""
    columns, _ = KINDS[kind]
    with (
        whole_file("DIR", path) as text,
        GzipFile(filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=text.buffer, mtime=0) as file,
    ):
        file.write(f"{','.join(columns)}\n".encode())
        yield lambda rows: _append(file, rows)


def _append(file: GzipFile, rows: Iterator[Row]) -> None:
    file.write("".join(map(line_of, rows)).encode())


def _show(folder: Path, symbols: tuple[str, ...], until_ms: int) -> None:
    """Say what was written, and print the commands that use it."""
    candles, funding, _ = (_path(folder, symbols[0], kind) for kind in KINDS)
    files = f"--strategy momentum --candles {candles} --funding {funding}"
    period = f"{utc(START_MS)[:10]} to {utc(until_ms)[:10]}"
    console = stdout()
    for line in (
        f"{folder}: {', '.join(symbols)} of a simulated market, {period}",
        "test a strategy on it:",
        f"  papertape backtest {files}",
        "ask whether it deserves money:",
        f"  papertape sweep {files} {VARIED}",
    ):
        console.print(line, markup=False, soft_wrap=True)
