"""A message is parsed into a typed request, or refused with suggestions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.events.units import HOUR_MS
from papertape.projections.alerts.markup import utf16_units
from papertape.projections.telegram.parse import (
    MENU,
    NO_REASON,
    AsOfQuery,
    CauseQuery,
    CloseCommand,
    DailyResultsQuery,
    InvalidRequest,
    KillCommand,
    NoPositionQuery,
    PauseCommand,
    ProfitQuery,
    RecentEventsQuery,
    RecentTradesQuery,
    Request,
    ResetCommand,
    ResumeCommand,
    SummaryQuery,
    request_of,
)
from tests.build import DAY_0_MS
from tests.support import examples

SAID = st.builds("/{} {}".format, st.sampled_from(list(MENU)), st.text(max_size=60))
NAMES = ("momentum", "vwap_rsi", "Odd")


@pytest.mark.parametrize(
    ("said", "request_"),
    [
        ("/status", SummaryQuery("status")),
        (" /STATUS@Alert_Bot  ", SummaryQuery("status")),
        ("/start", SummaryQuery("help")),
        ("/profit", ProfitQuery()),
        ("/profit 7", ProfitQuery(7)),
        ("/profit 99999", ProfitQuery(400)),
        ("/daily", DailyResultsQuery(7)),
        ("/daily 3", DailyResultsQuery(3)),
        ("/trades 1000", RecentTradesQuery(50)),
        ("/log\n20", RecentEventsQuery(20)),
        ("/why 4711", CauseQuery(4711)),
        ("/why #4711", CauseQuery(4711)),
        ("/whynot btc", NoPositionQuery("btc")),
        ("/asof 12", AsOfQuery(seq=12)),
        ("/asof 2025-01-01", AsOfQuery(at_ms=DAY_0_MS)),
        ("/asof 2025-01-01 01:00 UTC", AsOfQuery(at_ms=DAY_0_MS + HOUR_MS)),
        ("/asof 2025-01-01T02:00+01:00", AsOfQuery(at_ms=DAY_0_MS + HOUR_MS)),
        ("/pause", PauseCommand("all", NO_REASON)),
        ("/pause MOMENTUM", PauseCommand("momentum", NO_REASON)),
        ("/pause odd news", PauseCommand("Odd", "news")),
        ("/pause all the news", PauseCommand("all", "the news")),
        ('/pause "because of the news"', PauseCommand("all", "because of the news")),
        ("/pause “momentum is odd”", PauseCommand("all", "momentum is odd")),
        ("/pause momentum 'a reason'", PauseCommand("momentum", "a reason")),
        ("/resume vwap_rsi", ResumeCommand("vwap_rsi", NO_REASON)),
        ("/close all", CloseCommand(None, NO_REASON)),
        ("/close 17 enough", CloseCommand(17, "enough")),
        ("/kill", KillCommand("global", NO_REASON)),
        ("/kill all is lost", KillCommand("global", "is lost")),
        ("/kill global is lost", KillCommand("global", "is lost")),
        ("/kill MOMENTUM", KillCommand("momentum", NO_REASON)),
        ("/kill momentum is odd", KillCommand("momentum", "is odd")),
        ("/kill 'momentum is odd'", KillCommand("global", "momentum is odd")),
        ("/kill everything is odd", KillCommand("global", "everything is odd")),
        ("/reset global looked at it", ResetCommand("global", "looked at it")),
    ],
)
def test_a_message_is_parsed(said: str, request_: Request) -> None:
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
def test_an_invalid_message_is_refused_with_suggestions(said: str, instead: str) -> None:
    found = request_of(said, NAMES)
    assert isinstance(found, InvalidRequest)
    assert instead in found.instead


@pytest.mark.parametrize("verb", ["pause", "resume", "kill", "reset"])
def test_a_name_that_does_not_exist_is_refused_with_the_nearest_one(verb: str) -> None:
    found = request_of(f"/{verb} vwap_rsy", NAMES)
    assert isinstance(found, InvalidRequest)
    assert found.why == "there is no strategy 'vwap_rsy'; did you mean vwap_rsi?"


def test_a_kill_is_never_refused_while_no_strategy_is_known_yet() -> None:
    assert request_of("/kill momentum", ()) == KillCommand("global", "momentum")


def test_a_command_for_another_bot_is_ignored() -> None:
    assert request_of("/kill@other_bot", NAMES, "alert_bot") is None


def test_every_entry_of_the_menu_is_understood() -> None:
    for name in MENU:
        found = request_of(f"/{name} 7", NAMES)
        assert not isinstance(found, InvalidRequest) or "there is no command" not in found.why


@examples(300)
@given(
    st.one_of(
        st.text(max_size=60), st.sampled_from(list(MENU)).flatmap(lambda n: st.text(max_size=60).map(f"/{n} ".__add__))
    )
)
def test_no_message_breaks_the_parser(said: str) -> None:
    found = request_of(said, NAMES, "alert_bot")
    assert found is None or utf16_units(repr(found)) < 10_000
