"""Shell completion of option values: the words an option accepts, or strategy names. The shell itself completes files.

A completion must not take longer than typing, so strategies are found by the names of their files.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from typer import _completion_shared as shared

from papertape.cli.config.places import find_places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

WORDS: Final = re.compile(r"\[?[\w:]+(\|[\w:]+)+\]?")
BUILT_IN: Final = Path(__file__).absolute().parents[2] / "engine" / "strategies"
STRATEGY: Final = "strategy"
ZSH_FIRST_TAB: Final = """
if [[ $funcstack[1] = _%(prog_name)s ]]; then %(complete_func)s "$@"; fi
"""


def answer_first_tab() -> None:
    """Let zsh's script answer the first tab of a session, at which typer's script only defines the completion."""
    shared._completion_scripts["zsh"] = f"{shared.COMPLETION_SCRIPT_ZSH}{ZSH_FIRST_TAB}"  # noqa: SLF001 - typer has no other place for it.


def complete(param: Any) -> None:
    """Let a parameter complete the values it accepts, as far as its name and metavar tell."""
    metavar = param.metavar or ""
    words = [word for word in metavar.strip("[]").split("|") if word.islower()] if WORDS.fullmatch(metavar) else []
    if STRATEGY in (param.name, metavar.strip("[]").partition("|")[0].lower()):
        _offer(param, lambda: [*strategy_names(), *words])
    elif words:
        _offer(param, lambda: words)


def _offer(param: Any, words: Callable[[], Iterable[str]]) -> None:
    # Typer accepts this function only where an option is declared; most of ours follow from the metavar.
    param._custom_shell_complete = lambda _context, _param, begun: [one for one in words() if one.startswith(begun)]  # noqa: SLF001


def strategy_names() -> list[str]:
    """Return the built-in strategies, those in the folders of the configuration, and those that have a section."""
    folders, sections = [BUILT_IN], list[str]()
    file = find_places().file
    if file is not None:
        try:
            named = tomllib.loads(file.read_text(encoding="utf-8")).get("strategies", {})
            folders += [file.parent / folder for folder in named.get("folders", ())]
            sections = [name for name, section in named.items() if isinstance(section, dict)]
        except (OSError, ValueError, AttributeError, TypeError):
            pass  # The command itself reports what is wrong with it.
    files = [path.stem for folder in folders for path in sorted(folder.glob("*.py"))]
    return list(dict.fromkeys(name for name in (*files, *sections) if not name.startswith("_")))
