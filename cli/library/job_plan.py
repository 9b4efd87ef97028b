"""Turn a request of the page into a command line; every mistake is refused with the command line's own message."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from papertape.cli.arguments import optional_moment_ms
from papertape.cli.config.overrides import load_config, parse_sets
from papertape.cli.config.sections import runner_settings
from papertape.cli.library.listing import entry_id, find_log, log_address
from papertape.cli.studies.market import known_strategy
from papertape.cli.studies.sweep import check_name
from papertape.engine.feeds.files.table_source import split_given
from papertape.events.errors import UsageError
from papertape.events.text import replace_surrogates
from papertape.projections.site.library import BacktestRequest, JobKind, SweepRequest
from papertape.projections.studies.reader import FOLDER, studies_folder
from papertape.projections.text.formats import utc
from papertape.studies.space import SpaceRequest, build_space

if TYPE_CHECKING:
    from papertape.cli.config.sections import Config
    from papertape.cli.library.listing import LibraryIndex
    from papertape.projections.site.library import JobRequest, MarketKind

BACKTESTS: Final = "backtests"
"""The folder beside the log in which the page's backtests are stored."""
NAMES_A_DAY_MAX: Final = 1_000
NAME_CHARS_MAX: Final = 40
OPTIONS: Final[dict[MarketKind, str]] = {
    "candles": "--candles",
    "funding": "--funding",
    "open_interest": "--open-interest",
}
STRATEGY_KEY_PARTS: Final = 3
"""The parts of `strategies.momentum.sl_percent`; `strategies.folders` has fewer."""
SETTABLE: Final = "here only parameters of strategies and keys of [risk] can be set"


class PlannedJob(Struct, frozen=True):
    """A validated job: its command line after `papertape`, the file it writes, and the page that shows it."""

    kind: JobKind
    name: str
    arguments: tuple[str, ...]
    output: Path
    address: str

    @property
    def words(self) -> str:
        """The command line as it would be typed."""
        return replace_surrogates(shlex.join(("papertape", *self.arguments)))


