"""Load the strategies in `engine/strategies` and in the owner's own folders, and digest the code that decides.

A file whose module has a `NAME` is a strategy. `code_digest` covers the kernel, the reducer and the strategies, so a
change to any of them is noticed by snapshots, by the cache of compiled loops and in `EngineStarted`.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import linecache
import pkgutil
import re
import sys
from functools import cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

import papertape.engine.kernel
import papertape.engine.reducer
import papertape.engine.strategies
import papertape.events.units
from papertape.engine.contract.source_check import fault_of
from papertape.engine.kernel.strategy import Strategy, strategy_from
from papertape.engine.reducer.hook_guard import error_text, place_of
from papertape.engine.reducer.stand_in import unusable
from papertape.events.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import CodeType, ModuleType

BUILT_IN_ORDER = ("vwap_rsi", "momentum", "funding", "liquidation")
STRATEGIES_MAX = 64
_OWNERS_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
"""What the import of a file may raise: everything except what ends the process."""


def load_strategies(folders: Sequence[Path] = ()) -> dict[str, Strategy]:
    """Return all strategies by name: the four built-in ones in their order, then others by file name.

    Raise ConfigError for a file that cannot be loaded, for a folder that does not exist, and for a name that occurs
    twice.
    """
    return _collect(folders, _load_if_named)


def load_all_strategies(folders: Sequence[Path] = ()) -> dict[str, Strategy]:
    """Return all strategies like `load_strategies`, those that cannot be used with their faults.

    Such a file is there by the name that it gives itself. Raise ConfigError for a folder that does not exist, and for a
    name that occurs twice.
    """
    return _collect(folders, load_with_fault)


def _collect(folders: Sequence[Path], load: Callable[[Path], Strategy | None]) -> dict[str, Strategy]:
    """Return the built-in strategies, and those that `load` returns for the files of the folders."""
    strategies: dict[str, Strategy] = {module.NAME: strategy_from(module) for module in _built_in()}
    for path in (path for folder in folders for path in _files(folder)):
        strategy = load(path)
        if strategy is None:
            continue
        if strategy.name in strategies:
            raise ConfigError(f"strategy {path}: the name {strategy.name!r} is taken")
        strategies[strategy.name] = strategy
    if len(strategies) > STRATEGIES_MAX:
        raise ConfigError(f"{len(strategies)} strategies found, at most {STRATEGIES_MAX} can run")
    return strategies


def with_instances(
    strategies: Mapping[str, Strategy], instances: Mapping[str, str], references: Mapping[str, Mapping[str, str]]
) -> dict[str, Strategy]:
    """Return the strategies, those that run an other's file under a name of their own, and the references of each.

    `instances` gives the other's name; those of an unknown strategy are left out. `references` gives the symbols that
    differ from the file's.
    """
    others = {
        name: replace(strategies[of], name=name, of=of)
        for name, of in instances.items()
        if name not in strategies and of in strategies
    }
    return {
        name: replace(one, references=tuple({**dict(one.references), **references[name]}.items()))
        if references.get(name)
        else one
        for name, one in {**strategies, **others}.items()
    }


def fault_text(strategy: Strategy) -> str:
    """Return why a strategy's file cannot be used, with file and line: `grid.py:3: SyntaxError: invalid syntax`."""
    return f"{strategy.fault_place}: {strategy.fault}" if strategy.fault_place else strategy.fault


def load_with_fault(path: Path) -> Strategy | None:
    """Return the strategy of a file as it is now, with its fault if it cannot be used; None if it has no `NAME`."""
    try:
        return _load_if_named(path)
    except ConfigError as error:
        cause, text = error.__cause__, str(error).removeprefix(f"strategy {path}:").strip()
        line, colon, rest = text.partition(": ")
        if colon and line.isdecimal():
            return unusable(_name_in(path), rest, f"{path.name}:{line}")
        return unusable(_name_in(path), text, path.name if cause is None else place_of(cause, str(path), 1))


def load_strategy(path: Path) -> Strategy:
    """Return the strategy of one file. Raise ConfigError if it cannot be loaded or is none."""
    if (strategy := _load_if_named(path)) is None:
        raise ConfigError(f"strategy {path}: `NAME` is missing")
    return strategy


