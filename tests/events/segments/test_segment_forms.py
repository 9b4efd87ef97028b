"""Both forms of a segment are read: that of today, and the first one, in which rare events had columns too."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from papertape.events.facts import CandleClosed, PositionClosed, PositionOpened
from papertape.events.log import Head
from papertape.events.segments import block
from papertape.events.segments.segment_file import MAGIC, SegmentFile
from tests.build import candle, closed, opened, settled
from tests.events.segment_rows import bytes_of, commits_of, read_back, rows_of, sealed

if TYPE_CHECKING:
    from papertape.events.facts import Event

FIRST_FORM = Path(__file__).with_name("first_form.segment")
"""Sixty commits that a version sealed which had no lane for rare events, some of them kept verbatim."""


def test_a_segment_of_the_first_form_gives_the_rows_that_were_sealed() -> None:
    assert FIRST_FORM.read_bytes().startswith(b"papertape segment 1\n")
    with closing(SegmentFile(FIRST_FORM)) as segment:
        segment.verify()  # Computes the hash of every row.
        before = Head(segment.info.first_seq - 1, segment.info.hash_before)
    rows, commits = read_back(FIRST_FORM)
    assert len(rows) == 60
    assert bytes_of(commits) == bytes_of(commits_of(rows, before))
    kinds = {type(event) for commit in commits for event in commit.events}
    assert {CandleClosed, PositionOpened, PositionClosed} <= kinds


def test_older_versions_do_not_take_todays_form_for_theirs(tmp_path: Path) -> None:
    _, path = sealed(tmp_path, rows_of([[settled(0, 0.5)]]))
    assert path.read_bytes()[:20] == MAGIC == b"papertape segment 2\n"


@pytest.mark.parametrize("count", [block.TABLE_EVENTS_MIN - 1, block.TABLE_EVENTS_MIN])
def test_only_a_type_with_many_events_has_a_table(tmp_path: Path, count: int) -> None:
    commits: list[list[Event]] = [[candle(minute, 5.25), opened(at_ms=minute)] for minute in range(count)]
    rows = rows_of([*commits, [closed(gross_usdt=1.0)]])
    info, path = sealed(tmp_path, rows)
    assert read_back(path, info) == (rows, commits_of(rows))
    with closing(SegmentFile(path, info)) as segment:
        (only,) = segment.blocks()
        assert only.columns(CandleClosed) is not None
        assert (only.columns(PositionOpened) is None) == (count < block.TABLE_EVENTS_MIN)
        assert len(only.others(CandleClosed)) == count + 1
        events = [one for commit in commits_of(rows) for one in commit.recorded()]
        assert [segment.recorded_at(one.seq) for one in events] == events
