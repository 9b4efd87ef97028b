"""`papertape download`: a market's history into files, and what came of it."""

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
from papertape.cli.config.sections import SYMBOL_PATTERN, bitget_settings, load_config
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
    """What the command line says."""

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
    """One file to be made."""

    wanted: DownloadRequest
    out: Path


def show(asked: DownloadOptions, *, as_json: bool) -> None:
    """Download what is asked for and show what came of each file."""
    settings = replace(bitget_settings(load_config(asked.config)), speed=1.0)
    if asked.rest_url is not None:
        settings = replace(settings, rest_url=_checked_url(asked.rest_url))
    prepare_network(warn)
    failures: list[PapertapeError] = []
    for job in _jobs(asked):
        try:
            report = run_tasks(partial(_run, job, asked, settings, quiet=as_json))
        except (MarketDataError, ExchangeRefused) as error:
            # What the exchange does not have of one kind says nothing about the others.
            failures.append(error)
            continue
        if as_json:
            emit(report)
        else:
            from papertape.cli.render.download import show_report  # noqa: PLC0415 - consoles are slow to import.

            show_report(report)
    if failures:
        raise failures[0] if len(failures) == 1 else MarketDataError("; ".join(map(str, failures)))


async def _run(job: DownloadJob, asked: DownloadOptions, settings: BitgetSettings, *, quiet: bool) -> DownloadReport:
    source = _source(asked, settings)
    try:
        with _bar(job, quiet=quiet) as on_progress:
            return await download(job.wanted, source, job.out, SystemClock(), on_progress)
    finally:
        await source.close()


def _source(asked: DownloadOptions, settings: BitgetSettings) -> DownloadSource:
    if asked.exchange == BITGET:
        from papertape.engine.feeds.download.bitget import BitgetSource  # noqa: PLC0415 - only the client that is needed.

        return BitgetSource(settings, SystemClock())
    from papertape.engine.feeds.download.ccxt import CcxtSource  # noqa: PLC0415 - likewise.

    return CcxtSource(asked.exchange, SystemClock(), asked.rest_url)


def _bar(job: DownloadJob, *, quiet: bool) -> AbstractContextManager[Callable[[int, int], None]]:
    """A bar of percents on a terminal."""
    if quiet:
        return nullcontext(lambda _done_ms, _of_ms: None)
    return _percents(f"{job.wanted.symbol} {job.wanted.kind}")


@contextmanager
def _percents(what: str) -> Iterator[Callable[[int, int], None]]:
    with progress_bar(what, 100) as told:
        yield lambda done_ms, of_ms: told(100 * done_ms // max(1, of_ms))


# ---------------------------------------------------------------- what is asked for


def _jobs(asked: DownloadOptions) -> list[DownloadJob]:
    """The files to be made. Raises UsageError for whatever cannot be asked."""
    kinds = tuple(DownloadKind) if asked.kind == ALL else tuple(kind for kind in DownloadKind if kind == asked.kind)
    if not kinds:
        raise UsageError(f"--kind {asked.kind}: there are {', '.join(DownloadKind)} and {ALL}")
    if asked.out is not None and len(kinds) > 1:
        raise UsageError(f"--out {asked.out}: {ALL} makes three files; leave it out, or ask for one kind")
    if re.fullmatch(SYMBOL_PATTERN, asked.symbol) is None:
        raise UsageError(f"--symbol {asked.symbol}: write it as the exchange does, like BTCUSDT")
    from_ms, until_ms = _range(asked)
    found = [_job(asked, kind, from_ms, until_ms) for kind in kinds]
    missing = [job for job in found if not job.out.exists()]
    if not missing:
        raise UsageError(f"{found[0].out}: there is a file already; remove it, or name another one with --out")
    return missing


def _range(asked: DownloadOptions) -> tuple[int, int | None]:
    from_ms = moment_ms(asked.start, "--from")
    until_ms = None if asked.end is None else moment_ms(asked.end, "--to")
    if until_ms is not None and until_ms <= from_ms:
        raise UsageError(f"--to {asked.end} is not after --from {asked.start}")
    return from_ms, until_ms


def _job(asked: DownloadOptions, kind: DownloadKind, from_ms: int, until_ms: int | None) -> DownloadJob:
    if asked.timeframe not in TIMEFRAMES_MS:
        raise UsageError(f"--timeframe {asked.timeframe}: there are {', '.join(TIMEFRAMES_MS)}")
    out = asked.out or _named(asked, kind, from_ms, until_ms)
    if not out.name.endswith(SUFFIXES):
        raise UsageError(f"--out {out}: the name ends with {', '.join(SUFFIXES)}")
    if out.suffix == ".parquet" and find_spec("polars") is None:
        raise UsageError(f"--out {out}: Parquet needs polars: pip install 'papertape[research]'")
    if not out.parent.is_dir():
        raise UsageError(f"--out {out}: there is no folder {out.parent}")
    return DownloadJob(DownloadRequest(kind, asked.symbol, TIMEFRAMES_MS[asked.timeframe], from_ms, until_ms), out)


def _named(asked: DownloadOptions, kind: DownloadKind, from_ms: int, until_ms: int | None) -> Path:
    """The file's name; a download without --to that began on another day goes on under the name it has."""
    words = {
        DownloadKind.CANDLES: asked.timeframe,
        DownloadKind.FUNDING: kind.value,
        DownloadKind.MARK: f"{kind}_{asked.timeframe}",
    }
    begin = f"{asked.exchange}_{asked.symbol}_{words[kind]}_{_day(from_ms)}_"
    if until_ms is None:
        begun = sorted(Path().glob(f"{begin}{ANY_DAY}.csv.gz.part"))
        if begun:
            return begun[-1].with_suffix("")
    return Path(f"{begin}{_day(SystemClock().now_ms() if until_ms is None else until_ms)}.csv.gz")


def _day(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1_000, UTC).date().isoformat()


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"--rest-url {url}: an address like https://api.bitget.com")
    return url
