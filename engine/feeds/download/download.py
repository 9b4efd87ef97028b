"""Downloading a market's history into the files that the `file` feed reads: in windows, resumable, verified.

A download that was interrupted goes on after the last whole row of `OUT.part`. Whether that file is of the same
request is asked of the exchange itself: its last row has to be there with the same values.
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
"""Ten full pages of Bitget's history; so much work an interruption may cost."""
ATTEMPTS_MAX: Final = 8
"""So often in a row the same is asked: about a minute and a half."""
FIRST_ATTEMPTS_MAX: Final = 3
"""Before the exchange has answered at all, nobody should wait that long to hear that there is no network."""
BACKOFF_S_MAX: Final = 30.0
RETRY_AFTER_S_MAX: Final = 300.0
JITTER_FRACTION_MAX: Final = 0.25

T = TypeVar("T")


class DownloadSource(Protocol):
    """An exchange as a download sees it. Its calls raise the `ExchangeError` family."""

    name: str
    refusals: RefusalLog

    async def close(self) -> None:
        """Give the connections back."""
        ...

    async def now_ms(self) -> int:
        """The exchange's clock, UTC ms."""
        ...

    async def rows(self, wanted: DownloadRequest, from_ms: int, until_ms: int) -> list[Row]:
        """Closed rows with from <= time < until, rising; at most `WINDOW_ROWS` candles are asked for at once."""
        ...

    async def find_next_rows(self, wanted: DownloadRequest, from_ms: int, until_ms: int) -> tuple[bool, int]:
        """Look ahead from where an empty window ended: whether there are rows again, and where to go on, UTC ms."""
        ...

    def window_ms(self, wanted: DownloadRequest) -> int:
        """How much `rows` is asked for at once."""
        ...

    def history_limit(self, kind: DownloadKind) -> str:
        """How far back the exchange keeps this kind, in words; empty where nothing is known."""
        ...


class DownloadReport(Struct, frozen=True):
    """What came of a download. Times in UTC ms; `holes` are the first ten of `hole_count`, `missing` rows in all."""

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
    """Asks again what found no answer, with pauses of 1 to 30 s; the exchange's own pauses count too."""

    def __init__(self, clock: Clock, chance: Random | None = None) -> None:
        self._clock = clock
        self._chance = chance or Random()  # noqa: S311 - jitter is no secret.
        self._answered = False

    async def retry(self, question: Callable[[], Awaitable[T]]) -> T:
        """The answer. Raises what was raised last after `ATTEMPTS_MAX` attempts in a row."""
        attempts = ATTEMPTS_MAX if self._answered else FIRST_ATTEMPTS_MAX
        for attempt in range(attempts):
            try:
                answer = await question()
            except (ExchangeUnreachable, ExchangeBusy) as error:
                if attempt == attempts - 1:
                    raise type(error)(f"{error} (asked {attempts} times)") from error
                asked_s = error.retry_after_s if isinstance(error, ExchangeBusy) else 0.0
                pause_s = max(min(BACKOFF_S_MAX, 2.0**attempt), min(RETRY_AFTER_S_MAX, asked_s))
                await self._clock.sleep(pause_s * (1.0 + self._chance.random() * JITTER_FRACTION_MAX))
            else:
                self._answered = True
                return answer
        raise AssertionError("unreachable: the last attempt returns or raises")


async def download(
    wanted: DownloadRequest, source: DownloadSource, out: Path, clock: Clock, on_progress: Callable[[int, int], None]
) -> DownloadReport:
    """Download what is wanted into `out`; `on_progress` is told how much of how many milliseconds is done.

    Raises UsageError when nothing of the range is closed yet, or `OUT.part` is of another request; MarketDataError
    when the exchange has nothing or the disk does not take it; the `ExchangeError` family when it does not answer.
    What was loaded until then stays in `OUT.part`, and the same call goes on from there.
    """
    patience = RetryPolicy(clock)
    until_ms = await _until_ms(wanted, source, patience)
    with PartialFile(out, wanted) as part:
        known = part.survey()
        try:
            if known.rows:
                await _belongs(part, known, wanted, source, patience)
            await _load(wanted, source, part, patience, (known, until_ms), on_progress)
        except (ExchangeUnreachable, ExchangeBusy) as error:
            kept = f"; the rows so far are in {part.path.name}, and the same command goes on from there"
            raise type(error)(f"{error}{kept if part.survey().rows else ''}") from error
        found = part.survey()
        if not found.rows:
            reach = source.history_limit(wanted.kind)
            why = f" ({reach})" if reach else ""
            raise MarketDataError(f"{source.name} has no {wanted.kind} of {wanted.symbol} in this time{why}")
        part.finish()
    return _report(wanted, source, out, (known, found), until_ms)


