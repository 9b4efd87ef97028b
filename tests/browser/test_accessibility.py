"""axe-core finds nothing on any page, dark or light; pages hold at 200 % zoom."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import HEIGHTS, assert_fits
from tests.browser.test_pages import ADDRESSES, SCHEMES

if TYPE_CHECKING:
    from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser
AXE = Path(__file__).parents[2] / "build" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
OWN = {name: address for name, address in ADDRESSES.items() if name != "docs"} | {
    "past": "/trades?as_of=20000",
    "library": "/library",
    "start": "/library/start",
    "engines": "/engines",
}
FOUND = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations
    .flatMap((one) => one.nodes.map((node) => `${one.id}: ${node.html.slice(0, 120)}`))"""
ZOOMED_PX = 720
"""A window of 1,440 px at 200 %."""


@pytest.mark.parametrize("name", OWN)
def test_axe_finds_nothing(visitor: Visitor, name: str) -> None:
    page = visitor.page(logged_in=name != "login")
    page.goto(OWN[name])
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        # The content policy forbids a script element: a debugger's evaluation is not one.
        page.evaluate(AXE.read_text(encoding="utf-8"))
        assert page.evaluate(FOUND) == [], scheme


def test_what_opens_over_a_page_is_accessible_too(visitor: Visitor) -> None:
    page = visitor.page(logged_in=True)
    page.goto("/arena")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    for opens in ("#act-kill-arena-momentum", "#tools-arena [popovertarget]", "[data-help]"):
        page.click(opens)
        assert page.evaluate(FOUND) == [], opens
        page.keyboard.press("Escape")


@pytest.mark.parametrize("name", OWN)
def test_a_page_holds_at_double_size(visitor: Visitor, name: str) -> None:
    page = visitor.page()
    page.set_viewport_size({"width": ZOOMED_PX, "height": HEIGHTS[1440] // 2})
    page.goto(OWN[name])
    assert_fits(page)
