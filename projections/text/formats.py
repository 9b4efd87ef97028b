"""Numbers for people: prices by tick, quantities by lot, money with sign and separators, times in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from papertape.events.facts import ContractListed

DECIMALS_MAX = 12
MOMENT_FORMS = "2025-01-31, 20250131, 2025-01-31T12:00 (UTC), or seconds (10 digits) or milliseconds (13) since 1970"
MOMENT_CHARS_MAX = 40
FIGURE_WHOLE_MIN = 100.0
"""Numbers from here on are shown without decimals."""
MOMENT_MS_MAX = 10**13 - 1
_DAY_DIGITS, _SECONDS_DIGITS, _MILLISECONDS_DIGITS = 8, 10, 13
_MILLISECOND = timedelta(milliseconds=1)
_DASHES = re.compile("[\u2010-\u2015]")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def decimals(numerator: int, denominator: int) -> int:
    """Return how many decimals a grid of numerator/denominator needs: 1/10 -> 1, 1/4 -> 2, 10/1 -> 0."""
    for places in range(DECIMALS_MAX):
        if numerator * 10**places % denominator == 0:
            return places
    return DECIMALS_MAX


def price(value: float, symbol: str, contracts: Mapping[str, ContractListed]) -> str:
    """Format a price in USDT with the decimals of the symbol's tick; ten digits if the contract is unknown."""
    contract = contracts.get(symbol)
    if contract is None:
        return f"{value:,.10g}"
    return f"{value:,.{decimals(contract.tick_numerator, contract.tick_denominator)}f}"


def quantity(value: float, symbol: str, contracts: Mapping[str, ContractListed]) -> str:
    """Format a quantity in coins with the decimals of the symbol's lot; ten digits if the contract is unknown."""
    contract = contracts.get(symbol)
    if contract is None:
        return f"{value:,.10g}"
    return f"{value:,.{decimals(contract.lot_numerator, contract.lot_denominator)}f}"


def money(value: float) -> str:
    """Format an amount in USDT without a plus sign: 10,000.00. An amount below a cent has four decimals."""
    return f"{value:,.4f}" if 0.0 < abs(value) < 0.01 else f"{_no_minus_zero(value):,.2f}"


def gain(value: float) -> str:
    """Format a result in USDT with its sign: +1,234.50, -0.42, 0.00. A result below a cent has four decimals."""
    return _with_sign(f"{value:+,.4f}" if 0.00005 <= abs(value) < 0.01 else f"{value:+,.2f}")


def signed(value: float) -> str:
    """Format a number with its sign and two decimals: +1.50, -0.42, 0.00."""
    return _with_sign(f"{value:+,.2f}")


def percent(value: float) -> str:
    """Format a percentage with at most two decimals: 5 %, 5.02 %."""
    return f"{f'{value:.2f}'.rstrip('0').rstrip('.')} %"


def figure(value: float, unit: str) -> str:
    """Format a number with its unit: 132 trades, 33.33 % of the stop, 0.0012 % a day; from 100 on without decimals."""
    if abs(value) >= FIGURE_WHOLE_MIN:
        text = f"{value:,.0f}"
    else:
        text = f"{value:.{2 if abs(value) >= 0.1 else 4}f}".rstrip("0").rstrip(".")
    return f"{'0' if text == '-0' else text} {unit}".rstrip()


def gain_percent(value: float) -> str:
    """Format a percentage result with its sign: +0.42 %; a result that rounds to zero has none: 0.00 %."""
    return f"{_with_sign(f'{value:+.2f}')} %"


def rate_percent(rate: float) -> str:
    """Format a funding rate, a fraction, as a percentage with four decimals: +0.0100 %."""
    return f"{_with_sign(f'{rate * 100.0:+.4f}')} %"


def utc(at_ms: int) -> str:
    """Format a time in UTC to the minute: 2025-03-01 14:05."""
    return f"{_EPOCH + timedelta(milliseconds=at_ms):%Y-%m-%d %H:%M}"


def market_time(at_ms: int) -> str:
    """Return a market time as `utc` does, or a phrase for 0, which means before the first candle."""
    return utc(at_ms) if at_ms else "before the first candle"


def moment_ms(text: str) -> int | None:
    """Return the UTC milliseconds of a moment in one of `MOMENT_FORMS`, or None for any other text.

    The number of digits determines the unit: 8 for a date, 10 for seconds, 13 for milliseconds. No other number is
    a moment. A time without a zone is UTC; a time before 1970 is 0.
    """
    cleaned = _DASHES.sub("-", text.strip().upper().removesuffix("UTC").strip())
    if len(cleaned) > MOMENT_CHARS_MAX or not cleaned.isascii():
        return None
    if cleaned.isdigit() and len(cleaned) != _DAY_DIGITS:
        factor = {_SECONDS_DIGITS: 1_000, _MILLISECONDS_DIGITS: 1}.get(len(cleaned))
        return None if factor is None else int(cleaned) * factor
    try:
        moment = datetime.fromisoformat(cleaned)
    except ValueError:
        return None
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return min(max(0, (aware - _EPOCH) // _MILLISECOND), MOMENT_MS_MAX)


def reading(value: float) -> str:
    """Format a number that a decision was based on: six digits or the whole integer part, never an exponent."""
    size = abs(value)
    if size >= 100_000.0:
        return f"{value:,.0f}"
    places = next((places for places in range(1, 6) if size >= 10.0 ** (5 - places)), 6)
    return f"{value:,.{places}f}".rstrip("0").rstrip(".") or "0"


def file_size(size_bytes: float) -> str:
    """Format a size in the largest unit that fits: 812 B, 5.8 MB, 1.2 TB."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1_000.0:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1_000.0
    return f"{size_bytes:.1f} TB"


def duration(span_ms: int) -> str:
    """Return a duration in its two largest units: 3d 4h, 2h 5m, 45s; 0s for a negative one, as after a clock change."""
    seconds = max(0, span_ms) // 1_000
    if seconds < 60:
        return f"{seconds}s"
    parts = ((seconds // 86_400, "d"), (seconds // 3_600 % 24, "h"), (seconds // 60 % 60, "m"))
    shown = [f"{count}{unit}" for count, unit in parts]
    first = next(i for i, (count, _) in enumerate(parts) if count)
    return " ".join(text for text in shown[first : first + 2] if not text.startswith("0"))


def _with_sign(text: str) -> str:
    """Drop the sign of a number whose visible digits are all zero."""
    return text if any(digit in "123456789" for digit in text) else text[1:]


def _no_minus_zero(value: float) -> float:
    return 0.0 if abs(value) < 0.005 else value


def introduced(strategy: str, of: str) -> str:
    """Return a strategy's name, with that of the strategy whose file it runs: `momentum_fast (of momentum)`."""
    return f"{strategy} (of {of})" if of else strategy


def day_words(at_ms: int, now_ms: int) -> str:
    """Return the UTC day of the candle that closed at `at_ms`: `today` if the clock shows that day, else its date."""
    day = utc(max(0, at_ms - 1))[:10]
    return "today" if not at_ms or day == utc(now_ms)[:10] else day
