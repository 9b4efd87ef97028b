"""The docs match the code: every key, command, event, route and exit code is documented, and no link is broken."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from papertape.events import errors
from tests.docs_commands import FreshFolder, commands_of
from tests.support import REPOSITORY
from tools.reference.pages import FOLDER, pages

DOCS = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")])
NAMING_FILES = [*DOCS, REPOSITORY / "CONTRIBUTING.md", REPOSITORY / "SECURITY.md"]
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")
NAMED_FILE = re.compile(r"`((?:api|cli|deploy|docs|engine|events|projections|sandbox|tests|tools|ui)/[^`\s]*)`")
NAME_IN_FILE = re.compile(r"`(\w+)` (?:in|of) `(\w[\w/]*\.py)`")
UNRUN = {
    "README.md": [
        "make setup",
        "papertape run --feed bitget --set feed.bitget.symbols=BTCUSDT,DOGEUSDT --db data/live.db",
        "papertape doctor --exchange",
        "papertape download --symbol BTCUSDT --from 2025-01-01",
        "docker compose up -d",
        "./deploy.sh",
    ],
    "docs/quick-start.md": [
        "uvx papertape demo",
        "make setup",
        "papertape download --symbol BTCUSDT --kind all --timeframe 5m --from 2024-01-01 --to 2025-01-01",
        "make live",
    ],
}
"""The commands of the first pages that need the network, Docker or root, and say so: no test runs them."""
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
    assert [file for file in NAMED_FILE.findall(text) if not (REPOSITORY / file).exists()] == []
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


@pytest.mark.skipif(not (Path(sys.prefix) / "bin" / "papertape").exists(), reason="papertape is not installed")
@pytest.mark.parametrize("name", UNRUN)
def test_every_command_of_the_first_pages_runs_as_written(name: str, tmp_path: Path) -> None:
    commands = commands_of(REPOSITORY / name)
    assert [command.text for command in commands if not command.is_runnable] == UNRUN[name]
    said = {command.text.partition(" --")[0]: text for command, text in FreshFolder(tmp_path).run(commands)}
    shown = (REPOSITORY / name).read_text(encoding="utf-8")
    for line in said["papertape sweep"].splitlines():
        if line.startswith(("✓ Enough", "✗ Enough", "✗ Costs", "    → costs of")):
            assert line.rstrip() in shown, "the page shows what the command prints"
    assert "9,126" in said["papertape why 9126"]
    assert "logs in once" in said["make run"]
    compared = said.get("papertape compare data/paper.db data/backtest.db", "")
    assert (name == "README.md") == ("The same strategies made the same decisions." in compared)
