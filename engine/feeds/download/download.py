"""Download a market's history into the files that the `file` feed reads: in windows, resumable, verified.

An interrupted download resumes after the last complete row of `OUT.part`. The exchange itself tells whether that file
belongs to the same request: it must have the last row with the same values.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Final, Protocol, TypeVar

from msgspec import Struct

from papertape.engine.feeds.download.partial_file import (
    DataGap,
    DownloadKind,
    DownloadRequest,
    PartialFile,
    PartialFileSummary,
    Row,
)
from papertape.engine.ports.clock import Clock
from papertape.engine.ports.feed import RefusalLog
from papertape.events.errors import ExchangeBusy, ExchangeUnreachable, MarketDataError, UsageError

WINDOW_ROWS: Final = 1_980
"""Ten full pages of Bitget's history; an interruption costs at most this."""
ATTEMPTS_MAX: Final = 8
"""The most attempts in a row: about a minute and a half."""
FIRST_ATTEMPTS_MAX: Final = 3
"""The attempts before the first answer: without a network nobody should wait that long."""
BACKOFF_S_MAX: Final = 30.0
RETRY_AFTER_S_MAX: Final = 300.0
JITTER_FRACTION_MAX: Final = 0.25

T = TypeVar("T")


class DownloadSource(Protocol):
    """An exchange as the source of a download. Its calls raise the `ExchangeError` family."""

    name: str
    refusals: RefusalLog

    async def close(self) -> None:
        """Close the connections."""
        ...

    async def now_ms(self) -> int:
        """Return the exchange's time, UTC ms."""
        ...

    async def rows(self, request: DownloadRequest, from_ms: int, until_ms: int) -> list[Row]:
        """Return the closed rows with from <= time < until, rising; at most `WINDOW_ROWS` candles a call."""
        ...

    async def find_next_rows(self, request: DownloadRequest, from_ms: int, until_ms: int) -> tuple[bool, int]:
        """Search after an empty window; return whether rows follow, and where to resume, UTC ms."""
        ...

    def window_ms(self, request: DownloadRequest) -> int:
        """Return the largest window of one `rows` call."""
        ...

    def history_limit(self, kind: DownloadKind) -> str:
        """Describe how far back the exchange keeps this kind; empty if unknown."""
        ...


class DownloadReport(Struct, frozen=True):
    """The result of a download. Times in UTC ms; `holes` are the first ten of `hole_count`, `missing` rows in all."""

    exchange: str
    kind: str
    symbol: str
    timeframe_ms: int
    file: str
    rows: int
    resumed_rows: int
    first_ms: int
    last_ms: int
    hole_count: int
    missing: int
    holes: tuple[DataGap, ...]
    notes: tuple[str, ...]
    refused: dict[str, int]


class RetryPolicy:
    """Retries unanswered requests with pauses of 1 to 30 s, longer if the exchange demands it."""

    def __init__(self, clock: Clock, chance: Random | None = None) -> None:
        self._clock = clock
        self._chance = chance or Random()  # noqa: S311 - jitter is no secret.
        self._answered = False

    async def retry(self, request: Callable[[], Awaitable[T]]) -> T:
        """Return the answer. Raise the last error after `ATTEMPTS_MAX` attempts in a row."""
        attempts = ATTEMPTS_MAX if self._answered else FIRST_ATTEMPTS_MAX
        for attempt in range(attempts):
            try:
                answer = await request()
            except (ExchangeUnreachable, ExchangeBusy) as error:
                if attempt == attempts - 1:
                    raise type(error)(f"{error} (after {attempts} attempts)") from error
                demanded_s = error.retry_after_s if isinstance(error, ExchangeBusy) else 0.0
                pause_s = max(min(BACKOFF_S_MAX, 2.0**attempt), min(RETRY_AFTER_S_MAX, demanded_s))
                await self._clock.sleep(pause_s * (1.0 + self._chance.random() * JITTER_FRACTION_MAX))
            else:
                self._answered = True
                return answer
        raise AssertionError("unreachable: the last attempt returns or raises")


async def download(
    request: DownloadRequest, source: DownloadSource, out: Path, clock: Clock, on_progress: Callable[[int, int], None]
) -> DownloadReport:
    """Download a request into `out`; `on_progress` receives the milliseconds done and the total.

    Raise UsageError if nothing of the range is closed yet or `OUT.part` belongs to another request, MarketDataError
    if the exchange has no data or the file cannot be written, and the `ExchangeError` family if it does not answer.
    What was loaded until then stays in `OUT.part`, and the same call resumes there.
    """
    retries = RetryPolicy(clock)
    until_ms = await _until_ms(request, source, retries)
    with PartialFile(out, request) as part:
        known = part.survey()
        try:
            if known.rows:
                await _check_same_request(part, known, request, source, retries)
            await _load(request, source, part, retries, (known, until_ms), on_progress)
        except (ExchangeUnreachable, ExchangeBusy) as error:
            hint = f"; the rows so far are in {part.path.name}, and the same command resumes there"
            raise type(error)(f"{error}{hint if part.survey().rows else ''}") from error
        summary = part.survey()
        if not summary.rows:
            reach = source.history_limit(request.kind)
            why = f" ({reach})" if reach else ""
            raise MarketDataError(f"{source.name} has no {request.kind} of {request.symbol} in this time{why}")
        part.finish()
    return _report(request, source, out, (known, summary), until_ms)


