"""One TCP connection to the stand-in: parse requests as Bot API clients send them, and answer them."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from enum import Enum
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import Struct

BODY_BYTES_MAX: Final = 52 * 1_048_576
ABRUPT: Final = struct.pack("ii", 1, 0)
"""SO_LINGER of zero seconds: closing sends a reset."""


class Upload(Struct, frozen=True):
    """A file of a multipart body."""

    name: str
    kind: str
    content: bytes


class Request(Struct, frozen=True):
    """A request: its path, and the arguments of query string and body together."""

    path: str
    arguments: dict[str, Any]
    files: dict[str, Upload]


class BotApiDelivery(Enum):
    """How a response reaches the client."""

    WHOLE = "whole"
    RESET = "reset"
    NEVER = "never"


class BotApiResponse(Struct, frozen=True):
    """A response."""

    status: int
    body: bytes
    kind: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    delivery: BotApiDelivery = BotApiDelivery.WHOLE


class InvalidBody(ValueError):
    """A body of an unknown or damaged format."""


async def converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Callable[[Request], Awaitable[BotApiResponse]]
) -> None:
    """Answer the requests of one connection until one side ends it."""
    while True:
        request = await _request(reader)
        reply = BotApiResponse(400, b"") if request is None else await answer(request)
        if reply.delivery is BotApiDelivery.RESET:
            _reset(writer)
            return
        if reply.delivery is BotApiDelivery.NEVER:
            await reader.read()
            return
        writer.write(_bytes(reply))
        await writer.drain()


async def _request(reader: asyncio.StreamReader) -> Request | None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *rest = head.split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    length = int(headers.get("content-length", "0"))
    if length > BODY_BYTES_MAX:
        raise ConnectionResetError
    body = await reader.readexactly(length)
    target = urlsplit(first.split(" ")[1])
    try:
        arguments, files = body_of(headers.get("content-type", ""), body)
    except InvalidBody:
        return None
    return Request(unquote(target.path), dict(parse_qsl(target.query)) | arguments, files)


def body_of(kind: str, body: bytes) -> tuple[dict[str, Any], dict[str, Upload]]:
    """Return the arguments and files of a body: JSON, form or multipart. Raise InvalidBody for any other."""
    if not body:
        return {}, {}
    try:
        if kind.startswith("application/json"):
            arguments = json.loads(body)
            return (arguments if isinstance(arguments, dict) else {}), {}
        if kind.startswith("application/x-www-form-urlencoded"):
            return dict(parse_qsl(body.decode(), keep_blank_values=True)), {}
        if kind.startswith("multipart/form-data"):
            return _multipart(kind.partition("boundary=")[2].strip('"').encode(), body)
    except ValueError as error:
        raise InvalidBody(str(error)) from error
    raise InvalidBody(f"a body of type {kind!r}")


def _multipart(boundary: bytes, body: bytes) -> tuple[dict[str, Any], dict[str, Upload]]:
    arguments: dict[str, Any] = {}
    files: dict[str, Upload] = {}
    for piece in body.split(b"--" + boundary)[1:-1]:
        head, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        fields = _part_headers(head.decode())
        content = content.removesuffix(b"\r\n")
        if "filename" in fields:
            files[fields["name"]] = Upload(fields["filename"], fields.get("content-type", ""), content)
        else:
            arguments[fields["name"]] = content.decode()
    return arguments, files


def _part_headers(head: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "content-disposition":
            pairs = [part.strip().partition("=") for part in value.split(";")[1:]]
            headers |= {key: text.strip('"') for key, _, text in pairs}
        else:
            headers[name.lower()] = value.strip()
    return headers


def _bytes(reply: BotApiResponse) -> bytes:
    lines = [
        f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}",
        f"Content-Type: {reply.kind}",
        f"Content-Length: {len(reply.body)}",
        *(f"{name}: {value}" for name, value in reply.headers),
        "\r\n",
    ]
    return "\r\n".join(lines).encode() + reply.body


def _reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABRUPT)
    writer.transport.abort()
