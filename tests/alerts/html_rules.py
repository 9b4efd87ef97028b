"""Check Telegram's HTML as strictly as its server: its tags, its four entities, everything closed in order."""

from __future__ import annotations

import re

TAGS = frozenset({"b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "code", "pre", "blockquote"})
TEXT_UNITS_MAX = 4_096
_ENTITY = re.compile(r"&(lt|gt|amp|quot);")


def faults(html: str) -> list[str]:
    """Everything Telegram would refuse; empty for a good text."""
    found = [*_tag_faults(html), *_entity_faults(html)]
    units = len(html.encode("utf-16-le")) // 2
    if not 1 <= units <= TEXT_UNITS_MAX:
        found.append(f"{units} UTF-16 units")
    if any(char != "\n" and not char.isprintable() for char in html):
        found.append("a character that nobody sees")
    return found


def _tag_faults(html: str) -> list[str]:
    found, open_tags = [], list[str]()
    for at in re.finditer(r"<([^<>]*)>|[<>]", html):
        tag = at[1]
        if tag is None or tag.removeprefix("/") not in TAGS:
            found.append(f"{at[0]!r} at {at.start()} is no tag")
        elif not tag.startswith("/"):
            open_tags.append(tag)
        elif not open_tags or open_tags.pop() != tag[1:]:
            found.append(f"{at[0]!r} at {at.start()} closes nothing")
    return found + [f"<{tag}> is never closed" for tag in open_tags]


def _entity_faults(html: str) -> list[str]:
    good = {at.start() for at in _ENTITY.finditer(html)}
    return [f"a bare & at {at.start()}" for at in re.finditer("&", html) if at.start() not in good]
