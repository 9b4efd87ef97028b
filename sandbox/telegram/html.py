"""Telegram's HTML as its server parses it: the tags, their nesting, and the errors with their byte offset."""

from __future__ import annotations

import re
from typing import Final, NoReturn

from msgspec import Struct

TAGS: Final = frozenset(
    [
        *("a", "b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "tg-spoiler", "span"),
        *("tg-emoji", "tg-time", "pre", "code", "blockquote"),
    ]
)
ENTITY: Final = re.compile(r"&(?:#(?:x([0-9a-fA-F]{1,8})|([0-9]{1,8}))|(lt|gt|amp|quot));?")
NAMED: Final = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
TOKEN_CHARS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")
SPACES: Final = frozenset(" \t\r\n\0\x0b")


class InvalidHtml(ValueError):
    """The text cannot be parsed; the message is the server's."""


class Span(Struct, frozen=True):
    """The part of the parsed text inside a tag, in UTF-16 units."""

    tag: str
    offset: int
    length: int
    argument: str = ""


class ParsedHtml(Struct, frozen=True):
    """A parsed HTML text: the plain text and its tags."""

    text: str
    spans: tuple[Span, ...] = ()


class _OpenTag(Struct):
    tag: str
    argument: str
    offset: int


def utf16_units(text: str) -> int:
    """Return the length as Telegram counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def parse(text: str) -> ParsedHtml:
    """Parse a text in parse mode HTML. Raise InvalidHtml with the byte offset."""
    return _Parser(text).result()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._out: list[str] = []
        self._units = 0
        self._open: list[_OpenTag] = []
        self._spans: list[Span] = []

    def result(self) -> ParsedHtml:
        while self._at < len(self._text):
            if self._text[self._at] == "<":
                self._tag()
            else:
                self._put(self._character())
        if self._open:
            raise InvalidHtml(f'Can\'t find end tag corresponding to start tag "{self._open[-1].tag}"')
        return ParsedHtml("".join(self._out), tuple(sorted(self._spans, key=lambda span: (span.offset, -span.length))))

    def _put(self, character: str) -> None:
        self._out.append(character)
        self._units += 1 + (ord(character) > 0xFFFF)

    def _character(self) -> str:
        """Read the next character and decode an entity; an unknown entity is plain text."""
        entity = ENTITY.match(self._text, self._at) if self._text[self._at] == "&" else None
        decoded = _decoded(entity) if entity is not None else ""
        if entity is None or not decoded:
            self._at += 1
            return self._text[self._at - 1]
        self._at = entity.end()
        return decoded

    def _tag(self) -> None:
        begin = self._at
        self._at += 1
        if self._peek() == "/":
            self._end_tag(begin)
        else:
            self._start_tag(begin)

    def _start_tag(self, begin: int) -> None:
        self._skip_until(SPACES | {">"})
        if not self._peek():
            self._wrong("Unclosed start tag", begin)
        tag = self._text[begin + 1 : self._at].lower()
        if tag not in TAGS:
            self._wrong(f'Unsupported start tag "{tag}"', begin)
        argument = self._attributes(tag, begin)
        self._at += 1
        if tag == "span" and argument != "tg-spoiler":
            self._wrong('Tag "span" must have class "tg-spoiler"', begin)
        self._open.append(_OpenTag(tag, argument, self._units))

    def _attributes(self, tag: str, begin: int) -> str:
        argument = ""
        while True:
            self._skip_spaces()
            if self._peek() == ">":
                return argument
            name_at = self._at
            self._skip_until(SPACES | {"=", ">"})
            name = self._text[name_at : self._at]
            if not name:
                self._wrong(f'Empty attribute name in the tag "{tag}"', begin)
            self._skip_spaces()
            value = self._value(tag, begin) if self._peek() == "=" else ""
            if not self._peek():
                self._wrong(f'Unclosed start tag "{tag}"', begin)
            if name.lower() in ("href", "class", "emoji-id", "unix") or (tag, name) == ("blockquote", "expandable"):
                argument = value or name

    def _value(self, tag: str, begin: int) -> str:
        self._at += 1
        self._skip_spaces()
        quote = self._peek()
        if quote not in ("'", '"') or not quote:
            token_at = self._at
            while self._peek() in TOKEN_CHARS:
                self._at += 1
            if self._peek() not in SPACES | {">"}:
                self._wrong("Unexpected end of name token", token_at)
            return self._text[token_at : self._at].lower()
        self._at += 1
        characters: list[str] = []
        while self._peek() not in ("", quote):
            characters.append(self._character())
        if not self._peek():
            self._wrong(f'Unclosed start tag "{tag}"', begin)
        self._at += 1
        return "".join(characters)

    def _end_tag(self, begin: int) -> None:
        if not self._open:
            self._wrong("Unexpected end tag", begin)
        self._skip_until(SPACES | {">"})
        name = self._text[begin + 2 : self._at].lower()
        self._skip_spaces()
        if self._peek() != ">":
            self._wrong("Unclosed end tag", begin)
        self._at += 1
        last = self._open.pop()
        if name and name != last.tag:
            self._wrong("Unmatched end tag", begin, f', expected "</{last.tag}>", found "</{name}>"')
        if self._units > last.offset:
            self._spans.append(Span(last.tag, last.offset, self._units - last.offset, last.argument))

    def _peek(self) -> str:
        return self._text[self._at] if self._at < len(self._text) else ""

    def _skip_until(self, ends: frozenset[str]) -> None:
        while self._peek() and self._peek() not in ends:
            self._at += 1

    def _skip_spaces(self) -> None:
        while self._peek() and self._peek() in SPACES:
            self._at += 1

    def _wrong(self, words: str, at: int, more: str = "") -> NoReturn:
        raise InvalidHtml(f"{words} at byte offset {len(self._text[:at].encode('utf-8', 'surrogatepass'))}{more}")


def _decoded(entity: re.Match[str]) -> str:
    """Return the character of an entity; empty if it is invalid."""
    hexadecimal, decimal, name = entity.groups()
    if name:
        return NAMED[name]
    code = int(hexadecimal, 16) if hexadecimal else int(decimal)
    return chr(code) if 0 < code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF else ""
