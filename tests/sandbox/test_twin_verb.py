"""The stand-in as a process of its own: it says where it is, runs at its speed, and ends cleanly when told to."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import httpx
import pytest
from websockets.sync.client import connect

from papertape.cli.twins.bitget import serve_bitget
from papertape.events.errors import UsageError
from tests.feeds.reading import shared_data
from tests.patience import PATIENCE_S
from tests.sandbox.served_twin import BTC, FUTURES, PAGES, arg

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.system

PROGRAM = (
    "import sys; from papertape.cli.twins.bitget import serve_bitget; "
    "serve_bitget(0, '127.0.0.1', {speed}, {symbols}, {candles}{more})"
)
SPEED = 20.0
CLOCK_S = 0.02
"""So far two clocks may differ."""
get = partial(httpx.get, timeout=PATIENCE_S)


@contextmanager
def process(
    candles: list[str] | None = None, more: str = "", *, end: int = signal.SIGTERM
) -> Iterator[tuple[str, str]]:
    """A served twin: its REST and socket URLs. It has to end with 0 and in silence."""
    text = PROGRAM.format(speed=SPEED, symbols=[BTC, "PAPERUSDT"], candles=candles or [], more=more)
    # Not from the checkout: an installed papertape is started anywhere.
    program = subprocess.Popen(
        [sys.executable, "-c", text],
        cwd="/",
        env={"PYTHONPATH": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert program.stdout is not None
        line = program.stdout.readline()
        rest = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert rest is not None, line + program.communicate(timeout=PATIENCE_S)[1]
        assert f"--speed {SPEED:g}" in line and f"feed.bitget.rest_url={rest[0]}" in line
        yield rest[0], rest[0].replace("http", "ws") + "/v2/ws/public"
        program.send_signal(end)
        _, errors = program.communicate(timeout=PATIENCE_S)
        assert (program.returncode, errors) == (0, "")
    finally:
        program.kill()
        program.wait()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_a_market_of_now_at_its_speed_until_it_is_told_to_end(end: int) -> None:
    with process(end=end) as (rest_url, ws_url):
        asked_s = time.monotonic()
        first = int(get(f"{rest_url}/api/v2/public/time").json()["data"]["serverTime"])
        began_s = time.monotonic()
        assert abs(first / 1_000.0 - time.time()) < 3_600.0
        with connect(ws_url, ping_interval=None) as socket:
            socket.send(json.dumps({"op": "subscribe", "args": [arg("candle1m", BTC)]}))
            frames = [json.loads(socket.recv(timeout=PATIENCE_S)) for _ in range(5)]
        assert [frame.get("event") or frame["action"] for frame in frames[:3]] == ["subscribe", "snapshot", "update"]
        ends_s = time.monotonic()
        second = int(get(f"{rest_url}/api/v2/public/time").json()["data"]["serverTime"])
        answered_s = time.monotonic()
        passed_s = (second - first) / 1_000.0 / SPEED
        assert ends_s - began_s - CLOCK_S <= passed_s <= answered_s - asked_s + CLOCK_S


def test_it_serves_recorded_candles_and_faults() -> None:
    path = shared_data() / "binance_BTCUSDT_5m_2024-09-13_2024-09-18.csv.gz"
    with process([str(path)], ", 3") as (rest_url, _):
        query = {**FUTURES, "symbol": BTC, "granularity": "5m", "limit": "200"}
        body = get(rest_url + PAGES + "history-candles", params=query).json()
        assert body["code"] == "00000"
        assert len(body["data"]) == 200


def test_a_speed_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="speed"):
        serve_bitget(0, "127.0.0.1", 0.0, [], [])


def test_a_port_that_is_taken_is_refused() -> None:
    with process() as (rest_url, _):
        port = int(rest_url.rpartition(":")[2])
        with pytest.raises(UsageError, match="cannot be served"):
            serve_bitget(port, "127.0.0.1", 1.0, [], [])
