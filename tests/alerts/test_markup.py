"""No name and no reason breaks a text, and none is too long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.projections.alerts import markup
from papertape.projections.alerts.derive import Alerts
from papertape.projections.alerts.digest import Digest, digest_text
from papertape.projections.alerts.settings import AlertSettings
from papertape.projections.alerts.texts import Stamp, fault_text
from tests.alerts.example_day import alerts_of
from tests.alerts.html_rules import faults
from tests.alerts.random_log import EXTREME, NASTY, WIDE, lengths, pools, random_log, seeds, words

EVERYTHING = AlertSettings(funding_paid_usdt_min=0.0)

BROKEN = {
    "<b>open": "never closed",
    "a < b": "no tag",
    "a > b": "no tag",
    "a & b": "bare &",
    "&nbsp;": "bare &",
    "&#x27;": "bare &",
    "<b><i>x</b></i>": "closes nothing",
    "</b>": "closes nothing",
    "<br>": "no tag",
    "": "0 UTF-16 units",
    WIDE * 2_049: "4098 UTF-16 units",
    "\x00": "nobody sees",
}


@pytest.mark.parametrize("html", BROKEN)
def test_the_checker_refuses_what_telegram_refuses(html: str) -> None:
    assert BROKEN[html] in " ".join(faults(html))


@given(seeds, lengths, pools)
def test_no_name_and_no_reason_breaks_a_text(seed: int, length: int, pool: list[str]) -> None:
    alerts, digest = Alerts(EVERYTHING), Digest()
    for one in random_log(seed, length, pool, EXTREME):
        alerts.apply(one)
        alert = alerts.alert_of(one, note="<note> & more")
        digest.apply(one, alert)
        if alert is not None:
            assert faults(alert.html) == []
            assert alert.html.splitlines()[-1].startswith(f"<code>#{one.seq}</code> ")
    assert faults(digest_text(digest.view())) == []


@given(words)
def test_a_fault_with_any_reason_is_well_formed(reason: str) -> None:
    assert faults(fault_text(Stamp(1, 0), reason)) == []


@given(words, st.integers(1, 500))
def test_a_value_stays_on_one_line_within_its_limit(value: str, chars_max: int) -> None:
    shown = markup.plain_text(markup.text(value, chars_max))
    assert 1 <= len(shown) <= chars_max
    assert "\n" not in shown


@given(st.lists(words.map(markup.bold), max_size=60), words.map(markup.bold))
def test_a_message_that_is_too_long_loses_whole_lines_from_its_end(details: list[str], head: str) -> None:
    html = markup.message(head, details, markup.footer(7, 0))
    assert faults(html) == []
    assert html.startswith(head)
    if len(html.splitlines()) < len(details) + 2:
        kept = len(html.splitlines()) - 3
        assert html.splitlines()[-2] == f"and {len(details) - kept} more lines"


@given(st.lists(st.tuples(words, words), min_size=1, max_size=25))
def test_a_table_is_well_formed_whatever_its_cells(rows: list[tuple[str, str]]) -> None:
    assert faults(markup.table(rows)) == []


@pytest.mark.parametrize("value", NASTY)
def test_plain_text_keeps_the_words(value: str) -> None:
    assert markup.plain_text(markup.bold(value)) == markup.plain_text(markup.text(value))
    assert markup.plain_text("<b>a &lt; b</b> <code>&amp;amp;</code>") == "a < b &amp;"


def test_the_longest_possible_message_is_truncated_between_lines() -> None:
    line = markup.bold("&" * 1_000)
    html = markup.message(line, [line] * 40, markup.footer(7, 0))
    assert faults(html) == []
    assert html.splitlines()[:2] == [line, line]
    assert html.splitlines()[-2] == "and 39 more lines"


def test_a_log_of_the_longest_names_keeps_every_text_short_enough() -> None:
    names = [f"{place}{'&' * 400}" for place in range(8)]
    for seed in range(20):
        for alert in alerts_of(random_log(seed, 60, names, EXTREME), Alerts(EVERYTHING)):
            assert faults(alert.html) == []
