"""Fixtures of the page tests: a site with its pages, and the elements of a page."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import httpx

from papertape.api.app import application
from papertape.api.streams import Streams
from papertape.projections.studies.reader import StudyFolder
from papertape.ui.pages import not_found_page, pages
from tests.studies_file import SMALL_AXES, document, write_study
from tests.web.site import ORIGIN, example_day, gate_of, site_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from papertape.api.gate import Gate
    from papertape.projections.site.ports import Site

DAY = example_day()
PAGES = (
    "/",
    "/arena",
    "/strategy/momentum",
    "/strategy/vwap_rsi",
    "/funnel/momentum",
    "/chart?tf=1m",
    "/chart/GALAUSDT?tf=1m",
    "/trades",
    "/trades?strategy=momentum&result=won",
    "/risk",
    "/events",
    "/events?q=stop&all=1",
    "/events/9",
    "/messages",
    "/system",
    "/compare",
    "/studies",
    "/studies/momentum-btc",
)
"""An address of every page."""
TAG = re.compile(r"<[^>]+>")


@asynccontextmanager
async def visiting(site: Site | None = None, gate: Gate | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of the application with its pages."""
    there = site_of(list(DAY)) if site is None else site
    if there.studies is None:
        there.studies = example_studies()
    streams = Streams(there.timeline)
    app = application(there, gate or gate_of(), streams, pages(there, streams), not_found_page(there))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN) as client:
        yield client


@cache
def _studies_folder() -> TemporaryDirectory[str]:
    """Write a concluded study into a folder that lasts as long as the process."""
    folder = TemporaryDirectory()
    write_study(Path(folder.name), "momentum-btc", axes=SMALL_AXES, concluded=document(SMALL_AXES))
    return folder


def example_studies() -> StudyFolder:
    """Return a folder with one concluded study."""
    return StudyFolder(Path(_studies_folder().name))


def with_query(address: str, **query: object) -> str:
    """Return an address with more parameters."""
    more = "&".join(f"{name}={value}" for name, value in query.items())
    return f"{address}{'&' if '?' in address else '?'}{more}"


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self._silent = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        self._silent += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._silent and data.strip():
            self.words.append(" ".join(data.split()))

    def of(self, tag: str, attribute: str) -> list[str]:
        """Return an attribute of every element with a tag."""
        return [attrs[attribute] for name, attrs in self.found if name == tag and attribute in attrs]

    @property
    def text(self) -> str:
        """The visible text."""
        return " ".join(self.words)


def moment_of(address: str) -> str:
    """Return the moment of an address, empty for a live page."""
    return parse_qs(urlsplit(address).query).get("as_of", [""])[0]
