"""The page's jobs: what is refused, how they run, and how they end."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from papertape.cli.library.data_folders import data_folders
from papertape.cli.library.job_plan import JobPlanner, PlannedJob
from papertape.cli.library.jobs import QUEUED_MAX, JobQueue
from papertape.cli.library.listing import LibraryListing, entry_id
from papertape.events.errors import CommandRefused, ConfigError, LogBusy, UsageError
from papertape.projections.site.library import BacktestRequest, SweepRequest
from tests.build import DAY_0_MS
from tests.cli.research_market import call, sweep_line, write_market
from tests.cli.written_log import write_log
from tests.events.loop import in_loop
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from papertape.projections.site.library import JobKind, JobView

SWEEP: dict[str, Any] = {
    "files": ("X=x.csv",),
    "strategy": "follower",
    "vary": ("sl_percent=0.4,0.8",),
    "engine": "python",
}


def planned(folder: Path, request: BacktestRequest | SweepRequest, *taken: Path) -> PlannedJob:
    """Plan a request on the market in a folder; other jobs write the files `taken`."""
    db = folder / "own.db"
    listing = LibraryListing([db], data_folders([db]))
    return JobPlanner(db, folder / "papertape.toml", taken=taken).plan(request, listing.read(), DAY_0_MS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a data folder with a log, a market and a strategy."""
    write_log(tmp_path / "own.db")
    write_market(tmp_path)
    return tmp_path


def test_a_sweep_becomes_a_command_line_whose_study_lies_beside_the_log(folder: Path) -> None:
    job = planned(folder, SweepRequest(**SWEEP, start="2025-01-02", sets=("risk.leverage=2",)))
    assert job.arguments == (
        *("sweep", "--candles", f"X={folder / 'x.csv'}", "--strategy", "follower", "--vary", "sl_percent=0.4,0.8"),
        *("--from", "2025-01-02", "--set", "risk.leverage=2", "--engine", "python"),
        *("--config", str(folder / "papertape.toml"), "--json", "--set", f"engine.db={folder / 'own.db'}"),
        *("--study", job.name),
    )
    assert job.output == folder / "studies" / f"{job.name}.db"
    assert (job.name[:9], job.address) == ("follower-", f"/studies/{job.name}")


def test_a_backtest_writes_a_new_log_into_a_folder_beside_the_log(folder: Path) -> None:
    request = BacktestRequest(log=entry_id(folder / "own.db"), strategies=("momentum",), name="may")
    job = planned(folder, request)
    assert job.arguments[:5] == ("backtest", "--log", str(folder / "own.db"), "--strategy", "momentum")
    assert job.output == folder / "backtests" / "may.db"
    job.output.parent.mkdir()
    job.output.touch()
    with pytest.raises(UsageError, match="already exists"):
        planned(folder, request)


def test_a_job_without_a_name_takes_none_of_a_waiting_one(folder: Path) -> None:
    request = SweepRequest(**SWEEP)
    first = planned(folder, request)
    second = planned(folder, request, first.output)
    assert second.name == f"{first.name}-2"
    assert planned(folder, request, first.output, second.output).name == f"{first.name}-3"


