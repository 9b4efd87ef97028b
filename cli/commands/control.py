"""The commands to an engine: pause, resume, close, kill, reset, reload, signal. The work is imported when they run."""
# ruff: noqa: PLC0415 - an engine is slow to import.

from __future__ import annotations

from typing import Annotated

import typer

from papertape.cli.commands.options import ConfigOption, DbOption, WhoOption

ALL = "all"
GLOBAL_SCOPE = "global"
SCOPE_HELP = "The strategy whose kill switch is meant, or global."
WhyOption = Annotated[str, typer.Option(help="The reason, for the log.")]
StrategyOrAll = Annotated[str, typer.Argument(metavar="[STRATEGY]", help="The strategy (default: all).")]


def _resolve_owner(name: str) -> str:
    from papertape.cli.offline.send_command import owner

    return name or owner()


def pause(
    why: WhyOption, strategy: StrategyOrAll = ALL, who: WhoOption = "", db: DbOption = None, config: ConfigOption = None
) -> None:
    """Stop a strategy, or all, from opening positions. Open positions stay managed."""
    from papertape.cli.offline.send_command import submit_command
    from papertape.events.commands import Pause

    submit_command(db, config, Pause(_resolve_owner(who), why, strategy))


def resume(
    why: WhyOption, strategy: StrategyOrAll = ALL, who: WhoOption = "", db: DbOption = None, config: ConfigOption = None
) -> None:
    """End a pause. A tripped kill switch stays tripped."""
    from papertape.cli.offline.send_command import submit_command
    from papertape.events.commands import Resume

    submit_command(db, config, Resume(_resolve_owner(who), why, strategy))


def close(
    why: WhyOption,
    strategy: StrategyOrAll = ALL,
    symbol: Annotated[str, typer.Option(metavar="SYMBOL", help="Only this symbol.")] = ALL,
    who: WhoOption = "",
    db: DbOption = None,
    config: ConfigOption = None,
) -> None:
    """Close open positions at the next open: of one strategy, of one symbol, or all."""
    from papertape.cli.offline.send_command import submit_command
    from papertape.events.commands import Close

    submit_command(db, config, Close(_resolve_owner(who), why, strategy, symbol))


def kill(
    why: WhyOption,
    scope: Annotated[str, typer.Argument(metavar="[STRATEGY|global]", help=SCOPE_HELP)] = GLOBAL_SCOPE,
    who: WhoOption = "",
    db: DbOption = None,
    config: ConfigOption = None,
) -> None:
    """Trip a kill switch by hand: no position is opened until you reset it. Open positions stay managed."""
    from papertape.cli.offline.send_command import submit_command
    from papertape.events.commands import Kill

    submit_command(db, config, Kill(_resolve_owner(who), why, scope))


def reset(
    scope: Annotated[str, typer.Argument(metavar="STRATEGY|global", help=SCOPE_HELP)],
    trip: Annotated[int, typer.Option(metavar="SEQ", help="The trip to reset; `papertape positions` shows its seq.")],
    why: WhyOption,
    who: WhoOption = "",
    db: DbOption = None,
    config: ConfigOption = None,
) -> None:
    """Reset a kill switch. A reset names the trip that it ends; a stale or repeated one is refused.

    Session and day start again from the current equity.
    """
    from papertape.cli.offline.send_command import submit_command
    from papertape.events.commands import Reset

    submit_command(db, config, Reset(_resolve_owner(who), why, scope, trip))


def reload(
    why: Annotated[str, typer.Option(help="The reason, for the log.")] = "the configuration was changed",
    who: WhoOption = "",
    db: DbOption = None,
    config: ConfigOption = None,
) -> None:
    """Apply the changed configuration file to the running engine: parameters, limits, strategies, symbols.

    All changes are applied or, if one of them is invalid or needs a restart, none. Open positions are kept.
    """
    from papertape.cli.offline.send_command import submit_reload
    from papertape.events.commands import Reload

    submit_reload(db, config, Reload(_resolve_owner(who), why))


def signal(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the signal, such as trend.")],
    value: Annotated[float, typer.Argument(metavar="VALUE", help="Its value, a number.")],
    symbol: Annotated[str, typer.Option(metavar="SYMBOL", help="The symbol that it is about.")],
    id_: Annotated[
        str, typer.Option("--id", metavar="ID", help="Its id: the same one again changes nothing (default: a new one).")
    ] = "",
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="When it was computed, UTC (default: now).")
    ] = None,
    db: DbOption = None,
    config: ConfigOption = None,
) -> None:
    """Record a signal for strategies in the log of a running engine.

    Strategies know it from the candle that is forming now; see docs/signals.md.
    """
    from papertape.cli.offline.send_signal import submit_signal

    submit_signal(db, config, name, value, symbol, id_, at)
