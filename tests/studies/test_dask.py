"""A study on a real scheduler and two workers: what each of them refuses, fetches and survives.

Whatever is killed, whenever: the resumed study ends with the same digest, and nothing is stored twice.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from random import Random
from typing import TYPE_CHECKING

import pytest
import yaml
from msgspec.structs import replace

from papertape.events.errors import SchedulerGone, WorkerRefused
from papertape.studies.executors.here import Here
from papertape.studies.tape_store import TapeStore
from papertape.studies.tasks import TaskFailure, TaskOutcome
from tests.patience import stretched
from tests.studies.chores import SPANS, Deadly, small_tape, task
from tests.studies.cluster import Cluster, begin_study, end_of, kill
from tests.studies.study_process import SETS
from tests.studies.study_process import run as run_study
from tests.support import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from papertape.studies.executors.dask import DaskCluster

pytestmark = pytest.mark.system


def connect(tapes: TapeStore, address: str, patience_s: float = 60.0) -> DaskCluster:
    """An executor. Its library is imported here: not every worker of the tests needs it."""
    from papertape.studies.executors.dask import DaskCluster  # noqa: PLC0415

    return DaskCluster(tapes, address, patience_s)


@pytest.fixture(scope="module")
def tapes(tmp_path_factory: pytest.TempPathFactory) -> TapeStore:
    """The small tape, stored."""
    return TapeStore(tmp_path_factory.mktemp("tapes"))


@pytest.fixture(scope="module")
def digest(tapes: TapeStore) -> str:
    """The digest of the small tape."""
    return tapes.put(small_tape())


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler and two workers."""
    with Cluster(tmp_path_factory.mktemp("workers")) as made:
        yield made


@pytest.fixture(scope="module")
def executor(tapes: TapeStore, cluster: Cluster) -> Iterator[DaskCluster]:
    """The executor on them."""
    made = connect(tapes, cluster.address)
    yield made
    made.close()


def test_workers_fetch_the_tape_once_and_give_what_this_process_gives(
    executor: DaskCluster, tapes: TapeStore, digest: str
) -> None:
    tasks = [task(digest, range(at, at + 2), 2, SETS) for at in range(0, SETS, 2)]
    found = sorted(executor.run(tasks), key=lambda one: one.numbers[0])
    expected = [*Here(tapes).run(tasks)]
    assert all(isinstance(one, TaskOutcome) for one in expected)
    assert [replace(one, took_s=0.0) for one in found] == [replace(one, took_s=0.0) for one in expected]
    assert 1 <= len(executor._shipments) <= 2


def test_a_worker_with_other_code_or_other_libraries_is_refused_by_name(executor: DaskCluster, digest: str) -> None:
    own = task(digest, range(2))
    with pytest.raises(WorkerRefused, match=rf"{own.code_digest}.*0{{32}}"):
        [*executor.run([replace(own, code_digest="0" * 32)])]
    with pytest.raises(WorkerRefused, match=r"numba 0\.\S+, the study 0\.67\.0"):
        [*executor.run([replace(own, versions={**own.versions, "numba": "0.67.0"})])]


def test_a_tape_that_is_damaged_on_a_worker_is_fetched_again(
    executor: DaskCluster, digest: str, cluster: Cluster
) -> None:
    for path in cluster.folder.rglob("*.tape"):
        path.write_bytes(path.read_bytes()[:-8])
    settings = replace(task(digest, ()).settings, parameters={"tp_percent": 0.5})  # No runner has it in memory.
    tasks = [replace(task(digest, range(at, at + 2), 2), settings=settings) for at in range(0, 4, 2)]
    assert [type(one) for one in executor.run(tasks)] == [TaskOutcome, TaskOutcome]


@pytest.mark.slow
def test_a_task_that_kills_its_workers_is_run_alone_reported_and_the_others_are_done(
    executor: DaskCluster, digest: str, cluster: Cluster
) -> None:
    tasks = [replace(task(digest, range(at, at + 2), 2, SETS), space=Deadly(SETS, 5)) for at in range(0, SETS, 2)]
    with cluster.restarting():
        found = [*executor.run(tasks)]
    [failure] = [one for one in found if isinstance(one, TaskFailure)]
    assert (failure.numbers, failure.error) == (range(4, 6), "its process ended with SIGSEGV")
    assert sorted(n for one in found if isinstance(one, TaskOutcome) for n in one.numbers) == [
        *range(4),
        *range(6, SETS),
    ]


