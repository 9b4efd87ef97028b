"""What differs between two configurations, in words, and what a running engine can adopt of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from papertape.cli.config.differences import differences
from papertape.cli.config.overrides import load_config
from papertape.cli.config.sections import strategies_of

if TYPE_CHECKING:
    from pathlib import Path

CASES = {
    "a parameter beside its default": (
        "", "[strategies.momentum]\nbreakout_lookback = 30", ["strategies.momentum.breakout_lookback: 20 -> 30"],
    ),
    "a parameter back to its default": (
        "[strategies.momentum]\nbreakout_lookback = 30", "", ["strategies.momentum.breakout_lookback: 30 -> 20"],
    ),
    "a symbol's own parameter": (
        "[strategies.momentum]\nbreakout_lookback = 30",
        "[strategies.momentum]\nbreakout_lookback = 30\nsymbols.BTCUSDT.breakout_lookback = 25",
        ["strategies.momentum.symbols.BTCUSDT.breakout_lookback: 30 -> 25"],
    ),
    "one strategy's limit": (
        "[risk]\nleverage = 2", "[risk]\nleverage = 2\n[strategies.momentum.risk]\nleverage = 1",
        ["strategies.momentum.risk.leverage: 2 -> 1"],
    ),
    "the symbols of a strategy": (
        "", '[strategies.momentum]\nonly_symbols = ["BTCUSDT"]',
        ['strategies.momentum.only_symbols: [] -> ["BTCUSDT"]'],
    ),
    "a group": ("", '[groups]\nBTCUSDT = "majors"', ['groups.BTCUSDT: "crypto" -> "majors"']),
    "symbols": (
        '[feed.sim]\nsymbols = ["BTCUSDT", "ETHUSDT"]', '[feed.sim]\nsymbols = ["SOLUSDT", "BTCUSDT"]',
        ["feed.sim.symbols: SOLUSDT added", "feed.sim.symbols: ETHUSDT removed"],
    ),
    "another order of symbols": (
        '[feed.sim]\nsymbols = ["BTCUSDT", "ETHUSDT"]', '[feed.sim]\nsymbols = ["ETHUSDT", "BTCUSDT"]',
        ["feed.sim.symbols: in another order"],
    ),
    "nothing": ("[strategies.momentum]\nbreakout_lookback = 20", "", []),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_every_change_is_named_with_both_values(tmp_path: Path, case: str) -> None:
    before, after, lines = CASES[case]
    (tmp_path / "before.toml").write_text(before)
    (tmp_path / "after.toml").write_text(after)
    old, new = load_config(tmp_path / "before.toml"), load_config(tmp_path / "after.toml")
    found = differences(old, new, strategies_of(new))
    assert [line for one in found for line in one.lines] == lines
    assert all(one.is_reloadable for one in found)


@pytest.mark.parametrize(
    "text",
    [
        "[feed]\nspeed = 2", "[feed.sim]\nseed = 8", '[feed.bitget]\ntimeframe = "5m"', '[engine]\ndb = "x.db"',
        "[web]\nport = 1", "[watchdog]\nstale_s = 900", "[backup]\nkeep = 1", '[logs]\nformat = "json"',
        '[alerts]\nentry = "off"', '[telegram]\napi_url = "https://x"',
    ],
)  # fmt: skip
def test_what_the_engine_is_built_from_needs_a_restart(tmp_path: Path, text: str) -> None:
    (tmp_path / "after.toml").write_text(text)
    new = load_config(tmp_path / "after.toml")
    (found,) = differences(load_config(None, []), new, strategies_of(new))
    assert not found.is_reloadable
