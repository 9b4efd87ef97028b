"""A sealed segment gives back every row byte for byte, and no other."""

from __future__ import annotations

import shutil
from contextlib import closing
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papertape.events.chain import row_head
from papertape.events.codec import CODEC, Codec
from papertape.events.errors import LogDamaged, LogError, LogFromNewerVersion, UsageError
from papertape.events.facts import EVENT_TYPES, CandleClosed, Event, FundingRateSettled, Timing
from papertape.events.log import COMMIT_EVENTS_MAX, Head, Recorded
from papertape.events.segments import segment_file
from papertape.events.segments.segment_file import SegmentFile, SegmentInfo, write_segment
from papertape.events.upcast import UPCASTERS, ContractListed1, PositionClosed1
from tests.build import candle, closed, observed, opened, ordered, settled
from tests.events.random_facts import any_fact, facts_of
from tests.events.segment_rows import BEFORE, blob_of, bytes_of, commits_of, read_back, rows_of, rows_with, sealed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

SYMBOLS = ("BTCUSDT", "ETHUSDT", "GALAUSDT")


def market(minutes: int) -> list[list[Event]]:
    """Return the commits of some minutes of three symbols, with readings, rates and a few decisions."""
    commits: list[list[Event]] = []
    for minute in range(minutes):
        events: list[Event] = []
        for place, symbol in enumerate(SYMBOLS):
            close = round((84_018.7, 2_411.03, 0.01234)[place] * (1.0 + 0.001 * ((minute * 7 + place) % 13)), 5)
            four = (close, round(close * 1.001, 5), round(close * 0.998, 5), close)
            timing = Timing.LATE if minute % 17 == 3 else Timing.ON_TIME
            events.append(candle(minute, four, symbol, timing, volume=round(12.5 + minute * 0.37, 3)))
        if minute % 5 == 0:
            events += [observed(minute * 60_000, 81_000.25 + minute, symbol) for symbol in SYMBOLS]
        if minute % 8 == 0:
            events += [settled(minute * 60_000, 0.0001, "BTCUSDT"), ordered()]
        commits.append(events)
    return commits