def test_a_scheduler_that_is_not_there_is_waited_for_then_named(tapes: TapeStore) -> None:
    began_s = time.monotonic()
    with pytest.raises(SchedulerGone, match=r"the scheduler tcp://127\.0\.0\.1:9 did not answer for 1 s"):
        connect(tapes, "tcp://127.0.0.1:9", patience_s=1.0)
    assert 1.0 <= time.monotonic() - began_s < stretched(20.0)


@pytest.mark.slow
def test_the_compose_file_starts_what_the_documentation_says() -> None:
    found = yaml.safe_load((REPOSITORY / "deploy" / "dask" / "compose.yaml").read_text())
    for name, service in found["services"].items():
        command = [*service["entrypoint"], *service["command"]]
        assert command[:2] == ["dask", name]
        known = subprocess.run(
            [sys.executable, "-m", f"distributed.cli.dask_{name}", "--help"], capture_output=True, text=True, check=True
        ).stdout
        assert all(word.partition("=")[0] in known for word in command if word.startswith("--")), command
        assert service["environment"]["DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES"] == "1"
        assert service["user"] != "0:0" and service["read_only"] and service["cap_drop"] == ["ALL"]
        assert f"\nFROM base AS {service['build']['target']}\n" in (REPOSITORY / "Dockerfile").read_text()


# ---------------------------------------------------------------- kills


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where studies and tapes lie."""
    return tmp_path_factory.mktemp("studies")


@pytest.fixture(scope="module")
def undisturbed(folder: Path) -> str:
    """The digest of a study that nothing disturbed."""
    return run_study(folder, "undisturbed", "here")


def await_moment(study: subprocess.Popen[str], random: Random) -> bool:
    """Wait for the next moment, while up to three chunks are stored; whether the study goes on."""
    assert study.stdout is not None
    for _ in range(random.randint(1, 4)):
        if study.stdout.readline() not in ("running\n", "stored\n"):
            return False
    time.sleep(random.uniform(0.0, 0.2))
    return True


def check_file(path: Path) -> None:
    """All sets are there once, and the file is sound."""
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        for table in ("result", "days"):
            count = file.execute(f"SELECT COUNT(*) FROM {table}").fetchone()
            assert count == (SETS * len(SPANS),), table
        assert file.execute("SELECT COUNT(*) FROM failed").fetchone() == (0,)


def test_a_killed_scheduler_with_its_workers_and_a_killed_study_change_no_result(
    folder: Path, undisturbed: str, cluster: Cluster
) -> None:
    random = Random(3)
    study = begin_study(folder, "small", cluster.address)
    assert await_moment(study, random)
    cluster.kill_scheduler()
    assert await_moment(study, random)
    kill(study)
    code, lines = end_of(begin_study(folder, "small", "here"))
    assert (code, lines[-1:]) == (0, [undisturbed]), lines
    check_file(folder / "small.db")


@pytest.mark.slow
@pytest.mark.timeout(2_400)
def test_fifty_kills_at_random_moments_change_no_result(folder: Path, undisturbed: str, cluster: Cluster) -> None:
    """Studies one after the other, each killed several times, its workers and its scheduler too."""
    random = Random(50)
    killed, number = 0, 0
    study = begin_study(folder, "0", cluster.address)
    while killed < 50:
        if await_moment(study, random):
            killed += 1
            what = random.choice(["worker", "study", "scheduler"])
            if what == "worker":
                cluster.kill_worker(random.randrange(2))
            elif what == "scheduler":
                cluster.kill_scheduler()
            else:
                kill(study)  # It waits for the processes of the study, which hold its pipe, to end with it.
                study = begin_study(folder, str(number), random.choice([cluster.address, "processes"]))
        else:
            code, lines = end_of(study)
            assert (code, lines[-1:]) == (0, [undisturbed]), (number, killed, lines)
            check_file(folder / f"{number}.db")
            number += 1
            study = begin_study(folder, str(number), cluster.address)
    code, lines = end_of(study)
    assert (code, lines[-1:]) == (0, [undisturbed]), (number, killed, lines)


@pytest.mark.slow
def test_a_scheduler_that_does_not_come_back_ends_the_study_by_name(
    tapes: TapeStore, digest: str, tmp_path: Path
) -> None:
    with Cluster(tmp_path) as own:
        executor = connect(tapes, own.address)
        executor._patience_s = 2.0
        running = executor.run([task(digest, range(at, at + 2), 2, SETS) for at in range(0, SETS, 2)])
        assert isinstance(next(running), TaskOutcome)
        kill(own.scheduler)
        with pytest.raises(SchedulerGone, match=f"the scheduler {own.address} did not answer for 2 s"):
            for _ in running:
                pass
        executor.close()
