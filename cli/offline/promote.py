"""`papertape promote`: let a strategy of the configuration follow a study's set, with what the study promises."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import asdict, replace

from papertape.cli.config.instances import strategy_sections
from papertape.cli.config.loader import parse_config, read_text
from papertape.cli.config.places import FILE_NAME, find_places
from papertape.cli.config.schema import value_text
from papertape.cli.config.sections import Config, enabled_names, runner_settings, strategies_of
from papertape.cli.config.study_promises import promise_doubts, promise_text
from papertape.cli.config.summary import configured_symbols
from papertape.cli.config.toml_edits import with_keys
from papertape.cli.offline.output_files import whole_file
from papertape.cli.render.console import BAD, GOOD, emit, notes, stdout
from papertape.engine.runner_settings import validate_parameters
from papertape.engine.strategy_registry import code_digest
from papertape.events.errors import ConfigError, UsageError
from papertape.projections.studies.promotion import promise_of
from papertape.projections.studies.reader import StudyFolder, studies_folder
from papertape.studies.space import space_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from papertape.engine.kernel.strategy import Strategy
    from papertape.events.facts import StudyPromoted
    from papertape.projections.studies.document import Document, StudyPlan
    from papertape.projections.studies.reader import SetFigures, StudyView

LINE_CHARS_MAX: Final = 140


class PromotionRequest(Struct, frozen=True):
    """What is to be promoted: a study's set, where to, under which name, and why in spite of the verdict."""

    study: str
    number: int | None
    file: Path | None
    instance: str | None
    against_advice: str


class Promotion(Struct, frozen=True):
    """A promise, the changed text of the configuration, the lines that differ, and doubts in words."""

    file: str
    promise: StudyPromoted
    text: str
    changes: tuple[str, ...]
    warnings: tuple[str, ...]


class StudiedSet(Struct, frozen=True):
    """A concluded study and one of its sets."""

    view: StudyView
    plan: StudyPlan
    document: Document
    figures: SetFigures


def promote(request: PromotionRequest, *, as_json: bool) -> None:
    """Promote a set, write the configuration and show what changed. Raise UsageError or ConfigError for a refusal."""
    promotion = plan_promotion(request)
    if promotion.changes:
        with whole_file("--to", Path(promotion.file)) as file:
            file.write(promotion.text)
    _show(promotion, as_json=as_json)


def plan_promotion(request: PromotionRequest) -> Promotion:
    """Return what promoting a set changes. Raise UsageError for a refusal, ConfigError for an invalid configuration."""
    path = find_places(request.file).file or Path(FILE_NAME)
    text = read_text(path)
    config = parse_config(path, text)
    found = _find(request, studies_folder(config.database))
    name = request.instance or found.plan.strategy
    strategy = _configured(name, found.plan, config)
    _require_same_code(strategy, found.plan)
    _require_advice(found, request)
    values = space_of(found.plan.space, strategy, found.plan.parameters).values(found.figures.number)
    parameters = validate_parameters(strategy, {**found.plan.parameters, **values})
    advice = "" if _is_bet(found) else request.against_advice.strip()
    promise = promise_of(found.plan, found.document, found.figures, found.view.key, advice)
    promise = replace(promise, strategy=name, parameters=parameters, code_digest=code_digest([strategy]))
    changed = with_keys(text, ("strategies", name), _keys(text, strategy, promise))
    _require_usable(parse_config(path, changed), name)
    return Promotion(str(path), promise, changed, _changes(text, changed, path), tuple(_doubts(found, promise, config)))


def _find(request: PromotionRequest, folder: Path) -> StudiedSet:
    """Return the study and the set. Raise UsageError for a study without conclusions and for a set without results."""
    own = Path(request.study)
    is_file = own.suffix == ".db"
    folder = own.parent if is_file else folder
    studies = StudyFolder(folder)
    view = studies.study(own.stem if is_file else request.study)
    if view.plan is None:
        raise UsageError(f"study {view.name}: {view.problem}")
    if view.document is None:
        progress = view.progress
        done = "" if progress is None else f", {progress.results:,} of {progress.results_total:,} results"
        raise UsageError(f"study {view.name} has no conclusions yet: it is {view.state}{done}; let it finish first")
    number = view.document.verdict.chosen_set if request.number is None else request.number
    if number is None:
        raise UsageError(f"the verdict of study {view.name} chose no set; name one with --set")
    figures = studies.set_figures(view.name, view.document.whole_span, number)
    if figures is None:
        raise UsageError(f"study {view.name} has no set {number:,}; see its {view.plan.space.sets:,} sets on its page")
    return StudiedSet(view, view.plan, view.document, figures)


