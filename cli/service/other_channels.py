"""The owner's channels besides Telegram, each with its own notifier and cursors, so none delays another."""

from __future__ import annotations

import asyncio
import re
import shutil
from typing import TYPE_CHECKING, Final, Protocol

from papertape.events.durable import rename_durably
from papertape.events.errors import PapertapeError
from papertape.projections.notify.addresses import FORMER_NAME_DIGITS
from papertape.projections.notify.channel import FixedDestination, NotifyChannel
from papertape.projections.notify.channel_key import SUFFIX, read_key
from papertape.projections.telegram.statistics import DeliveryStatistics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from papertape.events.cursors import SqliteCursors
    from papertape.projections.notify.addresses import NotifyAddress
    from papertape.projections.telegram.chat_ports import ChatClient, ChatDestination
    from papertape.projections.telegram.delivery import Notifier

CURSOR: Final = "notify."
"""The prefix before the name of an address."""
FORMER: Final = re.compile(rf"{re.escape(CURSOR)}[0-9a-f]{{{FORMER_NAME_DIGITS}}}(?=\.|$)")


class MakeNotifier(Protocol):
    """Makes the notifier of a channel; its cursors begin with `name`, its log lines with `title`."""

    def __call__(self, client: ChatClient, address: ChatDestination, *, name: str, title: str) -> Notifier:
        """Return the notifier."""


def channel_names(
    addresses: Sequence[NotifyAddress], beside: Callable[[str], Path], cursors: Callable[[], SqliteCursors]
) -> dict[str, str]:
    """Return the names of the channels' cursors and folds by title; `beside` returns a file beside the log.

    What a former version named is renamed, and deleted if its address is no longer configured. Raise LogError.
    """
    if not addresses:
        return {}
    key, folds = read_key(beside(SUFFIX)), beside(".folds")
    new_names = {f"{CURSOR}{one.former_name}": f"{CURSOR}{one.name(key)}" for one in addresses}

    def renamed(name: str) -> str | None:
        found = FORMER.match(name)
        if found is None:
            return name
        new = new_names.get(found[0])
        return None if new is None else new + name[found.end() :]

    cursors().change_names(renamed)
    for folder in [one for one in folds.glob(f"{CURSOR}*") if FORMER.fullmatch(one.name)]:
        new = renamed(folder.name)
        if new is None or (folds / new).exists():
            shutil.rmtree(folder, ignore_errors=True)
        else:
            rename_durably(folder, folds / new)
    return {one.title: f"{CURSOR}{one.name(key)}" for one in addresses}


class OtherChannels:
    """All channels besides Telegram."""

    def __init__(
        self,
        addresses: Sequence[NotifyAddress],
        names: Mapping[str, str],
        make: MakeNotifier,
        write_line: Callable[[str], None],
    ) -> None:
        """`names` are those of the cursors, by the titles of the addresses (`channel_names`)."""
        self._write_line = write_line
        self._channels = {one.title: NotifyChannel(one) for one in addresses}
        self._notifiers = {
            one.title: make(self._channels[one.title], FixedDestination(), name=names[one.title], title=one.title)
            for one in addresses
        }

    def services(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return the services that deliver to each channel, by name."""
        return {f"alerts by {title}": notifier.run for title, notifier in self._notifiers.items()}

    async def say(self, html: str) -> None:
        """Send a message that no event causes to all channels at once; write a line about each failure."""
        await asyncio.gather(*(self._say(title, html) for title in self._channels))

    async def _say(self, title: str, html: str) -> None:
        try:
            await self._channels[title].send_message(0, html, html=True, silent=False)
        except PapertapeError as error:
            self._write_line(f"{title}: a message could not be sent: {error}")

    def lags(self) -> dict[str, int]:
        """Return how many events each channel is behind the log."""
        return {f"alerts by {title}": one.statistics().lag_events for title, one in self._notifiers.items()}

    def combined(self, first: DeliveryStatistics) -> DeliveryStatistics:
        """Return the statistics of all channels; `first` are those of the chat or the file."""
        others = {title: one.statistics() for title, one in self._notifiers.items()}
        every = [first, *others.values()]
        parked = [f"{title}: {one.parked}" for title, one in others.items() if one.parked]
        return DeliveryStatistics(
            sent=sum(one.sent for one in every),
            repeated=sum(one.repeated for one in every),
            skipped=sum(one.skipped for one in every),
            parked="; ".join([*filter(None, [first.parked]), *parked]),
            moved_to=first.moved_to,
            oldest_unsent_ms=max(one.oldest_unsent_ms for one in every),
            lag_events=max(one.lag_events for one in every),
        )
