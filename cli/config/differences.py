"""The differences between two configurations, key by key, and which of them a running engine can adopt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import asdict

from papertape.cli.config.overrides import tree_of
from papertape.cli.config.schema import value_text
from papertape.engine.feeds.files.derived_contract import DEFAULT_GROUP

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from papertape.cli.config.sections import Config
    from papertape.engine.kernel.strategy import Strategy

RELOADABLE: Final = (
    ("risk",),
    ("groups",),
    ("strategies",),
    ("feed", "sim", "symbols"),
    ("feed", "bitget", "symbols"),
    ("feed", "bitget", "warm_up_days"),
    ("feed", "ccxt", "symbols"),
    ("feed", "ccxt", "warm_up_days"),
)
"""The sections and keys that a running engine adopts; every other change needs a restart."""


ITEMIZED: Final = ("symbols", "folders")
"""Lists that may be long: only the items that were added or removed are named."""


class Difference(Struct, frozen=True):
    """One key whose value differs."""

    path: tuple[str, ...]
    before: Any
    after: Any

    @property
    def is_reloadable(self) -> bool:
        """Whether a running engine can adopt it."""
        return any(self.path[: len(known)] == known for known in RELOADABLE)

    @property
    def lines(self) -> tuple[str, ...]:
        """The difference in words: `risk.leverage: 3 -> 5`, or a line for each item of a long list."""
        name = ".".join(self.path)
        if self.path[-1] not in ITEMIZED:
            return (f"{name}: {value_text(self.before)} -> {value_text(self.after)}",)
        added = [f"{name}: {item} added" for item in self.after if item not in self.before]
        removed = [f"{name}: {item} removed" for item in self.before if item not in self.after]
        return (*added, *removed) or (f"{name}: in another order",)


def differences(before: Config, after: Config, strategies: Mapping[str, Strategy]) -> list[Difference]:
    """Return every key that differs, sections in their order. A key that one of them omits has its default there.

    What a study promises is left out: it follows from the study's digest and is a long text. So is what a sweep tries.
    """
    old, new = dict(_leaves(tree_of(before))), dict(_leaves(tree_of(after)))
    found = []
    for path in [*old, *(path for path in new if path not in old)]:
        pair = [
            leaves[path] if path in leaves else _default(path, config, strategies)
            for leaves, config in ((old, before), (new, after))
        ]
        if pair[0] != pair[1] and path[0] != "study" and path[-1] != "promise":
            found.append(Difference(path, *pair))
    return found


def _leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the keys of a configuration's tree with their values."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value


def _default(path: tuple[str, ...], config: Config, strategies: Mapping[str, Strategy]) -> Any:
    """Return the value of a key that a configuration omits: only strategies and groups have such keys."""
    match path:
        case ("groups", _):
            return DEFAULT_GROUP
        case ("strategies", _, "risk", key):
            return getattr(config.risk, key)
        case ("strategies", _, "only_symbols"):
            return ()
        case ("strategies", _, "study"):
            return ""
        case ("strategies", name, key) if name in strategies and key in strategies[name].reference_names:
            return dict(strategies[name].references)[key]
        case ("strategies", name, *_, key) if name in strategies:
            defaults = asdict(strategies[name].parameters())
            section = config.strategies.by_name.get(name)
            return defaults.get(key) if section is None else section.parameters.get(key, defaults.get(key))
        case _:
            return None
