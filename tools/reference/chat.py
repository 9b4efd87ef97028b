"""The page of the chat commands."""

from __future__ import annotations

from papertape.projections.telegram.parse import MENU, usage
from tools.reference.markdown import NOTE, joined, table


def page() -> str:
    """Return the page of all commands of the chat, in the order of its menu."""
    rows = [(f"`{usage(command)}`", purpose) for command, (_, purpose) in MENU.items()]
    return joined(
        [
            "# Chat commands",
            "",
            NOTE,
            "",
            "The bot answers these commands on Telegram, from its owner only. A command that changes something asks",
            "for confirmation first and names the event that recorded it. For the meaning of each alert,",
            "see [alerts and commands](../alerts.md).",
            "",
            *table([("command", "answer or effect"), *rows]),
        ]
    )
