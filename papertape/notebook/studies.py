"""`pt.study`: a study of `pt.sweep` or of the command `papertape sweep`, with its verdict, sets and folds."""

from __future__ import annotations

from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from msgspec.structs import replace

from papertape.cli.config.overrides import load_config
from papertape.cli.studies.market import known_strategy
from papertape.cli.studies.session import StudyPlaces, study_places
from papertape.engine.research.backtest import backtest_tape
from papertape.events.errors import UsageError
from papertape.events.names import unknown_name_text
from papertape.notebook.backtests import BacktestResults, chosen_strategies
from papertape.notebook.heat_plots import heat_plot
from papertape.notebook.plots import lines_plot
from papertape.notebook.study_frames import days_frame, folds_frame, gates_frame, sets_frame
from papertape.projections.studies.heatmap import heat_maps
from papertape.projections.studies.reader import FOLDER, Measure, StudyFolder
from papertape.projections.text.formats import figure
from papertape.studies.plan import experiment_of
from papertape.studies.store import StudyStore

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    from papertape.notebook.plots import SvgPlot
    from papertape.projections.studies.document import Costs, Document, StudyPlan, Verdict
    from papertape.studies.plan import Experiment

GATE_COLUMNS = ("title", "state", "number", "limit", "unit", "text")
SETS_MAX = 2**62


class StudyResults:
    """A study with its verdict. A notebook shows the verdict, the gates, and the equity of the test folds.

    `path` is its file, `plan` what was run, `document` everything that it concludes.
    """

    def __init__(self, places: StudyPlaces, name: str, experiment: Callable[[StudyPlan], Experiment]) -> None:
        self.name, self.path = name, places.file(name)
        self._folder = StudyFolder(places.studies)
        view = self._folder.study(name)
        if view.problem or view.plan is None:
            raise UsageError(f"study {name!r} cannot be read: {view.problem or 'it has no plan'}")
        if view.document is None:
            raise UsageError(f"study {name!r} is {view.state} and has no verdict yet; resume it: {view.resume}")
        self.plan: StudyPlan = view.plan
        self.document: Document = view.document
        self._experiment_of, self._backtests = experiment, dict[int, BacktestResults]()

    @property
    def verdict(self) -> Verdict:
        """The answer: `outcome`, `headline`, the gates, the chosen set with its parameters, the number of trials."""
        return self.document.verdict

    @property
    def costs(self) -> Costs:
        """What was earned before costs and what these took, over all test folds, in USDT."""
        return self.document.costs

    @cached_property
    def gates(self) -> pl.DataFrame:
        """The gates in order, each with its number, its limit and what would change the result."""
        return gates_frame(self.verdict.gates)

    @cached_property
    def sets(self) -> pl.DataFrame:
        """Every set with its varied parameters and its figures over the whole period."""
        page = self._folder.sets(self.name, self.document.whole_span, "number", 0, SETS_MAX, descending=False)
        return sets_frame(self.plan.space.axes, page.items)

    @cached_property
    def folds(self) -> pl.DataFrame:
        """The folds of the walk-forward, with the set that each one chose in training and how that did in the test."""
        return folds_frame(self.plan.space.axes, self.document.folds)

    @property
    def trades(self) -> pl.DataFrame:
        """The closed trades of the chosen set over the whole period."""
        return self.backtest().trades

    @property
    def equity(self) -> pl.DataFrame:
        """The equity of the chosen set after every candle of the whole period."""
        return self.backtest().equity

    @property
    def readings(self) -> pl.DataFrame:
        """The readings behind every order and every refusal of the chosen set."""
        return self.backtest().readings

    @property
    def metrics(self) -> pl.DataFrame:
        """Every measure of the arena for the chosen set over the whole period, in one row."""
        return self.backtest().metrics

    def days(self, number: int | None = None) -> pl.DataFrame:
        """Return `date` and `equity_usdt` at the end of every UTC day, of the chosen or another set.

        A study of many sets keeps these of the best and of some others; the rest is computed. Raise like `backtest`.
        """
        wanted = self._number(number)
        with StudyStore.open(self.path) as store:
            numbers, equities = store.days(self.document.whole_span)
        if wanted in numbers:
            return days_frame(self.plan.from_ms, equities[numbers.index(wanted)])
        [summary] = self.backtest(wanted).run.summaries
        return days_frame(summary.from_ms, summary.day_equities_usdt)

    def backtest(self, number: int | None = None) -> BacktestResults:
        """Run the chosen or another set over the whole period, as `pt.backtest` does.

        Raise UsageError if there is no such set, or none was chosen, or the strategy's code has changed since.
        """
        wanted = self._number(number)
        if wanted not in self._backtests:
            experiment = self._experiment
            if wanted not in experiment.space.numbers():
                raise UsageError(f"study {self.name!r} has no set {wanted:,}; .sets has the numbers")
            strategy, settings = experiment.strategy, experiment.settings
            parameters = {**settings.parameters, **experiment.space.values(wanted)}
            runners = {strategy.name: replace(settings, parameters=parameters)}
            run = backtest_tape(experiment.tape, {strategy.name: strategy}, runners, experiment.engine)
            self._backtests[wanted] = BacktestResults(run)
        return self._backtests[wanted]

    def plot(self) -> SvgPlot:
        """Draw the equity of the test folds, one after the other: what was earned on days that no choice had seen."""
        joined = self.document.joined
        ends = (joined[0][0], joined[-1][0]) if joined else (0, 0)
        lines = {self.plan.strategy: [equity for _, equity in joined]}
        return lines_plot(f"{self.name}: equity of the test folds", lines, *ends, "USDT")

    def plot_heatmap(self, x: str = "", y: str = "", measure: Measure = "sharpe") -> SvgPlot:
        """Draw every set over two parameters, by default those with the most values; the colour is its rank.

        `measure` is "sharpe", "net" or "drawdown", over the whole period. Raise UsageError for a parameter that does
        not vary.
        """
        axes = {axis.name: axis for axis in self.plan.space.axes}
        for name in (x, y):
            if name and name not in axes:
                raise UsageError(unknown_name_text("varied parameter", name, list(axes)))
        if measure not in get_args(Measure):
            raise UsageError(unknown_name_text("measure", measure, get_args(Measure)))
        sets = self._folder.measured(self.name, self.document.whole_span, measure)
        chosen = self.verdict.chosen_set
        maps = heat_maps(tuple(axes.values()), sets, chosen, x, y)
        assert maps is not None, "a study varies a parameter"
        return heat_plot(f"{self.name}: all sets over the whole period", measure, maps, chosen)

    @cached_property
    def _experiment(self) -> Experiment:
        return self._experiment_of(self.plan)

    def _number(self, number: int | None) -> int:
        """Return a set, the chosen one by default. Raise UsageError if none was chosen."""
        wanted = self.verdict.chosen_set if number is None else number
        if wanted is None:
            raise UsageError(f"study {self.name!r} chose no set; give a number of .sets, as in .backtest(0).trades")
        return wanted

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(name)}</th>" for name in ("gate", *GATE_COLUMNS[1:]))
        rows = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in self.gates.select(GATE_COLUMNS).iter_rows())
        return (
            f"<p><b>{escape(self.verdict.headline)}</b></p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{self.plot().svg}"
        )

    def __repr__(self) -> str:
        gates = (f"  {gate.state:<7} {gate.title}: {gate.text}" for gate in self.verdict.gates)
        return "\n".join((self.verdict.headline, *gates))


