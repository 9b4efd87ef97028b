"""Gather the pages of the documentation site, which `make site` then builds.

The pages are those of docs/ and a few of the project's others. A link to anything else becomes plain text. The
screens page shows the pictures that `make test-browser` took, if it has run.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
SOURCE: Final = ROOT / "build" / "site-source"
SCREENSHOTS: Final = ROOT / "build" / "screenshots"
PAGES: Final = {
    "README.md": "index.md",
    "SECURITY.md": "project/SECURITY.md",
    "CONTRIBUTING.md": "project/CONTRIBUTING.md",
    "CHANGELOG.md": "project/CHANGELOG.md",
    "benchmarks/RESULTS.md": "project/RESULTS.md",
    "data/README.md": "project/DATA.md",
}
"""The pages outside docs/, and their place on the site."""
LINK: Final = re.compile(r"(!?)\[((?:[^\[\]]|!?\[[^\]]*\]\([^)]*\))*)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")
IMAGE: Final = re.compile(r'src="([^"]+)"')
SCREEN: Final = re.compile(r"([a-z-]+)-1440-dark\.png")
SCREENS_HEAD: Final = """# Screens

Every page in the dark theme, 1,440 pixels wide, as the browser tests last saw it. The same pages
exist in the light theme, on a phone, and in print.
"""


def gather(source: Path = SOURCE, screenshots: Path = SCREENSHOTS) -> None:
    """Write the sources of the site to a folder, with the pictures of another one."""
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(ROOT / "docs", source, ignore=shutil.ignore_patterns("*.md"))
    places = {ROOT / name: source / place for name, place in PAGES.items()}
    places |= {page: source / page.relative_to(ROOT / "docs") for page in (ROOT / "docs").rglob("*.md")}
    for page, place in places.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(relinked(page.read_text(encoding="utf-8"), page, places, source), encoding="utf-8")
    _write_screens(source, screenshots)


def relinked(text: str, page: Path, places: dict[Path, Path], source: Path) -> str:
    """Return a page whose links lead to the pages of the site; a link to any other file becomes its text."""

    def place_of(target: str) -> Path | None:
        file = (page.parent / target).resolve()
        inside = source / file.relative_to(ROOT / "docs") if file.is_relative_to(ROOT / "docs") else None
        return places.get(file, inside if file.is_file() else None)

    def relative(place: Path) -> str:
        return Path(os.path.relpath(place, places[page].parent)).as_posix()

    def link(found: re.Match[str]) -> str:
        place = place_of(found[3])
        return found[2] if place is None else f"{found[1]}[{found[2]}]({relative(place)}{found[4] or ''})"

    def image(found: re.Match[str]) -> str:
        place = place_of(found[1])
        return found[0] if place is None else f'src="{relative(place)}"'

    return IMAGE.sub(image, LINK.sub(link, text))


def _write_screens(source: Path, screenshots: Path) -> None:
    parts = [SCREENS_HEAD]
    for picture in sorted(screenshots.glob("*.png")):
        if found := SCREEN.fullmatch(picture.name):
            (source / "screens").mkdir(exist_ok=True)
            shutil.copy(picture, source / "screens")
            parts.append(f"## {found[1].replace('-', ' ').capitalize()}\n\n![{found[1]}](screens/{picture.name})\n")
    (source / "screens.md").write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    gather()
