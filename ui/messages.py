"""Messages: what the owner was told, as it went to the chat, or would have gone there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.projections.site.messages import messages as told
from papertape.projections.site.views import ALERTS_KEPT_MAX

if TYPE_CHECKING:
    from papertape.projections.site.messages import Message
    from papertape.ui.page_request import PageRequest


class MessagesPage(Struct, frozen=True):
    """The page's context. As of `older_seq` there are the ones before; 0 where there are none."""

    messages: tuple[Message, ...]
    older_seq: int


async def messages(look: PageRequest) -> MessagesPage:
    """The newest ones first."""
    alerts = look.views.alerts
    older_seq = alerts[0].seq - 1 if len(alerts) == ALERTS_KEPT_MAX else 0
    return MessagesPage(told(look.views, look.site.unlogged()), older_seq)
