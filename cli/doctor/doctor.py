"""`papertape doctor`: check the machine, the configuration and the log."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from papertape.cli.config.overrides import load_config
from papertape.cli.config.places import FILE_NAME, find_places
from papertape.cli.doctor.doctor_alerts import alerts
from papertape.cli.doctor.doctor_channels import channels
from papertape.cli.doctor.doctor_finding import MARKS, Finding, Level
from papertape.cli.environment.variables import network_problems, variable_problems
from papertape.cli.log_reader import database_path, progress, read_backwards
from papertape.cli.render.console import emit, fields_of, stdout
from papertape.cli.wiring import make_live_feed
from papertape.engine.ports.clock import SystemClock
from papertape.engine.startup import snapshot_store
from papertape.events.errors import ConfigError, LogArchived, LogDamaged, LogError, LogForeign, LogMissing, UsageError
from papertape.events.head_file import read_head
from papertape.events.proof import read_proof
from papertape.events.segments.folder import find_segment, sealed_folder
from papertape.events.sqlite_file import connect_to_read
from papertape.events.sqlite_log import SqliteLogReader
from papertape.projections.folds.market_status import MarketStatus
from papertape.projections.host import fold
from papertape.projections.text.formats import duration, utc
from papertape.projections.text.reasons import reason_words
from papertape.projections.watchdog.checks import REFUSED_AN_HOUR_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PYTHON_MIN = (3, 11)
SQLITE_MIN = (3, 37, 0)
"""The first version with STRICT tables."""
DISK_FREE_FAIL_BYTES = 100 << 20
DISK_FREE_WARN_BYTES = 2 << 30
YEAR_MIN, YEAR_MAX = 2025, 2100
CLOCK_PROBE_SECONDS = 0.02
CLOCK_DRIFT_SECONDS_MAX = 0.5
CLOCK_BACK_MS_MAX = 1_000
TAIL_EVENTS_MAX = 50_000
REFUSED_SHOWN_MAX = 5
EXTRAS = {
    "numba": "compiled backtests",
    "polars": "fast reading of large files",
    "uvloop": "a faster event loop",
    "apprise": "alerts through other channels",
}
SYNCHRONOUS = {0: "off", 1: "normal", 2: "full", 3: "extra"}


def show_findings(
    db: Path | None,
    config: Path | None,
    sets: Sequence[str],
    *,
    exchange: bool,
    notify: bool,
    full: bool,
    as_json: bool,
) -> bool:
    """Show all findings; return False if a check failed."""
    findings = list(examine(db, config, sets, exchange=exchange, notify=notify, full=full))
    if as_json:
        emit([fields_of(finding) for finding in findings])
    else:
        _print(findings)
    return all(finding.level != "fail" for finding in findings)


def _print(findings: list[Finding]) -> None:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    for finding in findings:
        text, style = MARKS[finding.level]
        advice = f"\n-> {finding.advice}" if finding.advice else ""
        grid.add_row(Text(text, style=style), Text(finding.name), Text(f"{finding.text}{advice}"))
    stdout().print(grid)


def examine(
    db: Path | None, config: Path | None, sets: Sequence[str], *, exchange: bool, notify: bool, full: bool
) -> Iterator[Finding]:
    """Yield the findings of all checks; a check that is impossible is a finding too."""
    from papertape.cli.doctor.doctor_page import page  # noqa: PLC0415 - a server is slow to import.

    yield _python()
    yield _sqlite()
    yield from _extras()
    yield _configuration(config)
    yield from _environment(config, sets)
    yield from page(config, sets)
    try:
        path = database_path(db, config)
    except ConfigError:
        yield Finding(
            "warn", "log", "not checked: the configuration that names it is invalid", "name it with --db FILE"
        )
        yield _clock(0)
        return
    yield _disk(path)
    yield from _exchange(config, sets, is_requested=exchange)
    folder = config.parent if config is not None else Path()
    yield from alerts(path, folder)
    yield from channels(folder, send=notify)
    try:
        yield from _log(path, full=full)
    except LogMissing as error:
        yield Finding(
            "warn", "log", str(error), "start an engine, which creates it, or name another log with --db FILE"
        )
        yield _clock(0)
    except LogForeign as error:
        yield Finding("fail", "log", str(error), "name a log with --db FILE; this file was not changed")
    except LogArchived as error:
        yield Finding("warn", "log", str(error), "everything after them can be read and replayed")
    except LogError as error:
        yield Finding(
            "fail", "log", str(error), "keep the file as it is, and restore a backup that passes `doctor --full`"
        )


def _python() -> Finding:
    text = platform.python_version()
    if sys.version_info[:2] < PYTHON_MIN:
        return Finding("fail", "python", text, f"install {'.'.join(map(str, PYTHON_MIN))} or newer")
    return Finding("ok", "python", text)


def _sqlite() -> Finding:
    if sqlite3.sqlite_version_info < SQLITE_MIN:
        return Finding("fail", "sqlite", sqlite3.sqlite_version, f"install {'.'.join(map(str, SQLITE_MIN))} or newer")
    return Finding("ok", "sqlite", sqlite3.sqlite_version)


def _extras() -> Iterator[Finding]:
    """Find the extras without importing them, which would take seconds."""
    for name, purpose in EXTRAS.items():
        installed = "not installed; optional" if find_spec(name) is None else "installed"
        yield Finding("ok", name, f"{installed}, for {purpose}")


def _configuration(config: Path | None) -> Finding:
    try:
        load_config(config)
    except ConfigError as error:
        return Finding("fail", "configuration", str(error), "correct this; `papertape config check` checks it again")
    file = find_places(config).file
    return Finding("ok", "configuration", f"no {FILE_NAME} here, using the defaults" if file is None else str(file))


def _environment(config: Path | None, sets: Sequence[str]) -> Iterator[Finding]:
    """Yield findings about the environment; none if the configuration is invalid, which is reported elsewhere."""
    try:
        problems = list(variable_problems(load_config(config, tuple(sets)), os.environ))
    except ConfigError:
        return
    for problem in problems:
        yield Finding("fail", "environment", problem, "correct or unset it; an engine does not start with it")
    if not problems:
        yield Finding("ok", "environment", "all variables are valid")


def _exchange(config: Path | None, sets: Sequence[str], *, is_requested: bool) -> Iterator[Finding]:
    """Yield findings about the live market if it is requested or configured."""
    try:
        loaded = load_config(config, tuple(sets))
    except ConfigError:
        return  # Reported by its own check.
    if loaded.feed.live is None and not is_requested:
        return
    if problems := list(network_problems(os.environ)):
        yield Finding("fail", "exchange", "; ".join(problems), "correct or unset it; the exchange was not contacted")
        return
    from papertape.cli.doctor.doctor_exchange import check_exchange, findings  # noqa: PLC0415 - its clients are slow to import.

    try:
        feed = make_live_feed(loaded, SystemClock())
    except (ConfigError, UsageError) as error:
        yield Finding("fail", "exchange", str(error), "correct it; an engine does not start with it")
        return
    yield from findings(feed.settings, check_exchange(feed))


def _disk(path: Path) -> Finding:
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    text = f"{free / 1e9:,.1f} GB free at {path.parent}"
    if not os.access(folder, os.W_OK):
        return Finding("warn", "disk", f"{text}, not writable for this user", "give the engine's user write access")
    if free < DISK_FREE_WARN_BYTES:
        level: Level = "fail" if free < DISK_FREE_FAIL_BYTES else "warn"
        return Finding(level, "disk", text, "free some space: the engine stops if it cannot write a commit")
    return Finding("ok", "disk", text)


def _clock(newest_ms: int) -> Finding:
    """Check the wall clock: a plausible year, steady against the monotonic clock, and not before the newest commit."""
    wall, steady = time.time(), time.monotonic()
    time.sleep(CLOCK_PROBE_SECONDS)
    drift = abs((time.time() - wall) - (time.monotonic() - steady))
    now_ms = time.time_ns() // 1_000_000
    text = f"{utc(now_ms)} UTC"
    if not YEAR_MIN <= datetime.now(UTC).year <= YEAR_MAX:
        return Finding("fail", "clock", text, "set the clock; an NTP client keeps it right")
    if newest_ms - now_ms > CLOCK_BACK_MS_MAX:
        ahead = duration(newest_ms - now_ms)
        return Finding(
            "fail", "clock", f"{text}, but the newest commit is {ahead} later", "set the clock: it has gone back"
        )
    if drift > CLOCK_DRIFT_SECONDS_MAX:
        return Finding("warn", "clock", f"{text}, jumped by {drift:.1f} s during the check", "check the NTP client")
    return Finding("ok", "clock", text)


def _log(path: Path, *, full: bool) -> Iterator[Finding]:
    yield _mode(path)
    with closing(SqliteLogReader(path)) as reader:
        reader.verify_tail()
        head = reader.head()
        yield _head(path, head.seq)
        yield from _segments(reader, path)
        yield _chain(reader, head.seq, full=full)
        yield _read_back(path, head.seq)
        yield _refused(reader, head.seq)
        newest = next(read_backwards(reader, head.seq), None)
        yield _clock(newest.recorded_at_ms if newest else 0)
        yield from _snapshots(snapshot_store(path, lambda _: None).folder, head.seq, reader.hash_at)


def _mode(path: Path) -> Finding:
    """Check the journal mode, which the file stores. The writer checks the durability of commits at every start."""
    with closing(connect_to_read(path)) as connection:
        mode = _pragma(connection, "journal_mode")
        synchronous = SYNCHRONOUS.get(int(_pragma(connection, "synchronous")), "unknown")
    text = f"journal_mode {mode}, synchronous {synchronous}"
    if mode != "wal":
        return Finding("fail", "sqlite mode", text, "start an engine, which sets it to wal: another program changed it")
    return Finding("ok", "sqlite mode", text)


def _pragma(connection: sqlite3.Connection, name: str) -> str:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return value.decode() if isinstance(value, bytes) else str(value)


def _head(path: Path, seq: int) -> Finding:
    size = path.stat().st_size / 1e6
    text = f"{path}: {seq:,} events, {size:,.1f} MB"
    if seq and read_head(path) is None:
        return Finding(
            "warn", "log", f"{text}; its head file is missing or damaged", "start an engine, which writes it again"
        )
    return Finding("ok", "log", text)


def _segments(reader: SqliteLogReader, path: Path) -> Iterator[Finding]:
    """Check that the files of a sealed log are there; `--full` reads them."""
    listed, folder = reader.segments(), sealed_folder(path.resolve())
    if not listed:
        return
    size = sum(sealed.info.size_bytes for sealed in listed) / 1e6
    archived = sum(sealed.archived is not None for sealed in listed)
    text = f"{len(listed)} in {folder}, {size:,.1f} MB, up to seq {listed[-1].info.last_seq:,}"
    text += f"; {archived} of them archived" if archived else ""
    for sealed in listed:
        try:
            find_segment(sealed, folder)
        except LogArchived as error:
            yield Finding("warn", "segments", f"{text}; {error}", "everything after them can be read and replayed")
            return
        except LogDamaged as error:
            yield Finding("fail", "segments", f"{text}; {error}", "put the file back, or restore a backup")
            return
    yield Finding("ok", "segments", text)


def _chain(reader: SqliteLogReader, head_seq: int, *, full: bool) -> Finding:
    """Check every row against the previous one. Raise LogDamaged at the first mismatch."""
    after = 0 if full else max(0, head_seq - TAIL_EVENTS_MAX)
    rows = 0
    with progress(head_seq - after) as step:
        for commit in reader.rehashed_commits(after) if full else reader.commits(after):
            rows += 1
            step(commit.seq - after)
            if commit.last_seq >= head_seq:
                break
    part = "the whole chain" if after == 0 else f"the chain from seq {after + 1:,} on"
    more = "" if after == 0 else "; --full checks all of it"
    return Finding("ok", "chain", f"{part} is intact: {rows:,} commits{more}")


def _read_back(path: Path, head_seq: int) -> Finding:
    """Show how far engines have read this log back in the background."""
    proof = read_proof(path)
    if proof is None:
        return Finding(
            "ok", "read back", "no engine has read this log back yet; an engine does so soon after it starts"
        )
    if proof.damage is not None:
        advice = "read it again with `papertape doctor --full`; an engine refuses to start while it is damaged"
        return Finding("fail", "read back", f"seq {proof.damage.seq:,} was damaged: {proof.damage.reason}", advice)
    again = f"; once more up to {proof.again.seq:,}" if proof.again is not None else ""
    when = f", to the end at {utc(proof.proven_at_ms)} UTC" if proof.proven_at_ms else ""
    return Finding("ok", "read back", f"{min(proof.proven.seq, head_seq):,} of {head_seq:,} events{when}{again}")


def _refused(reader: SqliteLogReader, head_seq: int) -> Finding:
    """Report the data that the feed refused since the engine's newest start, as far as the log's tail shows."""
    market = MarketStatus()
    for commit in reader.commits(max(0, head_seq - TAIL_EVENTS_MAX)):
        fold([market], commit.recorded())
        if commit.last_seq >= head_seq:
            break
    refused = sorted(market.refusals(), key=lambda one: -one.count)[:REFUSED_SHOWN_MAX]
    counts = ", ".join(f"{one.count:,} times {reason_words(one.reason)}" for one in refused)
    many = [one for one in refused if one.newest_count > REFUSED_AN_HOUR_MAX]
    if not many:
        return Finding("ok", "refused data", counts or "none in the log")
    often = f"{many[0].newest_count:,} of them within the hour before {utc(many[0].at_ms)} UTC: {many[0].newest}"
    advice = "see `papertape log --type DataRefused`; if it continues, the exchange may have changed"
    return Finding("warn", "refused data", f"{counts}; {often}", advice)


def _snapshots(folder: Path, head_seq: int, hash_at: Callable[[int], bytes | None]) -> Iterator[Finding]:
    """Check the names of the snapshots: the seq of each must be the end of a commit of this log."""
    snapshots = sorted(folder.glob("*.snapshot"), reverse=True)
    seqs = [int(path.stem) for path in snapshots if path.stem.isdecimal()]
    stray = [seq for seq in seqs if seq > head_seq or hash_at(seq) is None]
    refused = len(list(folder.glob("*.refused")))
    newest = f", the newest at seq {seqs[0]:,}" if seqs else ""
    text = f"{len(snapshots)} in {folder}{newest}"
    if stray:
        text = f"{text}; seq {stray[0]:,} does not belong to this log"
        yield Finding("warn", "snapshots", text, "do nothing: the next engine sets it aside")
    elif refused:
        yield Finding("warn", "snapshots", f"{text}; {refused} were set aside", "delete *.refused once you know why")
    else:
        yield Finding("ok", "snapshots", text)
