"""Confirm commands: a keyboard, and a press that counts only once, in time, and from the same user.

A nonce of 96 random bits stands for the command; only its hash is stored, and only in memory: a restart expires all
buttons.
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
EXPIRED: Final = "This button has expired. Nothing was done; send the command again."
ALREADY_PRESSED: Final = "Already pressed. Nothing more was done."
NOT_YOURS: Final = "Only whoever sent the command may press this. Nothing was done."
CANCELLED: Final = "Cancelled. Nothing was done."


class PendingCommand(Struct, frozen=True):
    """A command that waits for confirmation: exactly as it was requested, for whom and where."""

    act: Act
    trip_seq: int
    chat_id: int
    user_id: int
    offered_at_ms: int
    html: str


class AcceptedPress(Struct, frozen=True):
    """The press counts: execute the command, once."""

    offer: PendingCommand


class RejectedPress(Struct, frozen=True):
    """The press does nothing. `over`: the buttons are useless now; `known` is the command they stood for."""

    why: str
    over: bool = False
    known: PendingCommand | None = None


class Confirmations:
    """The pending offers, and those that were pressed lately."""

    def __init__(self, now_ms: Callable[[], int], random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._now_ms, self._random_bytes = now_ms, random_bytes
        self._offers: dict[bytes, PendingCommand] = {}
        self._pressed: dict[bytes, PendingCommand] = {}

    def offer(
        self, act: Act, html: str, chat_id: int, user_id: int, trip_seq: int = 0
    ) -> tuple[tuple[InlineKeyboardButton, InlineKeyboardButton], ...]:
        """Return the keyboard for a command; if there are too many offers, the oldest one is dropped."""
        nonce = self._random_bytes(NONCE_BYTES).hex()
        _put(self._offers, _hash(nonce), PendingCommand(act, trip_seq, chat_id, user_id, self._now_ms(), html))
        return ((InlineKeyboardButton("Confirm", f"{YES}:{nonce}"), InlineKeyboardButton("Cancel", f"{NO}:{nonce}")),)

    def press(self, data: str, chat_id: int, user_id: int) -> AcceptedPress | RejectedPress:
        """Return what a press means. `data` is untrusted. A pressed offer is used up before its command runs."""
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
        return RejectedPress(ALREADY_PRESSED) if pressed.user_id == user_id else RejectedPress(NOT_YOURS)

    def _in_time(self, offer: PendingCommand) -> bool:
        """Return whether an offer is still valid; if the clock was set back its age is unknown, so it expires."""
        return 0 <= self._now_ms() - offer.offered_at_ms <= EXPIRES_MS


def _hash(nonce: str) -> bytes:
    return hashlib.sha256(nonce.encode("utf-8", "replace")).digest()


def _put(offers: dict[bytes, PendingCommand], key: bytes, offer: PendingCommand) -> None:
    if len(offers) >= OFFERS_MAX:
        del offers[next(iter(offers))]
    offers[key] = offer
