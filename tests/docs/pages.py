"""What a reader of a page has done before, and why some blocks are not run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from tests.cli.test_signal_model import LEARNER
from tests.docs.blocks import Block, ShellCommand, blocks_of
from tests.docs.fresh_folder import FreshFolder
from tests.support import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path


class Reading(Struct, frozen=True):
    """How a page is read."""

    is_first: bool = False
    """Whether it needs nothing but a checkout; other readers have done what the quick start says."""
    files_of: str = ""
    """The page whose files are there."""
    before: tuple[str, ...] = ()
    """What the reader has run."""
    programs: str = ""
    """The language of blocks without a title that are programs."""
    tools: tuple[str, ...] = ()
    """What not every machine has."""


LOG: Final = "papertape run --until-end --set feed.sim.days=1 --set feed.sim.warm_up_days=1"
"""Fills the log of the configuration."""
QUICK_START: Final = "docs/quick-start.md"
READINGS: Final = {
    "README.md": Reading(is_first=True),
    QUICK_START: Reading(is_first=True),
    "docs/tutorial.md": Reading(),
    "docs/strategies.md": Reading(),
    "docs/check.md": Reading(files_of="docs/strategies.md"),
    "docs/backtests.md": Reading(),
    "docs/report.md": Reading(),
    "docs/what-if.md": Reading(),
    "docs/research.md": Reading(),
    "docs/promote.md": Reading(),
    "docs/notebooks.md": Reading(programs="python"),
    "docs/cluster.md": Reading(),
    "docs/signals.md": Reading(tools=("curl",)),
    "docs/clients.md": Reading(tools=("curl", "jq", "node")),
    "docs/http-api.md": Reading(tools=("curl",)),
    "docs/alerts.md": Reading(),
    "docs/raspberry-pi.md": Reading(before=(LOG,)),
    "docs/operations.md": Reading(before=(LOG,)),
}
"""All pages with shell blocks whose commands are run."""
DRAWING: Final = "a drawing"
BY_CLIENT_TESTS: Final = "tests/client/test_client.py runs it"
NOT_RUN: Final = {
    ("README.md", "engine/feeds -> engine loop"): DRAWING,
    ("CONTRIBUTING.md", "make setup"): "these are the checks themselves, which CI runs",
    ("docs/architecture.md", "engine process"): DRAWING,
    ("docs/concepts.md", "market ──> engine"): DRAWING,
    ("docs/orders.md", "from papertape.engine.kernel.answers"): "tests/docs/test_blocks.py trades with it",
    ("docs/indicators.md", "from papertape.engine.kernel.indicators"): "the tutorial's file folds the same, and is run",
    ("docs/signals.md", "SIGNALS ="): "parts of a file; examples/strategies/follow_signals.py is the whole one",
    ("docs/signals.md", "{"): "TradingView fills it in",
    ("docs/signals.md", "papertape.example.org {"): "the configuration of another program",
    ("docs/clients.md", "from papertape.client import Client, calls"): BY_CLIENT_TESTS,
    ("docs/clients.md", "import asyncio"): BY_CLIENT_TESTS,
    ("docs/clients.md", "from papertape.client import ApiProblem"): BY_CLIENT_TESTS,
    ("docs/clients.md", "const stream = new EventSource"): "for a browser; the pages follow the log in the same way",
    ("docs/clients.md", '{"mcpServers"'): "of another program; tests/client/test_assistant.py starts the same command",
    ("docs/operations.md", "fall is parked"): "how a fault looks; tests/strategies make it",
}
"""Why a block is not run, by its page and how its first line begins."""
WRITTEN_FROM_CODE: Final = {
    "docs/reference/cli.md": "examples of --help; each is parsed",
    "docs/reference/indicators.md": "signatures",
}
NEEDING: Final = {
    "the network": r"make (setup|live)\b|uvx |pip install |npx |openapi-python-client |git clone |papertape (download|"
    r"doctor --(exchange|notify)|\w+ --feed bitget)\b",
    "Docker": r"docker |\./deploy\.sh",
    "root": r"sudo |journalctl ",
}
"""The beginnings of commands that may say that they need something, and are not run."""


def may_need(command: ShellCommand) -> bool:
    """Return whether a command says that it needs something if, and only if, it does."""
    return command.needs == next((needs for needs, how in NEEDING.items() if re.match(how, command.text)), "")


def fate(page: str, block: Block) -> str:
    """Return what becomes of a block; "" if nobody has said it."""
    if page in WRITTEN_FROM_CODE:
        return WRITTEN_FROM_CODE[page]
    reading = READINGS.get(page)
    if reading is not None and (block.language == "sh" or block.title):
        return "run"
    if reading is not None and block.is_output:
        return "compared"
    if reading is not None and reading.programs == block.language != "":
        return "run"
    if block.language == "toml":
        return "loaded by tests/docs/test_blocks.py"
    return next((NOT_RUN[key] for key in NOT_RUN if key[0] == page and block.first_line.startswith(key[1])), "")


def read_page(page: str, folder: Path, quick_start: Path | None) -> dict[str, str]:
    """Do what a page says, in a fresh folder; return what each command printed. Raise AssertionError if it is wrong."""
    reading = READINGS[page]
    fresh = FreshFolder(folder, after=None if reading.is_first else quick_start)
    if page == "docs/signals.md":
        fresh.lend_package("sklearn.linear_model", LEARNER)
    for block in blocks_of(REPOSITORY / reading.files_of) if reading.files_of else ():
        if block.title:
            fresh.write(block)
    before = Block("sh", "", "\n".join(reading.before), is_output=False)
    return fresh.run([before, *blocks_of(REPOSITORY / page)], programs=reading.programs)
