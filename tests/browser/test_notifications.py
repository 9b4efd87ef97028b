"""New messages as browser notifications: permission asked only on a click, remembered, shown from any page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser
RECORDED = """
window.told = [];
window.asked = 0;
window.Notification = class extends window.Notification {
    constructor(title, options) { super(title, options); window.told.push([title, options.tag]); }
    static requestPermission() { window.asked += 1; return super.requestPermission(); }
};
"""


def test_the_switch_asks_on_a_click_and_is_remembered(visitor: Visitor) -> None:
    page = visitor.page()
    page.context.add_init_script(RECORDED)
    page.context.grant_permissions(["notifications"])
    page.goto("/messages")
    switch = page.locator("[data-notifications]")
    assert switch.inner_text() == "Notifications in this browser: off"
    page.wait_for_timeout(3_000)
    assert page.evaluate("[window.told.length, window.asked]") == [0, 0], "nobody asked for any"
    switch.click()
    page.wait_for_function(
        "() => document.querySelector('[data-notifications]').getAttribute('aria-pressed') === 'true'"
    )
    page.goto("/trades")
    page.wait_for_function("() => window.told.length > 0")
    [title, tag] = page.evaluate("window.told[0]")
    assert title
    assert tag.removeprefix("papertape-").isdecimal()
    page.goto("/messages")
    assert switch.inner_text() == "Notifications in this browser: on"
    switch.click()
    assert switch.inner_text() == "Notifications in this browser: off"


def test_a_browser_that_refuses_says_so(visitor: Visitor) -> None:
    page = visitor.page()
    page.add_init_script("Object.defineProperty(window.Notification, 'permission', {get: () => 'denied'})")
    page.goto("/messages")
    switch = page.locator("[data-notifications]")
    assert switch.inner_text() == "Notifications are blocked by the browser"
    assert switch.is_disabled()
