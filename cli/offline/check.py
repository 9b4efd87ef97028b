"""`papertape check`: prove that a strategy's file keeps its contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from papertape.cli.config.overrides import load_config_of_log
from papertape.cli.config.sections import instances_of
from papertape.cli.config.summary import order_warnings
from papertape.cli.render.console import emit
from papertape.cli.wiring import note
from papertape.engine.contract.source_check import check_source
from papertape.engine.research.engine_choice import is_installed
from papertape.engine.research.promises import Promise
from papertape.engine.research.strategy_trial import try_strategy
from papertape.engine.strategy_registry import load_strategies, load_strategy, with_instances
from papertape.events.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.engine.contract.breach import Breach
    from papertape.engine.kernel.strategy import Strategy


class ContractReport(Struct, frozen=True):
    """Everything that was found about one file."""

    file: str
    strategy: str
    breaches: list[str]
    promises: list[Promise]
    warnings: list[str] = []

    @property
    def is_kept(self) -> bool:
        """Whether every promise that was tried was kept."""
        return not self.breaches and all(promise.kept is not False for promise in self.promises)


def check_file(path: Path, config: Path | None = None) -> ContractReport:
    """Return what a strategy's file promises and keeps, with warnings about its place in the configuration `config`.

    Raise UsageError if the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"check {path}: {error}") from error
    breaches = check_source(text)
    lines = [breach.on_one_line(path) for breach in breaches]
    if any(not breach.runs_in_python for breach in breaches):
        return ContractReport(str(path), "", lines, [_source_promise(text, breaches)])
    try:
        strategy = _loaded(path)
    except ConfigError as error:
        return ContractReport(str(path), "", [str(error)], [Promise("loads", False, str(error))])
    promises = [_source_promise(text, breaches), *try_strategy(strategy, note, is_compiled=is_installed())]
    return ContractReport(str(path), strategy.name, lines, promises, _order_warnings(strategy, config))


def _order_warnings(strategy: Strategy, path: Path | None) -> list[str]:
    """Return warnings about references that the configured order of symbols places behind those that follow them."""
    if not strategy.references:
        return []
    try:
        config = load_config_of_log(path)
    except ConfigError as error:
        return [f"the order of the symbols was not checked: {str(error).splitlines()[0]}"]
    configured = with_instances({strategy.name: strategy}, *instances_of(config))
    return list(order_warnings(config, configured.values()))


def _loaded(path: Path) -> Strategy:
    """Return the strategy of a file; a built-in one by its own module, which is compiled once."""
    strategy = load_strategy(path)
    shipped = load_strategies().get(strategy.name)
    return shipped if shipped is not None and shipped.source == strategy.source else strategy


def _source_promise(text: str, breaches: list[Breach]) -> Promise:
    """Return whether the source keeps the rules."""
    lines = len(text.splitlines())
    count = len(breaches)
    numbers = f"{lines} lines keep every rule" if not count else f"{count} {'rule' if count == 1 else 'rules'} broken"
    return Promise("source", not breaches, numbers)


def show_check(path: Path, config: Path | None, *, as_json: bool) -> bool:
    """Show what a file promises and keeps; return whether it keeps everything."""
    report = check_file(path, config)
    if as_json:
        emit(_fields(report))
    else:
        from papertape.cli.render.check import print_report  # noqa: PLC0415 - tables are slow to import.

        print_report(report.file, report.strategy, report.breaches, report.promises, report.warnings)
    return report.is_kept


def _fields(report: ContractReport) -> dict[str, Any]:
    """Return a report as plain data."""
    return {
        "file": report.file,
        "strategy": report.strategy,
        "kept": report.is_kept,
        "breaches": report.breaches,
        "promises": report.promises,
        "warnings": report.warnings,
    }
