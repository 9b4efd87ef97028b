"""What a program says of itself: lines on stderr, readable or as JSON, and the same as JSON lines in rotating files.

Every record carries the seq of the log at that moment, so that it can be laid beside the events. No record leaves with
a token in it. Files are written by a thread of their own: a slow disk holds up nobody, and what does not fit the queue
is counted and said, not waited for.
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

    from papertape.cli.config.sections import LogsSection

ROOT: Final = "papertape"
LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
QUEUE_RECORDS_MAX: Final = 10_000
LOUD_OTHERS: Final = ("httpx", "httpcore", "websockets", "uvicorn", "asyncio", "hpack")
"""Libraries whose lines count from WARNING on: at INFO they write addresses, and tokens stand in some of them."""


TOLD: Final = {"told": True}
"""For a record that stands on stderr in another form already."""


class JsonRecord(Struct, frozen=True, omit_defaults=True):
    """One record as JSON: `time` is UTC, `seq` where the log stood."""

    time: str
    level: str
    logger: str
    message: str
    seq: int = 0
    trace: str = ""


class SeqFilter(logging.Filter):
    """Gives each record the seq at which the log stands, where the record does not say its own."""

    def __init__(self, head_seq: Callable[[], int]) -> None:
        super().__init__()
        self._head_seq = head_seq

    def filter(self, record: logging.LogRecord) -> bool:
        """Add it; every record passes."""
        if not hasattr(record, "seq"):
            record.seq = self._head_seq()
        return True


class JsonFormatter(logging.Formatter):
    """A record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """The object."""
        said = JsonRecord(
            time=datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            level=record.levelname.lower(),
            logger=record.name,
            message=replace_unsafe(record.getMessage()),
            seq=getattr(record, "seq", 0),
            trace=record.exc_text or "",
        )
        return msgspec.json.encode(said).decode()


class PlainFormatter(logging.Formatter):
    """A record as a line for people: `warning: text`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        trace = f"\n{record.exc_text}" if record.exc_text else ""
        return replace_unsafe(f"{record.levelname.lower()}: {record.getMessage()}{trace}")


class StderrHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to whatever stderr is now. A reader who left is no fault, and a closed stderr no reader."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, unless it was told already."""
        if sys.stderr is not None and not getattr(record, "told", False):
            self.stream = sys.stderr
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name of logging.
        """Nobody is left to hear of it."""


class BoundedQueueHandler(QueueHandler):
    """Hands records to the thread that writes; what does not fit is counted."""

    def __init__(self) -> None:
        self.waiting: Queue[logging.LogRecord] = Queue(QUEUE_RECORDS_MAX)
        super().__init__(self.waiting)
        self.lost = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """The record as it is: its text is final, and the thread writes in this very process."""
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """Put it into the queue, or count it."""
        try:
            if self.lost and self.waiting.qsize() < QUEUE_RECORDS_MAX // 2:
                self.waiting.put_nowait(_lost_record(self.lost))
                self.lost = 0
            self.waiting.put_nowait(record)
        except Full:
            self.lost += 1


class ResilientFileHandler(RotatingFileHandler):
    """A file that somebody may delete, on a disk that may be full: it is written again as soon as it can be."""

    _fails = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record; `_fails` says then whether it could be."""
        failed, self._fails = self._fails, False
        if self.stream is not None and os.fstat(self.stream.fileno()).st_nlink == 0:
            self._leave()  # It was deleted: what is written to it nobody reads.
        super().emit(record)
        if self._fails and not failed:
            text = f"{self.baseFilename} cannot be written now, lines are lost"
            logging.getLogger(ROOT).warning(text)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name of logging.
        """Begin anew with the next record, in the folder made anew if that is gone; a bug is told as one."""
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)
            return
        self._fails = True
        self._leave()
        with suppress(OSError):
            Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)

    def _leave(self) -> None:
        """Close the file that is open; the next record opens it anew. A full disk may not take what it still holds."""
        stream, self.stream = self.stream, None
        if stream is not None:
            with suppress(OSError):
                stream.close()


def _lost_record(count: int) -> logging.LogRecord:
    text = f"{count} lines were lost: the disk was too slow for them"
    return logging.makeLogRecord({"name": ROOT, "levelno": 30, "levelname": "WARNING", "msg": text})


@contextmanager
def logs(settings: LogsSection, folder: Path | None, name: str, head_seq: Callable[[], int]) -> Iterator[None]:
    """Say everything as configured until the block ends: warnings on stderr, all of it in `folder`/`name`.log.

    Without a folder no files are written; where one cannot be written that is a warning, and the program goes on.
    """
    handlers, refused = [_stderr(settings)], ""
    with ExitStack() as stack:
        if folder is not None:
            try:
                handlers.append(stack.enter_context(_file(settings, folder, name)))
            except OSError as error:
                refused = f"no log files in {folder}: {error.strerror}"
        for handler in handlers:
            handler.addFilter(SeqFilter(head_seq))
            handler.addFilter(Redaction())
        stack.enter_context(_configured(settings, handlers))
        if refused:
            logging.getLogger(ROOT).warning(refused)
        yield


def _stderr(settings: LogsSection) -> logging.Handler:
    """What people are warned of. Events have a way of their own, to stdout."""
    handler = StderrHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else PlainFormatter())
    return handler


@contextmanager
def _file(settings: LogsSection, folder: Path, name: str) -> Iterator[logging.Handler]:
    """A rotating file behind a bounded queue. Raises OSError where it cannot be written."""
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
    """The levels of all loggers and the handlers of the root, as they were again at the end."""
    own = {f"{ROOT}.{name}": level for name, level in asdict(settings.levels).items()}
    levels = {**dict.fromkeys(LOUD_OTHERS, "warning"), **own}
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
