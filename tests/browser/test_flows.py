"""User flows: watching, commands, the time machine, login, and crashing the engine."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.test_up import child_named
from tests.engine.processes import ok
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.browser.conftest import Visitor
    from tests.browser.served import Served

pytestmark = pytest.mark.browser
MOVES_MS_MAX = BACK_MS_MAX = 1_000.0 * PATIENCE_S
FOCUSED = """() => [getComputedStyle(document.activeElement).outlineStyle,
    document.activeElement.outerHTML.slice(0, 80)]"""
NAMELESS = """() => [...document.querySelectorAll("a, button, input:not([type=hidden]), select, svg[role=img]")].filter(
    (one) => !(one.textContent.trim() || one.getAttribute("aria-label") || one.closest("label")?.textContent.trim())
).map((one) => one.outerHTML.slice(0, 120))"""
"""Finds controls and images without an accessible name."""
RESULTS = """() => ["#part-figures .figure:nth-child(2) small", "#curves-plot .key button b"].map(
    (one) => document.querySelector(one).textContent.replace(/[^0-9.]/g, ""))"""
"""The net return as a figure and in the chart's key."""
SAMPLES, SAMPLES_MAX, SAMPLE_MS = 40, 600, 250
"""The result does not change while no position is open."""
BEYOND = "seq => Number(document.querySelector('#header-seq').textContent.replaceAll(',', '')) > seq"


def seq_of(page: Page) -> int:
    """Return the seq in the header."""
    return int(page.inner_text("#header-seq").replace(",", ""))


def moves_on(page: Page, timeout_ms: float = MOVES_MS_MAX) -> None:
    """Wait until the header shows a later event."""
    page.wait_for_function(BEYOND, arg=seq_of(page), timeout=timeout_ms)


def give(page: Page, button: str, why: str) -> str:
    """Press the button of a command, confirm with a reason, and return the answer in its row."""
    pressed = page.locator(f"#{button}")
    answer = page.locator(f"#{pressed.get_attribute('data-answer')}")
    pressed.click()
    page.locator("#ask input[name=why]").fill(why)
    page.locator("#ask button[type=submit]").click()
    return said(answer)


def said(answer: Locator) -> str:
    """Return an answer once there is one."""
    answer.filter(has_text="e").wait_for()
    shown: str = answer.inner_text()
    return shown


def told(served: Served, *arguments: str) -> list[dict[str, Any]]:
    """Return events of the log from the command line."""
    lines = ok(served.folder, "log", "--db", "log.db", "--json", *arguments).splitlines()
    return [json.loads(line) for line in lines]


# ---------------------------------------------------------------- watching


