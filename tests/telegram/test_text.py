"""Any text is acceptable to Telegram, as judged by the stand-in's own grammar."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.events.text import UNSAFE
from papertape.projections.alerts.markup import plain_text, utf16_units
from papertape.projections.telegram.text import (
    PARTS_MAX,
    escape,
    mark_repeated,
    one_line,
    split,
    truncate,
)
from papertape.sandbox.telegram.html import parse
from papertape.sandbox.telegram.html import utf16_units as units_of_the_twin

ANYTHING = st.text(st.characters(exclude_categories=()), max_size=60)
NASTY = st.one_of(
    ANYTHING, st.sampled_from(["<b>", "</b>", "&amp;", "&", "<", "a>b", "😀", "\n", "&#60;", "<a href='x'>"])
)
TAGS = st.sampled_from(["b", "i", "code", "pre", "blockquote", "tg-spoiler"])


@st.composite
def documents(draw: st.DrawFn) -> str:
    """HTML with values escaped, tags nested and lines broken at any place."""
    inner = st.recursive(
        st.one_of(NASTY.map(lambda value: escape(value, 500)), st.just("\n"), st.just(" ")),
        lambda child: st.one_of(
            st.builds(lambda tag, body: f"<{tag}>{body}</{tag}>", TAGS, child),
            st.lists(child, max_size=6).map("".join),
            child.map(lambda body: f'<a href="http://x/?a=1&amp;b=2">{body}</a>'),
        ),
        max_leaves=30,
    )
    return "".join(draw(st.lists(inner, max_size=8)))


@given(st.lists(NASTY, max_size=5))
def test_escaping_preserves_the_visible_text(values: list[str]) -> None:
    read = parse("<b>" + "</b><i>".join(escape(value) for value in values).replace("</b><i>", "</b> <b>") + "</b>").text
    assert read == " ".join(truncate(UNSAFE.sub(" ", value)) for value in values)


@given(NASTY, st.integers(1, 40))
def test_a_cut_value_is_short_enough_and_no_entity_is_broken(value: str, units_max: int) -> None:
    assert utf16_units(truncate(value, units_max)) <= units_max
    assert parse(escape(value, units_max)).text == truncate(UNSAFE.sub(" ", value), units_max)


@pytest.mark.system
@given(documents(), st.integers(5, 60))
def test_parts_are_short_balanced_and_complete(html: str, units_max: int) -> None:
    parts = split(html, units_max, parts_max=10_000)
    read = [parse(part).text for part in parts]
    assert all(0 < units_of_the_twin(text) <= units_max for text in read)
    assert "".join("".join(read).split()) == "".join(parse(html).text.split())


@pytest.mark.system
@given(documents(), st.integers(5, 30))
def test_parts_keep_the_tags_of_every_character(html: str, units_max: int) -> None:
    def tagged(part: str) -> list[tuple[str, tuple[str, ...]]]:
        parsed = parse(part)
        at, found = 0, []
        for character in parsed.text:
            tags = tuple(sorted({one.tag for one in parsed.spans if one.offset <= at < one.offset + one.length}))
            found.append((character, tags))
            at += utf16_units(character)
        return [one for one in found if not one[0].isspace()]

    assert [one for part in split(html, units_max, 10_000) for one in tagged(part)] == tagged(html)


@pytest.mark.system
@given(documents())
def test_plain_text_is_the_visible_text(html: str) -> None:
    assert plain_text(html) == parse(html).text
    assert "\n" not in one_line(html)


def test_parts_end_at_line_breaks() -> None:
    html = "<pre>" + "\n".join(f"line {number}" for number in range(20)) + "</pre>"
    parts = split(html, 20)
    assert parts[:2] == ["<pre>line 0\nline 1</pre>", "<pre>line 2\nline 3</pre>"]
    assert split("one two three", 8) == ["one two", "three"]


def test_a_truncated_text_ends_with_an_ellipsis() -> None:
    parts = split("x" * 100_000)
    assert len(parts) == PARTS_MAX
    assert parts[-1].endswith("…")
    assert utf16_units(mark_repeated(parts[-1])) <= 4_096


@pytest.mark.parametrize("empty", ["", " \n ", "<b> </b>"])
def test_an_empty_text_has_no_parts(empty: str) -> None:
    assert split(empty) == []
