"""Arguments as people write them: several values behind one option, moments of time, speeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.events.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

SEVERAL = frozenset({"--candles", "--funding", "--open-interest", "--set", "--strategy", "--symbols"})
SEVERAL_VERBS = frozenset({"run", "up", "backtest", "doctor", "twin"})


def expand(arguments: Sequence[str]) -> list[str]:
    """Repeat an option before each of its values: `--candles A B` is `--candles A --candles B`."""
    if not arguments or arguments[0] not in SEVERAL_VERBS:
        return list(arguments)
    expanded: list[str] = []
    option, values = "", 0
    for argument in arguments:
        if argument.startswith("-"):
            option, values = (argument if argument in SEVERAL else ""), 0
        elif option:
            values += 1
            if values > 1:
                expanded.append(option)
        expanded.append(argument)
    return expanded


def moment_ms(text: str, option: str) -> int:
    """Return the UTC milliseconds of a moment. Raises UsageError that names the option and the accepted forms."""
    from papertape.projections.text import formats  # noqa: PLC0415 - `papertape --help` must not import a command's modules.

    found = formats.moment_ms(text)
    if found is None:
        raise UsageError(f"{option} {text!r}: not a time; write {formats.MOMENT_FORMS}")
    return found


def speed_of(text: str | None) -> float | None:
    """Market seconds a wall second; `max` is 0, as fast as the engine takes facts. None stays None."""
    if text is None:
        return None
    if text == "max":
        return 0.0
    try:
        speed = float(text)
    except ValueError:
        speed = -1.0
    if not 0.0 < speed < 1e9:
        raise UsageError(f"--speed {text}: a number above 0 (1 is real time) or max")
    return speed