def _load_if_named(path: Path) -> Strategy | None:
    """Return the strategy of a file, None if it has no `NAME`. Raise ConfigError if it cannot be loaded."""
    module = _load(path)
    return strategy_from(module) if hasattr(module, "NAME") else None


def load_from(folders: Sequence[Path]) -> Callable[[str], Strategy | None]:
    """Return a function that loads a strategy by name from its file, or None if no file has that name."""

    def load(name: str) -> Strategy | None:
        shipped = _shipped().get(name)
        return shipped if shipped is not None else load_all_strategies(folders).get(name)

    return load


def _name_in(path: Path) -> str:
    """Return the `NAME` that a file gives itself without running it, else the name of the file."""
    found = re.search(r"""^NAME\s*(?::[^=]*)?=\s*["']([^"']+)["']""", path.read_text(errors="replace"), re.MULTILINE)
    return found[1] if found else path.stem


def _built_in() -> list[ModuleType]:
    """Return the modules of `engine.strategies`, the four known ones first."""
    names = sorted(module.name for module in pkgutil.iter_modules(papertape.engine.strategies.__path__))
    ordered = [*BUILT_IN_ORDER, *(name for name in names if name not in BUILT_IN_ORDER)]
    return [importlib.import_module(f"papertape.engine.strategies.{name}") for name in ordered]


def _files(folder: Path) -> list[Path]:
    """Return the Python files of an owner's folder, sorted by name."""
    if not folder.is_dir():
        raise ConfigError(f"strategies.folders: {folder} is not a folder")
    return sorted(path for path in folder.glob("*.py") if not path.name.startswith("_"))


def _load(path: Path) -> ModuleType:
    """Import one file if its source keeps the contract. Raise ConfigError, naming the file, for any error in it."""
    if fault := fault_of(path):
        raise ConfigError(f"strategy {fault}")
    name = f"papertape_strategy_{path.stem}"
    linecache.checkcache(str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=_SourceLoader(name, str(path.absolute())))
    if spec is None or spec.loader is None:
        raise ConfigError(f"strategy {path}: cannot be read as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        old = (error.name or "").removeprefix("papertape.").startswith(("engine", "events"))
        hint = "; docs/strategies.md says what to import from papertape.engine.kernel" if old else ""
        raise ConfigError(f"strategy {path}: {error}{hint}") from error
    except _OWNERS_ERRORS as error:
        raise ConfigError(f"strategy {path}: {error_text(error)}") from error
    return module


class _SourceLoader(SourceFileLoader):
    """Compiles a file each time: cached bytecode may be older than an edit within the same second."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def code_digest(strategies: Iterable[Strategy]) -> str:
    """Return a digest of all code that decides: the sources of kernel, reducer and the given strategies."""
    digest = _kernel_digest().copy()
    for strategy in strategies:
        digest.update(strategy.name.encode())
        digest.update(strategy.source.encode())
    return digest.hexdigest()


def loop_digest(strategy: Strategy) -> str:
    """Return a digest of all code that may be part of the compiled loop of a strategy: the kernel and its own file.

    A strategy's file imports no other one, so its loop stays valid when others change.
    """
    return code_digest([strategy])


def is_shipped(strategy: Strategy) -> bool:
    """Return whether a strategy is one of papertape's own, which are tested as part of the kernel."""
    shipped = _shipped().get(strategy.of or strategy.name)
    return shipped is not None and replace(strategy, name=shipped.name, of="") == shipped


@cache
def kernel_digest() -> str:
    """Return a digest of kernel and reducer."""
    return _kernel_digest().hexdigest()


@cache
def _shipped() -> dict[str, Strategy]:
    return load_strategies()


@cache
def _kernel_digest() -> hashlib.blake2b:
    """Return the digest of kernel, reducer and units, computed once: what a process has imported does not change."""
    digest = hashlib.blake2b(digest_size=16)
    for room in (papertape.engine.kernel, papertape.engine.reducer):
        for path in sorted(Path(str(room.__file__)).parent.rglob("*.py")):
            digest.update(path.read_bytes())
    digest.update(Path(papertape.events.units.__file__).read_bytes())
    return digest
