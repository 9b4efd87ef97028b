"""Apply a changed configuration to a running engine, by the events that a start under it would write.

They are tried on a copy of the state first: either all of them are taken, in one commit between two candles, or none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.engine.command_queue import market_ms, require_text
from papertape.engine.reducer.reducer import decide, is_new
from papertape.engine.reducer.snapshot_codec import decode, encode
from papertape.engine.startup import configuration_changes, unconfigured_positions
from papertape.events.errors import CommandRefused, ConfigError
from papertape.events.facts import ConfigurationReloaded, ContractListed, Event

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.reducer.state import EngineState
    from papertape.engine.startup import EngineSettings
    from papertape.events.commands import Reload

NOTHING_CHANGED = "nothing to do: the configuration is the one that runs"
NOTHING_TAKEN = "nothing was changed"


class Reconfiguration(Struct, frozen=True):
    """A configuration to be put into force: its settings, the contracts of its symbols, and what it changes in words.

    `contracts` may leave out symbols that the log knows; `symbols` are all that the feed watches from now on.
    """

    settings: EngineSettings
    contracts: Sequence[ContractListed]
    symbols: tuple[str, ...]
    changes: tuple[str, ...]


def reload_events(state: EngineState, command: Reload, new: Reconfiguration, now_ms: int) -> list[Event]:
    """Return the events that put a configuration into force; `now_ms` is their time before the first candle.

    Raise CommandRefused if nothing changes or if the log cannot adopt a change. The state is not touched.
    """
    who, why = require_text(command.who, "who"), require_text(command.why, "why")
    at_ms = market_ms(state) or now_ms
    try:
        changes = configuration_changes(state, new.settings, new.contracts, new.symbols, at_ms)
        if not changes and not new.changes:
            raise CommandRefused(NOTHING_CHANGED)
        _try_events(state, new.settings.strategies, changes)
    except ConfigError as error:
        raise refusal(str(error)) from error
    lines = (*new.changes, *_kept_symbols(state, new.symbols))
    return [ConfigurationReloaded(at_ms, who, why, new.settings.config_digest, lines), *changes]


def refusal(why: str) -> CommandRefused:
    """Return the refusal of a reload, which says that nothing was changed."""
    separator = "\n" if "\n" in why else "; "
    return CommandRefused(f"{why}{separator}{NOTHING_TAKEN}")


def _try_events(state: EngineState, strategies: Mapping[str, Strategy], events: Sequence[Event]) -> None:
    """Apply events to a copy of the state. Raise ConfigError for one that cannot be applied."""
    copy = decode(encode(state), strategies)
    for event in events:
        if is_new(copy, event):
            decide(copy, event, 1)


def _kept_symbols(state: EngineState, watched: Sequence[str]) -> list[str]:
    """Return a line for each symbol that is removed while a strategy holds a position in it."""
    return [
        f"{symbol}: watched until {', '.join(names)} has closed its position; no new one is opened"
        for symbol, names in unconfigured_positions(state, watched).items()
    ]
