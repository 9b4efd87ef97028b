"""The Dockerfile, built for real by buildah, and the file system it makes, run.

Where buildah is missing nothing of it is proved, and that is said.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack, closing
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.cli.research_market import write_market
from tests.deploy.box import free_port
from tests.image.built import COMMIT, TOKEN, UID, Image, Running, background, comes, make_folder, missing
from tests.patience import stretched
from tests.support import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

CLUSTER = REPOSITORY / "deploy" / "dask" / "compose.yaml"
LACKING = missing()
pytestmark = [
    pytest.mark.image,
    pytest.mark.timeout(3_600),
    pytest.mark.skipif(bool(LACKING), reason=f"THE IMAGE IS NOT BUILT AND NOT PROVED: this machine lacks {LACKING}"),
]
if LACKING:
    sys.stderr.write(f"the image is not built and not proved: this machine lacks {LACKING}\n")


others = pytest.mark.skipif(
    "PAPERTAPE_EVERY_IMAGE" not in os.environ, reason="PAPERTAPE_EVERY_IMAGE=1 builds the other images too"
)


@pytest.fixture
def open_path(tmp_path: Path) -> Path:
    """A folder that the user of the image reaches."""
    for folder in (tmp_path.parent.parent, tmp_path.parent, tmp_path):
        folder.chmod(0o755)
    return tmp_path


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    made = Image("runtime")
    yield made
    made.close()


@pytest.fixture(params=[False, True], ids=["by buildah", "as compose confines it"])
def running(request: pytest.FixtureRequest, image: Image, open_path: Path) -> Iterator[Running]:
    found = Running(image, open_path, as_compose=request.param)
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
    assert seconds < stretched(5.0)
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
    assert list(image.root.glob("opt/papertape/lib/python3*/site-packages/papertape/ui/assets/htmx.js"))


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


@others
def test_the_research_target_has_the_compiled_kernel() -> None:
    with closing(Image("research")) as made:
        assert {"papertape", "numba", "llvmlite", "numpy", "polars"} <= made.site_packages()


@others
def test_the_study_target_runs_a_study_on_workers_confined_as_the_cluster_asks(open_path: Path) -> None:
    port = str(free_port())
    text = CLUSTER.read_text().replace("${WORKERS:-2}", "1").replace("8786", port)
    services = yaml.safe_load(text.replace("${SCHEDULER:-127.0.0.1}", "127.0.0.1"))["services"]
    data = make_folder(open_path / "data")
    write_market(data)
    with closing(Image("study")) as image, ExitStack() as cluster:
        for name, service in services.items():
            variables = [f"{key}={value}" for key, value in service["environment"].items()]
            command = image.confined(open_path / name, service["entrypoint"] + service["command"], {}, *variables)
            cluster.enter_context(background(command, open_path / f"{name}.said"))
        sweep = f"papertape sweep --strategy follower --candles X=/data/x.csv --config /data/papertape.toml --json \
            --vary sl_percent=0.4,0.8 --study first --data-dir /data --scheduler tcp://127.0.0.1:{port}".split()
        command = image.confined(open_path / "root", sweep, {"/data": data}, "NUMBA_CACHE_DIR=/tmp/numba")
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    said = done.stderr + "".join((open_path / f"{name}.said").read_text() for name in services)
    assert done.returncode in {0, 1}, said
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[-1]["type"] == "study", said
    assert "store_tape" in said  # The worker asked for the candles.
    assert (data / "studies" / "first.db").stat().st_uid == UID


@others
def test_the_extra_exchanges_watches_a_market_through_ccxt(open_path: Path) -> None:
    data, port = make_folder(open_path / "data"), free_port()
    twin = f"papertape twin bitget --port {port}".split()
    run = f"papertape run --feed ccxt:bitget --db /data/papertape.db --set feed.ccxt.rest_url=http://127.0.0.1:{port} \
        --set feed.ccxt.ws_url=ws://127.0.0.1:{port}".split()
    with closing(Image("runtime", "exchanges")) as image:
        assert {"ccxt", "apprise", "starlette"} <= image.site_packages()
        said = open_path / "said"
        with (
            background(image.confined(open_path / "exchange", twin, {}), open_path / "exchange.said"),
            background(image.confined(open_path / "root", run, {"/data": data}), said) as running,
        ):
            assert comes("connected", said, running), said.read_text()
