"""The Dockerfile, built for real by buildah, and the file system it makes, run.

Where buildah is missing nothing of it is proved, and that is said.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.image.built import COMMIT, ENDS_S_MAX, TOKEN, UID, Image, Running, missing

if TYPE_CHECKING:
    from collections.abc import Iterator

LACKING = missing()
pytestmark = [
    pytest.mark.image,
    pytest.mark.timeout(3_600),
    pytest.mark.skipif(bool(LACKING), reason=f"THE IMAGE IS NOT BUILT AND NOT PROVED: this machine lacks {LACKING}"),
]
if LACKING:
    sys.stderr.write(f"the image is not built and not proved: this machine lacks {LACKING}\n")


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    made = Image("runtime")
    yield made
    made.close()


@pytest.fixture(params=[False, True], ids=["by buildah", "as compose confines it"])
def running(request: pytest.FixtureRequest, image: Image, tmp_path: Path) -> Iterator[Running]:
    tmp_path.parent.parent.chmod(0o755)
    tmp_path.parent.chmod(0o755)
    tmp_path.chmod(0o755)
    found = Running(image, tmp_path, as_compose=request.param)
    yield found
    found.close()


def test_it_is_ready_ends_in_time_and_writes_into_its_two_folders_alone(image: Image, running: Running) -> None:
    before = image.portrait()
    assert running.is_ready(), running.said.read_text()[-3_000:]
    status, body = running.ask("/health")
    health = json.loads(body)
    assert (status, health["version"], health["commit"]) == (200, version("papertape"), COMMIT)
    assert Path(f"/proc/{running.keeper_pid()}").stat().st_uid == UID
    assert running.ask("/static/layout.css")[0] in {200, 404}
    assert running.ask("/")[0] == 200
    code, seconds = running.end()
    assert code == 0
    assert seconds < ENDS_S_MAX / 4
    after = image.portrait()
    changed = {path for path in {*before, *after} if before.get(path) != after.get(path)}
    own = {path for path in changed if path.partition("/")[0] not in {"tmp", "proc", "dev", "sys", "run"}}
    assert own <= {"data", "logs", "etc", "etc/hosts", "etc/resolv.conf"}, own
    assert (running.data / "papertape.db").stat().st_uid == UID
    assert (running.logs / "engine.log").stat().st_size > 0


def test_what_it_is_called_and_how_it_starts(image: Image) -> None:
    config = image.inspected()
    labels = config["Labels"]
    assert labels["org.opencontainers.image.version"] == version("papertape")
    assert labels["org.opencontainers.image.revision"] == COMMIT
    assert config["User"] == f"{UID}:{UID}"
    assert config["Entrypoint"] == ["papertape"]
    assert config["StopSignal"] == "SIGTERM"
    assert "/ready" in config["Healthcheck"]["Test"][-1]
    assert config["Healthcheck"]["Test"][0] == "CMD"


def test_it_has_the_pages_and_no_compiler(image: Image) -> None:
    installed = image.site_packages()
    assert {"papertape", "starlette", "uvloop"} <= installed
    assert not installed & {"numba", "llvmlite", "numpy", "polars", "pytest", "mypy"}
    assert list(image.root.glob("opt/papertape/lib/python3*/site-packages/ui/assets/htmx.js"))


def test_nothing_of_the_owner_and_of_the_machine_that_built_it_is_inside(image: Image) -> None:
    names = {path.name for path in image.files()}
    assert not names & {".env", "id_rsa", ".netrc", ".git-credentials", "papertape.db"}
    for path in ("etc/pip.conf", "etc/uv/uv.toml", "root/.npmrc"):
        assert not (image.root / path).exists() or (image.root / path).stat().st_size == 0
    assert not (image.root / "opt" / "papertape" / "tests").exists()
    said = json.dumps(image.inspected())
    assert TOKEN not in said
    assert not [one for one in image.inspected()["Env"] if "TOKEN" in one or "SECRET" in one or "PASSWORD" in one]
    with_writers = [path for path in image.files() if path.is_relative_to(image.root / "opt") and _is_writable(path)]
    assert not with_writers


def _is_writable(path: Path) -> bool:
    """Whether others than root may change it."""
    status = path.lstat()
    return not path.is_symlink() and (status.st_uid != 0 or bool(status.st_mode & 0o022))


@pytest.mark.skipif("PAPERTAPE_RESEARCH_IMAGE" not in os.environ, reason="PAPERTAPE_RESEARCH_IMAGE=1 builds it too")
def test_the_research_target_has_the_compiled_kernel() -> None:
    made = Image("research")
    try:
        assert {"papertape", "numba", "llvmlite", "numpy", "polars"} <= made.site_packages()
    finally:
        made.close()