def _configured(name: str, plan: StudyPlan, config: Config) -> Strategy:
    """Return the strategy that will follow the study. Raise UsageError, saying what to add, if it does not run."""
    strategies, enabled = strategies_of(config), enabled_names(config)
    strategy = strategies.get(name)
    if strategy is None:
        of = strategies[plan.strategy].of or plan.strategy if plan.strategy in strategies else plan.strategy
        raise UsageError(
            f'{config.file} has no strategy {name}: add [strategies.{name}] with of = "{of}", and "{name}" to '
            "strategies.enabled"
        )
    _require_usable(config, name)
    if enabled is not None and name not in enabled:
        raise UsageError(f'{name} does not run under {config.file}: add "{name}" to strategies.enabled')
    return strategy


def _require_usable(config: Config, name: str) -> None:
    if name in config.unusable:
        raise ConfigError(config.unusable[name])


def _require_same_code(strategy: Strategy, plan: StudyPlan) -> None:
    installed = code_digest([replace(strategy, name=plan.strategy)])
    if installed != plan.code_digest:
        raise UsageError(
            f"study {plan.name} was made with the code {plan.code_digest}, but that of {strategy.name} and the kernel "
            f"is now {installed}: its promise is about other code; sweep again"
        )


def _is_bet(found: StudiedSet) -> bool:
    verdict = found.document.verdict
    return verdict.outcome == "BET" and found.figures.number == verdict.chosen_set


def _require_advice(found: StudiedSet, request: PromotionRequest) -> None:
    """Raise UsageError if the verdict is against this set and nobody says why it is promoted anyway."""
    verdict, why = found.document.verdict, request.against_advice.strip()
    is_of_verdict = found.figures.number == verdict.chosen_set
    if why or (is_of_verdict and verdict.outcome in ("BET", "BET SMALL")):
        return
    set_option = "" if request.number is None else f" --set {request.number}"
    chosen = "no set" if verdict.chosen_set is None else f"set {verdict.chosen_set:,}"
    reason = verdict.headline if is_of_verdict else f"the verdict is about {chosen}, not {found.figures.number:,}"
    to = request.file or FILE_NAME
    raise UsageError(
        f"{reason}\nto promote it anyway, and record why in the log:\n"
        f'papertape promote {request.study}{set_option} --to {to} --against-advice "WHY"'
    )


def _keys(text: str, strategy: Strategy, promise: StudyPromoted) -> dict[str, str | int | float]:
    """Return the keys to set: the study, its promise, and parameters in the section or other than the default."""
    section = strategy_sections(tomllib.loads(text)).get(strategy.name, {})
    defaults = asdict(strategy.parameters())
    parameters = {
        name: value for name, value in promise.parameters.items() if section.get(name, defaults[name]) != value
    }
    return {"study": promise.study_digest, "promise": promise_text(promise), **parameters}


def _doubts(found: StudiedSet, promise: StudyPromoted, config: Config) -> Iterator[str]:
    """Yield what the owner should know although it stops nothing."""
    if found.document.verdict.outcome == "BET SMALL":
        yield f"the verdict is to bet small: {found.document.verdict.headline}"
    if not promise.bands:
        yield "the study promises only the number of trades and wins of this set: no result, no costs"
    settings = runner_settings(config, strategies_of(config))[promise.strategy]
    yield from promise_doubts(promise, settings.symbols or configured_symbols(config))
    if settings.symbol_parameters != found.plan.symbol_parameters:
        symbols = ", ".join(sorted(settings.symbol_parameters.keys() | found.plan.symbol_parameters.keys()))
        yield f"the parameters of single symbols differ from the study's: {symbols}"
    risk = asdict(settings.risk)
    for name, value in found.plan.risk.items():
        if name in risk and risk[name] != value:
            yield f"the study ran with risk.{name} = {value_text(value)}; here it is {value_text(risk[name])}"
    yield from found.plan.warnings


def _changes(before: str, after: str, path: Path) -> tuple[str, ...]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), str(path), str(path), n=0, lineterm="")
    return tuple(line for line in lines if not line.startswith(("---", "+++", "@@")))


def _show(promotion: Promotion, *, as_json: bool) -> None:
    promise = promotion.promise
    if as_json:
        fields: dict[str, Any] = {name: getattr(promise, name) for name in promise.__struct_fields__ if name != "at_ms"}
        emit({"file": promotion.file, "changes": promotion.changes, "warnings": promotion.warnings, "promise": fields})
        return
    console = stdout()
    of = f"set {promise.set_number:,} of the study {promise.study}, verdict {promise.verdict}"
    if not promotion.changes:
        console.print(f"{promotion.file}: {promise.strategy} follows {of} already", markup=False, soft_wrap=True)
    else:
        console.print(f"{promotion.file}: {promise.strategy} follows {of}", markup=False, soft_wrap=True)
    for line in promotion.changes:
        shown = line if len(line) <= LINE_CHARS_MAX else f"{line[:LINE_CHARS_MAX]}…"
        console.print(shown, style=GOOD if line.startswith("+") else BAD, markup=False, soft_wrap=True)
    after = 'it applies from the next start, or now with: papertape reload --why "..."'
    notes(console, [*(f"! {warning}" for warning in promotion.warnings), after])
