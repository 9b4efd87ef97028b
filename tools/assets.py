"""Fetch what the pages load from npm, as the lock file pins it, and copy it into ui/assets with its licences.

`make setup` and the package build run this. The pages read without it, so a machine without npm gets one line.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

UI = Path(__file__).resolve().parents[1] / "papertape" / "ui"
ASSETS = UI / "assets"
STAMP = ".lock"
FILES = {
    "htmx.js": "htmx.org/dist/htmx.min.js",
    "htmx.LICENSE": "htmx.org/LICENSE",
    "idiomorph.js": "idiomorph/dist/idiomorph-ext.min.js",
    "idiomorph.LICENSE": "idiomorph/LICENSE",
    "charts.js": "lightweight-charts/dist/lightweight-charts.standalone.production.js",
    "charts.LICENSE": "lightweight-charts/LICENSE",
    "charts.fancy-canvas.json": "fancy-canvas/package.json",
    "inter.woff2": "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2",
    "inter.LICENSE": "@fontsource-variable/inter/LICENSE",
}
"""Name in ui/assets, and where npm puts it."""
PINNED = ("package.json", "package-lock.json", ".npmrc")
NPM_SECONDS_MAX = 300


def fetch(modules: Path | None) -> str:
    """Bring ui/assets up to date, from `modules` where npm has been already; one line that says what was done."""
    wanted = _digest()
    stamp = ASSETS / STAMP
    if stamp.is_file() and stamp.read_text(encoding="ascii") == wanted:
        return ""
    problem = _fetched() if modules is None else _copy(modules)
    if problem:
        return problem
    stamp.write_text(wanted, encoding="ascii")
    return f"{len(FILES)} files of the pages are in ui/assets"


def _fetched() -> str:
    """Let npm fetch them, and copy them; what went wrong, empty when nothing did."""
    npm = shutil.which("npm")
    if npm is None:
        return "npm is missing: the pages come without charts and live updates until it is there and `make assets` ran"
    with tempfile.TemporaryDirectory() as folder:
        for name in PINNED:
            shutil.copy(UI / name, folder)
        problem = _install(npm, folder)
        if problem:
            return f"npm could not fetch what the pages load; they come without charts: {problem}"
        return _copy(Path(folder) / "node_modules")


def _install(npm: str, folder: str) -> str:
    """Let npm put the pinned packages into a folder; what went wrong, empty when nothing did."""
    command = [npm, "ci", "--silent"]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command, found on the PATH.
            command, cwd=folder, capture_output=True, text=True, timeout=NPM_SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it took longer than {NPM_SECONDS_MAX} s"
    return "" if done.returncode == 0 else done.stderr.strip()[-300:] or f"exit code {done.returncode}"


def _digest() -> str:
    """Everything that decides what ui/assets holds."""
    parts = [(UI / name).read_bytes() for name in PINNED] + [Path(__file__).read_bytes()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _copy(modules: Path) -> str:
    shutil.rmtree(ASSETS, ignore_errors=True)
    ASSETS.mkdir()
    for name, source in FILES.items():
        shutil.copyfile(modules / source, ASSETS / name)
    return ""


if __name__ == "__main__":
    sys.stderr.write(f"{said}\n" if (said := fetch(Path(sys.argv[1]) if sys.argv[1:] else None)) else "")
