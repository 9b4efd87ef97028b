"""kill -9 with the live feed: every restart fills the gap, and the log holds the exchange's own candles."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from papertape.events.facts import CandleClosed, FeedConnected, FundingRateSettled, PositionOpened, Timing
from papertape.sandbox.bitget.market import SimTwinMarket
from tests.engine.logs import recorded
from tests.engine.processes import ROOT, command, environment, papertape, started
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.system

SPEED = 120
KILLS = 6
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
MINUTE_MS = 60_000
WARM_UP_MINUTES = 36 * 60
MARKET = SimTwinMarket(SYMBOLS)


@contextmanager
def exchange(folder: Path) -> Iterator[tuple[str, ...]]:
    """A stand-in as a process, and the arguments that lead an engine to it."""
    serve = command("twin", "bitget", "--port", "0", "--speed", str(SPEED))
    with subprocess.Popen(serve, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline().split()
            sets = [word for word in said if word.startswith("feed.bitget.")]
            assert len(sets) == 2, said
            yield ("run", "--feed", "bitget", "--speed", str(SPEED), "--db", str(folder / "log.db"), "--set", *sets)
        finally:
            process.kill()


def live_facts(folder: Path) -> tuple[int, int]:
    """How often the log says that the feed was connected, and how many candles it holds that came as they closed."""
    events = [one.event for one in recorded(folder / "log.db")]
    live = sum(isinstance(event, CandleClosed) and event.timing is Timing.ON_TIME for event in events)
    return sum(isinstance(event, FeedConnected) for event in events), live


def wait_until_live(folder: Path, before: tuple[int, int]) -> None:
    """Wait until the feed has connected once more than before, and a candle has come as it closed."""
    ends_s = time.monotonic() + PATIENCE_S
    while not all(now > then for now, then in zip(live_facts(folder), before, strict=True)):
        assert time.monotonic() < ends_s, "the feed never came"
        time.sleep(0.25)


def run_for(folder: Path, seconds: float, number: signal.Signals, arguments: tuple[str, ...], *, up: bool) -> int:
    """Run the engine for a while, then send it a signal; one that has to be `up` first gets its feed and a live candle.

    Returns its exit code.
    """
    before = live_facts(folder) if (folder / "log.db").exists() else (0, 0)
    with (folder / "stderr.txt").open("ab") as errors:
        engine = started(folder, *arguments, variables=environment(), errors=errors)
    assert engine.stdout is not None
    with engine.stdout as told:
        if up:
            assert told.readline(), "it ends before it has said a word"
            wait_until_live(folder, before)
        time.sleep(seconds)
        engine.send_signal(number)
        return engine.wait(PATIENCE_S)


def check_candles(candles: list[CandleClosed]) -> None:
    """Every minute of one symbol once, in order, as the exchange has it; the warm-up and what came live."""
    opens = [candle.open_time_ms for candle in candles]
    assert opens == list(range(opens[0], opens[-1] + 1, MINUTE_MS))
    assert len(opens) > WARM_UP_MINUTES
    for candle in candles:
        row = MARKET.candle(candle.symbol, candle.open_time_ms)
        assert row is not None
        shown = (candle.open, candle.high, candle.low, candle.close, candle.volume)
        assert shown == (row.open, row.high, row.low, row.close, row.volume)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_at_random_instants_the_log_still_holds_every_candle_of_the_exchange_once(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    with exchange(tmp_path) as arguments:
        for number in range(KILLS):
            up = number % 2 == 0  # Also where the machine is slow to start it.
            seconds = chance.uniform(2.0, 5.0) if up else chance.uniform(0.5, 4.0)
            assert run_for(tmp_path, seconds, signal.SIGKILL, arguments, up=up) == -signal.SIGKILL
            time.sleep(chance.uniform(0.0, 1.5))
        assert run_for(tmp_path, 6.0, signal.SIGTERM, arguments, up=True) == 0, (tmp_path / "stderr.txt").read_text()
    events = [one.event for one in recorded(tmp_path / "log.db")]
    for symbol in SYMBOLS:
        check_candles([event for event in events if isinstance(event, CandleClosed) and event.symbol == symbol])
    late = [event for event in events if isinstance(event, CandleClosed) and event.timing is Timing.LATE]
    assert late, "no engine was ever down"
    assert sum(isinstance(event, FeedConnected) for event in events) > 1
    missed = {(candle.symbol, candle.open_time_ms) for candle in late}
    assert not missed & {(event.symbol, event.at_ms) for event in events if isinstance(event, PositionOpened)}
    settled = [(event.symbol, event.at_ms) for event in events if isinstance(event, FundingRateSettled)]
    assert len(settled) == len(set(settled))
    assert papertape(tmp_path, "verify", "--db", "log.db").returncode == 0
