"""Standard output and standard error that never cause a traceback.

A character that the encoding cannot represent is replaced. If standard output fails (a closed pipe, a full disk, a
stream that was closed before the start), the command ends with one line and an exit code; if standard error fails,
its messages are kept while they fit in the buffer, then dropped.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from papertape.events.text import replace_unsafe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from typing_extensions import Buffer

STANDARD_STREAMS_LAST: Final = 2
LENIENT: Final = {"strict": "replace", "surrogateescape": "replace"}
"""Replacements for the error handlers that Python chooses; one that the user chose stays."""
FAILED: Final = 1
NO_READER: Final = 141
"""The exit code that a shell reports for a program ended by SIGPIPE."""


class OutputLost(OSError):
    """Standard output failed. It has no errno, so that no file handler mistakes it for a file's error."""

    def __init__(self, cause: int) -> None:
        super().__init__(f"cannot write to standard output: {os.strerror(cause)}")
        self.cause = cause


class OutputStream(io.BufferedWriter):
    """The descriptor of standard output. The first failure raises OutputLost; whatever is written later is dropped.

    Failures are noticed in the buffer, not in the file below it. If that file's `write` were Python code, an interrupt
    could arrive after it had written but before the buffer had noted it, and the next flush would repeat everything.
    A descriptor that does not block is waited for.
    """

    def __init__(self, descriptor: int, *, was_closed: bool) -> None:
        super().__init__(io.FileIO(descriptor, "w", closefd=False))
        self._was_closed, self._dropping = was_closed, False

    def write(self, content: Buffer) -> int:
        """Write the content, or drop it after a failure."""
        left = memoryview(content).cast("B")
        size = left.nbytes
        with self._noticing_failure():
            if self._was_closed:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            while not self._dropping:
                try:
                    super().write(left)
                    break
                except BlockingIOError as full:
                    left = left[full.characters_written :]
                    select.select([], [self], [])
        return size

    def flush(self) -> None:
        """Flush the buffer, or do nothing after a failure."""
        with self._noticing_failure():
            while not self._dropping:
                try:
                    super().flush()
                    break
                except BlockingIOError:
                    select.select([], [self], [])

    @contextmanager
    def _noticing_failure(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self._dropping:
                self._dropping = True
                raise OutputLost(error.errno or errno.EIO) from None


class ErrorStream(io.BufferedWriter):
    """The descriptor of standard error. What cannot be written waits in its buffer; what does not fit is dropped."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(io.FileIO(descriptor, "w", closefd=False))

    def write(self, content: Buffer) -> int:
        """Write the content, or drop it if that fails."""
        try:
            return super().write(content)
        except OSError:
            return memoryview(content).nbytes

    def flush(self) -> None:
        """Flush the buffer if that is possible."""
        with suppress(OSError):
            super().flush()


def occupy_closed_streams() -> None:
    """Open closed standard streams on the null device, so that no other file gets descriptor 0, 1 or 2."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STANDARD_STREAMS_LAST:
        pass
    os.close(descriptor)


def prepare_streams() -> None:
    """Replace Python's standard streams by ones that tolerate any text and any reader."""
    was_closed = sys.stdout is None
    occupy_closed_streams()
    sys.stdout = _text(OutputStream(1, was_closed=was_closed), sys.stdout)
    sys.stderr = _text(ErrorStream(2), sys.stderr, line_buffering=True)


def _text(stream: io.BufferedWriter, before: TextIO | None, *, line_buffering: bool = False) -> io.TextIOWrapper:
    """Return a text stream with the encoding of the old one and a lenient error handler."""
    if not isinstance(before, io.TextIOWrapper):
        return io.TextIOWrapper(stream, "utf-8", "replace", line_buffering=line_buffering)
    errors = LENIENT.get(before.errors or "strict", before.errors)
    line_buffering = line_buffering or before.line_buffering or before.write_through
    return io.TextIOWrapper(stream, before.encoding, errors, line_buffering=line_buffering)


@contextmanager
def whole_output() -> Iterator[None]:
    """Flush the output at the end of the block; if that fails, report it and exit with a distinct code."""
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
        if lost.cause == errno.EPIPE:  # `| head` has read enough.
            sys.exit(code or NO_READER)
        sys.stderr.write(f"error: {lost}\n")
        sys.exit(code or FAILED)


def say(text: str, stream: TextIO | None = None) -> None:
    """Write text to standard output or another stream, with unsafe characters replaced."""
    (stream or sys.stdout).write(replace_unsafe(text))


def write_message(text: str, stream: TextIO | None = None) -> None:
    """Write and flush the text. Ignore a reader that has gone: the work continues regardless."""
    with suppress(OSError):
        say(text, stream)
        (stream or sys.stdout).flush()
