"""Finding strategies: the files of `engine/strategies` and of the owner's own folders.

A file whose module has a `NAME` is a strategy. `code_digest` covers the kernel and every strategy found, so a
change of any of them is seen by snapshots, by the compiled kernel's cache and in `EngineStarted`.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import pkgutil
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import papertape.engine.kernel
import papertape.engine.reducer
import papertape.engine.strategies
from papertape.engine.kernel.strategy import Strategy, strategy_from
from papertape.events.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import ModuleType

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
"""What a file may raise while it is read: all but what ends the process."""


def load_strategies(folders: Sequence[Path] = ()) -> dict[str, Strategy]:
    """All strategies by name: the four built-in ones in their order, then others by file name.

    Raises ConfigError for a file that cannot be loaded, and for a name that stands twice.
    """
    modules = [*_built_in(), *(_load(path) for folder in folders for path in _files(folder))]
    found: dict[str, Strategy] = {}
    for module in modules:
        if not hasattr(module, "NAME"):
            continue
        strategy = strategy_from(module)
        if strategy.name in found:
            raise ConfigError(f"strategy {module.__file__}: the name {strategy.name!r} is taken")
        found[strategy.name] = strategy
    if len(found) > STRATEGIES_MAX:
        raise ConfigError(f"{len(found)} strategies found, at most {STRATEGIES_MAX} can run")
    return found


def _built_in() -> list[ModuleType]:
    """The modules of `engine.strategies`, the four known ones first."""
    names = sorted(module.name for module in pkgutil.iter_modules(papertape.engine.strategies.__path__))
    ordered = [*BUILT_IN_ORDER, *(name for name in names if name not in BUILT_IN_ORDER)]
    return [importlib.import_module(f"papertape.engine.strategies.{name}") for name in ordered]


def _files(folder: Path) -> list[Path]:
    """The Python files of an owner's folder, by name."""
    if not folder.is_dir():
        raise ConfigError(f"strategies.folders: {folder} is not a folder")
    return sorted(path for path in folder.glob("*.py") if not path.name.startswith("_"))


def _load(path: Path) -> ModuleType:
    """Import one file. What goes wrong inside it is reported with its name."""
    name = f"papertape_strategy_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"strategy {path}: cannot be read as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        room = (error.name or "").split(".")[0]
        hint = f"; import it from papertape.{room}" if room in ("engine", "events") else ""
        raise ConfigError(f"strategy {path}: {error}{hint}") from error
    except _OWNERS_ERRORS as error:
        raise ConfigError(f"strategy {path}: {type(error).__name__}: {error}") from error
    return module


def code_digest(strategies: Iterable[Strategy]) -> str:
    """A digest of everything that decides: the kernel's sources and those of the given strategies."""
    digest = _kernel_digest().copy()
    for strategy in strategies:
        digest.update(strategy.name.encode())
        digest.update(strategy.source.encode())
    return digest.hexdigest()


def loop_digest(strategy: Strategy, strategies: Mapping[str, Strategy]) -> str:
    """A digest of all that the compiled loop of one of the given strategies may be made of.

    The built-in ones know nothing of an owner's files: their loops outlive an edit of those.
    """
    shipped = _shipped()
    return shipped_digest() if shipped.get(strategy.name) == strategy else code_digest(strategies.values())


@cache
def shipped_digest() -> str:
    """A digest of the kernel and the built-in strategies."""
    return code_digest(_shipped().values())


@cache
def _shipped() -> dict[str, Strategy]:
    """The built-in strategies."""
    return load_strategies()


@cache
def _kernel_digest() -> hashlib.blake2b:
    """The digest as far as the kernel's sources, read once: what a process has imported does not change any more."""
    digest = hashlib.blake2b(digest_size=16)
    for room in (papertape.engine.kernel, papertape.engine.reducer):
        for path in sorted(Path(str(room.__file__)).parent.glob("*.py")):
            digest.update(path.read_bytes())
    return digest
