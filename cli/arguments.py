"""Arguments as people write them: several values after one option, times, speeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.events.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

TABLE_TRADES = 30
"""So many trades are shown in a table without --limit."""
SEVERAL = frozenset(
    {
        *("--candles", "--funding", "--open-interest", "--set", "--signals", "--strategy", "--symbols"),
        *("--vary", "--link", "--where"),
    }
)
SIGNAL_VERB = "signal"
SEVERAL_VERBS = frozenset({"run", "up", "ui", "backtest", "sweep", "doctor", "twin", "decide-diff", "fork"})


def expand(arguments: Sequence[str]) -> list[str]:
    """Repeat an option before each of its values: `--candles A B` becomes `--candles A --candles B`.

    The negative value of a signal, `signal trend -1`, moves behind `--`, as it would be taken for an option.
    """
    if arguments and arguments[0] == SIGNAL_VERB:
        negative = [argument for argument in arguments if _is_negative_number(argument)]
        others = [argument for argument in arguments if argument not in negative]
        return [*others, "--", *negative] if negative else others
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


def _is_negative_number(text: str) -> bool:
    try:
        return text.startswith("-") and float(text) <= 0.0
    except ValueError:
        return False


def moment_ms(text: str, option: str) -> int:
    """Return the UTC milliseconds of a time. Raise UsageError with the option and the accepted forms if it is none."""
    from papertape.projections.text import formats  # noqa: PLC0415 - `papertape --help` must not import a command's modules.

    time_ms = formats.moment_ms(text)
    if time_ms is None:
        raise UsageError(f"{option} {text!r}: not a time; write {formats.MOMENT_FORMS}")
    return time_ms


def optional_moment_ms(text: str | None, option: str) -> int | None:
    """Return `moment_ms` of a time, None without one."""
    return None if text is None else moment_ms(text, option)


def speed_of(text: str | None) -> float | None:
    """Return market seconds per wall second: 0 for `max`, as fast as the engine accepts facts; None for None."""
    if text is None:
        return None
    if text == "max":
        return 0.0
    try:
        speed = float(text)
    except ValueError:
        speed = -1.0
    if not 0.0 < speed < 1e9:
        raise UsageError(f"--speed {text}: must be a number above 0 (1 is real time) or max")
    return speed
