"""The sets of a study: what `--vary`, `--link`, `--where` and `--draw` describe, numbered.

A set's number is its place in the grid of all varied values (mixed radix, the last parameter fastest), whatever
conditions and draws leave out. Its values therefore follow from the space and the number alone.
"""

from __future__ import annotations

import random
from contextlib import contextmanager
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from papertape.engine.runner_settings import validate_parameters
from papertape.events.errors import UsageError
from papertape.projections.studies.document import Axis, SpaceView
from papertape.studies.expressions import parse_condition, parse_link
from papertape.studies.grid_values import grid_values
from papertape.studies.ranges import range_of, ranges_of, short

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from fractions import Fraction

    from papertape.engine.kernel.strategy import Strategy

GRID_SETS_MAX: Final = 1_000_000
"""The most sets that a study enumerates; larger grids are drawn from."""
DRAW_ROUNDS_MAX: Final = 64
AXES_MAX: Final = 32


class Space(Struct, frozen=True):
    """The parameters that vary, those that follow, and the conditions; `draw` is the number of sets drawn, or None.

    `fixed` holds the parameters that links and conditions read and that do not vary, `whole` those linked parameters
    that are whole numbers.
    """

    axes: tuple[Axis, ...]
    links: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    draw: int | None = None
    seed: int = 0
    fixed: tuple[tuple[str, int | float], ...] = ()
    whole: tuple[str, ...] = ()

    @property
    def grid(self) -> int:
        """The number of sets of the whole grid."""
        return prod(len(axis.values) for axis in self.axes)

    def values(self, number: int) -> dict[str, int | float]:
        """Return the values of the varied and the linked parameters of a set."""
        chosen = self._grid_values(number)
        if not self.links:
            return chosen
        known = {**dict(self.fixed), **chosen}
        for text in self.links:
            link = parse_link(text)
            exact = link.formula.number(known)
            known[link.name] = chosen[link.name] = _typed(exact, link.name in self.whole)
        return chosen

    def numbers(self) -> Sequence[int]:
        """Return the numbers of the sets, ascending: those that meet the conditions and, with a draw, were drawn."""
        return _numbers(self)

    def neighbours(self, number: int) -> list[int]:
        """Return the sets that differ by one step in one parameter and meet the conditions, drawn or not."""
        found, stride = list[int](), 1
        for axis in reversed(self.axes):
            place = number // stride % len(axis.values)
            found += [number - stride] if place > 0 else []
            found += [number + stride] if place + 1 < len(axis.values) else []
            stride *= len(axis.values)
        return sorted(filter(self.meets, found))

    def view(self) -> SpaceView:
        """Return the space as the plan and the page show it."""
        return SpaceView(self.axes, self.links, self.conditions, len(self.numbers()), self.draw, self.seed)

    def meets(self, number: int) -> bool:
        """Return whether a set meets the conditions."""
        if not self.conditions:
            return True
        known = {**dict(self.fixed), **self.values(number)}
        return all(parse_condition(text).holds(known) for text in self.conditions)

    def _grid_values(self, number: int) -> dict[str, int | float]:
        places = []
        for axis in reversed(self.axes):
            number, place = divmod(number, len(axis.values))
            places.append(axis.values[place])
        return dict(zip((axis.name for axis in self.axes), reversed(places), strict=True))


class SpaceRequest(Struct, frozen=True):
    """A space as it is typed: `NAME=VALUES`, `NAME = EXPRESSION`, conditions, the number of sets drawn and the seed."""

    vary: tuple[str, ...]
    links: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    draw: int | None = None
    seed: int = 0


