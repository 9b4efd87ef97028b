"""For every test: the profile of properties, and the canary that no token is written anywhere."""

from __future__ import annotations

import gc
import logging
import os
import re
import shutil
import signal
import time
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.canary import TOLD_MAX, Listening, leaks, outputs
from tests.engine.processes import end_fork_server

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

settings.register_profile("papertape", deadline=None)
settings.load_profile("papertape")

YOUNG_OBJECTS_MAX = 20_000
FIRST_WORKER = "gw0"
COLLECTS_S_MAX = 120.0
"""A first worker that has not collected by then will not; the others go ahead."""

HOME = Path(gettempdir()) / f"papertape-home-{os.getpid()}"
os.environ |= {name: str(HOME / name) for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME")}

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # In a shell's background job; what a test starts inherits it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

gc.disable()  # Nothing that is imported and collected is garbage.


SYSTEM_MODULE = re.compile(r"^pytestmark = (?:\[[^\]]*)?\bpytest\.mark\.system\b", re.MULTILINE)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip modules whose tests the marks would all deselect: importing all takes each worker 20 s."""
    asked = config.getoption("markexpr")
    if "system" not in asked or not collection_path.name.startswith("test_"):
        return None
    text = collection_path.read_text(encoding="utf-8")
    is_left_out = SYSTEM_MODULE.search(text) if "not system" in asked else "mark.system" not in text
    return True if is_left_out else None


LONGEST = (
    "test_every_command_of_the_first_pages",
    "test_every_block_of_the_readme",
    "test_a_power_cut_loses_nothing[engine]",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with tests of more than half a minute: at the end they would keep only one core busy."""
    items.sort(key=lambda item: not item.name.startswith(LONGEST))


WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
COLLECTED = Path(gettempdir()) / f"papertape-collected-{os.environ.get('PYTEST_XDIST_TESTRUNUID', '')}"
"""It is there while the first worker of this run has collected."""


def pytest_collection() -> None:
    """Let the first worker collect before the others: on a clean checkout it compiles every test for all of them."""
    ends_s = time.monotonic() + COLLECTS_S_MAX
    while WORKER not in ("", FIRST_WORKER) and not COLLECTED.exists() and time.monotonic() < ends_s:
        time.sleep(0.05)


def pytest_sessionfinish() -> None:
    """Leave nothing behind."""
    end_fork_server()
    shutil.rmtree(HOME, ignore_errors=True)
    if WORKER == FIRST_WORKER:
        COLLECTED.unlink(missing_ok=True)


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: the collector of garbage passes it by."""
    if WORKER == FIRST_WORKER:
        COLLECTED.touch()
    gc.enable()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS_MAX, 10, 10)


@pytest.fixture(scope="session", autouse=True)
def canary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fails behind the last test when a log record or a file of any test shows a token."""
    listening = Listening()
    logging.getLogger().addHandler(listening)
    yield
    logging.getLogger().removeHandler(listening)
    assert not listening.heard, f"a token stands in records of {listening.heard}"
    found = leaks(tmp_path_factory.getbasetemp())
    assert not found, f"a token stands in {[str(path) for path in found[:TOLD_MAX]]}; see tests/canary.py"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test whose output shows a token has failed."""
    report = yield
    if report.passed and (shown := list(outputs(report.sections))):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} shows a token in {', '.join(shown)}"
    return report
