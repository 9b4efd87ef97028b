"""Standard output and standard error: whatever becomes of them, nothing ends in a traceback.

What an encoding does not know becomes a replacement sign. Output that nobody takes any more (a closed pipe, a full
disk, a stream that was closed before the start) ends the verb with one line and an exit code; messages on standard
error that nobody takes are dropped.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from events.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from typing_extensions import Buffer

STANDARD_STREAMS_LAST: Final = 2
LENIENT: Final = {"strict": "replace", "surrogateescape": "replace"}
"""By the error handler Python chose: what takes its place. One that the user chose stays."""
FAILED: Final = 1
NO_READER: Final = 141
"""What a shell reports of a program that SIGPIPE ended."""


class OutputLost(OSError):
    """Standard output takes nothing more. Without an errno of its own, so that no handler of files mistakes it."""

    def __init__(self, cause: int) -> None:
        super().__init__(f"cannot write to standard output: {os.strerror(cause)}")
        self.cause = cause


class Output(io.FileIO):
    """The descriptor of standard output. The first write that fails raises OutputLost; later ones are dropped."""

    def __init__(self, descriptor: int, *, was_closed: bool) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._cause = errno.EBADF if was_closed else 0
        self._dropping = False

    def write(self, content: Buffer) -> int:
        """Write what the system takes."""
        if not self._dropping and not self._cause:
            try:
                return super().write(content) or 0
            except BlockingIOError:
                raise
            except OSError as error:
                self._cause = error.errno or errno.EIO
        if not self._dropping:
            self._dropping = True
            raise OutputLost(self._cause)
        return memoryview(content).nbytes


class Messages(io.FileIO):
    """The descriptor of standard error: a message that cannot be written is dropped."""

    def write(self, content: Buffer) -> int:
        """Write what the system takes, and drop it where it takes nothing."""
        try:
            return super().write(content) or 0
        except OSError:
            return memoryview(content).nbytes


def occupy_closed_streams() -> None:
    """The number of a stdin, stdout or stderr that was closed must not become that of a file or of the event loop."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STANDARD_STREAMS_LAST:
        pass
    os.close(descriptor)


def prepare_streams() -> None:
    """Put streams that no text and no reader can break in the place of Python's own."""
    was_closed = sys.stdout is None
    occupy_closed_streams()
    sys.stdout = _text(Output(1, was_closed=was_closed), sys.stdout)
    sys.stderr = _text(Messages(2, "w", closefd=False), sys.stderr, line_buffering=True)


def _text(raw: io.FileIO, before: TextIO | None, *, line_buffering: bool = False) -> io.TextIOWrapper:
    """A text stream that encodes as the one before it did, but for what it could not encode."""
    if not isinstance(before, io.TextIOWrapper):
        return io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", "replace", line_buffering=line_buffering)
    errors = LENIENT.get(before.errors or "strict", before.errors)
    line_buffering = line_buffering or before.line_buffering or before.write_through
    return io.TextIOWrapper(io.BufferedWriter(raw), before.encoding, errors, line_buffering=line_buffering)


@contextmanager
def whole_output() -> Iterator[None]:
    """See that everything which was said is written; where it cannot be, say so and end with a code of its own."""
    code: str | int | None = None
    try:
        try:
            yield
        except SystemExit as leaving:
            code = leaving.code
            raise
        finally:
            sys.stdout.flush()
    except OutputLost as lost:
        if lost.cause == errno.EPIPE:  # `| head` has what it wanted.
            sys.exit(code or NO_READER)
        sys.stderr.write(f"error: {lost}\n")
        sys.exit(code or FAILED)


def say(text: str, stream: TextIO | None = None) -> None:
    """Write text to standard output, or to another stream, without what would command a terminal."""
    (stream or sys.stdout).write(printable(text))


def tell(text: str, stream: TextIO | None = None) -> None:
    """Say it at once. A reader who left is no fault: what is told of is done, or goes on, all the same."""
    with suppress(OSError):
        say(text, stream)
        (stream or sys.stdout).flush()
