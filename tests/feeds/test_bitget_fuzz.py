"""A hundred thousand spoilt frames: none raises, no number that is none gets in, and nothing grows."""

from __future__ import annotations

import copy
import gc
import json
import sys
from math import isfinite
from random import Random
from typing import Any, Final

import pytest

from papertape.engine.feeds.bitget.connection import StreamConnection
from papertape.engine.feeds.bitget.settings import BitgetSettings
from papertape.engine.feeds.live.stream_state import ROWS_KEPT_MAX, StreamState
from papertape.engine.ports.clock import ManualClock
from papertape.engine.ports.feed import REFUSALS_KEPT_MAX, RefusalLog
from tests.feeds.reading import shared_data
from tests.feeds.test_bitget_frames import ROW, TICKER, texts
from tests.support import PROVING

FRAMES: Final = 100_000 if PROVING else 30_000
SEED: Final = 20_261_122
SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", "STORJUSDT")
START_MS: Final = 1_790_000_000_000
STEP_S: Final = 0.05
BLOCKS_MAX: Final = 3_000
"""So many pieces of memory the second half of the frames may leave behind: caches settle."""
NASTY: Final[tuple[Any, ...]] = (
    None, True, 0, -1, 1e308, 10**40, "", "NaN", "-Infinity", "1e999", "1e-999", "0x10", "1_0", " 1", "١٢٣", "\u0000",
    "9" * 400, [], {}, [[]], {"a": {}}, "BTCUSDT", "candle1m", "snapshot", "\ud800",
)  # fmt: skip


class Fuzzer:
    """Frames that are recorded or of now, spoilt in their bytes or in their structure. A seed repeats them all."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.recorded = texts()
        self.parsed = [json.loads(text) for text in self.recorded if text.startswith("{")]

    def frame(self, now_ms: int) -> str | bytes:
        way = self.chance.random()
        if way < 0.2:
            return json.dumps(self.of_now(now_ms))
        if way < 0.6:
            return self.bent(self.of_now(now_ms) if way < 0.45 else copy.deepcopy(self.chance.choice(self.parsed)))
        text = self.chance.choice(self.recorded) if way < 0.8 else json.dumps(self.of_now(now_ms))
        return self.torn(text.encode())

    def of_now(self, now_ms: int) -> dict[str, Any]:
        """A good frame of this moment."""
        symbol = self.chance.choice(SYMBOLS)
        is_ticker = self.chance.random() < 0.5
        open_ms = now_ms // 60_000 * 60_000
        data = [{**TICKER, "instId": symbol}] if is_ticker else [[str(open_ms), *ROW[1:]]]
        arg = {"instType": "USDT-FUTURES", "channel": "ticker" if is_ticker else "candle1m", "instId": symbol}
        return {"action": self.chance.choice(("snapshot", "update")), "arg": arg, "data": data, "ts": now_ms}

    def bent(self, frame: dict[str, Any]) -> str:
        """Some of its values are others, missing, or twice."""
        for _ in range(self.chance.randint(1, 3)):
            place: Any = frame
            while isinstance(place, dict | list) and place:
                key = self.chance.choice(list(place) if isinstance(place, dict) else range(len(place)))
                if not isinstance(place[key], dict | list) or not place[key] or self.chance.random() < 0.2:
                    self._bend(place, key)
                    break
                place = place[key]
        return json.dumps(frame, ensure_ascii=self.chance.random() < 0.9)

    def _bend(self, place: Any, key: Any) -> None:
        way = self.chance.random()
        if way < 0.7:
            place[key] = copy.deepcopy(self.chance.choice(NASTY))
        elif way < 0.85:
            del place[key]
        elif isinstance(place, list):
            place.extend([place[key]] * self.chance.randint(1, 30))
        else:
            place[key] = [place[key]]

    def torn(self, text: bytes) -> bytes | str:
        """Some of its bytes are others, missing, or twice."""
        raw = bytearray(text)
        for _ in range(self.chance.randint(1, 4)):
            at, length = self.chance.randrange(len(raw) + 1), self.chance.randint(1, 12)
            way = self.chance.random()
            if way < 0.4:
                raw[at : at + length] = self.chance.randbytes(length)
            elif way < 0.6:
                del raw[at : at + length]
            elif way < 0.8:
                raw[at:at] = raw[at : at + length] * 3
            else:
                del raw[at:]
        return bytes(raw) if self.chance.random() < 0.5 else raw.decode("utf-8", "replace")


def numbers(state: StreamState) -> list[float]:
    """Every number the state holds."""
    found: list[float] = []
    for symbol_state in state.symbols.values():
        for row in symbol_state.rows.values():
            found += [getattr(row, name) for name in row.__struct_fields__]
        found += [
            symbol_state.open_interest_base,
            symbol_state.mark_usdt,
            symbol_state.odd_mark_usdt,
            symbol_state.next_settlement_ms,
        ]
    return found


@pytest.mark.system
def test_tens_of_thousands_of_spoilt_frames_do_no_harm() -> None:
    shared_data()
    fuzzer, clock, refusals = Fuzzer(SEED), ManualClock(START_MS), RefusalLog()
    state = StreamState(SYMBOLS, 60_000, refusals)
    stream = StreamConnection(SYMBOLS, BitgetSettings(symbols=SYMBOLS), clock, clock.now_ms, state)
    blocks = 0
    for number in range(FRAMES):
        clock.advance(STEP_S)
        stream.take(fuzzer.frame(clock.now_ms()))
        if number % 100 == 0:
            assert all(isfinite(value) for value in numbers(state))
        if number == FRAMES // 2:
            gc.collect()
            blocks = sys.getallocatedblocks()
    gc.collect()
    assert sys.getallocatedblocks() - blocks < BLOCKS_MAX
    assert set(state.symbols) == set(SYMBOLS) and len(stream.channels) == 2 * len(SYMBOLS)
    assert all(len(symbol_state.rows) <= ROWS_KEPT_MAX + 1 for symbol_state in state.symbols.values())
    assert all(len(symbol_state.suspect_opens_ms) <= ROWS_KEPT_MAX + 2 for symbol_state in state.symbols.values())
    assert len(refusals.kept) == REFUSALS_KEPT_MAX and len(refusals.counts) >= 12, refusals.counts
    assert refusals.total > FRAMES // 3
    assert all(state.symbols[symbol].newest_open_ms >= clock.now_ms() - 120_000 for symbol in SYMBOLS), (
        "good frames still count"
    )
