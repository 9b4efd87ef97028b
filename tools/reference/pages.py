"""Every reference page by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tools.reference import api, chat, commands, configuration, events, indicators, strategies

FOLDER: Final = Path(__file__).resolve().parents[2] / "docs" / "reference"


def pages() -> dict[str, str]:
    """Return the text of every page by its file name."""
    return {
        "api.md": api.page(),
        "chat.md": chat.page(),
        "cli.md": commands.page(),
        "configuration.md": configuration.page(),
        "events.md": events.page(),
        "indicators.md": indicators.page(),
        "strategies.md": strategies.page(),
    }
