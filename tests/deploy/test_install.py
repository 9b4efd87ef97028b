"""deploy/install.sh under another root: what it makes, that it may run again, and what an uninstall keeps."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from papertape.api.token import check_strength
from papertape.projections.telegram.secret import env_lines
from tests.support import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = REPOSITORY / "deploy" / "install.sh"
SCRIPTS = ("deploy/install.sh", "deploy.sh", "tools/image.sh")


def install(root: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [str(SCRIPT), "--root", str(root), "--without-packages", *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def modes(root: Path) -> dict[str, int]:
    return {str(path.relative_to(root)): stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*")}


def test_it_makes_what_the_unit_names_and_a_token_that_only_its_group_may_read(tmp_path: Path) -> None:
    done = install(tmp_path)
    assert done.returncode == 0, done.stderr
    made = modes(tmp_path)
    assert (made["etc/papertape/environment"], made["etc/papertape"]) == (0o640, 0o750)
    assert (made["var/lib/papertape"], made["var/log/papertape"]) == (0o750, 0o750)
    settings = env_lines(tmp_path / "etc" / "papertape" / "environment")
    check_strength(settings["PAPERTAPE_TOKEN"])
    assert settings["PAPERTAPE_TOKEN"] not in done.stdout + done.stderr
    assert not [name for name in settings if name.startswith(("PAPERTAPE_PORT", "GRAFANA"))], "those are compose's"
    unit = (tmp_path / "etc/systemd/system/papertape.service").read_text()
    named = re.findall(r"(?:WorkingDirectory=|EnvironmentFile=-|--db |logs\.folder=)(/\S+)", unit)
    assert set(named) == {
        "/etc/papertape", "/etc/papertape/environment", "/var/lib/papertape/papertape.db", "/var/log/papertape",
    }  # fmt: skip
    assert all((tmp_path / path.removeprefix("/")).parent.exists() for path in named)
    assert (tmp_path / "etc/papertape/papertape.toml").read_text() == (REPOSITORY / "papertape.toml").read_text()


def test_it_runs_again_without_touching_settings_tokens_and_data(tmp_path: Path) -> None:
    install(tmp_path)
    kept = {
        "etc/papertape/papertape.toml": "# mine",
        "etc/papertape/environment": "PAPERTAPE_TOKEN=mine",
        "var/lib/papertape/papertape.db": "log",
    }
    for path, text in kept.items():
        (tmp_path / path).write_text(text)
    unit = tmp_path / "etc/systemd/system/papertape.service"
    unit.write_text("an old one")
    before = modes(tmp_path)
    assert install(tmp_path).returncode == 0
    assert {path: (tmp_path / path).read_text() for path in kept} == kept
    assert unit.read_text() == (REPOSITORY / "deploy/papertape.service").read_text()
    assert modes(tmp_path) == before
    assert install(tmp_path, "--uninstall").returncode == 0
    assert {path: (tmp_path / path).read_text() for path in kept} == kept
    assert not unit.exists()
    assert not (tmp_path / "opt/papertape").exists()
    assert install(tmp_path, "--uninstall").returncode == 0


def test_an_unknown_option_changes_nothing(tmp_path: Path) -> None:
    done = install(tmp_path, "--uninstal")
    assert (done.returncode, list(tmp_path.iterdir())) == (64, [])
    assert "--uninstal is no option" in done.stderr


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_scripts_are_clean(script: str) -> None:
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("THE SCRIPTS ARE NOT CHECKED: this machine has no shellcheck")
    done = subprocess.run([shellcheck, script], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
