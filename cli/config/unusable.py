"""Strategies that cannot run: their files are broken or missing, or do not have the parameters of the configuration.

One of them stops nobody else: an engine whose log knows it parks it, and only what is about to use it refuses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from papertape.cli.config.validation import ConfigProblem, error_of
from papertape.engine.kernel.strategy import SECTION_KEYS
from papertape.engine.strategy_registry import BUILT_IN_ORDER, fault_text
from papertape.events.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

    from papertape.cli.config.sections import Config
    from papertape.engine.kernel.strategy import Strategy

OTHER_KEYS = frozenset(SECTION_KEYS)
"""The keys of a strategy's section that are no parameters."""


def faults_of(strategies: Mapping[str, Strategy]) -> dict[str, str]:
    """Return the strategies whose files cannot be used, each with the reason."""
    return {name: fault_text(one) for name, one in strategies.items() if one.fault}


def take_strategy_problems(
    problems: list[ConfigProblem],
    usable: Container[str],
    tree: Mapping[str, Any],
    place: Callable[[ConfigProblem], str],
) -> dict[str, str]:
    """Remove the problems that concern one strategy alone from the list; return that strategy's name with the text."""
    by_name: dict[str, list[ConfigProblem]] = {}
    for problem in list(problems):
        name = strategy_of(problem, usable, tree)
        if name:
            problems.remove(problem)
            by_name.setdefault(name, []).append(problem)
    return {name: str(error_of(own, place)) for name, own in by_name.items()}


def strategy_of(problem: ConfigProblem, usable: Container[str], tree: Mapping[str, Any]) -> str:
    """Return the strategy that alone has a problem, empty if others have it too.

    That is a strategy without a file, or a parameter of an owner's own strategy; the built-in ones cannot lose theirs.
    """
    match problem.path:
        case ("strategies", name) if isinstance(tree["strategies"].get(name), dict):
            return name
        case ("strategies", where) if where.startswith("enabled[") and "unknown" in problem.text:
            return problem.item
        case ("strategies", name, "of"):
            return name
        case ("strategies", name, key) if name in usable and name not in BUILT_IN_ORDER and key not in OTHER_KEYS:
            return name
        case ("strategies", name, "symbols", _, _) if name in usable and name not in BUILT_IN_ORDER:
            return name
        case _:
            return ""


def require_usable(config: Config) -> Config:
    """Return the configuration. Raise ConfigError with the reason of every strategy in it that cannot run."""
    if config.unusable:
        raise ConfigError("\n".join(config.unusable.values()))
    return config
