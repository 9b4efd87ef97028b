"""The messages to the owner, as they were sent to the chat, or would have been."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.projections.site.messages import messages as owner_messages
from papertape.projections.site.views import ALERTS_MAX

if TYPE_CHECKING:
    from papertape.projections.site.messages import Message
    from papertape.ui.page_request import PageRequest


class MessagesPage(Struct, frozen=True):
    """The context of the page. Older messages are on the page as of `older_seq`, 0 if there are none."""

    messages: tuple[Message, ...]
    older_seq: int


async def messages(request: PageRequest) -> MessagesPage:
    """Load the newest messages, newest first."""
    alerts = request.views.alerts
    older_seq = alerts[0].seq - 1 if len(alerts) == ALERTS_MAX else 0
    return MessagesPage(owner_messages(request.views, request.site.unlogged()), older_seq)
