"""Names and docstrings: one class name in one room, nouns and verbs, the imperative, one sentence for a folder."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from tests.architecture.source import ROOMS, at, nodes, sources, tree
from tests.support import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

NAMED = (*ROOMS, "tools", "benchmarks", "papertape/notebook")
FOLDER_FILES_MAX = 30
NO_NAMES = re.compile(
    "asked|ask|attend|attending|choosing|chosen|finding|found|given|how|keep|kept|leaving|left|looked|looking|made|said|"
    "seen|spared|sparing|taken|tell|told|wanted|what|where|whether|which|who"
)
"""Participles and questions: a name is what the field calls the thing, or a verb with its object."""
NOT_IMPERATIVE = re.compile(
    "A|All|An|As|At|Every|Everything|For|Gives|How|In|Never|No|Nothing|One|Only|Raises|Returns|So|Takes|That|The|These|"
    "This|Those|What|When|Where|Whether|Which|Who"
)
TIME_IN_MS = re.compile(r"^(?:SECOND|MINUTE|HOUR|DAY)S?_MS$")


def room(path: Path) -> str:
    """Return the top-level folder of a file."""
    return path.relative_to(REPOSITORY).parts[0]


def is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Tell whether a function is read like an attribute, so that a noun describes it."""
    names = [getattr(one, "id", getattr(one, "attr", "")) for one in node.decorator_list]
    return any(name in ("property", "cached_property") for name in names)


def test_no_class_name_stands_in_two_rooms() -> None:
    rooms: dict[str, set[str]] = defaultdict(set)
    for path, node in nodes(*NAMED):
        if isinstance(node, ast.ClassDef):
            rooms[node.name].add(room(path))
    wrong = [f"{name} is a class in {', '.join(sorted(found))}" for name, found in rooms.items() if len(found) > 1]
    assert not wrong, "\n".join([*wrong, "give one of them the noun of what it is"])


def test_names_are_nouns_or_verbs_with_an_object() -> None:
    wrong = [at(path, 1) for path in sources(*NAMED) if NO_NAMES.fullmatch(path.stem.strip("_"))]
    wrong += [
        f"{at(path, node.lineno)} {node.name}"
        for path, node in nodes(*NAMED)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and NO_NAMES.fullmatch(node.name.strip("_"))
    ]
    assert not wrong, "\n".join([*wrong, "name it by a noun of the field, or by a verb and its object"])


def test_docstrings_of_functions_are_imperative() -> None:
    wrong = [
        f"{at(path, node.lineno)} {node.name}: {text.splitlines()[0]}"
        for path, node in nodes(*NAMED)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not is_property(node)
        and (text := ast.get_docstring(node))
        and NOT_IMPERATIVE.fullmatch(text.split()[0].rstrip(",:;"))
    ]
    assert not wrong, "\n".join([*wrong, "begin with the verb: Return, Raise, Yield, Write ..."])


def test_every_folder_says_in_one_sentence_what_it_holds() -> None:
    folders = {path.parent for path in sources(*NAMED)}
    wrong = []
    for folder in sorted(folders):
        init = folder / "__init__.py"
        text = (ast.get_docstring(tree(init)) or "") if init.is_file() else ""
        if room(init) != "tools" and not re.fullmatch(r"[^.]*(?:\.\w[^.]*)*\.", text.replace("\n", " ")):
            wrong.append(f"{at(init, 1)}: {text!r}")
    assert not wrong, "\n".join([*wrong, "write one sentence that says what the folder holds"])


def test_no_folder_holds_more_files_than_a_reader_overlooks() -> None:
    counts = Counter(path.parent.relative_to(REPOSITORY).as_posix() for path in sources(*NAMED))
    wrong = [f"{folder}/ holds {count} files" for folder, count in counts.items() if count > FOLDER_FILES_MAX]
    assert not wrong, "\n".join([*wrong, f"make rooms of its concepts, {FOLDER_FILES_MAX} files are the most"])


def test_units_of_time_are_defined_once() -> None:
    wrong = [
        f"{at(path, node.lineno)} defines {target.id}; import it from papertape.events.units"
        for path, node in nodes(*NAMED)
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and TIME_IN_MS.match(target.id)
        if path.relative_to(REPOSITORY).as_posix() != "events/units.py"
    ]
    assert not wrong, "\n".join(wrong)
