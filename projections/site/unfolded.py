"""What is known of a log whose views are not folded yet: names, contracts and the newest closes, but no figure.

A log begins with its configuration, and the index knows where it changed. Whatever needs all of the history, such as
equity, positions and trades, is absent from these views.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from papertape.events.checkpoints.postings import PostingQuery
from papertape.events.errors import LogArchived
from papertape.events.facts import ContractListed, RunnerConfigured, type_name
from papertape.events.log import READ_EVENTS_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.events.checkpoints.store import CheckpointStore
    from papertape.events.log import LogReader, Recorded

FIRST_EVENTS: Final = 1_024
NEWEST_EVENTS: Final = 2_048
"""They usually hold the newest candle of every symbol that still has candles."""
SPANS_MAX: Final = 256
"""At most this many changes of the configuration are looked up, the newest ones."""
_SETUP: Final = (ContractListed, RunnerConfigured)
_SETUP_NAMES: Final = frozenset(type_name(kind) for kind in _SETUP)


def find_setup(index: CheckpointStore) -> list[tuple[int, int]]:
    """Return where the configuration was changed, as far as the log is indexed, oldest first. Raise SnapshotRefused."""
    spans: list[tuple[int, int]] = []
    for after_seq, last_seq in reversed(index.indexed()):
        until_seq = last_seq
        while until_seq > after_seq and len(spans) < SPANS_MAX:
            found = index.find(PostingQuery(after_seq + 1, until_seq, backward=True, types=_SETUP_NAMES))
            spans += found.spans
            until_seq = found.searched_to_seq - 1
    return spans[:SPANS_MAX][::-1]


def read_setup(spans: Sequence[tuple[int, int]], reader: LogReader) -> list[Recorded]:
    """Return the contracts and configurations at the beginning of a log and in the given spans, oldest first."""
    events: list[Recorded] = []
    after_seq = 0
    for first_seq, last_seq in ((1, FIRST_EVENTS), *spans):
        after_seq = max(first_seq - 1, after_seq)
        with suppress(LogArchived):
            if last_seq > after_seq:
                found = reader.read(after_seq, min(last_seq - after_seq, READ_EVENTS_MAX))
                events += [one for one in found if isinstance(one.event, _SETUP)]
                after_seq = found[-1].seq if found else last_seq
    return events
