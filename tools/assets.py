"""Fetch the pages' assets from npm, pinned by the lock file, and copy them into ui/assets with their licences.

`make setup` and the package build run this. The pages work without assets, so a machine without npm gets one warning.
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
"""The name in ui/assets, and the path in node_modules."""
PINNED = ("package.json", "package-lock.json", ".npmrc")
NPM_SECONDS_MAX = 300


def fetch(modules: Path | None) -> str:
    """Update ui/assets, from `modules` if npm has already run; return a line about the result, or an empty one."""
    digest = _digest()
    stamp = ASSETS / STAMP
    if stamp.is_file() and stamp.read_text(encoding="ascii") == digest:
        return ""
    problem = _fetch_from_npm() if modules is None else _copy(modules)
    if problem:
        return problem
    stamp.write_text(digest, encoding="ascii")
    return f"{len(FILES)} asset files are in ui/assets"


def _fetch_from_npm() -> str:
    """Fetch the assets with npm and copy them; return the problem, empty if none."""
    npm = shutil.which("npm")
    if npm is None:
        return "npm is missing: the pages have no charts and live updates until you install it and run `make assets`"
    with tempfile.TemporaryDirectory() as folder:
        for name in PINNED:
            shutil.copy(UI / name, folder)
        problem = _install(npm, folder)
        if problem:
            return f"npm could not fetch the assets; the pages have no charts and live updates: {problem}"
        return _copy(Path(folder) / "node_modules")


def _install(npm: str, folder: str) -> str:
    """Install the pinned packages into a folder; return the problem, empty if none."""
    command = [npm, "ci", "--silent"]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command, found on the PATH.
            command, cwd=folder, capture_output=True, text=True, timeout=NPM_SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it took longer than {NPM_SECONDS_MAX} s"
    return "" if done.returncode == 0 else done.stderr.strip()[-300:] or f"exit code {done.returncode}"


def _digest() -> str:
    """Return the digest of everything that determines the content of ui/assets."""
    parts = [(UI / name).read_bytes() for name in PINNED] + [Path(__file__).read_bytes()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _copy(modules: Path) -> str:
    shutil.rmtree(ASSETS, ignore_errors=True)
    ASSETS.mkdir()
    for name, source in FILES.items():
        shutil.copyfile(modules / source, ASSETS / name)
    return ""


if __name__ == "__main__":
    sys.stderr.write(f"{message}\n" if (message := fetch(Path(sys.argv[1]) if sys.argv[1:] else None)) else "")
