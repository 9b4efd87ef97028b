"""The pictures of a study's page. Positions are in percent of the picture's width and height; y grows downwards."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from math import isfinite
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from papertape.projections.site.plot_geometry import PlotScale, thin_points, ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.projections.studies.document import Costs, Document, FoldResult, MatrixCell, Pair
    from papertape.projections.studies.reader import MeasuredSets

BINS_MAX: Final = 40
DOTS_MAX: Final = 1_500
CURVE_POINTS_MAX: Final = 800
FOLD_DATES_MAX: Final = 5
WHOLE: Final = 100.0


class Tick(Struct, frozen=True):
    """A value on an axis, and where it stands."""

    at: float
    value: float


class CostPart(Struct, frozen=True):
    """A part of the cost bar: where it lies, its amount, and that amount per 100 USDT of gross (None without gross)."""

    kind: Literal["loss", "fees", "slippage", "funding", "open", "net"]
    amount_usdt: float
    per_100: float | None
    x: float
    width: float


class CostBar(Struct, frozen=True):
    """What costs took of the gross result. `gross_at` is where the gross ends: costs beyond it are a loss.

    Without a gross profit the bar shows the loss before costs and what the costs added to it.
    """

    parts: tuple[CostPart, ...]
    gross_at: float | None
    taken_per_100: float | None


def cost_bar(costs: Costs) -> CostBar:
    """Return the bar of fees, slippage and funding, and of what was left."""
    profitable = costs.gross_usdt > 0.0
    unexplained = costs.net_usdt - costs.gross_usdt + costs.fees_usdt + costs.slippage_usdt - costs.funding_usdt
    open_usdt = unexplained if abs(unexplained) >= 0.01 else 0.0
    amounts: list[tuple[Literal["loss", "fees", "slippage", "funding", "open", "net"], float]] = [
        ("loss", 0.0 if profitable else -costs.gross_usdt),
        ("fees", costs.fees_usdt),
        ("slippage", costs.slippage_usdt),
        ("funding", max(0.0, -costs.funding_usdt)),
        ("open", max(0.0, -open_usdt)),
    ]
    if profitable:
        amounts.append(("net", max(0.0, costs.net_usdt)))
    shown = [(kind, amount) for kind, amount in amounts if amount > 0.0]
    total = max(sum(amount for _, amount in shown), costs.gross_usdt) or 1.0
    unit = WHOLE / costs.gross_usdt if profitable else None
    parts, x = [], 0.0
    for kind, amount in shown:
        width = WHOLE * amount / total
        parts.append(CostPart(kind, amount, None if unit is None else amount * unit, round(x, 3), round(width, 3)))
        x += width
    taken = costs.fees_usdt + costs.slippage_usdt - costs.funding_usdt
    return CostBar(
        tuple(parts),
        round(WHOLE * costs.gross_usdt / total, 3) if profitable else None,
        None if unit is None else taken * unit,
    )


class FoldBand(Struct, frozen=True):
    """The test span of a fold on the time axis."""

    fold: FoldResult
    x: float
    width: float


class JoinedCurve(Struct, frozen=True):
    """The equity of all test folds one after the other: an SVG polyline in a box of 1000 x 1000, and its axes."""

    points: str
    area: str
    bands: tuple[FoldBand, ...]
    y_ticks: tuple[Tick, ...]
    x_ticks: tuple[Tick, ...]
    start_at: float
    """Where the capital at the start stands."""
    first_usdt: float
    last_usdt: float


def joined_curve(document: Document, capital_usdt: float) -> JoinedCurve | None:
    """Return the curve, None with fewer than two points."""
    points = [(at_ms, equity) for at_ms, equity in document.joined if isfinite(equity)]
    if len(points) < 2:
        return None
    points = list(thin_points(points, CURVE_POINTS_MAX))
    values = [equity for _, equity in points]
    start_ms, end_ms = points[0][0], points[-1][0]
    if document.folds:
        start_ms = min(start_ms, document.folds[0].test_from_ms)
        end_ms = max(end_ms, document.folds[-1].test_until_ms)
    across = PlotScale(float(start_ms), float(end_ms), WHOLE)
    upward = _padded(min(*values, capital_usdt), max(*values, capital_usdt))
    line = " ".join(f"{10.0 * across.at(at_ms):.1f},{10.0 * _down(upward, equity):.1f}" for at_ms, equity in points)
    left, right = (10.0 * across.at(points[place][0]) for place in (0, -1))
    base = 10.0 * _down(upward, capital_usdt)
    return JoinedCurve(
        points=line,
        area=f"{left:.1f},{base:.1f} {line} {right:.1f},{base:.1f}",
        bands=tuple(
            FoldBand(fold, across.at(fold.test_from_ms), across.at(fold.test_until_ms) - across.at(fold.test_from_ms))
            for fold in document.folds
        ),
        y_ticks=_y_ticks(upward),
        x_ticks=tuple(
            Tick(across.at(fold.test_from_ms), float(fold.test_from_ms))
            for fold in thin_points(document.folds, FOLD_DATES_MAX)
        ),
        start_at=_down(upward, capital_usdt),
        first_usdt=values[0],
        last_usdt=values[-1],
    )


class Dot(Struct, frozen=True, array_like=True):
    """One set in the scatter plot."""

    x: float
    y: float
    pair: Pair


class Scatter(Struct, frozen=True):
    """Sharpe ratios in sample (rightwards) and out of sample (upwards) of up to `DOTS_MAX` sets.

    `line` is the regression line, x and y of its ends; `zero_x` and `zero_y` are None if zero lies outside.
    """

    dots: tuple[Dot, ...]
    chosen: Dot | None
    line: tuple[float, float, float, float] | None
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    zero_x: float | None
    zero_y: float | None
    sets: int
    positive_inside: int
    positive_both: int


def scatter(pairs: Sequence[Pair], chosen: int | None, slope: float | None) -> Scatter | None:
    """Return the scatter plot, None without sets."""
    finite = [pair for pair in pairs if isfinite(pair.inside) and isfinite(pair.outside)]
    if not finite:
        return None
    insides, outsides = [pair.inside for pair in finite], [pair.outside for pair in finite]
    across, upward = _padded(min(insides), max(insides)), _padded(min(outsides), max(outsides))
    dots = [Dot(across.at(pair.inside), _down(upward, pair.outside), pair) for pair in thin_points(finite, DOTS_MAX)]
    best = next((pair for pair in finite if pair.number == chosen), None)
    line = None
    if slope is not None and isfinite(slope) and across.high > across.low:
        center = sum(outsides) / len(outsides) - slope * sum(insides) / len(insides)
        ends = [center + slope * inside for inside in (across.low, across.high)]
        line = (0.0, _down_beyond(upward, ends[0]), WHOLE, _down_beyond(upward, ends[1]))
    return Scatter(
        dots=tuple(dots),
        chosen=None if best is None else Dot(across.at(best.inside), _down(upward, best.outside), best),
        line=line,
        x_ticks=tuple(Tick(across.at(value), value) for value in ticks(across.low, across.high)),
        y_ticks=_y_ticks(upward),
        zero_x=across.at(0.0) if across.low <= 0.0 <= across.high else None,
        zero_y=_down(upward, 0.0) if upward.low <= 0.0 <= upward.high else None,
        sets=len(finite),
        positive_inside=sum(pair.inside > 0.0 for pair in finite),
        positive_both=sum(pair.inside > 0.0 and pair.outside > 0.0 for pair in finite),
    )


class Bin(Struct, frozen=True):
    """Sets with values from `low` to below `high`."""

    x: float
    width: float
    y: float
    height: float
    low: float
    high: float
    sets: int


class Histogram(Struct, frozen=True):
    """The distribution of a number over all sets; `chosen` and `zero_x` are where the chosen set and zero stand."""

    bins: tuple[Bin, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    zero_x: float | None
    chosen: Tick | None
    chosen_rank: int | None
    """1 is the best."""
    sets: int
    positive: int
    median: float
    top_tenth: float
    """The value that a tenth of all sets reaches."""


def histogram(sets: MeasuredSets, chosen: int | None) -> Histogram | None:
    """Return the distribution, None without sets."""
    values = [value for value in sets.ranked if isfinite(value)]
    if not values:
        return None
    edges = _edges(values[0], values[-1])
    scale = PlotScale(edges[0], edges[-1], WHOLE)
    places = [bisect_left(values, edge) for edge in edges[:-1]] + [len(values)]
    counts = [places[at + 1] - places[at] for at in range(len(edges) - 1)]
    most = max(counts)
    bins = [
        Bin(
            scale.at(low),
            round(scale.at(high) - scale.at(low), 2),
            round(WHOLE - WHOLE * count / most, 2),
            round(WHOLE * count / most, 2),
            low,
            high,
            count,
        )
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
        if count
    ]
    at = bisect_left(sets.numbers, chosen) if chosen is not None else len(sets.numbers)
    own = sets.values[at] if at < len(sets.numbers) and sets.numbers[at] == chosen else None
    return Histogram(
        bins=tuple(bins),
        x_ticks=tuple(Tick(scale.at(value), value) for value in ticks(edges[0], edges[-1], 6)),
        y_ticks=tuple(
            Tick(round(WHOLE - WHOLE * value / most, 2), value)
            for value in ticks(0.0, float(most), 3)
            if value == int(value)
        ),
        zero_x=scale.at(0.0) if edges[0] <= 0.0 <= edges[-1] else None,
        chosen=None if own is None else Tick(scale.at(own), own),
        chosen_rank=None if own is None else len(values) - bisect_right(values, own) + 1,
        sets=len(values),
        positive=len(values) - bisect_right(values, 0.0),
        median=values[len(values) // 2],
        top_tenth=values[min(len(values) - 1, len(values) * 9 // 10)],
    )


class MatrixRow(Struct, frozen=True):
    """The walk-forwards with one length of training; None where a length of test was not run."""

    train_ms: int
    cells: tuple[MatrixCell | None, ...]


def matrix_rows(cells: Sequence[MatrixCell]) -> tuple[tuple[int, ...], tuple[MatrixRow, ...]]:
    """Return the lengths of the test windows, and a row for each length of training."""
    tests = tuple(sorted({cell.test_ms for cell in cells}))
    known = {(cell.train_ms, cell.test_ms): cell for cell in cells}
    trains = sorted({cell.train_ms for cell in cells})
    return tests, tuple(MatrixRow(train, tuple(known.get((train, test)) for test in tests)) for train in trains)


def _padded(low: float, high: float) -> PlotScale:
    """Return a scale with some air at both ends."""
    pad = (high - low) * 0.06 or max(abs(high) * 0.01, 0.5)
    return PlotScale(low - pad, high + pad, WHOLE)


def _down(scale: PlotScale, value: float) -> float:
    return round(WHOLE - scale.at(value), 2)


def _down_beyond(scale: PlotScale, value: float) -> float:
    """Return the position of a value that may lie outside of the picture."""
    return round(WHOLE - WHOLE * (value - scale.low) / (scale.high - scale.low), 2)


def _y_ticks(scale: PlotScale) -> tuple[Tick, ...]:
    return tuple(Tick(_down(scale, value), value) for value in ticks(scale.low, scale.high, 4))


def _edges(low: float, high: float) -> tuple[float, ...]:
    """Return the edges of the bins, on round numbers so that one of them is zero."""
    marks = ticks(low, high, BINS_MAX - 2)
    if len(marks) < 2:
        width = max(abs(high) * 0.1, 1.0)
        return (low - width / 2.0, high + width / 2.0)
    step = marks[1] - marks[0]
    first = marks[0] - step if marks[0] > low else marks[0]
    count = round((marks[-1] - first) / step) + (1 if high >= marks[-1] else 0)
    return tuple(first + step * place for place in range(count + 1))