def _cell(value: object) -> str:
    text = "" if value is None else figure(value, "") if isinstance(value, float) else str(value)
    return f'<td style="text-align:left">{escape(text)}</td>'


def places_of(study: str | Path | None) -> tuple[StudyPlaces, str | None]:
    """Return the folders of a study and its name: of a path, or of a name among the studies beside the log."""
    if study is None:
        return study_places(load_config()), None
    path = Path(study)
    if path.suffix != ".db" and path.name == str(study):
        return study_places(load_config()), path.name
    folder = path.parent
    tapes = folder.parent if folder.absolute().name == FOLDER else folder
    return StudyPlaces(folder, tapes / "tapes"), path.stem


def study(name_or_path: str | Path, strategy: str | Path | None = None) -> StudyResults:
    """Open a study that has its verdict, by its name in ./data/studies or by the path of its file.

    `strategy` is the file of an own strategy that ./papertape.toml does not name; only backtests of sets need it. Raise
    UsageError for an unknown or unfinished study.
    """
    places, name = places_of(name_or_path)

    def experiment(plan: StudyPlan) -> Experiment:
        if strategy is None:
            chosen = known_strategy(plan.strategy, load_config())
        else:
            [chosen] = chosen_strategies(strategy).values()
        chosen = replace(chosen, references=tuple(plan.references.items()))
        return experiment_of(plan, chosen, places.tape_store.get(plan.tape_digest))

    return StudyResults(places, name or "", experiment)
