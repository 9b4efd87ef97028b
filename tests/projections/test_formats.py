"""Numbers in words."""

from __future__ import annotations

import pytest

from papertape.projections.text import formats

SECOND_MS = 1_000


@pytest.mark.parametrize(
    ("tick", "places"), [((1, 10), 1), ((1, 4), 2), ((10, 1), 0), ((1, 2), 1), ((5, 100_000), 5), ((1, 3), 12)]
)
def test_decimals_follow_the_grid(tick: tuple[int, int], places: int) -> None:
    assert formats.decimals(*tick) == places


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.00"), (-0.0, "0.00"), (1_234.5, "+1,234.50"), (-0.42, "-0.42"), (-0.004, "-0.0040"), (0.01, "+0.01"),
        (-0.00004, "0.00"), (0.00005, "+0.0001"),
    ],
)  # fmt: skip
def test_a_nonzero_result_has_a_sign(value: float, text: str) -> None:
    assert formats.gain(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(-0.0019, "0.00"), (0.0019, "0.00"), (-0.005001, "-0.01"), (0.42, "+0.42"), (-100.0, "-100.00")],
)
def test_a_value_that_rounds_to_zero_has_no_sign(value: float, text: str) -> None:
    assert formats.signed(value) == text
    assert formats.gain_percent(value) == f"{text} %"


@pytest.mark.parametrize(("value", "text"), [(10_000.0, "10,000.00"), (-5.0, "-5.00"), (0.0012, "0.0012")])
def test_money(value: float, text: str) -> None:
    assert formats.money(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(5.0, "5 %"), (5.02, "5.02 %"), (10.0, "10 %"), (0.0, "0 %"), (4.5, "4.5 %")]
)
def test_a_percentage_is_as_short_as_possible(value: float, text: str) -> None:
    assert formats.percent(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (45, "45s"), (60, "1m"), (3_600, "1h"), (7_500, "2h 5m"), (273_600, "3d 4h"), (86_460, "1d")],
)
def test_a_duration_shows_its_two_largest_units(seconds: int, text: str) -> None:
    assert formats.duration(seconds * SECOND_MS) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (24.5, "24.5"),
        (-3.25, "-3.25"),
        (0.024579, "0.024579"),
        (74_904.6, "74,904.6"),
        (11_643_400.0, "11,643,400"),
        (99_999.96, "100,000"),
        (1e-9, "0"),
    ],
)
def test_a_reading_has_six_digits_and_never_an_exponent(value: float, text: str) -> None:
    assert formats.reading(value) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (132.0, "trades", "132 trades"),
        (1_234.56, "", "1,235"),
        (100.0 / 3.0, "% of the stop", "33.33 % of the stop"),
        (60.0, "%", "60 %"),
        (0.00123, "% a day", "0.0012 % a day"),
        (-0.00001, "", "0"),
    ],
)
def test_a_figure_has_its_unit_and_no_needless_decimals(value: float, unit: str, text: str) -> None:
    assert formats.figure(value, unit) == text


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (812, "812 B"), (5_754_880, "5.8 MB"), (1.2e12, "1.2 TB")])
def test_a_size_has_the_largest_unit_that_fits(size: float, text: str) -> None:
    assert formats.file_size(size) == text


DAY_MS = 1_735_776_000_000
"""2025-01-02 00:00 UTC."""


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("20250102", DAY_MS), ("2025-01-02", DAY_MS), ("1735776000", DAY_MS), ("1735776000000", DAY_MS),
        ("20250102T1030", DAY_MS + 37_800_000), ("2025-01-02 10:30 UTC", DAY_MS + 37_800_000),
        ("2025-01-02T10:30:00.123Z", DAY_MS + 37_800_123), ("2025-01-02T02:00+02:00", DAY_MS),
        ("2025\u201301\u201302", DAY_MS), (" 2025-01-02t00:00z ", DAY_MS), ("1969-12-31", 0),
        ("1735776000123", DAY_MS + 123), ("0001-01-01T00:00+14:00", 0),
    ],
)  # fmt: skip
def test_a_moment_is_recognised_by_its_form(text: str, at_ms: int) -> None:
    assert formats.moment_ms(text) == at_ms


@pytest.mark.parametrize(
    "text",
    [
        "", "2025", "202501", "2025010", "202501020", "17357760000", "173577600000", "17357760000000", "20251399",
        "2025-01", "noon", "-1735776000", "1735776000.5", "1e9",
        "\uff12\uff10\uff12\uff15\uff10\uff11\uff10\uff12", "9" * 5_000,
    ],
)  # fmt: skip
def test_text_that_is_no_moment_or_is_ambiguous_gives_none(text: str) -> None:
    assert formats.moment_ms(text) is None


@pytest.mark.parametrize("form", ["2025-01-31", "20250131", "2025-01-31T12:00", "1738281600", "1738281600000"])
def test_every_form_in_the_error_message_is_accepted(form: str) -> None:
    assert formats.moment_ms(form) is not None
    assert form in formats.MOMENT_FORMS or len(form) in (10, 13)
