"""Standard output that is interrupted, and one that does not block."""

from __future__ import annotations

import io
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from papertape.cli.environment.streams import OutputStream

if TYPE_CHECKING:
    from types import FrameType


def interrupt_after_a_write(_frame: FrameType, event: str, function: object) -> None:
    """Raise what Ctrl-C raises, at the first moment at which Python can notice it after a call into the stream."""
    if event == "c_return" and getattr(function, "__name__", "") in ("write", "flush"):
        sys.setprofile(None)
        raise KeyboardInterrupt


def test_an_interrupt_after_a_write_does_not_repeat_the_line() -> None:
    reading, writing = os.pipe()
    stream = io.TextIOWrapper(OutputStream(writing, was_closed=False), "utf-8")
    stream.write("a line\n")
    sys.setprofile(interrupt_after_a_write)
    with pytest.raises(KeyboardInterrupt):
        stream.flush()
    stream.flush()
    os.close(writing)
    with os.fdopen(reading) as read:
        assert read.read() == "a line\n"


@pytest.mark.parametrize("buffered", [False, True])
def test_a_pipe_that_does_not_block_gets_everything(*, buffered: bool) -> None:
    content = bytes(range(256)) * 2_000
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    stream, size = OutputStream(writing, was_closed=False), 100 if buffered else len(content)
    with ThreadPoolExecutor(1) as threads, os.fdopen(reading, "rb") as read:
        arrived = threads.submit(read.read)
        try:
            for begin in range(0, len(content), size):
                stream.write(content[begin : begin + size])
            stream.flush()
        finally:
            os.close(writing)
        assert arrived.result() == content
