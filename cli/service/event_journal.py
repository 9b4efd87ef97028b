"""Write every notable event in words to the log files, for people who read files rather than views."""

from __future__ import annotations

import logging
from contextlib import closing
from typing import TYPE_CHECKING

from papertape.cli.service.log_files import ROOT
from papertape.events.facts import ContractListed
from papertape.projections.host import Cursor, follow
from papertape.projections.text.event_lines import event_line, is_notable

if TYPE_CHECKING:
    from papertape.engine.startup import Engine
    from papertape.events.log import Recorded


class EventJournal:
    """A fold that logs each notable event with its seq."""

    def __init__(self, contracts: dict[str, ContractListed]) -> None:
        self._contracts = contracts
        self._logger = logging.getLogger(f"{ROOT}.events")

    def apply(self, recorded: Recorded) -> None:
        """Apply one event."""
        event = recorded.event
        if isinstance(event, ContractListed):
            self._contracts[event.symbol] = event
        if is_notable(event) and self._logger.isEnabledFor(logging.INFO):
            self._logger.info("%s", event_line(recorded, self._contracts).text, extra={"seq": recorded.seq})


async def journal(running: Engine) -> None:
    """Log the events from this start on, until the bus is closed."""
    listed = {event.symbol: event for event in running.loop.state.listed}
    with closing(running.log.reader()) as reader:
        await follow(reader, running.bus, [EventJournal(listed)], Cursor(running.recovered.seq))
