"""Text is readable in both themes, by the contrast of WCAG 2 between the colours of the style sheet."""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING

import pytest

from papertape.ui.rendering import STATIC

if TYPE_CHECKING:
    from pathlib import Path

TEXT_MIN, GRAPHICS_MIN = 4.5, 3.0
GROUNDS = ("bg", "surface", "raised", "hover")
TEXTS = ("text", "muted", "faint", "accent", "up", "down", "warn")
SERIES = tuple(f"series-{number}" for number in range(1, 8))
ON_TINTS = (
    ("down", "down-ground"),
    ("up", "up-ground"),
    ("warn", "warn-ground"),
    ("accent", "accent-ground"),
    ("text", "accent-ground"),
    ("muted", "accent-ground"),
    ("text", "down-ground"),
    ("faint", "down-ground"),
    ("on-accent", "accent"),
)
THEMES = ("light", "dark")
SHEET = (STATIC / "layout.css").read_text()


def colour(name: str, theme: str) -> tuple[int, ...]:
    """Return a colour of the style sheet."""
    found = re.search(rf"--{name}: light-dark\(#(\w+), #(\w+)\);", SHEET)
    assert found is not None, name
    digits = found[1 + THEMES.index(theme)]
    full = digits if len(digits) == 6 else "".join(digit * 2 for digit in digits)
    return tuple(int(full[at : at + 2], 16) for at in (0, 2, 4))


def luminance(rgb: tuple[int, ...]) -> float:
    """Return the relative luminance of an sRGB colour."""
    red, green, blue = (
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
        for share in (value / 255.0 for value in rgb)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str, theme: str) -> float:
    """Return the contrast of two colours of the style sheet, from 1 to 21."""
    darker, lighter = sorted(luminance(colour(name, theme)) for name in (one, other))
    return (lighter + 0.05) / (darker + 0.05)


def test_black_on_white_is_the_most_there_is() -> None:
    assert (luminance((255, 255, 255)) + 0.05) / (luminance((0, 0, 0)) + 0.05) == pytest.approx(21.0)


@pytest.mark.parametrize("theme", THEMES)
def test_text_can_be_read(theme: str) -> None:
    pairs = [*product(TEXTS, GROUNDS), *ON_TINTS]
    weak = {pair: round(contrast(*pair, theme), 2) for pair in pairs if contrast(*pair, theme) < TEXT_MIN}
    assert weak == {}


@pytest.mark.parametrize("theme", THEMES)
def test_lines_of_a_picture_can_be_seen(theme: str) -> None:
    weak = {
        name: contrast(name, "surface", theme) for name in SERIES if contrast(name, "surface", theme) < GRAPHICS_MIN
    }
    assert weak == {}


@pytest.mark.parametrize("sheet", sorted(STATIC.glob("*.css")), ids=lambda path: path.name)
def test_no_text_has_reduced_opacity(sheet: Path) -> None:
    """Only disabled controls and graphics may have an opacity."""
    text = sheet.read_text()
    rules = re.findall(r"([^{}]+)\{[^{}]*\bopacity: (0?\.\d+)", text)
    allowed = (".off", "[disabled]", 'aria-pressed="false"', ".fill", "rect:hover")
    assert [rule.strip() for rule, _ in rules if not any(part in rule for part in allowed)] == []