def build_space(request: SpaceRequest, strategy: Strategy, parameters: Mapping[str, int | float]) -> Space:
    """Return the space of a strategy whose other parameters are `parameters`.

    Raise UsageError, naming the option, for an unknown name, a value outside its range, a parameter that is varied or
    linked twice, a link that leaves its range, and for a space without sets.
    """
    axes = _axes(request.vary, strategy)
    links = _links(request.links, [axis.name for axis in axes], strategy)
    space = Space(
        axes=axes,
        links=tuple(request.links),
        conditions=tuple(request.conditions),
        draw=request.draw,
        seed=request.seed,
        whole=tuple(name for name in links if range_of(strategy, name).is_whole),
    )
    space = _with_fixed(space, strategy, parameters)
    _check_size(space)
    _check_sets(space, strategy)
    return space


def _axes(texts: Iterable[str], strategy: Strategy) -> tuple[Axis, ...]:
    """Return the varied parameters in the order in which they were typed."""
    axes: dict[str, Axis] = {}
    for text in texts:
        name, equals, values = (part.strip() for part in text.partition("="))
        with _naming(f"--vary {text}"):
            if not equals or not values:
                raise UsageError("write NAME=FIRST:LAST:STEP, NAME=FIRST:LAST~COUNT, NAME=1,2,3 or NAME=*")
            bounds = range_of(strategy, name)
            if name in axes:
                raise UsageError(f"{name} is varied twice; write one --vary with all its values")
            axes[name] = Axis(name, grid_values(values, bounds), bounds.unit)
    if not axes:
        known = ", ".join(ranges_of(strategy))
        raise UsageError(f"nothing varies: add --vary NAME=FIRST:LAST:STEP; {strategy.name} has {known}")
    if len(axes) > AXES_MAX:
        raise UsageError(f"{len(axes)} parameters vary, at most {AXES_MAX} can")
    return tuple(axes.values())


def _links(texts: Iterable[str], varied: Sequence[str], strategy: Strategy) -> list[str]:
    """Return the names of the linked parameters, checked."""
    names: list[str] = []
    for text in texts:
        with _naming(f"--link {text!r}"):
            link = parse_link(text)
            range_of(strategy, link.name)
            if link.name in varied:
                raise UsageError(f"{link.name} is varied by --vary; a parameter either varies or follows others")
            if link.name in names:
                raise UsageError(f"{link.name} is linked twice")
            names.append(link.name)
    return names


def _with_fixed(space: Space, strategy: Strategy, parameters: Mapping[str, int | float]) -> Space:
    """Return the space with the parameters that its links and conditions read and that do not vary."""
    every = validate_parameters(strategy, parameters)
    known = {axis.name for axis in space.axes}
    later = [parse_link(text).name for text in space.links]
    fixed: dict[str, int | float] = {}
    for text in space.links:
        link = parse_link(text)
        with _naming(f"--link {text!r}"):
            for name in link.formula.names:
                range_of(strategy, name)
                if name in later:
                    raise UsageError(f"{name} is itself linked, by a later --link; write that one first")
        fixed |= {name: every[name] for name in link.formula.names if name not in known}
        later.remove(link.name)
        known.add(link.name)
    for text in space.conditions:
        with _naming(f"--where {text!r}"):
            names = parse_condition(text).names
            for name in names:
                range_of(strategy, name)
        fixed |= {name: every[name] for name in names if name not in known}
    return replace(space, fixed=tuple(sorted(fixed.items())))


def _check_size(space: Space) -> None:
    """Raise UsageError for a number of sets that no study enumerates."""
    if space.draw is not None and not 1 <= space.draw <= GRID_SETS_MAX:
        raise UsageError(f"--draw {space.draw}: draw 1 to {GRID_SETS_MAX:,} sets")
    if space.draw is None and space.grid > GRID_SETS_MAX:
        raise UsageError(
            f"the grid has {space.grid:,} sets, at most {GRID_SETS_MAX:,} are run; take larger steps or --draw 10000"
        )


