"""Signals to a whole installation: over the page's API and from the terminal, across a kill -9 of the engine."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from papertape.events.facts import SignalReceived
from tests.cli.test_process_supervisor import is_alive, wait_for
from tests.cli.test_up import UP, child_named
from tests.cli.test_up_page import address
from tests.engine.logs import of_type
from tests.engine.processes import ok, papertape, running
from tests.patience import PATIENCE_S
from tests.web.site import SIGNAL_TOKEN, TOKEN

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

TREND = {"symbol": "BTCUSDT", "name": "trend", "value": -1, "id": "first", "source": "tradingview"}
VARIABLES = {"PAPERTAPE_SIGNAL_TOKEN": SIGNAL_TOKEN}


def test_a_signal_is_recorded_once_although_the_engine_is_killed_after_its_answer(tmp_path: Path) -> None:
    with running(tmp_path, *UP, variables=VARIABLES) as keeper:
        url = f"{address(keeper)}/api/v1/signals"

        def post(**changes: Any) -> httpx.Response:
            headers = {"authorization": f"Bearer {SIGNAL_TOKEN}"}
            return httpx.post(url, json=TREND | changes, headers=headers, timeout=PATIENCE_S)

        wait_for(lambda: post().status_code == 200)
        engine = child_named(keeper.pid, "run")
        os.kill(engine, signal.SIGKILL)
        wait_for(lambda: not is_alive(engine))
        wait_for(lambda: post().status_code == 200)
        assert post().json()["repeated"] is True
        refused = post(value=1)
        assert (refused.status_code, "has sent 'first' already" in refused.json()["detail"]) == (409, True)
        terminal = ("signal", "trend", "-0.5", "--symbol", "BTCUSDT", "--id", "second", "--db", "log.db")
        assert ok(tmp_path, *terminal).startswith("recorded by the running engine: seq ")
        assert ok(tmp_path, *terminal) == "the log of log.db holds this signal already\n"
        wait_for(lambda: httpx.get(url, timeout=PATIENCE_S).json()["data"][0]["source"] == "terminal")
    found = [
        (one.source, one.value)
        for one in of_type(tmp_path / "log.db", SignalReceived)
        if isinstance(one, SignalReceived)
    ]
    assert found == [("tradingview", -1.0), ("terminal", -0.5)]
    assert "every decision is the same" in ok(tmp_path, "verify", "--db", "log.db")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("trend", "1", "--symbol", "BTCUSDT"), "error: no engine accepts commands for log.db"),
        (("Trend", "1", "--symbol", "BTCUSDT"), "error: 'Trend' is not a name: write lower-case letters"),
        (("trend", "nan", "--symbol", "BTCUSDT"), "error: nan is not a value: write a finite number"),
        (("trend", "1", "--symbol", "BTCUSDT", "--at", "noon"), "error: --at 'noon': not a time"),
        (("trend", "1", "--symbol", "BTCUSDT", "--id", "x" * 121), "error: id: Expected str of length <= 120"),
    ],
)
def test_an_invalid_signal_is_refused_in_one_line(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = papertape(tmp_path, "signal", *arguments, "--db", "log.db")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(said)


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("guess", "PAPERTAPE_SIGNAL_TOKEN must contain at least 32 random bytes"),
        (TOKEN, "PAPERTAPE_SIGNAL_TOKEN must differ from PAPERTAPE_TOKEN"),
    ],
)
def test_a_signal_token_that_is_weak_or_the_owners_is_refused_at_the_start(
    tmp_path: Path, token: str, said: str
) -> None:
    done = papertape(tmp_path, *UP, PAPERTAPE_SIGNAL_TOKEN=token, PAPERTAPE_TOKEN=TOKEN)
    assert done.returncode == 4
    assert said in done.stderr and token not in done.stderr


def test_signals_from_a_file_need_recorded_candles(tmp_path: Path) -> None:
    done = papertape(tmp_path, "run", "--feed", "sim", "--signals", "model.csv", "--db", "log.db")
    assert done.returncode == 2
    assert done.stderr == ("error: --signals belongs to recorded candles; the feed sim takes signals while it runs\n")
