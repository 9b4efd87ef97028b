"""The sections of the programs' own logging."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Level = Annotated[Literal["debug", "info", "warning", "error"], Meta(description="the lowest level that is written")]


class LevelsSection(Struct, frozen=True):
    """The level of each module in the log files. `events` logs every notable event in words, with its seq."""

    engine: Level = "info"
    feed: Level = "info"
    chat: Level = "info"
    page: Level = "info"
    keeper: Level = "info"
    events: Level = "info"


class LogsSection(Struct, frozen=True):
    """The programs' own log files, beside the events: their format, folder, size and levels."""

    format: Annotated[
        Literal["text", "json"], Meta(description="lines on stderr: readable text, or one JSON object each")
    ] = "text"
    stderr: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="the lowest level on stderr; -v is info, -q is error"),
    ] = "warning"
    folder: Annotated[
        str, Meta(description="the folder of rotating files, relative to this file's folder; empty: no files")
    ] = "logs"
    file_bytes_max: Annotated[
        int, Meta(ge=10_000, le=1 << 30, description="the size at which a file is rotated", extra={"unit": "bytes"})
    ] = 10_000_000
    files_kept: Annotated[
        int, Meta(ge=1, le=100, description="how many rotated files to keep", extra={"unit": "files"})
    ] = 5
    levels: LevelsSection = LevelsSection()
