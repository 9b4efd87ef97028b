"""The notifier: brings alerts out of the log to one chat. Never lost, in order, urgent ones first, never a storm.

It follows the log behind its own durable cursors, so memory stays flat however long Telegram is silent, and trading
never waits for it. What may come twice after a crash or a lost answer is marked.

| Telegram says                       | what happens                                                               |
|-------------------------------------|----------------------------------------------------------------------------|
| yes                                 | the cursor moves                                                           |
| 429                                 | nothing is sent for as long as it says                                     |
| nothing, 5xx, something unreadable  | pauses of up to 60 s by chance, for ever; after an hour a digest           |
| the group is a supergroup now       | followed at once, and told (`projections.telegram.address`)                |
| 403, no right, a closed topic, ..   | parked with one line, tried again with pauses of up to ten minutes         |
| 401, 404                            | parked with one line, tried again once an hour                             |
| the text is too long                | in halves                                                                  |
| 400, anything else                  | as plain text, then a notice, then once more: only then told and counted   |
| the notice is refused too           | it is the chat that refuses: parked, and later all of it again             |
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from papertape.events.cursors import Cursors
from papertape.events.failpoints import hit as die_here
from papertape.projections.host import Announcer, EventSource
from papertape.projections.persistence.fold_store import FoldPersistence, NullFoldStore
from papertape.projections.telegram.address import ChatAddress
from papertape.projections.telegram.client import TelegramClient
from papertape.projections.telegram.delivery_queues import (
    AlertFold,
    DeliveryQueue,
    DeliveryReceipts,
    MessageForm,
    OutgoingMessage,
)
from papertape.projections.telegram.digest import OUTAGE_MS, URGENT_SINGLE_MAX, AlertDigest, Backlog, DigestFold
from papertape.projections.telegram.errors import (
    ChatMigrated,
    ChatRefused,
    RequestRefused,
    TelegramBusy,
    TelegramError,
    TelegramUnreachable,
    TokenRefused,
)
from papertape.projections.telegram.parking import DeliveryPause
from papertape.projections.telegram.rate_limit import MessageRateLimiter, TelegramClock
from papertape.projections.telegram.statistics import DeliveryStatistics
from papertape.projections.telegram.text import one_line, truncate

LAST_WORDS_MS: Final = 10_000
"""After the bus was closed alerts still go for so long; what is left goes at the next start."""
TOLD_UNITS_MAX: Final = 600
LONG_WAIT_S: Final = 60.0


class Notifier:
    """Delivers the alerts of a log to the owner's chat. `run` belongs to one task."""

    def __init__(
        self,
        reader: EventSource,
        bus: Announcer,
        cursors: Cursors,
        alerts: Callable[[], AlertFold],
        client: TelegramClient,
        address: ChatAddress,
        clock: TelegramClock,
        tell: Callable[[str], None],
        *,
        digest: Callable[[], DigestFold] = AlertDigest,
        pace: MessageRateLimiter | None = None,
        name: str = "telegram",
        begin_after_seq: int | None = None,
        notes: Mapping[int, str] | None = None,
        keeper: FoldPersistence | None = None,
        reach: Callable[[str], None] = die_here,
    ) -> None:
        """`alerts` makes a new fold for each lane, which `keeper` may know from before; `digest` one a backlog.

        `tell` takes one clear line for the local log. A shared `pace` counts what others send to the chat.

        Cursors begin with `name`. On its very first start it begins behind `begin_after_seq`, or at the head. `notes`
        are for the start of this process, by its seq.
        """
        self._reader, self._bus, self._cursors = reader, bus, cursors
        self._alerts, self._digest, self._keeper = alerts, digest, keeper or NullFoldStore()
        self._client, self._address = client, address
        self._clock, self._tell, self._reach = clock, tell, reach
        self._pace = pace or MessageRateLimiter(clock)
        self._name, self._begin_after_seq, self._notes = name, begin_after_seq, notes or {}
        self._digest_receipts = DeliveryReceipts(cursors, f"{name}.digest")
        self._lanes: tuple[DeliveryQueue, ...] = ()
        self._head_seq = 0
        self._sent = self._repeated = self._skipped = 0
        self._urgent_in_outage = 0
        self._backlog: Backlog | None = None
        self._digest_form = MessageForm.HTML
        self._digest_repeat = self._digest_receipts.may_have_come(self._digest_receipts.sent_seq + 1, 0)
        self._parking = DeliveryPause(clock, tell)
        self._silent_since_ms: int | None = None
        self._closed_at_ms: int | None = None

    def statistics(self) -> DeliveryStatistics:
        """What was sent, and what waits."""
        waiting_ms = [self._age_ms(lane.pending) for lane in self._lanes if lane.pending is not None]
        behind = [self._head_seq - lane.done_seq for lane in self._lanes]
        return DeliveryStatistics(
            sent=self._sent,
            repeated=self._repeated,
            skipped=self._skipped,
            parked=self._parking.why,
            moved_to=self._address.moved_to,
            oldest_unsent_ms=max(waiting_ms, default=0),
            lag_events=max([0, *behind]),
        )

    async def run(self) -> None:
        """Deliver until the bus is closed and everything is sent, or cannot be sent in time."""
        self._begin(await self._bus.wait_beyond(-1))
        while await self._step():
            pass

    # ------------------------------------------------------------ the loop

    def _begin(self, head_seq: int) -> None:
        """Where each lane goes on. The first start is remembered at once: what comes after it is never skipped."""
        begun = f"{self._name}.begun"
        if not self._cursors.position(begun):
            begin_seq = head_seq if self._begin_after_seq is None else self._begin_after_seq
            self._cursors.advance(begun, begin_seq + 1)
        floor_seq = max(self._cursors.position(begun) - 1, self._digest_receipts.sent_seq)
        self._head_seq = head_seq
        self._lanes = (self._lane("urgent", floor_seq), self._lane("normal", floor_seq))

    def _lane(self, kind: str, floor_seq: int) -> DeliveryQueue:
        receipts = DeliveryReceipts(self._cursors, f"{self._name}.{kind}")
        # What is not sent yet is derived once more: the fold must not be further than that.
        fold, seq = self._keeper.restore(self._alerts(), max(floor_seq, receipts.sent_seq))
        is_urgent = kind == "urgent"
        return DeliveryQueue(
            self._reader, receipts, fold, urgent=is_urgent, floor_seq=floor_seq, folded_seq=seq, notes=self._notes
        )

    async def _step(self) -> bool:
        """Do the next thing, or wait for it; False when everything is over."""
        await self._look()
        urgent, normal = self._lanes
        if urgent.pending is None and normal.pending is None and not self._address.notice:
            return await self._wait_for_more()
        if (parked_s := self._parking.wait_s()) > 0.0:
            return await self._rest(parked_s)
        if self._address.notice:
            return await self._tell_of_move()
        one = urgent if self._is_urgent_due() else normal
        digest = one is normal and self._is_digest_due()
        wait_s = self._pace.wait_s(urgent=digest or one is urgent)
        if wait_s > 0.0:
            return await self._rest(wait_s)
        if digest:
            await self._send_digest()
        elif one.pending is not None:
            await self._send(one, one.pending)
        return True

    async def _look(self) -> None:
        """Search both lanes for their next alert, the urgent one first. Others have their turn between pages."""
        await self._see_head()
        urgent, normal = self._lanes
        is_more = urgent.find_next_alert(self._head_seq)
        while is_more:
            await asyncio.sleep(0)
            is_more = urgent.find_next_alert(self._head_seq)
        is_more = normal.find_next_alert(self._head_seq)
        while is_more and not self._is_urgent_due():
            await asyncio.sleep(0)
            await self._see_head()
            urgent.find_next_alert(self._head_seq)
            is_more = normal.find_next_alert(self._head_seq)

    async def _see_head(self) -> None:
        # Beyond -1 there is always something: this is the head as it is now.
        self._head_seq = max(self._head_seq, await self._bus.wait_beyond(-1))

    async def _wait_for_more(self) -> bool:
        await self._save_fold()
        head_seq = await self._bus.wait_beyond(self._head_seq)
        if head_seq <= self._head_seq:
            await self._save_fold(last=True)
            return False
        self._head_seq = head_seq
        return True

    async def _save_fold(self, *, last: bool = False) -> None:
        """Nothing waits: both lanes have come to the same event, and one fold stands for both."""
        urgent, normal = self._lanes
        seq = normal.folded_seq
        if urgent.folded_seq == seq and self._keeper.is_due(seq, last=last):
            for lane in self._lanes:
                lane.remember()
            await self._keeper.save(seq, normal.fold, last=last)

    async def _rest(self, seconds: float) -> bool:
        """Wait so long, or until the log has grown: something urgent may have come. False to give up at the end."""
        if self._bus.closed:
            return await self._rest_at_the_end(seconds)
        nap = asyncio.ensure_future(self._clock.sleep(seconds))
        grown = asyncio.ensure_future(self._bus.wait_beyond(self._head_seq))
        try:
            await asyncio.wait([nap, grown], return_when=asyncio.FIRST_COMPLETED)
        finally:
            nap.cancel()
            grown.cancel()
        if grown.done() and not grown.cancelled():
            self._head_seq = max(self._head_seq, grown.result())
        return True

    async def _rest_at_the_end(self, seconds: float) -> bool:
        now_ms = self._clock.now_ms()
        if self._closed_at_ms is None:
            self._closed_at_ms = now_ms
        if self._silent_since_ms is not None or now_ms + seconds * 1_000.0 > self._closed_at_ms + LAST_WORDS_MS:
            return False
        await self._clock.sleep(seconds)
        return True

    # ------------------------------------------------------------ what is due

    def _age_ms(self, parcel: OutgoingMessage) -> int:
        return max(0, self._clock.now_ms() - parcel.oldest_ms)

    def _is_old(self, parcel: OutgoingMessage | None) -> bool:
        return parcel is not None and self._age_ms(parcel) > OUTAGE_MS

    def _is_urgent_due(self) -> bool:
        pending = self._lanes[0].pending
        return pending is not None and not self._is_overflow(pending)

    def _is_overflow(self, parcel: OutgoingMessage) -> bool:
        """Whether an urgent alert has to wait for the digest: after an outage too many came before it."""
        if self._backlog is not None and self._backlog.collector.urgent:
            return True
        return self._is_old(parcel) and self._urgent_in_outage >= URGENT_SINGLE_MAX

    def _is_digest_due(self) -> bool:
        return self._backlog is not None or any(self._is_old(lane.pending) for lane in self._lanes)

    # ------------------------------------------------------------ sending

    async def _send(self, lane: DeliveryQueue, parcel: OutgoingMessage) -> None:
        """Send the next part of an alert; afterwards it is over, or stays where it is."""
        if await self._post(parcel, lane.receipts):
            self._took(lane, parcel)

    def _took(self, lane: DeliveryQueue, parcel: OutgoingMessage) -> None:
        """Go on behind a part that is over."""
        if not parcel.is_last:
            taken = parcel.part
            if parcel.step():
                lane.receipts.mark_accepted(parcel.seq, taken)
                parcel.repeat = lane.receipts.may_have_come(parcel.seq, parcel.part)
            return
        self._urgent_in_outage = self._urgent_in_outage + parcel.urgent if self._is_old(parcel) else 0
        lane.finish(parcel.seq)
        self._sent += not parcel.is_skipped
        self._reach("after_alert_cursor")

    async def _send_digest(self) -> None:
        """Ask first whether Telegram is there at all: a digest is work, and a lost answer would be a repeat."""
        try:
            await self._client.get_me()
        except TelegramError as error:
            self._answer(error, None)
            return
        urgent, normal = self._lanes
        backlog = self._backlog = self._backlog or Backlog(urgent, normal, self._digest())
        await backlog.collect(self._head_seq)
        parcel = backlog.parcel(form=self._digest_form, repeat=self._digest_repeat)
        if not await self._post(parcel, self._digest_receipts):
            self._digest_form, self._digest_repeat = parcel.form, parcel.repeat
            return
        self._digest_receipts.mark_done(parcel.seq)
        for lane in self._lanes:
            lane.skip_to(parcel.seq)
        self._backlog, self._digest_form, self._digest_repeat, self._urgent_in_outage = None, MessageForm.HTML, False, 0
        self._reach("after_alert_cursor")
        if not parcel.is_skipped:
            self._sent += 1
            self._tell(f"Telegram: one digest stands for {backlog.count:,} alerts that had waited")

    async def _tell_of_move(self) -> bool:
        """Tell the chat about its new id. If that fails, the local log has reported it already."""
        if (wait_s := self._pace.wait_s()) > 0.0:
            return await self._rest(wait_s)
        notice = self._address.notice
        self._pace.record_sent()
        try:
            await self._address.send_to_chat(lambda chat_id: self._client.send_message(chat_id, notice, html=False))
        except TelegramError as error:
            self._answer(error, None)
            if not isinstance(error, RequestRefused):
                return True
        self._address.notice = ""
        return True

    async def _post(self, parcel: OutgoingMessage, receipts: DeliveryReceipts) -> bool:
        """Send one request, after storing its place durably; return whether the part is done, sent or given up."""
        receipts.mark_sending(parcel.seq, parcel.part)
        self._pace.record_sent()
        self._reach("before_alert")
        try:
            await self._address.send_to_chat(
                lambda chat_id: self._client.send_message(
                    chat_id, parcel.text(), html=parcel.form is MessageForm.HTML, silent=parcel.silent
                )
            )
        except TelegramError as error:
            return self._answer(error, parcel)
        self._reach("after_alert")
        self._repeated += parcel.repeat
        self._heard()
        if parcel.form is MessageForm.NOTICE:
            parcel.form = MessageForm.AGAIN
            return False
        return True

    # ------------------------------------------------------------ answers

    def _answer(self, error: TelegramError, parcel: OutgoingMessage | None) -> bool:
        """Handle an error; return whether a part of the parcel is given up."""
        match error:
            case TelegramBusy():
                self._pace.back_off(error.retry_after_s)
                if error.retry_after_s >= LONG_WAIT_S:
                    self._tell(f"Telegram: {error}; alerts wait in the log")
            case TelegramUnreachable():
                self._pace.record_failure()
                if parcel is not None:
                    parcel.repeat = parcel.repeat or error.may_have_acted
                if self._silent_since_ms is None:
                    self._silent_since_ms = self._clock.now_ms()
                    self._tell(f"Telegram: {error}; alerts wait in the log until it answers")
            case TokenRefused():
                self._answers()
                self._parking.park_bot(str(error))
            case ChatRefused() | ChatMigrated():
                self._answers()
                self._parking.park_chat(str(error))
            case RequestRefused() if parcel is not None:
                return self._refused(error, parcel)
            case _:
                self._pace.record_failure()  # A refused question says nothing about an alert.
        return False

    def _refused(self, error: RequestRefused, parcel: OutgoingMessage) -> bool:
        """Try the next form after a refusal of the text or, in unknown words, the chat; return whether it is over."""
        self._answers()
        if parcel.form is MessageForm.AGAIN:
            self._skip(parcel, error)
            return True
        is_first = parcel.form is MessageForm.HTML and not self._parking.why
        if not parcel.simplify(error):
            self._parking.park_chat(str(error))
        elif is_first:
            self._tell(f"Telegram: a defect in the text of alert {parcel.key}: {error}; sending it in a simpler form")
        return False

    def _skip(self, parcel: OutgoingMessage, error: TelegramError) -> None:
        """Record a text that Telegram refuses while the chat accepts others; the chat has received a notice."""
        self._skipped += not parcel.is_skipped
        parcel.is_skipped = True
        what = truncate(one_line(parcel.parts[parcel.part]), TOLD_UNITS_MAX)
        self._tell(f"Telegram: alert {parcel.key} was refused and replaced by a notice: {error}: {what}")

    def _heard(self) -> None:
        """Note that a message was accepted."""
        self._answers()
        self._parking.end()

    def _answers(self) -> None:
        """Telegram answers for itself."""
        self._pace.record_success()
        if self._silent_since_ms is not None:
            silent_s = (self._clock.now_ms() - self._silent_since_ms) // 1_000
            self._tell(f"Telegram: it answers again after {silent_s:,} s")
        self._silent_since_ms = None
