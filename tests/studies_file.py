"""Writes study files as a study does, with numbers that look like a market: `python -m tests.studies_file FOLDER`."""

from __future__ import annotations

import itertools
import math
import random
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from papertape.events.units import DAY_MS, HOUR_MS, MINUTE_MS
from papertape.projections.studies.document import (
    Axis,
    Costs,
    Document,
    FoldResult,
    GateResult,
    MatrixCell,
    Pair,
    PromisedResult,
    SpaceView,
    StudyPlan,
    Verdict,
    Yardstick,
)
from papertape.projections.studies.schema import FORMAT, RESULT_COLUMNS, TABLES

FROM_MS: Final = 1_735_689_600_000
DAYS: Final = 240
TRAIN_MS, TEST_MS = 90 * DAY_MS, 30 * DAY_MS
FOLDS: Final = 5
CAPITAL_USDT: Final = 10_000.0
WARNINGS: Final = ("The files have no funding rates, but the strategy pays funding: the results are optimistic.",)
AXES: Final = (
    Axis("breakout_lookback", tuple(range(10, 60, 5)), "candles"),
    Axis("sl_percent", tuple(round(0.2 + 0.1 * one, 1) for one in range(10)), "%"),
    Axis("volume_confirmation_multiplier", (1.5, 2.0, 3.0)),
)
SMALL_AXES: Final = (Axis("breakout_lookback", (10, 20, 30, 40), "candles"), Axis("sl_percent", (0.4, 0.6, 0.8), "%"))
"""Twelve sets, for tests of anything but the pictures."""


def plan(name: str, axes: tuple[Axis, ...] = AXES, warnings: tuple[str, ...] = WARNINGS) -> StudyPlan:
    """Return the plan of a study of momentum on a year of BTC."""
    sets = math.prod(len(axis.values) for axis in axes)
    space = SpaceView(axes, ("tp_percent = 2 * sl_percent",), ("atr_multiplier_tp > atr_multiplier_sl",), sets)
    return StudyPlan(
        name=name,
        strategy="momentum",
        code_digest="5f3c9a1e2b7d4860",
        tape_digest="93ad630b6df85a13",
        symbols=("BTCUSDT",),
        timeframe_ms=5 * MINUTE_MS,
        from_ms=FROM_MS,
        until_ms=FROM_MS + DAYS * DAY_MS,
        candles=DAYS * 288,
        space=space,
        parameters={"breakout_lookback": 20},
        risk={"capital_usdt": CAPITAL_USDT, "leverage": 3},
        warnings=warnings,
    )


def spans() -> list[tuple[int, int | None, int | None]]:
    """Return the spans: the whole tape, then training and test of every fold."""
    found: list[tuple[int, int | None, int | None]] = [(0, None, None)]
    for fold in range(FOLDS):
        train_ms = FROM_MS + fold * TEST_MS
        found.append((2 * fold + 1, train_ms, train_ms + TRAIN_MS))
        found.append((2 * fold + 2, train_ms + TRAIN_MS, train_ms + TRAIN_MS + TEST_MS))
    return found


def quality(axes: tuple[Axis, ...], number: int) -> float:
    """Return how good a set is, from about -1 to 1: a broad hill with its top off the middle."""
    score = 0.9
    for axis in reversed(axes):
        number, place = divmod(number, len(axis.values))
        distance = (place + 0.5) / len(axis.values) - 0.62
        score -= 3.2 * distance * distance
    return score


def figures(axes: tuple[Axis, ...], number: int, days: int, dice: random.Random) -> tuple[float | int | None, ...]:
    """Return the columns of a result: those of `RESULT_COLUMNS`, then the Sharpe ratio."""
    trades = max(0, int(dice.gauss(0.9, 0.2) * days))
    gross = days * (9.0 * quality(axes, number) + dice.gauss(0.0, 3.0))
    fees, slippage, funding = 3.1 * trades, 1.2 * trades, -0.2 * trades
    net = gross - fees - slippage + funding
    sharpe = net / days / 11.0 + dice.gauss(0.0, 0.2) if trades else None
    equity = CAPITAL_USDT + net
    return (
        equity, equity, max(equity, CAPITAL_USDT) + 90.0, 0.02 + abs(dice.gauss(0.04, 0.03)), 9 * DAY_MS, gross, fees,
        funding, slippage, trades, int(trades * 0.44), 0, 31 * HOUR_MS, trades * 4 * HOUR_MS, trades * 3, 0, sharpe,
    )  # fmt: skip