@pytest.fixture(scope="module")
def long_segment(tmp_path_factory: pytest.TempPathFactory) -> tuple[SegmentInfo, Path]:
    """A segment of several blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment_file, "BLOCK_EVENTS", 64)
        return sealed(tmp_path_factory.mktemp("segments"), rows_of(market(100)))


@pytest.mark.system
@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(any_fact(), min_size=1, max_size=6), min_size=1, max_size=12))
def test_rows_of_any_facts_come_back_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory, commits: list[list[Event]]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    rows = rows_of(commits)
    info, path = sealed(folder, rows)
    read, commits_read = read_back(path, info)
    assert (read, bytes_of(commits_read)) == (rows, bytes_of(commits_of(rows)))
    shutil.rmtree(folder)


@pytest.mark.parametrize("kind", [*EVENT_TYPES, *UPCASTERS])
def test_many_facts_of_one_type_come_back_byte_for_byte(tmp_path: Path, kind: type[Event]) -> None:
    @settings(max_examples=8, deadline=None)
    @given(st.lists(facts_of(kind), min_size=1, max_size=20))
    def holds(events: list[Event]) -> None:
        rows = rows_with(*[(1, blob_of(event)) for event in events])
        info, path = sealed(tmp_path, rows)
        assert read_back(path, info)[0] == rows
        assert [row[3] for row in rows] == [blob_of(event) for event in events]

    holds()


def test_a_market_is_read_as_from_the_log(long_segment: tuple[SegmentInfo, Path]) -> None:
    rows = rows_of(market(100))
    info, path = long_segment
    assert read_back(path, info) == (rows, commits_of(rows))
    assert (info.first_seq, info.last_seq, info.rows) == (41, rows[-1][0] + rows[-1][1] - 1, 100)
    assert (info.hash_before, info.hash_after, info.size_bytes) == (BEFORE.hash, rows[-1][4], path.stat().st_size)
    assert path.name == f"{41:012d}-{info.last_seq:012d}-{info.digest.hex()[:16]}.segment"


def test_reading_may_begin_at_every_seq(long_segment: tuple[SegmentInfo, Path]) -> None:
    rows, (info, path) = rows_of(market(100)), long_segment
    commits, ends = commits_of(rows), [BEFORE, *map(row_head, rows)]
    with closing(SegmentFile(path, info)) as segment:
        for seq in range(info.last_seq + 3):
            assert next(segment.rows(seq), None) == next((row for row in rows if row[0] > seq), None)
            assert next(segment.commits(seq), None) == next((one for one in commits if one.last_seq > seq), None)
            assert segment.end_at_or_before(seq) == max(
                (end for end in ends if end.seq <= seq), default=BEFORE, key=lambda end: end.seq
            )
        for seq in (0, 41, 63, 64, 65, 200, info.last_seq - 1, info.last_seq):
            assert list(segment.rows(seq)) == [row for row in rows if row[0] > seq]
            assert list(segment.commits(seq)) == [one for one in commits if one.last_seq > seq]


def test_reading_at_a_seq_touches_one_block(long_segment: tuple[SegmentInfo, Path], tmp_path: Path) -> None:
    info, path = long_segment
    with closing(SegmentFile(path, info)) as segment:
        blocks = [(block.offset, block.first_seq) for block in segment._index.blocks]
    assert len(blocks) > 5
    torn = bytearray(path.read_bytes())
    for offset, _ in [*blocks[:3], *blocks[4:]]:
        torn[offset + 9] ^= 1
    (tmp_path / "torn").write_bytes(torn)
    with closing(SegmentFile(tmp_path / "torn", info)) as segment:
        first, last = blocks[3][1], blocks[4][1] - 1
        assert next(segment.commits(first - 1)).seq == first
        assert segment.end_at_or_before(last - 1).seq < last == segment.end_at_or_before(last).seq
        with pytest.raises(LogDamaged) as refused:
            list(segment.commits(last))
        assert refused.value.seq == blocks[4][1]


def test_a_fold_reads_candles_as_columns_and_the_others_one_by_one(long_segment: tuple[SegmentInfo, Path]) -> None:
    info, path = long_segment
    log = [one for commit in commits_of(rows_of(market(100))) for one in commit.recorded()]
    candles: dict[int, Event] = {}
    others: list[Recorded] = []
    with closing(SegmentFile(path, info)) as segment:
        for one in segment.blocks():
            columns = one.columns(CandleClosed)
            others += one.others(CandleClosed)
            assert columns is not None
            assert len(columns.values("open")) == sum(columns.lengths)
            fields = [columns.values(name) for name in CandleClosed.__struct_fields__]
            in_lanes = list(map(CandleClosed, *fields))
            candles |= dict(zip(columns.seqs(), in_lanes, strict=True))
            assert [columns.seqs()[place] for place in columns.log_order()] == sorted(columns.seqs())
            newest = [columns.event(end - 1) for end in accumulate(columns.lengths)]
            assert newest == [in_lanes[end - 1] for end in accumulate(columns.lengths)]
    assert others == [one for one in log if not isinstance(one.event, CandleClosed)]
    assert candles == {one.seq: one.event for one in log if isinstance(one.event, CandleClosed)}


def test_a_candle_in_a_row_kept_verbatim_is_among_the_others(tmp_path: Path) -> None:
    short = msgspec.msgpack.encode(([["CandleClosed.1", 1, "X", 1, *[1.0] * 5]], [0]))
    rows = rows_with((1, blob_of(settled(0, 0.5))), (1, short), (2, blob_of(candle(0, 5.0), settled(1, 0.5))))
    info, path = sealed(tmp_path, rows)
    with closing(SegmentFile(path, info)) as segment:
        (only,) = segment.blocks()
        columns, others = only.columns(CandleClosed), only.others(CandleClosed)
    log = [one for commit in commits_of(rows) for one in commit.recorded()]
    assert columns is not None
    assert (columns.seqs(), others) == ([43], [log[0], log[1], log[3]])


def test_one_row_and_the_largest_row_are_segments_too(tmp_path: Path) -> None:
    for events in ([settled(0, 0.0001)], [candle(minute, 5.25 + minute) for minute in range(COMMIT_EVENTS_MAX)]):
        rows = rows_of([events])
        info, path = sealed(tmp_path, rows)
        assert read_back(path, info) == (rows, commits_of(rows))
        assert read_back(path) == (rows, commits_of(rows))


def test_a_candle_takes_few_bytes(tmp_path: Path) -> None:
    rows = rows_of([[candle(minute, (100.5 + minute % 7, 109.5, 99.5, 101.5 + minute % 5))] for minute in range(4_096)])
    info, _ = sealed(tmp_path, rows)
    assert info.size_bytes < 6 * 4_096


# ---------------------------------------------------------------- rows of other versions and programs


ODD_BLOBS = {
    "an old shape": (
        1,
        blob_of(ContractListed1(1, "X", 60_000, 1, 10, 1, 1_000, 5.0, ((0.0, 0.01),), "crypto", "file")),
    ),
    "an integer in a float field": (1, msgspec.msgpack.encode(([["FundingRateSettled.1", 1, "BTCUSDT", 0]], [0]))),
    "a short form that is not taken": (1, b"\x92\xdc\x00\x01" + blob_of(settled(0, 0.5))[2:]),
    "a field too many": (1, msgspec.msgpack.encode(([["FundingRateSettled.1", 1, "BTCUSDT", 0.5, "more"]], [0]))),
    "a missing field with a default": (
        1,
        msgspec.msgpack.encode(([["CandleClosed.1", 1, "X", 1, 1.0, 1.0, 1.0, 1.0, 1.0]], [0])),
    ),
    "a cause that is not before it": (1, blob_of(settled(0, 0.5), causes=[1 << 40])),
    "a negative cause": (1, blob_of(settled(0, 0.5), causes=[-1])),
    "a time beyond 64 bits": (1, blob_of(FundingRateSettled(2**64 - 1, "X", 0.5))),
    "not a number": (1, blob_of(FundingRateSettled(1, "X", float("nan")))),
    "infinity": (1, blob_of(FundingRateSettled(1, "X", float("-inf")))),
    "a negative zero": (1, blob_of(FundingRateSettled(1, "X", -0.0))),
}


@pytest.mark.parametrize("odd", ODD_BLOBS)
def test_a_row_of_any_form_comes_back_byte_for_byte(tmp_path: Path, odd: str) -> None:
    plain = (2, blob_of(settled(0, 0.25), settled(60_000, 0.5), causes=[0, 41]))
    rows = rows_with(plain, ODD_BLOBS[odd], plain, ODD_BLOBS[odd])
    info, path = sealed(tmp_path, rows)
    read, commits = read_back(path, info)
    assert read == rows
    assert bytes_of(commits) == bytes_of(commits_of(rows))


def test_an_old_shape_is_read_in_its_newest_form(tmp_path: Path) -> None:
    old = PositionClosed1(
        9, "momentum", "X", "long", "target", 1.0, 3, 5.0, 6.0, 6.0, 0.1, 1.0, 0.2, 0.0, 0.0, 0.8, 0.5, False
    )
    rows = rows_with((3, blob_of(settled(0, 0.25), old, old)))
    info, path = sealed(tmp_path, rows)
    assert read_back(path, info) == (rows, commits_of(rows))


def test_a_type_that_became_old_after_sealing_is_read_in_its_newest_form(tmp_path: Path) -> None:
    class Reading(Event, frozen=True, tag="Reading.2"):
        value_c: float

    class Reading1(Event, frozen=True, tag="Reading.1"):
        value_f: float

    then, now = Codec([Reading1], {}), Codec([Reading], {Reading1: lambda old: Reading(old.at_ms, old.value_f / 2)})
    rows = rows_with((2, blob_of(Reading1(1, 50.0), Reading1(2, 70.5))))
    info, path = sealed(tmp_path, rows, codec=then)
    read, (commit,) = read_back(path, info, now)
    assert (read, commit.events) == (rows, [Reading(1, 25.0), Reading(2, 35.25)])


def test_an_event_of_a_newer_version_is_named_with_its_seq(tmp_path: Path) -> None:
    class Moon(Event, frozen=True, tag="MoonRose.1"):
        phase: float

    newer = Codec([*EVENT_TYPES, Moon], UPCASTERS)
    odd = blob_of(FundingRateSettled(1, "X", float("nan")), causes=[99])
    rows = rows_with((1, odd), (2, blob_of(settled(0, 0.5), Moon(5, 0.5))), (1, blob_of(Moon(5, 0.5))))
    for codec in (CODEC, newer):  # Sealed by a version that knows the event, and by one that does not.
        info, path = sealed(tmp_path, rows, codec=codec)
        with (
            closing(SegmentFile(path, info)) as segment,
            pytest.raises(LogFromNewerVersion, match="MoonRose") as refused,
        ):
            list(segment.commits())
        assert refused.value.seq == 43
        assert read_back(path, info, newer)[0] == rows


# ---------------------------------------------------------------- damage


def small(folder: Path) -> tuple[SegmentInfo, Path, bytes]:
    rows = rows_of(market(9))
    info, path = sealed(folder, rows)
    return info, path, path.read_bytes()


def outcome(path: Path, info: SegmentInfo | None, read: Callable[[SegmentFile], object]) -> str:
    """Return what a read gives, or the name of the damage."""
    try:
        with closing(SegmentFile(path, info)) as segment:
            return repr(read(segment))
    except LogDamaged as damage:
        return f"{type(damage).__name__} within the segment: {1 <= damage.seq <= 200}"


def outcomes(path: Path, info: SegmentInfo | None) -> list[str]:
    """Read a segment in every way."""
    ways: list[Callable[[SegmentFile], object]] = [
        lambda segment: list(segment.rows()),
        lambda segment: list(segment.commits()),
        lambda segment: segment.end_at_or_before(50),
        lambda segment: segment.verify(),
    ]
    return [outcome(path, info, way) for way in ways]


DAMAGED = "LogDamaged within the segment: True"


def test_a_flipped_byte_is_named_and_never_read(tmp_path: Path) -> None:
    info, path, content = small(tmp_path)
    right = outcomes(path, info)
    torn = tmp_path / "torn"
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 + place % 255
        torn.write_bytes(flipped)
        for identity in (info, None):
            read = outcomes(torn, identity)
            assert all(one in (DAMAGED, known) for one, known in zip(read, right, strict=True)), place
        assert outcomes(torn, info)[-1] == DAMAGED, place


def test_a_segment_that_is_cut_off_is_damaged(tmp_path: Path) -> None:
    info, _, content = small(tmp_path)
    torn = tmp_path / "torn"
    for length in range(len(content)):
        torn.write_bytes(content[:length])
        assert set(outcomes(torn, info)) == set(outcomes(torn, None)) == {DAMAGED}
    torn.write_bytes(content + b"\x00")
    assert set(outcomes(torn, info)) == {DAMAGED}


def test_another_segment_in_its_place_is_damage(tmp_path: Path) -> None:
    info, _ = sealed(tmp_path, rows_of(market(9)))
    other, other_path = sealed(tmp_path, rows_of(market(10)))
    assert info.digest != other.digest
    with pytest.raises(LogDamaged, match="not the segment"):
        SegmentFile(other_path, info)


def test_a_missing_or_closed_segment_is_named(tmp_path: Path) -> None:
    info, path, _ = small(tmp_path)
    with pytest.raises(LogError, match="cannot be read"):
        SegmentFile(tmp_path / "none.segment", info)
    segment = SegmentFile(path, info)
    segment.close()
    segment.close()
    with pytest.raises(LogError, match="cannot be read"):
        list(segment.rows())


def test_a_form_of_a_newer_version_is_named(tmp_path: Path) -> None:
    info, _, content = small(tmp_path)
    (tmp_path / "newer").write_bytes(content.replace(b"papertape segment 2\n", b"papertape segment 3\n"))
    with pytest.raises(LogFromNewerVersion, match="form"):
        SegmentFile(tmp_path / "newer", info)


# ---------------------------------------------------------------- writing


def test_only_rows_that_continue_the_chain_are_sealed(tmp_path: Path) -> None:
    rows = rows_of(market(4))
    for wrong in ([*rows[:2], *rows[3:]], rows[1:], [*rows[:3], (*rows[3][:4], rows[2][4])]):
        with pytest.raises(LogDamaged, match="chain"):
            write_segment(tmp_path, BEFORE, wrong)
    with pytest.raises(LogDamaged, match="chain"):
        write_segment(tmp_path, Head(), rows)
    with pytest.raises(UsageError, match="at least one"):
        write_segment(tmp_path, BEFORE, [])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="could not be written"):
        write_segment(tmp_path / "none", BEFORE, rows_of(market(4)))


class ForgetfulCodec(Codec):
    """Encodes four rows and the lane of rare events as they were, and what follows differently."""

    right_left = 5

    def encode_as_written(self, events: Sequence[Event], causes: Sequence[int]) -> bytes:
        self.right_left -= 1
        return super().encode_as_written(events, causes) if self.right_left >= 0 else b"another row"


def test_a_segment_that_does_not_read_back_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(LogDamaged, match="hash"):
        write_segment(tmp_path, BEFORE, rows_of(market(4)), ForgetfulCodec(EVENT_TYPES, UPCASTERS))
    assert list(tmp_path.iterdir()) == []


def test_the_same_rows_give_the_same_file(tmp_path: Path) -> None:
    rows = rows_of([[opened(), closed(gross_usdt=1.0)], *market(20)])
    assert sealed(tmp_path, rows) == sealed(tmp_path, rows)
    assert len(list(tmp_path.iterdir())) == 1


def test_blocks_follow_each_other_in_the_chain(long_segment: tuple[SegmentInfo, Path]) -> None:
    info, path = long_segment
    hashes = {row_head(row).seq: row[4] for row in rows_of(market(100))}
    with closing(SegmentFile(path, info)) as segment:
        for one, following in pairwise(segment._index.blocks):
            assert (following.offset, hashes[following.first_seq - 1]) == (
                one.offset + one.length,
                following.hash_before,
            )
