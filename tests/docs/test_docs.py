"""The docs match the code: every key, command, event, route and exit code is documented, and no link is broken."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from papertape.events import errors
from tests.support import REPOSITORY
from tools.reference.pages import FOLDER, pages

DOCS = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")])
NAMING_FILES = [*DOCS, REPOSITORY / "CONTRIBUTING.md", REPOSITORY / "SECURITY.md"]
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")
NAMED_FILE = re.compile(r"`((?:api|cli|deploy|docs|engine|events|projections|sandbox|tests|tools|ui)/[^`\s]*)`")
FETCHED = "ui/assets/"
"""`make setup` fetches it where it reaches npm."""
NAME_IN_FILE = re.compile(r"`(\w+)` (?:in|of) `(\w[\w/]*\.py)`")
HOP = re.compile(r"^\| \d+ \| `([^`]+)` \| ([^|]+) \|", re.MULTILINE)


@cache
def reference_pages() -> dict[str, str]:
    return pages()


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.iterdir()))
def test_a_reference_page_matches_the_code(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == reference_pages()[name], "run `make docs`"


@pytest.mark.parametrize("page", DOCS, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_no_link_is_broken(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_page_is_linked_from_the_readme() -> None:
    reached, waiting = set(), [REPOSITORY / "README.md"]
    while waiting:
        page = waiting.pop().resolve()
        if page not in reached and page.suffix == ".md":
            reached.add(page)
            waiting += [page.parent / target for target in LINK.findall(page.read_text(encoding="utf-8"))]
        elif page.is_dir():
            waiting += page.glob("*.md")
    lost = [page for page in DOCS if page not in reached and "adr" not in page.parts]
    assert lost == []


@pytest.mark.parametrize("page", NAMING_FILES, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [file for file in NAMED_FILE.findall(text) if file != FETCHED and not (REPOSITORY / file).exists()] == []
    for name, file in NAME_IN_FILE.findall(text):
        assert re.search(rf"\b(def|class) {name}\b", (REPOSITORY / file).read_text(encoding="utf-8")), (name, file)


def test_every_hop_of_a_candle_is_a_function_of_its_file() -> None:
    hops = HOP.findall((REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8"))
    assert hops
    for file, functions in hops:
        source = (REPOSITORY / re.sub("^feeds/", "engine/feeds/", file)).read_text(encoding="utf-8")
        for name in re.findall(r"`([^`]+)`", functions):
            owner, _, function = name.rpartition(".")
            assert f"def {function}(" in source, f"{file} has no function {function}; correct docs/architecture.md"
            assert not owner or f"class {owner}" in source, f"{file} has no class {owner}; correct docs/architecture.md"


def test_every_exit_code_is_explained() -> None:
    operations = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.PapertapeError)
    ]
    for code in {kind.exit_code for kind in kinds} | {0, 130}:
        assert f"\n| {code} | " in operations.partition("## Exit codes")[2]


def test_make_docs_changes_nothing() -> None:
    before = {path: path.read_bytes() for path in FOLDER.iterdir()}
    subprocess.run([sys.executable, "-m", "tools.reference"], cwd=REPOSITORY, check=True, capture_output=True)
    assert {path: path.read_bytes() for path in FOLDER.iterdir()} == before


def test_no_row_of_the_comparison_is_lost_without_a_reason() -> None:
    text = (REPOSITORY / "docs" / "comparison.md").read_text(encoding="utf-8")
    rows = text.partition("## freqtrade and FreqUI in detail")[2].partition("\n## ")[0].strip().splitlines()[2:]
    assert len(rows) > 20
    for row in rows:
        _, topic, theirs, ours, behind, _ = (cell.strip() for cell in row.split("|"))
        assert theirs and ours
        is_less = "**" in ours
        assert (behind == "no" and not is_less) or re.fullmatch(r"(yes|on purpose): .+", behind), f"{topic}: why?"
    cited, sources = set(re.findall(r"\[(\d+)\]", text)), set(re.findall(r"^(\d+)\. ", text, re.MULTILINE))
    assert cited == sources
