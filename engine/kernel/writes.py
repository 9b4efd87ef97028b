"""Let CPython write the fields of Structs as fast as those of any object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping


def ease_writes(names: Mapping[str, Any]) -> None:
    """Ease the writes to every Struct that a module defines, given its names.

    At each write a Struct asks whether the garbage collector must know of the value, which takes three quarters of the
    time. Trees of numbers have nothing to collect.
    """
    for struct in names.values():
        own = isinstance(struct, type) and issubclass(struct, Struct) and struct.__module__ == names["__name__"]
        if own and not struct.__struct_config__.frozen and struct.__setattr__ is Struct.__setattr__:
            for name in ("__setattr__", "__delattr__"):  # Only both together replace the slow way.
                setattr(struct, name, getattr(object, name))
