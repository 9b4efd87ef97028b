"""Sections of a configuration that run another strategy's file, or look at other symbols than their file names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from papertape.cli.config.schema import value_text
from papertape.cli.config.sections import Config, strategies_of
from papertape.cli.config.validation import ConfigProblem, unknown_key_text
from papertape.engine.strategy_registry import with_instances

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from papertape.engine.kernel.strategy import Strategy

Tree = dict[str, Any]
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
TABLES = frozenset(Config.__struct_fields__)
"""The tables of a configuration, which no strategy may be named like: a key's first word must say where it is."""


def with_sections(strategies: Mapping[str, Strategy], sections: Mapping[str, Tree]) -> dict[str, Strategy]:
    """Return the strategies of the files, and those of unchecked sections, with the references that these name."""
    instances = {name: one["of"] for name, one in sections.items() if isinstance(one.get("of"), str)}
    references = {
        name: {key: symbol for key in one.reference_names if isinstance(symbol := sections[name].get(key), str)}
        for name, one in with_instances(strategies, instances, {}).items()
        if name in sections
    }
    return with_instances(strategies, instances, references)


def strategy_sections(tree: Tree) -> dict[str, Tree]:
    """Return the sections of single strategies in an unchecked tree, by name."""
    section = tree.get("strategies")
    return {name: one for name, one in section.items() if isinstance(one, dict)} if isinstance(section, dict) else {}


def faulty_instances(tree: Tree, strategies: Mapping[str, Strategy]) -> Iterable[ConfigProblem]:
    """Yield what is wrong with the sections that run another strategy's file."""
    files = [name for name, one in strategies.items() if not one.of]
    for name, section in strategy_sections(tree).items():
        of, path = section.get("of"), ("strategies", name, "of")
        if of is None:
            continue
        if name in files:
            yield ConfigProblem(path, f"= {value_text(of)}: {name} has a file of its own; choose another name")
        elif of not in files:
            yield ConfigProblem(path, f"= {value_text(of)} {unknown_key_text(str(of), files, 'strategy')}")
        elif not _NAME.fullmatch(name) or name in TABLES:
            yield ConfigProblem(path, f"= {value_text(of)}: {name!r} cannot be a strategy's name; use a-z, 0-9 and _")


def strategy_loader(config: Config) -> Callable[[str], Strategy | None]:
    """Return a function that loads a strategy by name from its file as it is now, or None if there is none."""
    return lambda name: strategies_of(config).get(name)