GATES: Final = (
    ("enough", "Enough data", 132.0, 100.0, "trades",
     "132 out-of-sample trades (at least 100 needed) over 150 days (at least 96 needed)", "about 70 more days"),
    ("costs", "Costs", 21.0, 100.0 / 3.0, "% of the stop",
     "the median trade pays 21 % of its loss at the stop in fees and slippage (at most 33.33 %)",
     "stops twice as far away"),
    ("out_of_sample", "Out of sample", 0.014, 0.0, "% a day",
     "the mean daily return is between +0.014 % and +0.098 % (90 % interval), and the lower end must be above 0",
     "more days"),
    ("deflated", "Better than luck", 81.0, 95.0, "%",
     "the Sharpe ratio of the chosen set is 1.62; the best of 1,500 sets tried would reach 1.18 by luck alone",
     "a Sharpe ratio of about 2.10 over these 240 days, or more days"),
    ("overfitting", "Overfitting", 31.0, 20.0, "%",
     "in 31 % of 12,870 ways to halve the days, the best set of one half was poor in the other", "fewer parameters"),
    ("family", "Against all sets", 12.0, 5.0, "%", "12 % for all sets together", "a set that stands out"),
    ("plateau", "Plateau", 83.0, 60.0, "% of neighbours", "5 of 6 neighbours make money out of sample",
     "a broader optimum"),
    ("stress", "Stress", 212.0, 0.0, "USDT", "+212.00 USDT with 1.5 times the fees", "a larger margin over costs"),
)  # fmt: skip


def gates(outcome: str = "NO", failed_at: int = 4) -> tuple[GateResult, ...]:
    """Return the eight gates; the one at `failed_at` failed and the later ones were skipped."""
    return tuple(
        GateResult(
            name,
            title,
            "passed" if place < failed_at else "failed" if place == failed_at else "skipped",
            outcome if place == failed_at else "BET",  # type: ignore[arg-type]
            number if place <= failed_at else None,
            limit,
            unit,
            text if place <= failed_at else "",
            change if place == failed_at else "",
        )
        for place, (name, title, number, limit, unit, text, change) in enumerate(GATES, start=1)
    )


def document(axes: tuple[Axis, ...] = AXES, seed: int = 7) -> Document:
    """Return conclusions that match the figures in kind and size."""
    dice = random.Random(seed)
    sets = math.prod(len(axis.values) for axis in axes)
    chosen = max(range(sets), key=lambda number: quality(axes, number))
    values = values_of(axes, chosen)
    folds, joined, equity = [], [(FROM_MS + TRAIN_MS, CAPITAL_USDT)], CAPITAL_USDT
    for number in range(FOLDS):
        train_ms = FROM_MS + number * TEST_MS
        picked = None if number == 3 else min(max(chosen + dice.choice((-30, -3, 0, 1, 3, 30)), 0), sets - 1)
        start = equity
        for day in range(30):
            equity += 0.0 if picked is None else dice.gauss(5.5, 46.0)
            joined.append((train_ms + TRAIN_MS + (day + 1) * DAY_MS, equity))
        folds.append(
            FoldResult(
                number + 1,
                train_ms,
                train_ms + TRAIN_MS,
                train_ms + TRAIN_MS,
                train_ms + TRAIN_MS + TEST_MS,
                picked,
                {} if picked is None else values_of(axes, picked),
                None if picked is None else 1.9 + dice.gauss(0, 0.3),
                None if picked is None else dice.gauss(0.9, 0.8),
                equity - start,
                0 if picked is None else 33,
            )
        )
    inside = [2.0 * quality(axes, number) + dice.gauss(0.0, 0.4) for number in range(sets)]
    pairs = tuple(Pair(number, one, 0.45 * one - 0.2 + dice.gauss(0.0, 0.5)) for number, one in enumerate(inside))
    matrix = tuple(
        MatrixCell(
            train * DAY_MS, test * DAY_MS, 9, dice.randint(2, 8), dice.gauss(120.0, 300.0), dice.gauss(0.6, 0.6), 130
        )
        for train, test in itertools.product((60, 90, 180), (15, 30, 60))
    )
    net = equity - CAPITAL_USDT
    costs = Costs(net + 132 * 4.5, 132 * 3.1, 132 * 1.2, -132 * 0.2, net, 132)
    headline = "No: with 1,500 sets tried, the best one looks this good by luck in 19 of 100 cases."
    verdict = Verdict("NO", headline, "deflated", gates(), chosen, values, 1_500, 3.8, (chosen, chosen + 1))
    cash, hold = Yardstick("cash", 0.0, None, 0.0), Yardstick("buy & hold", -412.8, -0.31, 0.214)
    return Document(
        verdict=verdict,
        costs=costs,
        folds=tuple(folds),
        matrix=matrix,
        joined=tuple(joined),
        yardsticks=(cash, hold),
        pairs=pairs,
        slope=0.45,
        statistics={"psr": 0.97, "dsr": 0.81, "pbo": 0.31},
        promise=PromisedResult(0.9, 0.44, 0.1, 0.05, 0.12, ((-1.0, -0.5, 0.1, 0.9, 2.0), (-1.4, -0.6, 0.2, 1.1, 2.8))),
        trials=1_500,
        long_way={"the leverage of a symbol changes": 12},
        digest="c0ffee11a7b3d5f2",
        train_ms=TRAIN_MS,
        test_ms=TEST_MS,
        embargo_ms=DAY_MS,
    )


