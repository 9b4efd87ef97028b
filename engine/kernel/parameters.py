"""Ranges of settings: one line states a parameter's type, range, unit, meaning and default.

sl_percent: Annotated[float, positive(50.0, "%", "stop")] = 0.3
"""

from __future__ import annotations

from msgspec import Meta


def between(low: float, high: float, unit: str, meaning: str) -> Meta:
    """Return the range from `low` to `high`, both included."""
    return Meta(ge=low, le=high, description=meaning, extra={"unit": unit})


def positive(high: float, unit: str, meaning: str) -> Meta:
    """Return the range above 0 and up to `high`."""
    return Meta(gt=0.0, le=high, description=meaning, extra={"unit": unit})


def negative(low: float, unit: str, meaning: str) -> Meta:
    """Return the range from `low` up to, but without, 0."""
    return Meta(ge=low, lt=0.0, description=meaning, extra={"unit": unit})
