"""The promise of a study in the section of a strategy: `study` is the study's digest, `promise` what it promises.

Both stand in the configuration itself, in one line each, and in no file beside it. A container gets this one file, and
an owner copies it to another machine: a second file would be forgotten, and study files are large and stay where they
were made. The log records the promise when an engine starts with it, so nothing reads it here afterwards.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import asdict, replace

from papertape.cli.config.schema import value_text
from papertape.cli.config.summary import configured_symbols
from papertape.cli.config.validation import ConfigProblem
from papertape.engine.runner_settings import validate_parameters
from papertape.engine.strategy_registry import code_digest
from papertape.events.facts import StudyPromoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from papertape.cli.config.sections import Config
    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.runner_settings import RunnerSettings

PROMOTE = "write both with `papertape promote`"


def promise_text(promise: StudyPromoted) -> str:
    """Return a promise as JSON in ASCII on one line, without single quotes, so that TOML takes it as it is."""
    fields = {name: value for name, value in asdict(promise).items() if name != "at_ms"}
    return json.dumps(msgspec.to_builtins(fields), separators=(",", ":")).replace("'", "\\u0027")


def read_promise(text: str) -> StudyPromoted:
    """Return the promise of a text. Raise ValueError if it is none."""
    fields: dict[str, Any] = {"at_ms": 0, **msgspec.json.decode(text, type=dict[str, Any])}
    names = StudyPromoted.__struct_fields__
    if fields.keys() != set(names):
        raise ValueError(f"its fields must be {', '.join(names[1:])}")
    return msgspec.convert([StudyPromoted.__struct_config__.tag, *(fields[name] for name in names)], StudyPromoted)


def promise_problems(sections: Mapping[str, Mapping[str, Any]]) -> Iterable[ConfigProblem]:
    """Yield what is wrong with the promises in the sections of strategies, whose values are valid by themselves."""
    for name, section in sections.items():
        study, text = section.get("study", ""), section.get("promise", "")
        path = ("strategies", name, "promise" if text else "study")
        if not study and not text:
            continue
        if not text:
            yield ConfigProblem(path, f"= {value_text(study)}: must have its promise beside it; {PROMOTE}")
            continue
        try:
            promise = read_promise(text)
        except ValueError as error:
            yield ConfigProblem(path, f"cannot be read: {error}; {PROMOTE}")
            continue
        if (promise.strategy, promise.study_digest) != (name, study):
            of = f"of {promise.strategy} from the study {promise.study_digest}"
            yield ConfigProblem(path, f'is the promise {of}, not of {name} from "{study}"; {PROMOTE}')


def with_promises(
    config: Config,
    strategies: Mapping[str, Strategy],
    runners: Mapping[str, RunnerSettings],
    warn: Callable[[str], None],
) -> dict[str, RunnerSettings]:
    """Return the settings with the promises that apply to them, with a warning about each that does not."""
    return {name: _with_promise(config, strategies[name], settings, warn) for name, settings in runners.items()}


def _with_promise(
    config: Config, strategy: Strategy, settings: RunnerSettings, warn: Callable[[str], None]
) -> RunnerSettings:
    section = config.strategies.by_name.get(strategy.name)
    if section is None or not section.promise:
        return settings
    promise = read_promise(section.promise)
    faults = list(promise_faults(promise, strategy, settings))
    where = f"strategies.{strategy.name}"
    for fault in faults:
        warn(f"{where}: {fault}; its result is not compared with the study {promise.study}: promote it again")
    for doubt in () if faults else promise_doubts(promise, settings.symbols or configured_symbols(config)):
        warn(f"{where}: {doubt}")
    return settings if faults else replace(settings, promise=promise)


def promise_faults(promise: StudyPromoted, strategy: Strategy, settings: RunnerSettings) -> Iterator[str]:
    """Yield why a promise does not apply to a strategy as it is configured and installed."""
    parameters = validate_parameters(strategy, settings.parameters)
    changed = [
        f"{name} is {value_text(value)} (study: {value_text(promise.parameters.get(name, 'none'))})"
        for name, value in parameters.items()
        if value != promise.parameters.get(name)
    ]
    if changed:
        yield f"its parameters are not those of the study: {', '.join(changed)}"
    digest = code_digest([strategy])
    if digest != promise.code_digest:
        yield f"its code is {digest}, the study was made with {promise.code_digest}"


def promise_doubts(promise: StudyPromoted, symbols: Iterable[str]) -> Iterator[str]:
    """Yield how a strategy trades another market than its study."""
    traded = list(symbols)
    if other := [symbol for symbol in traded if symbol not in promise.symbols]:
        of = ", ".join(promise.symbols)
        yield f"the study {promise.study} is about {of} and promises nothing about {', '.join(other)}"
    if missing := [symbol for symbol in promise.symbols if symbol not in traded]:
        yield f"the study {promise.study} also traded {', '.join(missing)}: expect fewer trades than it promises"
