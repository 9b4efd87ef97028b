"""The answer to /funnel: where entries are lost, from the questions to the trades, long and short apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from papertape.projections.alerts.lines import ENTRY
from papertape.projections.alerts.markup import bold, name, text
from papertape.projections.text.formats import gain, utc
from papertape.projections.text.reasons import not_asked_words, reason_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from papertape.projections.site.funnel import FunnelView, SideTally, StrategyTally

FUNNELS_SHOWN_MAX: Final = 12
SUB: Final = "after each condition: how often it and all before it held"


def funnel_html(view: FunnelView) -> str:
    """Return the funnels of a span; the conditions are shown if it is about one strategy."""
    one_strategy = len({one.strategy for one in view.funnels}) == 1
    head = f"<b>funnel of entries</b>\n{text(utc(view.from_ms))} to {text(utc(view.until_ms))} UTC"
    if not view.funnels:
        return f"{head}\n\nno strategy had a candle of its timeframe in this span"
    blocks = [_block(one, with_conditions=one_strategy) for one in view.funnels[:FUNNELS_SHOWN_MAX]]
    more = len(view.funnels) - FUNNELS_SHOWN_MAX
    rest = [f"and {more} more"] if more > 0 else []
    return "\n\n".join([head, *blocks, *rest, *([SUB] if one_strategy else ["/funnel STRATEGY shows its conditions"])])


def _block(one: StrategyTally, *, with_conditions: bool) -> str:
    others = ", ".join(f"{text(not_asked_words(why))} {count:,}" for why, count in one.reasons_not_asked)
    lines = [
        f"<b>{name(one.strategy)} · {name(one.symbol)}</b>",
        f"asked on {one.asked:,} of {one.candles:,} candles" + (f"; not asked: {others}" if others else ""),
    ]
    for side in (one.long, one.short):
        lines += _side(side, with_conditions=with_conditions and one.explained)
    return "\n".join(lines)


def _side(side: SideTally, *, with_conditions: bool) -> list[str]:
    head = f"{ENTRY[side.side]} {side.side}"
    steps = " → ".join(f"{text(condition.name, 40)} {condition.passed:,}" for condition in side.conditions)
    outcome = [f"{bold(f'{side.signals:,}')} signals"]
    outcome += _counts("refused", side.refused) + _counts("cancelled", side.cancelled)
    if side.signals:
        outcome += [f"filled {side.filled:,}", f"{side.trades:,} trades, {side.won:,} won, {text(gain(side.net_usdt))}"]
    line = f"{head}: {', '.join(outcome)}"
    return [f"{head}: {steps}", f"   {', '.join(outcome)}"] if with_conditions and steps else [line]


def _counts(word: str, counts: Mapping[str, int]) -> list[str]:
    return [f"{word} {count:,} ({text(reason_words(reason))})" for reason, count in counts.items()]
