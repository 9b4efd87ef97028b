"""`papertape report`: one page about a log or a study that needs no network, to keep, print or send."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.cli.config.overrides import load_config_of_log
from papertape.cli.config.sections import strategies_of
from papertape.cli.environment.streams import say
from papertape.cli.log_reader import fold_log, require_known
from papertape.cli.offline.output_files import check_output, log_files, read_files, whole_file
from papertape.cli.offline.report_luck import luck_of
from papertape.cli.offline.report_redraws import RedrawnMarkets
from papertape.cli.progress import progress_bar
from papertape.engine.inspect.entry_regimes import EntryRegimes
from papertape.engine.ports.clock import SystemClock
from papertape.engine.research.recorded_tape import tape_of_log
from papertape.events.errors import LogForeign, UsageError
from papertape.events.facts import RunnerConfigured
from papertape.events.sqlite_log import SqliteLogReader
from papertape.projections.folds.arena import Arena
from papertape.projections.folds.epochs import Epochs
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.folds.trades import Trades
from papertape.projections.site.report import strategy_report
from papertape.projections.studies.reader import StudyFolder, studies_folder
from papertape.ui.report import ReportPage, render_report, study_part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.events.log import Recorded
    from papertape.projections.site.report import StrategyReport
    from papertape.ui.report import StudyPart


class ReportOptions(Struct, frozen=True):
    """The options on the command line."""

    subject: str
    html: Path
    strategy: str | None = None
    seed: int = 0
    config: Path | None = None
    redraws: int = 0


class ConfiguredRunners:
    """Fold of the newest configuration of every strategy."""

    def __init__(self) -> None:
        self.by_strategy: dict[str, RunnerConfigured] = {}

    def apply(self, recorded: Recorded) -> None:
        """Fold one event."""
        if isinstance(recorded.event, RunnerConfigured):
            self.by_strategy[recorded.event.strategy] = recorded.event


def write_report(options: ReportOptions) -> None:
    """Write the page, complete or not at all.

    Raise UsageError for an unknown subject or strategy and for an output that exists or cannot be written.
    """
    config = load_config_of_log(options.config)
    if options.html.exists():
        raise UsageError(f"--html {options.html}: this file already exists; a report writes a new one")
    path, folder = Path(options.subject), studies_folder(config.database)
    check_output("--html", options.html, [*read_files(config, options.config), *log_files(path)])
    page = _log_page(path, options) if path.is_file() else _study_page(folder, options.subject, options)
    with whole_file("--html", options.html) as file:
        file.write(render_report(page))
    say(f"wrote {options.html}\n")


def _log_page(path: Path, options: ReportOptions) -> ReportPage:
    """Return the page of a log, or of the study that this file is."""
    try:
        strategies = _strategies(path, options)
    except LogForeign:
        studies = StudyFolder(path.parent)
        if path.stem not in studies.names() or studies.study(path.stem).state == "unreadable":
            raise
        return _study_page(path.parent, path.stem, options)
    return ReportPage(path.name, SystemClock().now_ms(), strategies)


def _study_page(folder: Path, name: str, options: ReportOptions) -> ReportPage:
    """Return the page of a study, with the trades of its chosen set if their log was written."""
    studies = StudyFolder(folder)
    if name not in studies.names():
        there = ", ".join(studies.names()) or "none yet"
        raise UsageError(f"{name} is neither a log nor a study; the studies in {folder} are: {there}")
    part: StudyPart = study_part(studies, name)
    log = Path(part.study.log) if part.study.log else None
    strategies = _strategies(log, options) if log is not None and log.is_file() else ()
    return ReportPage(name, SystemClock().now_ms(), strategies, part)


def _strategies(path: Path, options: ReportOptions) -> tuple[StrategyReport, ...]:
    """Return the reports of a log's strategies, in the order of the arena."""
    portfolio, regimes, configured = Portfolio(), EntryRegimes(), ConfiguredRunners()
    trades, epochs = Trades(portfolio.excursions), Epochs(portfolio)
    reader = SqliteLogReader(path)
    try:
        fold_log(reader, [portfolio, trades, regimes, configured, epochs])
    finally:
        reader.close()
    require_known(options.strategy, configured.by_strategy, "strategy", "the log has")
    arena = Arena(portfolio, trades)
    names = [row.strategy for row in arena.rows() if options.strategy in (None, row.strategy)]
    nets = _redrawn_nets(path, options, [configured.by_strategy[name] for name in names]) if options.redraws else {}
    return tuple(
        strategy_report(
            arena,
            portfolio.account(name),
            portfolio.equity_curve(name),
            trades.closed(name),
            regimes.by_order,
            luck_of(trades.closed(name), portfolio.equity_curve(name), options.seed, nets.get(name, ())),
            configured.by_strategy[name].parameters,
            configured.by_strategy[name].symbols,
            epochs.of(name),
        )
        for name in names
    )


def _redrawn_nets(path: Path, options: ReportOptions, configured: Sequence[RunnerConfigured]) -> dict[str, list[float]]:
    """Return the net results of strategies over redrawn markets. Raise UsageError without numpy or a strategy."""
    if find_spec("numpy") is None:
        raise UsageError("--redraws needs numpy: install papertape with its extra `research`")
    tape = tape_of_log(path)
    markets = RedrawnMarkets(tape, strategies_of(load_config_of_log(options.config)), options.redraws, options.seed)
    with progress_bar("redrawing the market", options.redraws * len(configured)) as on_progress:
        nets = {}
        for place, one in enumerate(configured):
            nets[one.strategy] = markets.nets(one)
            on_progress((place + 1) * options.redraws)
        return nets
