"""The programs' own logging: lines on stderr, as text or JSON, and the same as JSON lines in rotating files.

Every record carries the log's current seq, so that it can be compared with the events. Tokens are redacted. A thread
writes the files: a slow disk blocks nobody, and records that do not fit the queue are counted and reported.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from pathlib import Path
from queue import Full, Queue
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from papertape.events.text import replace_unsafe
from papertape.projections.telegram.secret import Redaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from papertape.cli.config.log_sections import LogsSection

ROOT: Final = "papertape"
EVENTS: Final = f"{ROOT}.events"
LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
QUEUE_RECORDS_MAX: Final = 10_000
VERBOSE_LIBRARIES: Final = ("httpx", "httpcore", "websockets", "uvicorn", "asyncio", "hpack")
"""Libraries of which only warnings are logged: at INFO they write addresses, and some addresses contain tokens."""
ALREADY_PRINTED: Final = {"already_printed": True}
"""The `extra` of a record whose text has already been printed to stderr in another form."""


class JsonRecord(Struct, frozen=True, omit_defaults=True):
    """One record as JSON: `time` is UTC, `seq` the log's seq at that time."""

    time: str
    level: str
    logger: str
    message: str
    seq: int = 0
    trace: str = ""


class SeqFilter(logging.Filter):
    """Add the log's current seq to each record that has none."""

    def __init__(self, head_seq: Callable[[], int]) -> None:
        super().__init__()
        self._head_seq = head_seq

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the seq, and pass every record."""
        if not hasattr(record, "seq"):
            record.seq = self._head_seq()
        return True


class JsonFormatter(logging.Formatter):
    """Format a record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object."""
        fields = JsonRecord(
            time=datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            level=record.levelname.lower(),
            logger=record.name,
            message=replace_unsafe(record.getMessage()),
            seq=getattr(record, "seq", 0),
            trace=record.exc_text or "",
        )
        return msgspec.json.encode(fields).decode()


class PlainFormatter(logging.Formatter):
    """Format a record as a line for people: `warning: text`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        trace = f"\n{record.exc_text}" if record.exc_text else ""
        return replace_unsafe(f"{record.levelname.lower()}: {record.getMessage()}{trace}")


class StderrHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Write to the current stderr. A closed stderr or a reader that has gone is not an error."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, unless its text has already been printed."""
        if sys.stderr is not None and not getattr(record, "already_printed", False):
            self.stream = sys.stderr
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name of logging.
        """Ignore the error: stderr was the place to report it."""


class BoundedQueueHandler(QueueHandler):
    """Pass records to the writing thread; count those that do not fit."""

    def __init__(self) -> None:
        self.waiting: Queue[logging.LogRecord] = Queue(QUEUE_RECORDS_MAX)
        super().__init__(self.waiting)
        self.lost = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Return the record unchanged: its text is final, and the thread belongs to this process."""
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue the record, or count it as lost."""
        try:
            if self.lost and self.waiting.qsize() < QUEUE_RECORDS_MAX // 2:
                self.waiting.put_nowait(_lost_record(self.lost))
                self.lost = 0
            self.waiting.put_nowait(record)
        except Full:
            self.lost += 1


class ResilientFileHandler(RotatingFileHandler):
    """A file handler that recovers: from a deleted file, a deleted folder, and a full disk."""

    _fails = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, and set `_fails` if that was impossible."""
        failed, self._fails = self._fails, False
        if self.stream is not None and os.fstat(self.stream.fileno()).st_nlink == 0:
            self._close_stream()  # The file was deleted, so nobody could read the record.
        super().emit(record)
        if self._fails and not failed:
            logging.getLogger(ROOT).warning("%s cannot be written, so lines are lost", self.baseFilename)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name of logging.
        """Reopen the file, and its folder, for the next record; report a bug as such."""
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)
            return
        self._fails = True
        self._close_stream()
        with suppress(OSError):
            Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)

    def _close_stream(self) -> None:
        """Close the open file, although a full disk may refuse its buffer; the next record reopens it."""
        stream, self.stream = self.stream, None
        if stream is not None:
            with suppress(OSError):
                stream.close()


def _lost_record(count: int) -> logging.LogRecord:
    text = f"{count} lines were lost because the disk was too slow"
    return logging.makeLogRecord({"name": ROOT, "levelno": 30, "levelname": "WARNING", "msg": text})


@contextmanager
def logs(settings: LogsSection, folder: Path | None, name: str, head_seq: Callable[[], int]) -> Iterator[None]:
    """Log as configured until the block ends: from level `logs.stderr` up to stderr, all to `folder`/`name`.log.

    Without a folder no files are written. If the file cannot be written, the program warns and continues.
    """
    handlers, failure = [_stderr(settings)], ""
    with ExitStack() as stack:
        if folder is not None:
            try:
                handlers.append(stack.enter_context(_file(settings, folder, name)))
            except OSError as error:
                failure = f"no log files in {folder}: {error.strerror}"
        for handler in handlers:
            handler.addFilter(SeqFilter(head_seq))
            handler.addFilter(Redaction())
        stack.enter_context(_configured(settings, handlers))
        if failure:
            logging.getLogger(ROOT).warning(failure)
        yield


def _stderr(settings: LogsSection) -> logging.Handler:
    """Return the handler of stderr. Events do not go there, but to stdout."""
    handler = StderrHandler()
    handler.setLevel(LEVELS[settings.stderr])
    handler.addFilter(lambda record: record.name != EVENTS or record.levelno >= logging.WARNING)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else PlainFormatter())
    return handler


@contextmanager
def _file(settings: LogsSection, folder: Path, name: str) -> Iterator[logging.Handler]:
    """Yield the handler of a rotating file behind a bounded queue. Raise OSError if it cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    file = ResilientFileHandler(
        folder / f"{name}.log", maxBytes=settings.file_bytes_max, backupCount=settings.files_kept, encoding="utf-8"
    )
    file.setFormatter(JsonFormatter())
    bounded = BoundedQueueHandler()
    listener = QueueListener(bounded.waiting, file)
    listener.start()
    try:
        yield bounded
    finally:
        listener.stop()
        file.close()


@contextmanager
def _configured(settings: LogsSection, handlers: list[logging.Handler]) -> Iterator[None]:
    """Set the levels of all loggers and the handlers of the root; restore them at the end."""
    own = {f"{ROOT}.{name}": level for name, level in asdict(settings.levels).items()}
    levels = {**dict.fromkeys(VERBOSE_LIBRARIES, "warning"), **own}
    loggers = {name: logging.getLogger(name) for name in levels}
    before, root = {name: logger.level for name, logger in loggers.items()}, logging.getLogger()
    handlers_before = root.handlers[:]
    root.handlers[:] = handlers
    for name, logger in loggers.items():
        logger.setLevel(LEVELS[levels[name]])
    try:
        yield
    finally:
        root.handlers[:] = handlers_before
        for name, logger in loggers.items():
            logger.setLevel(before[name])