def _check_sets(space: Space, strategy: Strategy) -> None:
    """Raise UsageError if no set is left, or if a linked parameter leaves its range in one that is."""
    numbers = space.numbers()
    if not numbers:
        conditions = ", ".join(f"--where {text!r}" for text in space.conditions)
        raise UsageError(f"no set is left: none of the {space.grid:,} sets of the grid meets {conditions}")
    for text in space.links:
        link = parse_link(text)
        bounds = range_of(strategy, link.name)
        for number in numbers:
            with _naming(f"--link {text!r}"):
                values = space.values(number)
                try:
                    bounds.checked(values[link.name])
                except UsageError as error:
                    known = {**dict(space.fixed), **values}
                    at = ", ".join(f"{name} = {short(known[name])}" for name in link.formula.names)
                    raise UsageError(f"{error} (at {at}); --where can leave such sets out") from None


@contextmanager
def _naming(option: str) -> Iterator[None]:
    """Put the option that was typed before the text of a UsageError."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{option}: {error}") from None


def _typed(exact: Fraction, is_whole: bool) -> int | float:
    """Return an exact number as a whole one if it should and can be, else as the nearest float.

    Raise UsageError for one that no float holds.
    """
    try:
        number = float(exact)
    except OverflowError:
        raise UsageError("the value is too large for a number") from None
    return int(number) if is_whole and number.is_integer() else number


@lru_cache(maxsize=8)
def _numbers(space: Space) -> Sequence[int]:
    if space.draw is not None and space.draw < space.grid:
        return _drawn(space, space.draw)
    if not space.conditions:
        return range(space.grid)
    return tuple(number for number in range(space.grid) if space.meets(number))


def _drawn(space: Space, count: int) -> tuple[int, ...]:
    """Return `count` sets by Latin hypercube sampling, or as many as meet the conditions.

    Each round spreads the missing sets evenly over the values of every parameter, in an order of chance. What rounds
    do not find in a grid that can be enumerated is drawn from the rest of it.
    """
    chance = random.Random(space.seed)  # noqa: S311 - a sample, not a secret.
    found: set[int] = set()
    for _ in range(DRAW_ROUNDS_MAX):
        missing = count - len(found)
        if missing == 0:
            break
        found.update(number for number in _hypercube(space, missing, chance) if space.meets(number))
    if len(found) < count and space.grid <= GRID_SETS_MAX:
        rest = [number for number in range(space.grid) if number not in found and space.meets(number)]
        found.update(_shuffled(rest, chance)[: count - len(found)])
    return tuple(sorted(found))


def _hypercube(space: Space, count: int, chance: random.Random) -> list[int]:
    """Return `count` numbers whose values are spread evenly over each parameter; some may be equal."""
    numbers = [0] * count
    for axis in space.axes:
        steps = len(axis.values)
        places = [at * steps // count if count >= steps else _place(at, count, steps, chance) for at in range(count)]
        numbers = [number * steps + place for number, place in zip(numbers, _shuffled(places, chance), strict=True)]
    return numbers


def _place(at: int, count: int, steps: int, chance: random.Random) -> int:
    """Return a value of chance within the `at`-th of `count` equal parts of the values."""
    return min(steps - 1, int((at + chance.random()) * steps / count))


def _shuffled(items: Sequence[int], chance: random.Random) -> list[int]:
    """Return the items in an order of chance; `random.shuffle` may change between versions of Python."""
    order = list(items)
    for last in range(len(order) - 1, 0, -1):
        other = int(chance.random() * (last + 1))
        order[last], order[other] = order[other], order[last]
    return order


def space_of(view: SpaceView, strategy: Strategy, parameters: Mapping[str, int | float]) -> Space:
    """Return the space that a plan shows, for the same strategy and parameters."""
    links = [parse_link(text).name for text in view.links]
    space = Space(view.axes, view.links, view.conditions, view.drawn, view.seed)
    whole = tuple(name for name in links if range_of(strategy, name).is_whole)
    return _with_fixed(replace(space, whole=whole), strategy, parameters)
