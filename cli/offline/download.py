"""`papertape download`: download a market's history into files, and report gaps."""

from __future__ import annotations

import re
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from papertape.cli.arguments import moment_ms
from papertape.cli.config.live_sections import SYMBOL_PATTERN
from papertape.cli.config.overrides import load_config
from papertape.cli.config.sections import bitget_settings
from papertape.cli.environment.tasks import run_tasks
from papertape.cli.environment.variables import prepare_network
from papertape.cli.progress import progress_bar
from papertape.cli.render.console import emit
from papertape.cli.wiring import warn
from papertape.engine.feeds.bitget.settings import BITGET, BitgetSettings
from papertape.engine.feeds.download.download import DownloadReport, DownloadSource, download
from papertape.engine.feeds.download.partial_file import SUFFIXES, DownloadKind, DownloadRequest
from papertape.engine.ports.clock import SystemClock
from papertape.events.errors import ExchangeRefused, MarketDataError, PapertapeError, UsageError
from papertape.events.units import TIMEFRAMES_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

ALL: Final = "all"
ANY_DAY: Final = "????-??-??"


class DownloadOptions(Struct, frozen=True):
    """The options on the command line."""

    symbol: str
    start: str
    end: str | None
    timeframe: str
    kind: str
    out: Path | None
    exchange: str
    rest_url: str | None
    config: Path | None


class DownloadJob(Struct, frozen=True):
    """One file to download."""

    request: DownloadRequest
    out: Path


def show(options: DownloadOptions, *, as_json: bool) -> None:
    """Download the files and show a report of each."""
    settings = replace(bitget_settings(load_config(options.config)), speed=1.0)
    if options.rest_url is not None:
        settings = replace(settings, rest_url=_checked_url(options.rest_url))
    prepare_network(warn)
    failures: list[PapertapeError] = []
    for job in _jobs(options):
        try:
            report = run_tasks(partial(_run, job, options, settings, quiet=as_json))
        except (MarketDataError, ExchangeRefused) as error:
            # The exchange may lack one kind of data and have the others.
            failures.append(error)
            continue
        if as_json:
            emit(report)
        else:
            from papertape.cli.render.download import show_report  # noqa: PLC0415 - consoles are slow to import.

            show_report(report)
    if failures:
        raise failures[0] if len(failures) == 1 else MarketDataError("; ".join(map(str, failures)))


async def _run(job: DownloadJob, options: DownloadOptions, settings: BitgetSettings, *, quiet: bool) -> DownloadReport:
    source = _source(options, settings)
    try:
        with _bar(job, quiet=quiet) as on_progress:
            return await download(job.request, source, job.out, SystemClock(), on_progress)
    finally:
        await source.close()


def _source(options: DownloadOptions, settings: BitgetSettings) -> DownloadSource:
    if options.exchange == BITGET:
        from papertape.engine.feeds.download.bitget import BitgetSource  # noqa: PLC0415 - only the client that is needed.

        return BitgetSource(settings, SystemClock())
    from papertape.engine.feeds.download.ccxt import CcxtSource  # noqa: PLC0415 - likewise.

    return CcxtSource(options.exchange, SystemClock(), options.rest_url)


def _bar(job: DownloadJob, *, quiet: bool) -> AbstractContextManager[Callable[[int, int], None]]:
    """Return a progress bar in percent."""
    if quiet:
        return nullcontext(lambda _done_ms, _of_ms: None)
    return _percents(f"{job.request.symbol} {job.request.kind}")


@contextmanager
def _percents(title: str) -> Iterator[Callable[[int, int], None]]:
    with progress_bar(title, 100) as on_progress:
        yield lambda done_ms, of_ms: on_progress(100 * done_ms // max(1, of_ms))


# ---------------------------------------------------------------- the files


def _jobs(options: DownloadOptions) -> list[DownloadJob]:
    """Return the files to download. Raise UsageError for invalid options."""
    kinds = tuple(DownloadKind) if options.kind == ALL else tuple(one for one in DownloadKind if one == options.kind)
    if not kinds:
        raise UsageError(f"--kind {options.kind}: must be one of {', '.join(DownloadKind)}, {ALL}")
    if options.out is not None and len(kinds) > 1:
        raise UsageError(f"--out {options.out}: --kind {ALL} writes three files; omit --out, or choose one kind")
    if re.fullmatch(SYMBOL_PATTERN, options.symbol) is None:
        raise UsageError(f"--symbol {options.symbol}: must be capital letters and digits, like BTCUSDT")
    from_ms, until_ms = _range(options)
    jobs = [_job(options, kind, from_ms, until_ms) for kind in kinds]
    missing = [job for job in jobs if not job.out.exists()]
    if not missing:
        raise UsageError(f"{jobs[0].out}: this file already exists; remove it, or name another one with --out")
    return missing


def _range(options: DownloadOptions) -> tuple[int, int | None]:
    from_ms = moment_ms(options.start, "--from")
    until_ms = None if options.end is None else moment_ms(options.end, "--to")
    if until_ms is not None and until_ms <= from_ms:
        raise UsageError(f"--to {options.end}: must be later than --from {options.start}")
    return from_ms, until_ms


def _job(options: DownloadOptions, kind: DownloadKind, from_ms: int, until_ms: int | None) -> DownloadJob:
    if options.timeframe not in TIMEFRAMES_MS:
        raise UsageError(f"--timeframe {options.timeframe}: must be one of {', '.join(TIMEFRAMES_MS)}")
    out = options.out or _default_path(options, kind, from_ms, until_ms)
    if not out.name.endswith(SUFFIXES):
        raise UsageError(f"--out {out}: the name must end with {', '.join(SUFFIXES)}")
    if out.suffix == ".parquet" and find_spec("polars") is None:
        raise UsageError(f"--out {out}: Parquet needs polars: pip install 'papertape[research]'")
    if not out.parent.is_dir():
        raise UsageError(f"--out {out}: there is no folder {out.parent}")
    timeframe_ms = TIMEFRAMES_MS[options.timeframe]
    return DownloadJob(DownloadRequest(kind, options.symbol, timeframe_ms, from_ms, until_ms), out)


def _default_path(options: DownloadOptions, kind: DownloadKind, from_ms: int, until_ms: int | None) -> Path:
    """Return the default path; a download without --to that began on another day continues under its own name."""
    words = {
        DownloadKind.CANDLES: options.timeframe,
        DownloadKind.FUNDING: kind.value,
        DownloadKind.MARK: f"{kind}_{options.timeframe}",
    }
    prefix = f"{options.exchange}_{options.symbol}_{words[kind]}_{_day(from_ms)}_"
    if until_ms is None:
        partial_files = sorted(Path().glob(f"{prefix}{ANY_DAY}.csv.gz.part"))
        if partial_files:
            return partial_files[-1].with_suffix("")
    return Path(f"{prefix}{_day(SystemClock().now_ms() if until_ms is None else until_ms)}.csv.gz")


def _day(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1_000, UTC).date().isoformat()


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"--rest-url {url}: must be an address like https://api.bitget.com")
    return url
