"""Changes of a file as a reader of the docs makes them."""

from __future__ import annotations

import re


def apply_diff(text: str, diff: str) -> str:
    """Return a text after a diff without line numbers; blank lines separate its parts.

    Raise AssertionError for lines that the text does not have exactly once.
    """
    for part in re.split(r"^\s*\n", diff, flags=re.MULTILINE):
        lines = part.splitlines()
        before = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
        after = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
        assert text.count(before) == 1, f"the file has {text.count(before)} times:\n{before}"
        text = text.replace(before, after)
    return text


def merge_toml(text: str, block: str) -> str:
    """Return a configuration after the keys of a block: in the section that it has, or in a new one."""
    lines = text.splitlines()
    for section in filter(None, re.split(r"^(?=\[)", block, flags=re.MULTILINE)):
        header, *keys = section.splitlines()
        if header not in lines:
            lines += ["", header, *keys]
            continue
        for key in filter(None, keys):
            starts = lines.index(header) + 1
            ends = next((place for place in range(starts, len(lines)) if lines[place].startswith("[")), len(lines))
            name = key.partition("=")[0]
            own = [place for place in range(starts, ends) if lines[place].partition("=")[0].strip() == name.strip()]
            lines[own[0] if own else starts : own[0] + 1 if own else starts] = [key]
    return "\n".join([*lines, ""])
