"""Let CPython write the fields of Structs as fast as those of any object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping


def ease_writes(names: Mapping[str, Any]) -> None:
    """Make writes to the Structs of a module cheap, given the module's names.

    At each write, a Struct checks whether the garbage collector must track the value, which takes three quarters of the
    time. These Structs are trees of numbers, so there is nothing to collect.
    """
    for struct in names.values():
        own = isinstance(struct, type) and issubclass(struct, Struct) and struct.__module__ == names["__name__"]
        if own and not struct.__struct_config__.frozen and struct.__setattr__ is Struct.__setattr__:
            for name in ("__setattr__", "__delattr__"):  # Only both together replace the slow way.
                setattr(struct, name, getattr(object, name))