class JobPlanner(Struct, frozen=True):
    """Plans jobs whose results lie beside the log `db`, under the page's own configuration file and `--set`.

    Other jobs will write the files `taken`, so none is chosen for a job without a name.
    """

    db: Path
    config: Path | None
    sets: tuple[str, ...] = ()
    taken: tuple[Path, ...] = ()

    def plan(self, request: BacktestRequest | SweepRequest, index: LibraryIndex, today_ms: int) -> PlannedJob:
        """Return the validated job. Raise UsageError or ConfigError; faults in market files appear when it runs."""
        if isinstance(request, SweepRequest):
            return self._sweep(request, index, today_ms)
        return self._backtest(request, index, today_ms)

    def _backtest(self, request: BacktestRequest, index: LibraryIndex, today_ms: int) -> PlannedJob:
        market = self._market(request, index)
        config = self._configured(request)
        for name in request.strategies:
            known_strategy(name, config)
        folder = self.db.resolve().parent / BACKTESTS
        name = request.name or self._free_name("-".join(request.strategies[:2]) or "backtest", today_ms, folder)
        output = folder / f"{name}.db"
        if output.exists():
            raise UsageError(f"--db {output}: this file already exists; a backtest writes a new log")
        strategies = [part for one in request.strategies for part in ("--strategy", one)]
        arguments = ("backtest", *market, *strategies, *self._common(request), "--db", str(output))
        return PlannedJob("backtest", name, arguments, output, log_address(entry_id(output), is_own=False))

    def _sweep(self, request: SweepRequest, index: LibraryIndex, today_ms: int) -> PlannedJob:
        market = self._market(request, index)
        config = self._configured(request)
        strategy = known_strategy(request.strategy, config)
        alone = replace(config, strategies=replace(config.strategies, enabled=(strategy.name,)))
        settings = runner_settings(alone, {strategy.name: strategy})[strategy.name]
        space = SpaceRequest(request.vary, request.link, request.where, request.draw, request.seed)
        build_space(space, strategy, settings.parameters)
        folder = studies_folder(self.db.resolve())
        name = request.name or self._free_name(request.strategy, today_ms, folder)
        varied = [
            part
            for option, values in (("--vary", request.vary), ("--link", request.link), ("--where", request.where))
            for one in values
            for part in (option, one)
        ]
        drawn = [] if request.draw is None else ["--draw", str(request.draw), "--seed", str(request.seed)]
        beside = ["--set", f"engine.db={self.db.resolve()}"] if folder.name == FOLDER else []
        words = ("--strategy", request.strategy, *varied, *drawn, *self._common(request), *beside, "--study", name)
        return PlannedJob("sweep", name, ("sweep", *market, *words), folder / f"{name}.db", f"/studies/{name}")

    def _market(self, request: JobRequest, index: LibraryIndex) -> list[str]:
        """Return the options that name the market: files of the library, or one of its logs."""
        if request.log and request.files:
            raise UsageError("--log and --candles name two markets: the log holds its own candles, funding and signals")
        if request.log:
            return ["--log", str(find_log(index, request.log))]
        if not any(_kind(one, index) == "candles" for one in request.files):
            raise UsageError("this needs candles: choose files of candles, or a log that holds them")
        words: list[str] = []
        for one in request.files:
            symbol, name = _symbol_and_name(one)
            path = index.files[name][1]
            words += [OPTIONS[_kind(one, index)], f"{symbol}={path}" if symbol else str(path)]
        return words

    def _configured(self, request: JobRequest) -> Config:
        """Return the configuration of the job. Raise UsageError for a name, a time or a setting that is not allowed."""
        check_name(request.name or None)
        for text, option in ((request.start, "--from"), (request.end, "--to")):
            optional_moment_ms(text or None, option)
        for path in parse_sets(load_config(self.config, self.sets), request.sets):
            # Check before anything is loaded with them: loading a strategies folder runs the code in it.
            if path[0] != "risk" and (path[0] != "strategies" or len(path) < STRATEGY_KEY_PARTS):
                raise UsageError(f"--set {'.'.join(path)}: {SETTABLE}")
        return load_config(self.config, (*self.sets, *request.sets))

    def _free_name(self, base: str, today_ms: int, folder: Path) -> str:
        """Return a base and the date, with a number if that is the name of a file in the folder or of another job."""
        dated = f"{base[:NAME_CHARS_MAX]}-{utc(today_ms)[:10]}"
        names = (dated if number == 1 else f"{dated}-{number}" for number in range(1, NAMES_A_DAY_MAX))
        files = ((one, folder / f"{one}.db") for one in names)
        return next(one for one, file in files if file not in self.taken and not file.exists())

    def _common(self, request: JobRequest) -> list[str]:
        config = [] if self.config is None else ["--config", str(self.config)]
        span = [*(["--from", request.start] if request.start else []), *(["--to", request.end] if request.end else [])]
        sets = [part for one in (*self.sets, *request.sets) for part in ("--set", one)]
        return [*span, *sets, "--engine", request.engine, *config, "--json"]


def _symbol_and_name(text: str) -> tuple[str, str]:
    """Return the symbol and the name of a chosen file, `name` or `SYMBOL=name`."""
    symbol, path = split_given(text)
    return symbol, str(path)


def _kind(text: str, index: LibraryIndex) -> MarketKind:
    """Return what a chosen file holds. Raise UsageError for one that the library does not list."""
    symbol, name = _symbol_and_name(text)
    if name not in index.files:
        raise UsageError(f"the library has no market file {name!r}")
    file = index.files[name][0]
    if not symbol and not file.symbol:
        raise UsageError(f"{name}: the name does not say the symbol: choose it as SYMBOL={name}")
    return file.kind
