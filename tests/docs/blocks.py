"""The blocks of code of a page, and what becomes of each.

A shell block is run. A block with a title is written to the file of that name: a `diff` changes the file, `toml` is
merged into it. A block without a language, right below a shell block, is what its commands print.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from pathlib import Path

FENCE: Final = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^(?P=indent)```\n",
    re.DOTALL | re.MULTILINE,
)
OPENING: Final = re.compile(r"^ *```", re.MULTILINE)
COMMENT: Final = re.compile(r"\s{2,}# (.*)$")
NEEDS: Final = re.compile(r"needs (the network|Docker|root)")
EXITS: Final = re.compile(r"exits with (\d+)")


class ShellCommand(Struct, frozen=True):
    """A command as it is typed, and what the comment after it says."""

    text: str
    comment: str = ""

    @property
    def needs(self) -> str:
        """What it needs that not every machine has; "" if every machine can run it."""
        found = NEEDS.search(self.comment)
        return found[1] if found else ""

    @property
    def exit_code(self) -> int:
        """The exit code that the page announces."""
        found = EXITS.search(self.comment)
        return int(found[1]) if found else 0


class Block(Struct, frozen=True):
    """A fenced block of a page."""

    language: str
    title: str
    text: str
    is_output: bool
    """Whether it shows what the shell block above it prints."""

    @property
    def first_line(self) -> str:
        """Its first line, which identifies it within its page."""
        return self.text.partition("\n")[0].strip()

    @property
    def commands(self) -> list[ShellCommand]:
        """The commands of a shell block in order, continued lines joined; none of any other block."""
        found = list[ShellCommand]()
        if self.language != "sh":
            return found
        for line in re.sub(r"\\\n\s*", "", self.text).splitlines():
            comment = COMMENT.search(line)
            text = (line[: comment.start()] if comment else line).strip()
            if text and not text.startswith("#"):
                found.append(ShellCommand(text, comment[1] if comment else ""))
        return found


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page in order. Raise ValueError for a fence that is not understood."""
    content = page.read_text(encoding="utf-8")
    found, ends, follows_shell = list[Block](), 0, False
    for match in FENCE.finditer(content):
        is_next = not content[ends : match.start()].strip()
        language = match["language"]
        text = re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        found.append(Block(language, match["title"] or "", text, not language and follows_shell and is_next))
        ends, follows_shell = match.end(), language == "sh"
    if len(OPENING.findall(content)) != 2 * len(found):
        raise ValueError(f"{page} has a fence that is not understood")
    return found


def commands_of(page: Path) -> list[ShellCommand]:
    """Return the commands of a page in order."""
    return [command for block in blocks_of(page) for command in block.commands]