def values_of(axes: tuple[Axis, ...], number: int) -> dict[str, int | float]:
    """Return the values of a set."""
    combinations = itertools.islice(itertools.product(*(axis.values for axis in axes)), number, None)
    return dict(zip((axis.name for axis in axes), next(combinations), strict=True))


def write_study(
    folder: Path,
    name: str,
    *,
    axes: tuple[Axis, ...] = AXES,
    state: str = "complete",
    concluded: Document | None = None,
    results_max: int | None = None,
    created_at_ms: int = FROM_MS + 300 * DAY_MS,
    updated_at_ms: int | None = None,
    version: int = FORMAT,
) -> Path:
    """Write a study's file; `results_max` leaves the rest of the results out, as in a study that still runs."""
    folder.mkdir(parents=True, exist_ok=True)
    path, said, dice = folder / f"{name}.db", plan(name, axes), random.Random(11)
    marks = ", ".join("?" * (len(RESULT_COLUMNS) + 3))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(f"PRAGMA user_version = {version}; PRAGMA journal_mode = WAL; {TABLES}")
        row = (1, name, "8c1f02d7e4b96a35", msgspec.json.encode(said).decode(), state, created_at_ms)
        connection.execute("INSERT INTO study VALUES (?, ?, ?, ?, ?, ?, ?, '')", (*row, updated_at_ms or created_at_ms))
        connection.executemany("INSERT INTO span VALUES (?, ?, ?)", spans())
        days = [DAYS, *(days for _ in range(FOLDS) for days in (90, 30))]
        rows = (
            (span, number, *figures(axes, number, days[span], dice))
            for span, _, _ in spans()
            for number in range(said.space.sets)
        )
        connection.executemany(f"INSERT INTO result VALUES ({marks})", itertools.islice(rows, results_max))
        if concluded is not None:
            connection.execute(
                "INSERT INTO document VALUES (1, ?, ?)", (created_at_ms, msgspec.json.encode(concluded).decode())
            )
    return path


def write_examples(folder: Path, axes: tuple[Axis, ...] = AXES) -> None:
    """Write a study of every kind: concluded, running, interrupted, failed, of a newer format, and a broken file."""
    sets = math.prod(len(axis.values) for axis in axes)
    write_study(folder, "momentum-btc", axes=axes, concluded=document(axes))
    write_study(
        folder,
        "momentum-running",
        axes=axes,
        state="running",
        results_max=sets * 4,
        created_at_ms=FROM_MS + 301 * DAY_MS,
    )
    write_study(folder, "momentum-interrupted", axes=axes, state="interrupted", results_max=sets * 3)
    path = write_study(folder, "momentum-failed", axes=axes, state="failed", results_max=0)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO failed VALUES (0, 0, 99, 'worker killed by signal 9')")
    write_study(folder, "newer", axes=axes, version=FORMAT + 1)
    (folder / "broken.db").write_bytes(b"SQLite format 3\x00" + b"\x07" * 5_000)
    (folder / "ledger.db").write_bytes(b"")


if __name__ == "__main__":
    write_examples(Path(sys.argv[1]))