async def _until_ms(request: DownloadRequest, source: DownloadSource, retries: RetryPolicy) -> int:
    """Return the end of what is closed now."""
    now_ms = await retries.retry(source.now_ms)
    until_ms = now_ms // request.step_ms * request.step_ms
    if request.until_ms is not None:
        until_ms = min(until_ms, request.until_ms)
    if until_ms <= request.from_ms:
        raise UsageError(f"{request.symbol}: nothing after {_words(request.from_ms)} is closed yet")
    return until_ms


async def _check_same_request(
    part: PartialFile, known: PartialFileSummary, request: DownloadRequest, source: DownloadSource, retries: RetryPolicy
) -> None:
    """Check against the exchange that the file belongs to this request. Raise UsageError if not."""
    last_ms, first_ms = known.last[0], known.first[0]
    same = await retries.retry(lambda: source.rows(request, last_ms, last_ms + request.step_ms))
    if same and same[0] != known.last:
        raise part.mismatch_error(f"at {_words(last_ms)} {source.name} has other values for {request.symbol}")
    begin_ms = max(request.from_ms, first_ms - source.window_ms(request))
    earlier = await retries.retry(lambda: source.rows(request, begin_ms, first_ms)) if begin_ms < first_ms else []
    if earlier:
        raise part.mismatch_error(f"it begins at {_words(first_ms)}, but there are rows before")


async def _load(
    request: DownloadRequest,
    source: DownloadSource,
    part: PartialFile,
    retries: RetryPolicy,
    state: tuple[PartialFileSummary, int],
    on_progress: Callable[[int, int], None],
) -> None:
    """Append window after window. After an empty one, the source searches where to resume."""
    known, until_ms = state
    at_ms = known.last[0] + request.step_ms if known.rows else request.from_ms
    window_ms = source.window_ms(request)
    is_empty = False
    # A search that finds something is followed by a window.
    for _ in range(2 * (until_ms - at_ms) // window_ms + 3):
        on_progress(min(at_ms, until_ms) - request.from_ms, until_ms - request.from_ms)
        if at_ms >= until_ms:
            return
        begin_ms = at_ms
        if is_empty:
            seen, at_ms = await retries.retry(lambda: source.find_next_rows(request, begin_ms, until_ms))  # noqa: B023 - awaited here.
            is_empty = not seen
            continue
        end_ms = min(begin_ms + window_ms, until_ms)
        rows = await retries.retry(lambda: source.rows(request, begin_ms, end_ms))  # noqa: B023 - as above.
        if rows:
            part.append(rows)
        at_ms, is_empty = end_ms, not rows
    raise AssertionError(f"at {at_ms} of {until_ms}: a window or a search did not advance")


def _report(
    request: DownloadRequest,
    source: DownloadSource,
    out: Path,
    surveys: tuple[PartialFileSummary, PartialFileSummary],
    until_ms: int,
) -> DownloadReport:
    known, summary = surveys
    return DownloadReport(
        exchange=source.name,
        kind=request.kind,
        symbol=request.symbol,
        timeframe_ms=request.timeframe_ms,
        file=str(out),
        rows=summary.rows,
        resumed_rows=known.rows,
        first_ms=summary.first[0],
        last_ms=summary.last[0],
        hole_count=summary.hole_count,
        missing=summary.missing,
        holes=tuple(summary.holes),
        notes=tuple(_notes(request, source, summary, until_ms)),
        refused={reason.value: count for reason, count in source.refusals.counts.items()},
    )


def _notes(request: DownloadRequest, source: DownloadSource, summary: PartialFileSummary, until_ms: int) -> list[str]:
    """Describe what the exchange does not have at both ends of the range."""
    notes, longest_ms = [], request.longest_ms
    if summary.first[0] - request.from_ms >= longest_ms:
        reach = source.history_limit(request.kind)
        why = f": {reach}" if reach else ""
        notes.append(f"{source.name} has nothing before {_words(summary.first[0])}{why}")
    if until_ms - summary.last[0] > longest_ms:
        notes.append(f"{source.name} has nothing after {_words(summary.last[0])} (yet)")
    if request.until_ms is not None and request.until_ms > until_ms:
        notes.append(f"what comes after {_words(until_ms)} is not closed yet")
    return notes


def _words(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M UTC")
