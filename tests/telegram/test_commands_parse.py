"""A message becomes a typed request, or says what to write instead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.projections.telegram.parse import (
    MENU,
    NO_REASON,
    AskClose,
    AskKill,
    AskPause,
    AskReset,
    AskResume,
    AsOf,
    Daily,
    LastEvents,
    LastTrades,
    Profit,
    Request,
    Show,
    Why,
    WhyNot,
    Wrong,
    request_of,
)
from papertape.projections.telegram.text import utf16_units
from tests.support import DAY_0_MS, HOUR_MS, examples

SAID = st.builds("/{} {}".format, st.sampled_from(list(MENU)), st.text(max_size=60))
NAMES = ("momentum", "vwap_rsi", "Odd")


@pytest.mark.parametrize(
    ("said", "request_"),
    [
        ("/status", Show("status")),
        (" /STATUS@Alert_Bot  ", Show("status")),
        ("/start", Show("help")),
        ("/profit", Profit()),
        ("/profit 7", Profit(7)),
        ("/profit 99999", Profit(400)),
        ("/daily", Daily(7)),
        ("/daily 3", Daily(3)),
        ("/trades 1000", LastTrades(50)),
        ("/log\n20", LastEvents(20)),
        ("/why 4711", Why(4711)),
        ("/why #4711", Why(4711)),
        ("/whynot btc", WhyNot("btc")),
        ("/asof 12", AsOf(seq=12)),
        ("/asof 2025-01-01", AsOf(at_ms=DAY_0_MS)),
        ("/asof 2025-01-01 01:00 UTC", AsOf(at_ms=DAY_0_MS + HOUR_MS)),
        ("/asof 2025-01-01T02:00+01:00", AsOf(at_ms=DAY_0_MS + HOUR_MS)),
        ("/pause", AskPause("all", NO_REASON)),
        ("/pause MOMENTUM", AskPause("momentum", NO_REASON)),
        ("/pause odd news", AskPause("Odd", "news")),
        ("/pause all the news", AskPause("all", "the news")),
        ('/pause "because of the news"', AskPause("all", "because of the news")),
        ("/pause “momentum is odd”", AskPause("all", "momentum is odd")),
        ("/pause momentum 'a reason'", AskPause("momentum", "a reason")),
        ("/resume vwap_rsi", AskResume("vwap_rsi", NO_REASON)),
        ("/close all", AskClose(None, NO_REASON)),
        ("/close 17 enough", AskClose(17, "enough")),
        ("/kill", AskKill("global", NO_REASON)),
        ("/kill all is lost", AskKill("global", "is lost")),
        ("/kill global is lost", AskKill("global", "is lost")),
        ("/kill MOMENTUM", AskKill("momentum", NO_REASON)),
        ("/kill momentum is odd", AskKill("momentum", "is odd")),
        ("/kill 'momentum is odd'", AskKill("global", "momentum is odd")),
        ("/kill everything is odd", AskKill("global", "everything is odd")),
        ("/reset global looked at it", AskReset("global", "looked at it")),
    ],
)
def test_what_is_meant(said: str, request_: Request) -> None:
    assert request_of(said, NAMES, "alert_bot") == request_


@pytest.mark.parametrize(
    ("said", "instead"),
    [
        ("/stauts", "/status"),
        ("/positons", "/positions"),
        ("/qqqqqqqq", "/help"),
        ("hello", "/help"),
        ("/profit many", "/profit [days]"),
        ("/daily -3", "/daily [days]"),
        ("/trades ²", "/trades [n]"),
        ("/why", "/why SEQ"),
        ("/why 0", "/why SEQ"),
        ("/whynot", "/whynot SYMBOL"),
        ("/asof", "/asof 4711"),
        ("/asof 2025-13-01", "/asof 2025-03-01"),
        ("/asof 99999-01-01", "/asof 4711"),
        ("/close", "/close ID or all"),
        ("/close momentum", "/close ID or all"),
        ("/reset", "/reset global REASON"),
        ("/reset momentum", "/reset momentum REASON"),
        ("/reset momentm why", "/reset momentum REASON"),
        ("/pause momentm because", "/pause momentum because"),
        ("/resume nobody", "/resume momentum"),
        ("/resume vwap", "/resume vwap_rsi"),
        ("/pause TYPO", "/pause momentum"),
        ("/pause TYPO", "/pause all TYPO"),
        ("/pause vwap", "/pause vwap_rsi"),
        ("/pause mom news at 14:30", "/pause momentum news at 14:30"),
        ("/pause because of the news", "/pause all because of the news"),
        ("/kill TYPO", "/kill momentum"),
        ("/kill TYPO", "/kill all TYPO"),
        ("/kill momentm is odd", "/kill momentum is odd"),
        ("/kill vwap loses", "/kill vwap_rsi loses"),
        ("/reset TYPO it was a drill", "/reset vwap_rsi REASON"),
    ],
)
def test_what_is_wrong_comes_with_what_to_write_instead(said: str, instead: str) -> None:
    found = request_of(said, NAMES)
    assert isinstance(found, Wrong)
    assert instead in found.instead


@pytest.mark.parametrize("verb", ["pause", "resume", "kill", "reset"])
def test_a_name_that_does_not_exist_is_refused_with_the_nearest_one(verb: str) -> None:
    found = request_of(f"/{verb} vwap_rsy", NAMES)
    assert isinstance(found, Wrong)
    assert found.why == "there is no strategy 'vwap_rsy'; did you mean vwap_rsi?"


def test_a_kill_is_never_refused_while_no_strategy_is_known_yet() -> None:
    assert request_of("/kill momentum", ()) == AskKill("global", "momentum")


def test_a_command_for_another_bot_is_not_ours() -> None:
    assert request_of("/kill@other_bot", NAMES, "alert_bot") is None


def test_every_entry_of_the_menu_is_understood() -> None:
    for name in MENU:
        found = request_of(f"/{name} 7", NAMES)
        assert not isinstance(found, Wrong) or "there is no command" not in found.why


@examples(300)
@given(
    st.one_of(
        st.text(max_size=60), st.sampled_from(list(MENU)).flatmap(lambda n: st.text(max_size=60).map(f"/{n} ".__add__))
    )
)
def test_nothing_that_is_said_breaks_it(said: str) -> None:
    found = request_of(said, NAMES, "alert_bot")
    assert found is None or utf16_units(repr(found)) < 10_000
