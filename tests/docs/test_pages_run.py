"""Every block of code in the docs is run as written, or says why not."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from pathlib import Path

import msgspec
import pytest

from tests.docs.blocks import Block, ShellCommand, blocks_of, commands_of
from tests.docs.edits import apply_diff, merge_toml
from tests.docs.fresh_folder import FreshFolder, assert_printed
from tests.docs.pages import NOT_RUN, QUICK_START, READINGS, fate, may_need, read_page
from tests.support import REPOSITORY

PAGES = sorted([REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *(REPOSITORY / "docs").rglob("*.md")])
NAMES = [path.relative_to(REPOSITORY).as_posix() for path in PAGES]
installed = pytest.mark.skipif(
    not (Path(sys.prefix) / "bin" / "papertape").exists(), reason="papertape is not installed"
)


@pytest.fixture(scope="session")
def quick_start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do the quick start, once for all workers; return the folder that it leaves behind."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "quick-start"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "begun").exists():
            (folder / "begun").touch()
            said = read_page(QUICK_START, folder / "reader", None)
            (folder / "said.json").write_bytes(msgspec.json.encode(said))
    assert (folder / "said.json").exists(), "another worker tells what is wrong with the quick start"
    return folder / "reader"


def quick_start_said(quick_start: Path) -> dict[str, str]:
    return msgspec.json.decode((quick_start.parent / "said.json").read_bytes(), type=dict[str, str])


def assert_shows_the_first_minute(said: dict[str, str]) -> None:
    """Raise AssertionError unless the commands of the first pages printed what those say."""
    said = {text.partition(" --")[0]: printed for text, printed in said.items()}
    assert "9,126" in said["papertape why 9126"]
    assert "logs in once" in said["make run"]


@pytest.mark.system
@installed
def test_every_command_of_the_first_pages_runs_as_written(quick_start: Path) -> None:
    assert_shows_the_first_minute(quick_start_said(quick_start))


@pytest.mark.system
@installed
def test_every_block_of_the_readme_runs_as_written(tmp_path: Path) -> None:
    said = read_page("README.md", tmp_path, None)
    assert_shows_the_first_minute(said)
    compared = said["papertape compare data/paper.db data/backtest.db"]
    assert "The same strategies made the same decisions." in compared


@pytest.mark.system
@installed
@pytest.mark.parametrize("page", [name for name, reading in READINGS.items() if not reading.is_first])
def test_every_block_of_a_page_runs_as_written(page: str, quick_start: Path, tmp_path: Path) -> None:
    if missing := [tool for tool in READINGS[page].tools if shutil.which(tool) is None]:
        pytest.skip(f"this page needs {', '.join(missing)}")
    read_page(page, tmp_path, quick_start)


@pytest.mark.parametrize("page", NAMES)
def test_every_block_is_run_or_says_why_not(page: str) -> None:
    lost = [block.first_line for block in blocks_of(REPOSITORY / page) if not fate(page, block)]
    assert lost == [], "run it in tests/docs/pages.py, or say there why not"


def test_every_reason_belongs_to_a_block() -> None:
    for page, start in NOT_RUN:
        assert any(block.first_line.startswith(start) for block in blocks_of(REPOSITORY / page)), (page, start)


@pytest.mark.parametrize("page", READINGS)
def test_only_what_needs_something_says_so(page: str) -> None:
    wrong = [command.text for command in commands_of(REPOSITORY / page) if not may_need(command)]
    assert wrong == [], "it says that it needs something and does not, or the other way round"


@pytest.mark.system
@installed
@pytest.mark.parametrize(
    ("command", "comment"),
    [("papertape stragegies", ""), ("papertape strategies", "exits with 1"), ("papertape strategies nobody", "")],
)
def test_a_wrong_command_fails(command: str, comment: str, tmp_path: Path) -> None:
    block = Block("sh", "", f"export PATH=$PWD/.venv/bin:$PATH\n{command}  # {comment}\n", is_output=False)
    with pytest.raises(AssertionError, match="exited with"):
        FreshFolder(tmp_path).run([block])


def test_an_output_that_was_not_printed_fails() -> None:
    assert_printed("a  1\n...\nfast 12.5 facts/s\n", "note\na 1\nb\nfast 7 facts/s\n")
    assert_printed("3 folds, about 1 s, 9 kB; 0 trials so far\n", "3 folds, about 2m 10s, 9 kB; 66 trials so far\n")
    with pytest.raises(AssertionError, match="x 9 folds"):
        assert_printed("6 sets x 9 folds, about 1 s, 9 kB\n", "6 sets x 3 folds, about 1 s, 9 kB\n")
    with pytest.raises(AssertionError, match="a 2"):
        assert_printed("a 2\n", "a 1\n")


def test_comments_say_how_a_command_is_run(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text('```sh\none \\\n    two  # exits with 3\n```\n\n```\nprinted\n```\n\n```py title="a.py"\nx\n```\n')
    shell, output, titled = blocks_of(page)
    assert shell.commands == [ShellCommand("one two", "exits with 3")]
    assert (shell.commands[0].exit_code, output.is_output, titled.title) == (3, True, "a.py")
    page.write_text("```py linenums\nx\n```\n")
    with pytest.raises(ValueError, match="not understood"):
        blocks_of(page)


def test_a_reader_s_edits() -> None:
    assert apply_diff("a\nb\nc\nd\n", "-b\n+B\n c\n\n+e\n d\n") == "a\nB\nc\ne\nd\n"
    with pytest.raises(AssertionError, match="0 times"):
        apply_diff("a\n", "-b\n")
    assert merge_toml("[a]\nx = 1\n[b]\ny = 2\n", "[a]\nx = 3\nz = 4\n\n[c]\nw = 5\n") == (
        "[a]\nz = 4\nx = 3\n[b]\ny = 2\n\n[c]\nw = 5\n"
    )
