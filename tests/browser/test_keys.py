"""Keys: a list of them, two letters to a page, and a finder; none of them while someone is typing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser


def test_two_letters_open_a_page_but_not_while_typing(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto("/")
    page.keyboard.press("g")
    page.keyboard.press("t")
    page.wait_for_url("**/trades")
    page.focus("#search")
    page.keyboard.type("gr?")
    assert page.input_value("#search") == "gr?"
    assert page.locator("#keys").is_hidden()
    assert page.url.endswith("/trades")


def test_a_question_mark_lists_the_keys_which_can_be_switched_off(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto("/arena")
    page.locator(".brand").focus()
    page.keyboard.press("?")
    keys = page.inner_text("#keys")
    for word in ("Overview", "Trades", "search the events", "Ctrl"):
        assert word in keys
    page.uncheck("#keys [data-keys-on]")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.className") == "brand", "the focus returns"
    page.keyboard.press("?")
    assert page.locator("#keys").is_hidden()


def test_the_finder_opens_a_strategy_a_symbol_and_the_events(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto("/arena")
    for typed, address in (("liq", "strategy/liquidation"), ("eth", "chart/ETHUSDT"), ("stop", "events?q=stop")):
        page.keyboard.press("Control+k")
        page.keyboard.type(typed)
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/{address}")
    page.keyboard.press("Control+k")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.textContent.trim()").startswith("Overview")
    page.keyboard.press("Escape")
    assert page.locator("#finder").is_hidden()
