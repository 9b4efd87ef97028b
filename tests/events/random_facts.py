"""Generated events: of one type or any, with every value that their fields allow."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

from hypothesis import strategies as st

from papertape.events.facts import EVENT_TYPES, Event, OrderKind, PlannedAdd, ResultBand, Target

_names = st.text(max_size=12)
_floats = st.floats(allow_nan=False)
_integers = st.integers(-(2**63), 2**63 - 1)
_numbers = st.dictionaries(_names, _integers | _floats, max_size=4)
_of_hint: dict[Any, st.SearchStrategy[Any]] = {
    int: _integers,
    float: _floats,
    str: _names,
    dict[str, float]: st.dictionaries(_names, _floats, max_size=4),
    dict[str, int | float]: _numbers,
    dict[str, dict[str, int | float]]: st.dictionaries(_names, _numbers, max_size=3),
    tuple[Target, ...]: st.lists(st.builds(Target, _floats, _floats, _floats), max_size=4).map(tuple),
    tuple[PlannedAdd, ...]: st.lists(
        st.builds(PlannedAdd, st.sampled_from(get_args(OrderKind)), _floats, _floats, _integers), max_size=4
    ).map(tuple),
    tuple[ResultBand, ...]: st.lists(st.builds(ResultBand, _integers, *[_floats] * 6), max_size=3).map(tuple),
    tuple[tuple[float, float], ...]: st.lists(st.tuples(_floats, _floats), max_size=3).map(tuple),
}


def facts_of(kind: type[Event]) -> st.SearchStrategy[Event]:
    """Facts of one type, with every value that its fields allow."""
    fields = {name: hint for name, hint in get_type_hints(kind).items() if name in kind.__struct_fields__}
    return st.builds(kind, **{name: _of_hint.get(hint, st.from_type(hint)) for name, hint in fields.items()})


def any_fact() -> st.SearchStrategy[Event]:
    """Facts of every type."""
    return st.one_of([facts_of(kind) for kind in EVENT_TYPES])
