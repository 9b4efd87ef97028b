"""The verbs that command: pause, resume, close, kill, reset. What they do is imported when they are called."""
# ruff: noqa: PLC0415 - an engine is slow to import.

from __future__ import annotations

from typing import Annotated

import typer

from papertape.cli.commands.options import ConfigOption, DbOption

ALL = "all"
GLOBAL_SCOPE = "global"
Why = Annotated[str, typer.Option(help="The reason, for the log.")]
Who = Annotated[str, typer.Option(help="Who decides it; without it the user of this machine.")]
StrategyOrAll = Annotated[str, typer.Argument(metavar="[STRATEGY]", help="Which strategy; all without it.")]


def _resolve_owner(given: str) -> str:
    from papertape.cli.offline.send_command import owner

    return given or owner()


def pause(
    why: Why, strategy: StrategyOrAll = ALL, who: Who = "", db: DbOption = None, config: ConfigOption = None
) -> None:
    """Open nothing more with a strategy, or with all. Open positions go on."""
    from papertape.cli.offline.send_command import submit_command
    from papertape.events.commands import Pause

    submit_command(db, config, Pause(_resolve_owner(who), why, strategy))


def resume(
    why: Why, strategy: StrategyOrAll = ALL, who: Who = "", db: DbOption = None, config: ConfigOption = None
) -> None:
    """End a pause. A tripped kill switch stays tripped."""
    from papertape.cli.offline.send_command import submit_command
    from papertape.events.commands import Resume

    submit_command(db, config, Resume(_resolve_owner(who), why, strategy))


def close(
    why: Why,
    strategy: StrategyOrAll = ALL,
    symbol: Annotated[str, typer.Option(metavar="SYMBOL", help="Only in this symbol.")] = ALL,
    who: Who = "",
    db: DbOption = None,
    config: ConfigOption = None,
) -> None:
    """Leave open positions at the next open: of a strategy, in a symbol, or all there are."""
    from papertape.cli.offline.send_command import submit_command
    from papertape.events.commands import Close

    submit_command(db, config, Close(_resolve_owner(who), why, strategy, symbol))


def kill(
    why: Why,
    scope: Annotated[str, typer.Argument(metavar="[STRATEGY|global]", help="Whose kill switch.")] = GLOBAL_SCOPE,
    who: Who = "",
    db: DbOption = None,
    config: ConfigOption = None,
) -> None:
    """Trip a kill switch by hand: nothing is opened until a human resets it. Open positions go on."""
    from papertape.cli.offline.send_command import submit_command
    from papertape.events.commands import Kill

    submit_command(db, config, Kill(_resolve_owner(who), why, scope))


def reset(
    scope: Annotated[str, typer.Argument(metavar="STRATEGY|global", help="Whose kill switch.")],
    trip: Annotated[int, typer.Option(metavar="SEQ", help="The trip that is reset; `positions` names it.")],
    why: Why,
    who: Who = "",
    db: DbOption = None,
    config: ConfigOption = None,
) -> None:
    """End a kill switch's trip. A reset names the trip it ends; a stale or second one is refused.

    Session and day begin again from the equity as it stands.
    """
    from papertape.cli.offline.send_command import submit_command
    from papertape.events.commands import Reset

    submit_command(db, config, Reset(_resolve_owner(who), why, scope, trip))
