"""A stretch of a log: consecutive events side by side, so that a reader can take many of them at once."""

from __future__ import annotations

from itertools import chain, count, repeat
from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.events.log import Recorded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from papertape.events.facts import Event
    from papertape.events.log import Commit, LogReader


class Stretch(Struct, frozen=True, gc=False):
    """The events from `first_seq` on, in log order, with the cause and the time of recording of each."""

    first_seq: int
    events: list[Event]
    causes: list[int]
    recorded_at_ms: list[int]

    @property
    def last_seq(self) -> int:
        """The last event, the one before `first_seq` if there are none."""
        return self.first_seq + len(self.events) - 1

    def __len__(self) -> int:
        return len(self.events)

    def recorded(self) -> Iterator[Recorded]:
        """Return the events one by one."""
        return map(Recorded, count(self.first_seq), self.recorded_at_ms, self.causes, self.events)

    def cut(self, begin: int, end: int) -> Stretch:
        """Return the events at the places from `begin` to before `end`."""
        return Stretch(
            self.first_seq + begin, self.events[begin:end], self.causes[begin:end], self.recorded_at_ms[begin:end]
        )


def stretch_of(commits: Iterable[Commit], after_seq: int, until_seq: int | None = None) -> Stretch:
    """Return the events of consecutive commits that are after `after_seq`, and not after `until_seq`."""
    rows = list(commits)
    lengths = [len(row.events) for row in rows]
    whole = Stretch(
        rows[0].seq if rows else after_seq + 1,
        list(chain.from_iterable([row.events for row in rows])),
        list(chain.from_iterable([row.causes for row in rows])),
        list(chain.from_iterable(map(repeat, [row.recorded_at_ms for row in rows], lengths))),
    )
    begin = max(after_seq + 1 - whole.first_seq, 0)
    end = len(whole) if until_seq is None else until_seq + 1 - whole.first_seq
    return whole if begin == 0 and end >= len(whole) else whole.cut(begin, end)


def read_stretch(reader: LogReader, after_seq: int, events_min: int, until_seq: int | None = None) -> Stretch:
    """Read whole commits after `after_seq` until there are enough events; only the last one may end at `until_seq`."""
    rows: list[Commit] = []
    for commit in reader.commits(after_seq):
        rows.append(commit)
        if commit.last_seq - after_seq >= events_min or (until_seq is not None and commit.last_seq >= until_seq):
            break
    return stretch_of(rows, after_seq, until_seq)