@pytest.mark.parametrize(
    ("changed", "option"),
    [
        ({"vary": ("sl_percent=0.4:90:1",)}, {"vary": ("sl_percent=0.4:90:1",)}),
        ({"vary": ("nothing=1,2",)}, {"vary": ("nothing=1,2",)}),
        ({"sets": ("risk.leverage=9999",)}, {"more": ("--set", "risk.leverage=9999")}),
        ({"start": "yesterday"}, {"more": ("--from", "yesterday")}),
        ({"name": "../evil"}, {"more": ("--study", "../evil")}),
    ],
)
def test_a_mistake_is_refused_with_the_message_of_the_command_line(
    folder: Path, changed: dict[str, Any], option: dict[str, Any]
) -> None:
    with pytest.raises((UsageError, ConfigError)) as refusal:
        planned(folder, SweepRequest(**SWEEP | changed))
    line = sweep_line(folder, *option.get("more", ()), vary=option.get("vary", ("sl_percent=0.4,0.8",)))
    assert str(refusal.value) in " ".join(call(*line).output.split())


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"sets": ("strategies.folders=/tmp",)}, "can be set"),
        ({"sets": ("engine.db=/tmp/x.db",)}, "can be set"),
        ({"files": ("../../etc/passwd",)}, "no market file"),
        ({"files": ("x.csv",)}, "does not say the symbol"),
        ({"files": ()}, "needs candles"),
        ({"files": (), "log": "../own"}, "no log"),
        ({"strategy": "nobody"}, "nobody"),
    ],
)
def test_what_a_page_must_not_do_is_refused(folder: Path, changed: dict[str, Any], why: str) -> None:
    with pytest.raises((UsageError, ConfigError), match=why):
        planned(folder, SweepRequest(**SWEEP | changed))


@asynccontextmanager
async def queue_of(*arguments: str) -> AsyncIterator[JobQueue]:
    """Yield a queue whose jobs all run one command line of papertape."""
    count = 0

    async def plan(request: BacktestRequest | SweepRequest) -> PlannedJob:
        nonlocal count
        count += 1
        kind: JobKind = "sweep" if isinstance(request, SweepRequest) else "backtest"
        return PlannedJob(kind, request.name, arguments, Path(f"{count}.db"), "/somewhere")

    queue = JobQueue(plan, lambda: DAY_0_MS)
    running = asyncio.ensure_future(queue.run())
    try:
        yield queue
    finally:
        await queue.close()
        await running


async def ended(queue: JobQueue, number: str) -> JobView:
    """Return a job once it has ended."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            [job] = [one for one in queue.views() if one.id == number]
            if job.state not in ("queued", "running"):
                return job
            await asyncio.sleep(0.02)


async def running(queue: JobQueue, number: str) -> JobView:
    """Return a job once its process reports progress."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            [job] = [one for one in queue.views() if one.id == number]
            if job.total:
                return job
            await asyncio.sleep(0.02)


@in_loop
async def test_a_job_that_fails_says_what_the_command_line_says(tmp_path: Path) -> None:
    async with queue_of("verify", "--db", str(tmp_path / "missing.db")) as queue:
        job = await ended(queue, (await queue.start(BacktestRequest(name="a"))).id)
    assert (job.state, job.address) == ("failed", "")
    assert "there is no log at" in job.words


@in_loop
async def test_jobs_run_one_after_the_other_and_a_running_one_is_cancelled(tmp_path: Path) -> None:
    # A simulated market of many years is a child that reports progress and takes long.
    async with queue_of("sample", str(tmp_path / "market"), "--days", "3000", "--symbol", "BTCUSDT") as queue:
        first, second = [await queue.start(SweepRequest(strategy="x", vary=(), name=one)) for one in "ab"]
        shown = await running(queue, first.id)
        assert (shown.state, shown.total, shown.words) == ("running", 3_000, "simulating the market, in days")
        states = {one.name: one.state for one in queue.views()}
        assert states == {"a": "running", "b": "queued"}
        assert (await queue.cancel(second.id)).state == "cancelled"
        await queue.cancel(first.id)
        job = await ended(queue, first.id)
        assert (job.state, job.resumable) == ("cancelled", True)
        assert not (await ended(queue, second.id)).resumable
        with pytest.raises(CommandRefused, match="has ended"):
            await queue.cancel(first.id)
        again = await queue.again(first.id)
        assert (again.name, again.state) == ("a", "queued")


@in_loop
async def test_the_queue_has_a_limit(tmp_path: Path) -> None:
    async with queue_of("sample", str(tmp_path / "market"), "--days", "3000") as queue:
        for number in range(QUEUED_MAX + 1):
            await queue.start(BacktestRequest(name=str(number)))
        with pytest.raises(LogBusy, match="waiting already"):
            await queue.start(BacktestRequest(name="one more"))
