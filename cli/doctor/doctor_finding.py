"""A finding of the doctor: a line with a level, and advice."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from papertape.cli.render.console import BAD, DOUBT, GOOD

Level = Literal["ok", "warn", "fail"]
MARKS = {"ok": ("✓ ok", GOOD), "warn": ("! warn", DOUBT), "fail": ("✗ fail", BAD)}


class Finding(Struct, frozen=True):
    """One line: the name of the check, its result, and what to do about it."""

    level: Level
    name: str
    text: str
    advice: str = ""