def test_a_page_updates_with_the_log(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto("/")
    with page.expect_response(lambda answer: "part=" in answer.url and answer.status == 200, timeout=MOVES_MS_MAX):
        moves_on(page)
    assert page.locator("#stale").is_hidden()


def test_the_equity_chart_always_shows_the_same_result_as_the_figures(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto("/")
    page.locator("#curves-plot .key button").first.wait_for()
    seen = set()
    for sample in range(SAMPLES_MAX):
        figure, key = page.evaluate(RESULTS)
        assert figure == key
        seen.add(figure)
        if len(seen) > 1 and sample >= SAMPLES:
            break
        page.wait_for_timeout(SAMPLE_MS)
    assert len(seen) > 1, "it moved on meanwhile"


@pytest.mark.parametrize(("address", "data"), [("/", "#curves-data"), ("/chart/BTCUSDT", "#candles-data")])
def test_a_chart_updates_with_the_log(visitor: Visitor, address: str, data: str) -> None:
    page = visitor.page()
    page.goto(address)
    first = page.text_content(data)
    page.wait_for_function(
        "([data, first]) => document.querySelector(data).textContent !== first", arg=[data, first], timeout=MOVES_MS_MAX
    )
    assert json.loads(page.text_content(data) or "")


def test_a_key_focuses_the_search_which_leads_to_events(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto("/arena")
    page.keyboard.press("/")
    page.keyboard.type("kill switch")
    page.keyboard.press("Enter")
    page.wait_for_url("**/events?q=kill+switch")
    assert "vwap_rsi stopped, kill switch: session loss" in page.inner_text("main")


def test_a_killed_page_process_comes_back(visitor: Visitor, served: Served) -> None:
    page = visitor.page()
    page.goto("/")
    moves_on(page)
    # The new process has to read the log first; htmx names each request that fails meanwhile.
    with visitor.allowing("net::ERR_"), visitor.allowing("503"), visitor.allowing("htmx:"):
        os.kill(child_named(served.pid, "ui"), signal.SIGKILL)
        page.wait_for_function(BEYOND, arg=seq_of(page) + 5, timeout=BACK_MS_MAX)
    answer = page.goto("/risk")
    assert answer is not None
    assert answer.status == 200


def test_the_footer_shows_the_same_values_as_the_header(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto("/arena")
    moves_on(page)
    page.wait_for_function(
        "() => document.querySelector('#end-seq').textContent === document.querySelector('#header-seq').textContent"
    )


def test_a_chart_shows_the_trades_under_the_cursor(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto("/chart/BTCUSDT?as_of=20000")
    plot = page.locator("#candles-plot canvas").first.bounding_box()
    assert plot is not None
    told = set()
    for x in range(int(plot["x"]), int(plot["x"] + plot["width"]), 4):
        page.mouse.move(x, plot["y"] + 100)
        told |= set(page.locator("#candles-plot .tip:not([hidden]) > div").all_inner_texts())
    assert any(re.match(r"▲ long of strategy \w+ opened at [\d,.]+$", text) for text in told), told
    assert any(
        re.search(r" of strategy \w+ closed at [\d,.]+, \w+: [+-][\d.]+ USDT, [+-][\d.]+ R, [+-][\d.]+ %$", text)
        for text in told
    ), told


def test_a_focused_element_has_a_visible_ring(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto("/trades")
    bare = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        style, name = page.evaluate(FOCUSED)
        if style == "none" and not name.startswith("<body"):
            bare.add(name)
    assert bare == set()


def test_every_control_has_a_name(visitor: Visitor) -> None:
    page = visitor.page()
    for address in ("/", "/arena", "/chart/BTCUSDT", "/trades", "/risk", "/events", "/events/17404", "/login"):
        page.goto(address)
        assert page.evaluate(NAMELESS) == [], address


# ---------------------------------------------------------------- stepping in


def test_without_a_login_one_can_read_but_not_command(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto("/risk")
    assert page.locator("[data-command]").count() == 0
    page.click("text=Log in >> nth=-1")
    page.wait_for_url("**/login?next=%2Frisk")


def test_an_expired_login_is_said_where_the_command_is_confirmed(visitor: Visitor, served: Served) -> None:
    page = visitor.page(logged_in=True)
    page.goto("/risk")
    page.click("#act-kill-everything")
    page.context.clear_cookies()  # The next refresh takes the buttons away, but not what is open.
    page.fill("#ask input[name=why]", "just trying")
    with visitor.expecting("401"):
        page.click("#ask button[type=submit]")
        page.locator("#ask .answer", has_text="Not logged in.").wait_for()
    assert all(one["why"] != "just trying" for one in told(served, "--type", "KillSwitchTripped"))
    page.click("#ask .answer a")
    page.wait_for_url("**/login?next=**")


def test_a_kill_and_its_reset_are_logged_with_actor_and_reason(visitor: Visitor, served: Served) -> None:
    page = visitor.page(logged_in=True)
    page.goto("/arena")
    page.click("#act-kill-arena-momentum")
    assert page.inner_text("#ask h2") == "Kill momentum?"
    page.fill("#ask input[name=why]", "news at 14:30")
    page.keyboard.press("Enter")
    answer = page.locator("#did-arena-momentum")
    assert said(answer).startswith("Killed: event ")
    page.locator("#act-reset-arena-momentum").wait_for()
    page.locator("#header .kill", has_text="2 of 4").wait_for()
    trip = told(served, "--type", "KillSwitchTripped", "--strategy", "momentum")[-1]
    assert (trip["who"], trip["why"], trip["reason"]) == ("dashboard", "news at 14:30", "manual")
    slower = visitor.page(logged_in=True)
    slower.goto("/risk")
    slower.click("#act-reset-limits-momentum")
    assert give(page, "act-reset-arena-momentum", "they are over").startswith("Reset: event ")
    page.locator("#header .kill", has_text="1 of 4").wait_for()
    reset = told(served, "--type", "KillSwitchReset")[-1]
    assert (reset["trip_seq"], reset["who"], reset["why"]) == (trip["seq"], "dashboard", "they are over")
    page.locator("#act-kill-arena-momentum").wait_for()
    slower.fill("#ask input[name=why]", "once more")
    with visitor.expecting("409"):
        slower.click("#ask button[type=submit]")
        assert said(slower.locator("#did-limits-momentum")).startswith("Refused: ")
    answer.filter(has_not_text="e").wait_for(state="attached")  # A result fades.


def test_closing_without_a_position_is_refused_in_its_row(visitor: Visitor) -> None:
    page = visitor.page(logged_in=True)
    page.goto("/risk")
    page.evaluate("document.querySelector('#act-close-everything').dataset.body = '{\"strategy\": \"vwap_rsi\"}'")
    with visitor.expecting("409"):
        assert give(page, "act-close-everything", "the day is over") == "Refused: there is no open position to close"


def test_a_command_is_not_sent_before_it_is_confirmed(visitor: Visitor, served: Served) -> None:
    page = visitor.page(logged_in=True)
    page.goto("/risk")
    page.locator("#act-kill-everything").focus()
    page.keyboard.press("Enter")
    page.locator("#ask").wait_for()
    page.keyboard.press("Enter")
    assert page.locator("#ask").is_visible(), "a kill needs a reason"
    page.keyboard.type("a slip of the finger")
    page.keyboard.press("Escape")
    page.locator("#ask").wait_for(state="hidden")
    assert page.evaluate("document.activeElement.id") == "act-kill-everything", "the focus returns"
    page.keyboard.press("Enter")
    page.click("#ask [data-no]")
    assert page.locator("#did-everything").inner_text() == ""
    assert all(one["why"] != "a slip of the finger" for one in told(served, "--type", "KillSwitchTripped"))


def test_a_login_needs_the_token_and_leads_back(visitor: Visitor) -> None:
    page = visitor.page()
    with visitor.expecting("401"):
        visitor.log_in(page, "x" * 43)
        page.locator("form[data-login] .answer", has_text="Refused").wait_for()
    page.goto("/login?next=/risk")
    page.fill("input[name=token]", visitor.served.token)
    page.click("form[data-login] button[type=submit]")
    page.wait_for_url(f"{visitor.served.url}/risk")
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert visitor.served.token not in cookie["value"]
    page.goto("/login")
    with page.expect_navigation():
        page.click("form.out button")
    assert page.context.cookies() == []


# ---------------------------------------------------------------- looking back


def test_the_time_machine_shows_every_page_as_of_an_event(visitor: Visitor, served: Served) -> None:
    seq = 20_000
    page = visitor.page()
    page.goto("/events")
    page.locator("#machine").evaluate("(one, seq) => { one.value = seq; one.dispatchEvent(new Event('change')); }", seq)
    page.wait_for_url(f"**/events?as_of={seq}")
    assert seq_of(page) == seq
    assert f"As of event {seq:,}" in page.inner_text(".banner.past")
    page.click("nav >> text=Overview")
    page.wait_for_url(f"**/?as_of={seq}")
    state = json.loads(ok(served.folder, "replay", "--db", "log.db", "--to", str(seq), "--json"))["state"]
    assert page.inner_text("#header-equity") == f"{state['equity_usdt']:,.2f}"
    time.sleep(1.0)
    assert seq_of(page) == seq, "the past does not move"
    page.click("text=Back to now")
    page.wait_for_url(f"{served.url}/")
    assert seq_of(page) > seq
    moves_on(page)


@pytest.mark.parametrize("address", ["/", "/strategy/momentum", "/chart/BTCUSDT?tf=15m", "/trades?symbol=BTCUSDT"])
def test_every_page_opens_the_time_machine_and_steps_through_it(visitor: Visitor, address: str) -> None:
    page = visitor.page()
    page.goto(address)
    moves_on(page)
    page.click("[data-look-back]")
    page.wait_for_url("**as_of=*")
    path, _, query = address.partition("?")
    assert page.url.startswith(f"{visitor.served.url}{path}")
    assert query in page.url
    began = seq_of(page)
    page.locator("#machine").focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(f"**as_of={began - 1}")
    assert query in page.url
    assert seq_of(page) == began - 1


def test_the_time_machine_steps_from_fill_to_fill(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto("/events?as_of=20000")
    page.locator(".banner .steps a", has_text="Fill").last.click()
    page.wait_for_url(lambda url: "as_of=20000" not in url)
    seq = seq_of(page)
    assert seq > 20_000
    page.goto(f"/events/{seq}")
    assert any(word in page.inner_text("main") for word in (" opened ", " closed "))


# ---------------------------------------------------------------- crash me


def test_a_crashed_engine_comes_back_with_its_state(visitor: Visitor, served: Served) -> None:
    page = visitor.page(logged_in=True)
    page.goto("/system")
    killed = child_named(served.pid, "run")
    with visitor.allowing("503"):  # A page that asks while the engine is down is told so; a quick one is back before.
        page.click("form[data-crash] button")
        page.locator("[data-crash-report]").wait_for(timeout=BACK_MS_MAX)
    back = child_named(served.pid, "run")
    assert back != killed
    report = page.locator("[data-crash-report]")
    assert "✓ The same state, to the last bit." in report.inner_text()
    before, after = (
        report.locator("[data-crash-before]").inner_text(),
        report.locator("[data-crash-after]").inner_text(),
    )
    seq = int(report.locator("[data-crash-seq]").inner_text().removeprefix("event ").replace(",", ""))
    digest = ok(served.folder, "replay", "--db", "log.db", "--digest", "--to", str(seq), "--from-start").strip()
    assert before == after == digest
    assert report.locator("[data-crash-ms]").inner_text().endswith(" ms")
    assert page.inner_text("form[data-crash] .answer") == f"Process {back} is back."
    page.goto("/")
    moves_on(page, BACK_MS_MAX)
