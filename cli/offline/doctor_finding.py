"""What the doctor finds: a line with a level, and what to do about it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from papertape.cli.render.console import BAD, DOUBT, GOOD

Level = Literal["ok", "warn", "fail"]
MARKS = {"ok": ("✓ ok", GOOD), "warn": ("! warn", DOUBT), "fail": ("✗ fail", BAD)}


class Finding(Struct, frozen=True):
    """One line: what was looked at, how it is, and what to do about it."""

    level: Level
    name: str
    text: str
    advice: str = ""
