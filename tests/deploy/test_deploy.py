"""deploy.sh, end to end: each scenario ends with a healthy version, no event lost, and the right exit code.

Docker is a stand-in that runs real papertape processes; git is git.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.deploy.box import Box
from tests.patience import PATIENCE_S
from tests.support import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3_600)]
STEPS_BEFORE = ("backup", "build", "fold", "decide")
STEPS_BEHIND = ("stop", "up")


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    """An empty box."""
    made = Box(tmp_path)
    yield made
    made.close()


@pytest.fixture
def running(box: Box) -> Box:
    """A box on which the first version runs and has written something."""
    code, said = box.deploy()
    assert code == 0, said
    deadline = time.monotonic() + PATIENCE_S
    while box.head()[0] < 3_000 and time.monotonic() < deadline:
        time.sleep(0.1)
    return box


def assert_healthy(box: Box, character: str, before: tuple[int, bytes] | None = None) -> None:
    assert box.is_ready()
    assert box.character() == character
    if before is not None:
        assert box.lost_nothing_since(before)


def test_the_first_deploy_on_an_empty_box(box: Box) -> None:
    code, said = box.deploy()
    assert code == 0, said
    assert "nothing runs here yet" in said
    assert_healthy(box, "healthy one")


def test_an_edited_configuration_moves_out_of_the_working_tree_and_is_mounted_from_there(box: Box) -> None:
    file, own = box.home / "papertape.toml", box.home / "config" / "papertape.toml"
    edited = file.read_text() + "\n# my own line\n"
    file.write_text(edited)
    with (box.home / ".env").open("a") as env:
        env.write("PAPERTAPE_ARCHIVE_FOLDER=/mnt/usb/papertape\n")
    code, said = box.deploy("--dry-run")
    assert (code, file.read_text(), own.exists()) == (0, edited, False), said
    code, said = box.deploy()
    assert code == 0, said
    assert "moving it to ./config/papertape.toml, which git ignores" in said
    assert own.read_text() == edited
    assert "my own line" not in file.read_text()
    assert "\nPAPERTAPE_CONFIG_FILE=./config/papertape.toml\n" in (box.home / ".env").read_text()
    own.write_text(edited + "# edited again\n")
    box.release("healthy two")
    code, said = box.deploy()
    assert code == 0, said
    assert "moving" not in said
    assert {
        f"{own}:/config/papertape.toml:ro",
        f"{box.home}/config/strategies:/config/strategies:ro",
        "/mnt/usb/papertape:/archive:ro",
        f"{box.home}/data:/data:ro",
    } == set(box.state()["mounted"])
    assert_healthy(box, "healthy two")


def test_a_healthy_update(running: Box) -> None:
    running.release("healthy two")
    before = running.head()
    code, said = running.deploy()
    assert code == 0, said
    for part in ("restored and folded", "the same state", "both versions decide the same", "is ready"):
        assert part in said
    assert_healthy(running, "healthy two", before)


def test_deploying_the_same_commit_again(running: Box) -> None:
    before = running.head()
    code, said = running.deploy("--no-pull")
    assert code == 0, said
    assert_healthy(running, "healthy one", before)


@pytest.mark.parametrize("character", ["ends at once", "is never ready", "crashes while it replays"])
def test_a_version_that_is_not_healthy_is_replaced_by_the_old_image(running: Box, character: str) -> None:
    running.release(character)
    before = running.head()
    code, said = running.deploy()
    assert code == 1, said
    assert "the old version runs again" in said
    assert_healthy(running, "healthy one", before)


def test_a_version_that_reads_the_log_otherwise_is_not_begun(running: Box) -> None:
    running.release("folds otherwise")
    before, container = running.head(), running.state()["container"]
    code, said = running.deploy()
    assert code == 2, said
    assert "does not read the log as the old one does" in said
    assert running.state()["container"] == container
    assert_healthy(running, "healthy one", before)


def test_another_state_can_be_accepted(running: Box) -> None:
    running.release("folds otherwise")
    before = running.head()
    code, said = running.deploy("--accept-digest")
    assert code == 0, said
    assert_healthy(running, "folds otherwise", before)


def test_a_version_that_decides_differently_is_shown_and_not_begun(running: Box) -> None:
    running.release("decides otherwise")
    before, container = running.head(), running.state()["container"]
    code, said = running.deploy()
    assert code == 2, said
    assert "only decided" in said or "decided   " in said
    assert "decisions, as in -" in said, "the old image wrote what it decides"
    assert "--accept-decisions goes on all the same" in said
    assert running.state()["container"] == container
    assert not (running.home / "data" / ".decisions").exists()
    assert_healthy(running, "healthy one", before)


def test_other_decisions_can_be_accepted(running: Box) -> None:
    running.release("decides otherwise")
    before = running.head()
    code, said = running.deploy("--accept-decisions")
    assert code == 0, said
    assert "decides differently; accepted as asked" in said
    assert_healthy(running, "decides otherwise", before)


def test_what_differs_in_the_fold_is_not_accepted_with_the_decisions(running: Box) -> None:
    running.release("folds otherwise")
    assert running.deploy("--accept-decisions")[0] == 2
    running.release("decides otherwise")
    assert running.deploy("--accept-digest")[0] == 2
    assert_healthy(running, "healthy one")


def test_recorded_decisions_stand_for_a_version_that_cannot_write_its_own(running: Box) -> None:
    running.release("knows no decide-diff")
    assert running.deploy("--accept-decisions")[0] == 2, "a new version must know the command"
    known = running.state()
    known["images"][known["container"]["image"]] = "knows no decide-diff"
    (running.folder / "docker.json").write_text(json.dumps(known))
    running.release("healthy three")
    code, said = running.deploy()
    assert code == 0, said
    assert "comparing with the recorded decisions instead" in said
    assert "decisions, as recorded" in said


def test_a_version_that_cannot_decide_again_is_refused_whatever_is_accepted(running: Box) -> None:
    running.release("cannot decide")
    code, said = running.deploy("--accept-decisions")
    assert code == 2, said
    assert "could not decide again" in said
    assert_healthy(running, "healthy one")


def test_a_tripped_kill_switch_stays_tripped(running: Box) -> None:
    running.papertape("kill", "--why", "odd")
    running.release("healthy two")
    assert running.deploy()[0] == 0
    assert '"state":"stopped"' in running.papertape("arena", "--json")
    assert_healthy(running, "healthy two")


def test_where_no_backup_can_be_made_nothing_is_begun(running: Box) -> None:
    running.release("cannot back up")
    assert running.deploy()[0] == 0
    running.release("healthy three")
    code, said = running.deploy()
    assert code == 2, said
    assert "no backup could be made" in said
    assert_healthy(running, "cannot back up")


def test_on_a_full_disk_nothing_is_begun(running: Box) -> None:
    df = running.folder / "bin" / "df"
    df.write_text("#!/bin/sh\necho Filesystem\necho /dev/sda1 100 99 1000 99% /\n")
    df.chmod(0o755)
    code, said = running.deploy()
    assert code == 2, said
    assert "are free" in said
    assert_healthy(running, "healthy one")


def test_an_image_that_cannot_be_built_changes_nothing(running: Box) -> None:
    running.release("cannot be built")
    before = running.head()
    code, said = running.deploy()
    assert code == 2, said
    assert_healthy(running, "healthy one", before)


def test_without_network_nothing_is_begun(running: Box) -> None:
    shutil.move(running.origin, running.folder / "gone")
    code, said = running.deploy()
    assert code == 2, said
    assert "git pull" in said
    assert_healthy(running, "healthy one")


def test_a_changed_working_tree_is_left_alone(running: Box) -> None:
    with (running.home / "compose.yaml").open("a") as file:
        file.write("# mine\n")
    code, said = running.deploy()
    assert code == 2, said
    assert "the working tree has changes" in said
    assert_healthy(running, "healthy one")


def test_a_second_deploy_at_once_is_kept_out(running: Box) -> None:
    with (running.home / "data" / ".deploy.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, said = running.deploy()
    assert code == 3, said
    assert_healthy(running, "healthy one")


def test_without_settings_nothing_is_begun(box: Box) -> None:
    (box.home / ".env").unlink()
    code, said = box.deploy()
    assert code == 2, said
    assert ".env is missing" in said


@pytest.mark.parametrize("step", STEPS_BEFORE)
def test_ctrl_c_before_the_switch_leaves_the_old_version_running(running: Box, step: str) -> None:
    running.release("healthy two")
    before, container = running.head(), running.state()["container"]
    code, said = running.interrupted(step)
    assert code == 130, said
    assert running.state()["container"] == container
    assert_healthy(running, "healthy one", before)
    assert running.deploy()[0] == 0, "a repeat completes"
    assert_healthy(running, "healthy two", before)


@pytest.mark.parametrize("step", STEPS_BEHIND)
def test_ctrl_c_behind_the_switch_puts_the_old_version_back(running: Box, step: str) -> None:
    running.release("healthy two")
    before = running.head()
    code, said = running.interrupted(step)
    assert code == 130, said
    assert_healthy(running, "healthy one", before)
    assert running.deploy()[0] == 0, "a repeat completes"
    assert_healthy(running, "healthy two", before)


def test_a_dry_run_says_everything_and_does_nothing(running: Box) -> None:
    running.release("healthy two")
    before = running.state()
    code, said = running.deploy("--dry-run")
    assert code == 0, said
    assert "would run: docker build" in said
    assert running.state() == before


def test_shellcheck_finds_nothing() -> None:
    found = shutil.which("shellcheck")
    if found is None:
        pytest.skip("SKIPPED LOUDLY: shellcheck is not installed, deploy.sh was not checked")
    done = subprocess.run([found, str(REPOSITORY / "deploy.sh")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_owners_settings_are_never_touched(running: Box) -> None:
    before = {name: (running.home / name).read_bytes() for name in (".env", "papertape.toml")}
    running.release("healthy two")
    assert running.deploy()[0] == 0
    assert {name: (running.home / name).read_bytes() for name in before} == before
