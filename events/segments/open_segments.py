"""The segments that a reader of a log has open: each was compared with the catalogue.

One event costs less: its block has a checksum of its own, so the rest of the file is not read for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from papertape.events.errors import LogError
from papertape.events.segments.folder import find_segment
from papertape.events.segments.order import load_numpy
from papertape.events.segments.segment_file import SegmentFile, segment_path

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.events.codec import Codec
    from papertape.events.segments.catalogue import Sealed

OPEN_MAX: Final = 2
LONG_READ_SEGMENTS: Final = 4
"""A reader that reads this many segments probably reads the whole log, so numpy is loaded where it is installed."""


class OpenSegments:
    """The few segments of one log that were read last."""

    def __init__(self, folder: Path, codec: Codec) -> None:
        """Look for segments in `folder`, and for archived ones where the catalogue says."""
        self.folder = folder
        self._codec = codec
        self._open: dict[bytes, SegmentFile] = {}
        self._compared_count = 0

    def open(self, sealed: Sealed, *, for_one_event: bool = False) -> SegmentFile:
        """Return the file of a segment. Raise LogArchived, LogDamaged or LogError if it is not what was sealed.

        With `for_one_event`, only the index and the block that is read are checked, by their checksums, and the file
        does not stay open.
        """
        file = self._open.pop(sealed.info.digest, None)
        if file is None:
            path = segment_path(self.folder, sealed.info)
            try:
                path = find_segment(sealed, self.folder)
            except OSError as error:
                raise LogError(f"the sealed segment {path} cannot be read: {error.strerror}") from error
            file = SegmentFile(path, sealed.info, self._codec)
            if for_one_event:
                return file
            self._compare(file)
        self._open[sealed.info.digest] = file  # The newest is the last.
        while len(self._open) > OPEN_MAX:
            self._open.pop(next(iter(self._open)))  # It is closed once nobody reads it any more.
        return file

    def close(self) -> None:
        """Close all files. Closing twice is harmless."""
        while self._open:
            self._open.popitem()[1].close()

    def _compare(self, file: SegmentFile) -> None:
        file.check_digest()
        self._compared_count += 1
        if self._compared_count == LONG_READ_SEGMENTS:
            load_numpy()
