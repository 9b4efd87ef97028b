"""The site of the docs: every page has its place in the navigation, and no link leaves the site."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import REPOSITORY
from tools import site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")
UNLISTED = {"project/SECURITY.md", "project/DATA.md"}
"""Pages that others link to; they need no entry of their own."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gather the sources of the site, with the pictures of two screens."""
    folder = tmp_path_factory.mktemp("site")
    for name in ("arena-1440-dark.png", "arena-375-light.png"):
        (folder / name).write_bytes(b"PNG")
    site.gather(folder / "source", folder)
    return folder / "source"


def listed(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        if isinstance(entry, str):
            yield entry
        else:
            for below in entry.values():
                yield from [below] if isinstance(below, str) else listed(below)


def test_every_page_is_in_the_navigation_and_every_entry_is_a_page(source: Path) -> None:
    entries = list(listed(tomllib.loads((REPOSITORY / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]))
    pages = {path.relative_to(source).as_posix() for path in source.rglob("*.md")}
    assert len(entries) == len(set(entries))
    assert set(entries) == pages - UNLISTED


def test_no_link_of_the_site_is_broken(source: Path) -> None:
    for page in source.rglob("*.md"):
        for target in LINK.findall(page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(source)}: {target}"


def test_a_link_to_a_source_file_becomes_its_text(source: Path) -> None:
    assert "the [systemd" not in (source / "operations.md").read_text(encoding="utf-8")
    assert "`deploy/papertape.service` is a hardened systemd unit" in (source / "operations.md").read_text(
        encoding="utf-8"
    )


def test_the_screens_are_those_of_the_browser_tests(source: Path) -> None:
    assert re.findall(r"!\[\w+\]\((.*)\)", (source / "screens.md").read_text(encoding="utf-8")) == [
        "screens/arena-1440-dark.png"
    ]
    assert (source / "screens" / "arena-1440-dark.png").exists()