async def _until_ms(wanted: DownloadRequest, source: DownloadSource, patience: RetryPolicy) -> int:
    """The end of what can be had now."""
    now_ms = await patience.retry(source.now_ms)
    until_ms = now_ms // wanted.step_ms * wanted.step_ms
    if wanted.until_ms is not None:
        until_ms = min(until_ms, wanted.until_ms)
    if until_ms <= wanted.from_ms:
        raise UsageError(f"{wanted.symbol}: nothing after {_words(wanted.from_ms)} is closed yet")
    return until_ms


async def _belongs(
    part: PartialFile, known: PartialFileSummary, wanted: DownloadRequest, source: DownloadSource, patience: RetryPolicy
) -> None:
    """Ask the exchange whether the rows there are were begun by the same request. Raises UsageError if not."""
    last_ms, first_ms = known.last[0], known.first[0]
    same = await patience.retry(lambda: source.rows(wanted, last_ms, last_ms + wanted.step_ms))
    if same and same[0] != known.last:
        raise part.mismatch_error(f"at {_words(last_ms)} {source.name} has other values for {wanted.symbol}")
    begin_ms = max(wanted.from_ms, first_ms - source.window_ms(wanted))
    earlier = await patience.retry(lambda: source.rows(wanted, begin_ms, first_ms)) if begin_ms < first_ms else []
    if earlier:
        raise part.mismatch_error(f"it begins at {_words(first_ms)}, and there are rows before")


async def _load(
    wanted: DownloadRequest,
    source: DownloadSource,
    part: PartialFile,
    patience: RetryPolicy,
    state: tuple[PartialFileSummary, int],
    on_progress: Callable[[int, int], None],
) -> None:
    """Append window after window. Where one is empty, the source is asked where it goes on."""
    known, until_ms = state
    at_ms = known.last[0] + wanted.step_ms if known.rows else wanted.from_ms
    window_ms = source.window_ms(wanted)
    dark = False
    # Each look is followed by a window at the latest when it has seen something.
    for _ in range(2 * (until_ms - at_ms) // window_ms + 3):
        on_progress(min(at_ms, until_ms) - wanted.from_ms, until_ms - wanted.from_ms)
        if at_ms >= until_ms:
            return
        begin_ms = at_ms
        if dark:
            seen, at_ms = await patience.retry(lambda: source.find_next_rows(wanted, begin_ms, until_ms))  # noqa: B023 - awaited here.
            dark = not seen
            continue
        end_ms = min(begin_ms + window_ms, until_ms)
        rows = await patience.retry(lambda: source.rows(wanted, begin_ms, end_ms))  # noqa: B023 - likewise.
        if rows:
            part.append(rows)
        at_ms, dark = end_ms, not rows
    raise AssertionError(f"at {at_ms} of {until_ms}: a window or a look did not advance")


def _report(
    wanted: DownloadRequest,
    source: DownloadSource,
    out: Path,
    surveys: tuple[PartialFileSummary, PartialFileSummary],
    until_ms: int,
) -> DownloadReport:
    known, found = surveys
    return DownloadReport(
        exchange=source.name,
        kind=wanted.kind,
        symbol=wanted.symbol,
        timeframe_ms=wanted.timeframe_ms,
        file=str(out),
        rows=found.rows,
        resumed_rows=known.rows,
        first_ms=found.first[0],
        last_ms=found.last[0],
        hole_count=found.hole_count,
        missing=found.missing,
        holes=tuple(found.holes),
        notes=tuple(_notes(wanted, source, found, until_ms)),
        refused={reason.value: count for reason, count in source.refusals.counts.items()},
    )


def _notes(wanted: DownloadRequest, source: DownloadSource, found: PartialFileSummary, until_ms: int) -> list[str]:
    """What the exchange does not have at both ends of the range."""
    notes, longest_ms = [], wanted.longest_ms
    if found.first[0] - wanted.from_ms >= longest_ms:
        reach = source.history_limit(wanted.kind)
        why = f": {reach}" if reach else ""
        notes.append(f"{source.name} has nothing before {_words(found.first[0])}{why}")
    if until_ms - found.last[0] > longest_ms:
        notes.append(f"{source.name} has nothing after {_words(found.last[0])} (yet)")
    if wanted.until_ms is not None and wanted.until_ms > until_ms:
        notes.append(f"what comes after {_words(until_ms)} is not closed yet")
    return notes


def _words(time_ms: int) -> str:
    """A time as people write it."""
    return datetime.fromtimestamp(time_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M UTC")
