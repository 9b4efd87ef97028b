"""The owner's channels besides Telegram, each with its own notifier and cursors, so none delays another."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from papertape.events.errors import PapertapeError
from papertape.projections.notify.channel import FixedDestination, NotifyChannel
from papertape.projections.telegram.statistics import DeliveryStatistics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from papertape.projections.notify.addresses import NotifyAddress
    from papertape.projections.telegram.chat_ports import ChatClient, ChatDestination
    from papertape.projections.telegram.delivery import Notifier

CURSOR: Final = "notify."
"""The prefix before the key of an address."""


class MakeNotifier(Protocol):
    """Makes the notifier of a channel; its cursors begin with `name`, its log lines with `title`."""

    def __call__(self, client: ChatClient, address: ChatDestination, *, name: str, title: str) -> Notifier:
        """Return the notifier."""


class OtherChannels:
    """All channels besides Telegram."""

    def __init__(
        self, addresses: Sequence[NotifyAddress], make: MakeNotifier, write_line: Callable[[str], None]
    ) -> None:
        self._write_line = write_line
        self._channels = {one.title: NotifyChannel(one) for one in addresses}
        self._notifiers = {
            one.title: make(self._channels[one.title], FixedDestination(), name=f"{CURSOR}{one.key}", title=one.title)
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
