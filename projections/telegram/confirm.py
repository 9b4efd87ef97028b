"""What changes something is asked twice: a keyboard, and the press that counts only once, in time, from who asked.

A nonce of 96 random bits stands for the command; only its hash is kept, and only here: after a restart every button
of before is expired.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from papertape.events.units import MINUTE_MS
from papertape.projections.telegram.parse import Act
from papertape.projections.telegram.wire import InlineKeyboardButton

EXPIRES_MS: Final = MINUTE_MS
NONCE_BYTES: Final = 12
OFFERS_MAX: Final = 64
YES, NO = "yes", "no"
EXPIRED: Final = "This button has expired: nothing was done by pressing it. Ask again."
TWICE: Final = "Pressed already: nothing more is done."
NOT_YOURS: Final = "Only who asked may press this: nothing was done."
CANCELLED: Final = "Cancelled: nothing was done."


class PendingCommand(Struct, frozen=True):
    """A command that waits for its press: exactly what it was when it was asked, for whom and where."""

    act: Act
    trip_seq: int
    chat_id: int
    user_id: int
    asked_at_ms: int
    html: str


class AcceptedPress(Struct, frozen=True):
    """The press counts: this is to be done, once."""

    offer: PendingCommand


class RejectedPress(Struct, frozen=True):
    """The press does nothing. `over`: the buttons have no use any more; `known` is what they stood for."""

    why: str
    over: bool = False
    known: PendingCommand | None = None


class Confirmations:
    """The offers that stand, and those that were pressed lately."""

    def __init__(self, now_ms: Callable[[], int], random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._now_ms, self._random_bytes = now_ms, random_bytes
        self._offers: dict[bytes, PendingCommand] = {}
        self._pressed: dict[bytes, PendingCommand] = {}

    def offer(
        self, act: Act, html: str, chat_id: int, user_id: int, trip_seq: int = 0
    ) -> tuple[tuple[InlineKeyboardButton, InlineKeyboardButton], ...]:
        """The keyboard for a command; the oldest offer goes where too many stand."""
        nonce = self._random_bytes(NONCE_BYTES).hex()
        _put(self._offers, _hash(nonce), PendingCommand(act, trip_seq, chat_id, user_id, self._now_ms(), html))
        return ((InlineKeyboardButton("Confirm", f"{YES}:{nonce}"), InlineKeyboardButton("Cancel", f"{NO}:{nonce}")),)

    def press(self, data: str, chat_id: int, user_id: int) -> AcceptedPress | RejectedPress:
        """What a press means. `data` is whatever a client sent. An offer that is pressed is used up before it acts."""
        word, _, nonce = data.partition(":")
        key = _hash(nonce)
        offer = self._offers.get(key)
        if offer is None:
            return self._without_offer(key, user_id)
        if offer.chat_id != chat_id or offer.user_id != user_id:
            return RejectedPress(NOT_YOURS)
        if word not in (YES, NO):
            return RejectedPress(EXPIRED)
        del self._offers[key]
        if not self._in_time(offer):
            return RejectedPress(EXPIRED, over=True, known=offer)
        _put(self._pressed, key, offer)
        return AcceptedPress(offer) if word == YES else RejectedPress(CANCELLED, over=True, known=offer)

    def _without_offer(self, key: bytes, user_id: int) -> RejectedPress:
        pressed = self._pressed.get(key)
        if pressed is None:
            return RejectedPress(EXPIRED, over=True)
        return RejectedPress(TWICE) if pressed.user_id == user_id else RejectedPress(NOT_YOURS)

    def _in_time(self, offer: PendingCommand) -> bool:
        """A clock that was set back makes an offer expire too: nobody knows how old it is."""
        return 0 <= self._now_ms() - offer.asked_at_ms <= EXPIRES_MS


def _hash(nonce: str) -> bytes:
    return hashlib.sha256(nonce.encode("utf-8", "replace")).digest()


def _put(offers: dict[bytes, PendingCommand], key: bytes, offer: PendingCommand) -> None:
    if len(offers) >= OFFERS_MAX:
        del offers[next(iter(offers))]
    offers[key] = offer
