"""The notifier: delivers alerts from the log to a chat or channel: without loss, in order, rate-limited, urgent first.

It follows the log behind its own durable cursors, so memory stays flat however long Telegram is silent, and trading
never waits for it. A message that may arrive twice, after a crash or a lost answer, is marked.

| Telegram's answer                   | what happens                                                               |
|-------------------------------------|----------------------------------------------------------------------------|
| success                             | the cursor moves                                                           |
| 429                                 | nothing is sent for as long as it says                                     |
| none, 5xx, unreadable               | random pauses of up to 60 s, for ever; after an hour a digest              |
| the group is a supergroup now       | followed at once, reported (`projections.telegram.chat_address`)           |
| 403, missing rights, closed topic   | parked with one line, retried with pauses of up to ten minutes             |
| 401, 404                            | parked with one line, retried once an hour                                 |
| the text is too long                | split in halves                                                            |
| 400, anything else                  | as plain text, then a notice, then the text again: then reported, counted  |
| the notice is refused too           | the chat refuses everything: parked, then all of it again                  |
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from papertape.events.cursors import Cursors
from papertape.events.failpoints import hit
from papertape.projections.alerts.digest import Digest
from papertape.projections.host import Announcer, EventSource
from papertape.projections.persistence.fold_store import FoldPersistence, NullFoldStore
from papertape.projections.telegram.backlog import OUTAGE_MS, URGENT_SINGLE_MAX, Backlog, DigestFold
from papertape.projections.telegram.chat_ports import ChatClient, ChatDestination
from papertape.projections.telegram.delivery_pause import DeliveryPause
from papertape.projections.telegram.delivery_queues import (
    AlertFold,
    DeliveryQueue,
    DeliveryReceipts,
    MessageForm,
    OutgoingMessage,
)
from papertape.projections.telegram.errors import (
    ChatMigrated,
    ChatRefused,
    RequestRefused,
    TelegramBusy,
    TelegramError,
    TelegramUnreachable,
    TokenRefused,
)
from papertape.projections.telegram.rate_limit import MessageRateLimiter, TelegramClock
from papertape.projections.telegram.statistics import DeliveryStatistics
from papertape.projections.telegram.text import one_line, truncate

LAST_WORDS_MS: Final = 10_000
"""After the bus is closed, alerts are still sent for so long; the rest goes at the next start."""
SKIPPED_UNITS_MAX: Final = 600
LONG_WAIT_S: Final = 60.0


class Notifier:
    """Delivers the alerts of a log to the owner's chat. `run` belongs to one task."""

    def __init__(
        self,
        reader: EventSource,
        bus: Announcer,
        cursors: Cursors,
        alerts: Callable[[], AlertFold],
        client: ChatClient,
        address: ChatDestination,
        clock: TelegramClock,
        write_line: Callable[[str], None],
        *,
        digest: Callable[[], DigestFold] = Digest,
        limiter: MessageRateLimiter | None = None,
        name: str = "telegram",
        title: str = "Telegram",
        begin_after_seq: int | None = None,
        notes: Mapping[int, str] | None = None,
        store: FoldPersistence | None = None,
        failpoint: Callable[[str], None] = hit,
    ) -> None:
        """Use a fold of `alerts` for each queue, restored from `store`, and one of `digest` for each backlog.

        `write_line` writes one clear line to the local log. A shared `limiter` counts what others send to the chat.
        Cursors begin with `name`, lines with `title`. The very first start begins after `begin_after_seq`, or at the
        head. `notes` are for the start of this process, by its seq.
        """
        self._reader, self._bus, self._cursors = reader, bus, cursors
        self._alerts, self._digest, self._store = alerts, digest, store or NullFoldStore()
        self._client, self._address = client, address
        self._clock, self._write_line, self._failpoint = clock, write_line, failpoint
        self._limiter = limiter or MessageRateLimiter(clock)
        self._name, self._title, self._begin_after_seq, self._notes = name, title, begin_after_seq, notes or {}
        self._digest_receipts = DeliveryReceipts(cursors, f"{name}.digest")
        self._queues: tuple[DeliveryQueue, ...] = ()
        self._head_seq = 0
        self._sent = self._repeated = self._skipped = 0
        self._urgent_in_outage = 0
        self._backlog: Backlog | None = None
        self._digest_form = MessageForm.HTML
        self._digest_repeat = self._digest_receipts.may_have_come(self._digest_receipts.sent_seq + 1, 0)
        self._parking = DeliveryPause(clock, write_line, title)
        self._silent_since_ms: int | None = None
        self._closed_at_ms: int | None = None

    def statistics(self) -> DeliveryStatistics:
        """Return what was sent, and what waits."""
        waiting_ms = [self._age_ms(queue.pending) for queue in self._queues if queue.pending is not None]
        behind = [self._head_seq - queue.done_seq for queue in self._queues]
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
        """Set where each queue resumes. The first start is stored at once, so nothing after it is skipped."""
        begun = f"{self._name}.begun"
        if not self._cursors.position(begun):
            begin_seq = head_seq if self._begin_after_seq is None else self._begin_after_seq
            self._cursors.advance(begun, begin_seq + 1)
        floor_seq = max(self._cursors.position(begun) - 1, self._digest_receipts.sent_seq)
        self._head_seq = head_seq
        self._queues = (self._queue("urgent", floor_seq), self._queue("normal", floor_seq))

    def _queue(self, kind: str, floor_seq: int) -> DeliveryQueue:
        receipts = DeliveryReceipts(self._cursors, f"{self._name}.{kind}")
        # Unsent alerts are derived again, so the fold must not be further than that.
        fold, seq = self._store.restore(self._alerts(), max(floor_seq, receipts.sent_seq))
        is_urgent = kind == "urgent"
        return DeliveryQueue(
            self._reader, receipts, fold, urgent=is_urgent, floor_seq=floor_seq, folded_seq=seq, notes=self._notes
        )

    async def _step(self) -> bool:
        """Do the next thing, or wait for it; return False when everything is over."""
        await self._look()
        urgent, normal = self._queues
        if urgent.pending is None and normal.pending is None and not self._address.notice:
            return await self._wait_for_more()
        if (parked_s := self._parking.wait_s()) > 0.0:
            return await self._rest(parked_s)
        if self._address.notice:
            return await self._announce_move()
        one = urgent if self._is_urgent_due() else normal
        digest = one is normal and self._is_digest_due()
        wait_s = self._limiter.wait_s(urgent=digest or one is urgent)
        if wait_s > 0.0:
            return await self._rest(wait_s)
        if digest:
            await self._send_digest()
        elif one.pending is not None:
            await self._send(one, one.pending)
        return True

    async def _look(self) -> None:
        """Search both queues for their next alert, the urgent one first. Other tasks run between pages."""
        await self._update_head()
        urgent, normal = self._queues
        is_more = urgent.find_next_alert(self._head_seq)
        while is_more:
            await asyncio.sleep(0)
            is_more = urgent.find_next_alert(self._head_seq)
        is_more = normal.find_next_alert(self._head_seq)
        while is_more and not self._is_urgent_due():
            await asyncio.sleep(0)
            await self._update_head()
            urgent.find_next_alert(self._head_seq)
            is_more = normal.find_next_alert(self._head_seq)

    async def _update_head(self) -> None:
        # Beyond -1 there is always something: this returns the current head at once.
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
        """Save one fold for both queues, which are at the same event when nothing waits."""
        urgent, normal = self._queues
        seq = normal.folded_seq
        if urgent.folded_seq == seq and self._store.is_due(seq, last=last):
            for queue in self._queues:
                queue.remember()
            await self._store.save(seq, normal.fold, last=last)

    async def _rest(self, seconds: float) -> bool:
        """Wait so long, or until the log has grown; return False to give up at the end."""
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

    def _age_ms(self, message: OutgoingMessage) -> int:
        return max(0, self._clock.now_ms() - message.oldest_ms)

    def _is_old(self, message: OutgoingMessage | None) -> bool:
        return message is not None and self._age_ms(message) > OUTAGE_MS

    def _is_urgent_due(self) -> bool:
        pending = self._queues[0].pending
        return pending is not None and not self._is_overflow(pending)

    def _is_overflow(self, message: OutgoingMessage) -> bool:
        """Return whether an urgent alert must wait for the digest: after an outage too many came before it."""
        if self._backlog is not None and self._backlog.collector.urgent:
            return True
        return self._is_old(message) and self._urgent_in_outage >= URGENT_SINGLE_MAX

    def _is_digest_due(self) -> bool:
        return self._backlog is not None or any(self._is_old(queue.pending) for queue in self._queues)

    # ------------------------------------------------------------ sending

    async def _send(self, queue: DeliveryQueue, message: OutgoingMessage) -> None:
        """Send the next part of an alert; if that fails, the alert stays where it is."""
        if await self._post(message, queue.receipts):
            self._advance(queue, message)

    def _advance(self, queue: DeliveryQueue, message: OutgoingMessage) -> None:
        if not message.is_last:
            accepted = message.part
            if message.step():
                queue.receipts.mark_accepted(message.seq, accepted)
                message.repeat = queue.receipts.may_have_come(message.seq, message.part)
            return
        self._urgent_in_outage = self._urgent_in_outage + message.urgent if self._is_old(message) else 0
        queue.finish(message.seq)
        self._sent += not message.is_skipped
        self._failpoint("after_alert_cursor")

    async def _send_digest(self) -> None:
        """Check first whether Telegram answers at all: a digest is work, and a lost answer would mean a repeat."""
        try:
            await self._client.get_me()
        except TelegramError as error:
            self._answer(error, None)
            return
        urgent, normal = self._queues
        backlog = self._backlog = self._backlog or Backlog(urgent, normal, self._digest())
        await backlog.collect(self._head_seq)
        message = backlog.message(form=self._digest_form, repeat=self._digest_repeat)
        if not await self._post(message, self._digest_receipts):
            self._digest_form, self._digest_repeat = message.form, message.repeat
            return
        self._digest_receipts.mark_done(message.seq)
        for queue in self._queues:
            queue.skip_to(message.seq)
        self._backlog, self._digest_form, self._digest_repeat, self._urgent_in_outage = None, MessageForm.HTML, False, 0
        self._failpoint("after_alert_cursor")
        if not message.is_skipped:
            self._sent += 1
            self._write_line(f"{self._title}: one digest replaces {backlog.count:,} alerts that had waited")

    async def _announce_move(self) -> bool:
        """Tell the chat about its new id. If that fails, the local log has reported it already."""
        if (wait_s := self._limiter.wait_s()) > 0.0:
            return await self._rest(wait_s)
        notice = self._address.notice
        self._limiter.record_sent()
        try:
            await self._address.send_to_chat(lambda chat_id: self._client.send_message(chat_id, notice, html=False))
        except TelegramError as error:
            self._answer(error, None)
            if not isinstance(error, RequestRefused):
                return True
        self._address.notice = ""
        return True

    async def _post(self, message: OutgoingMessage, receipts: DeliveryReceipts) -> bool:
        """Send one request, after storing its place durably; return whether the part is done, sent or given up."""
        receipts.mark_sending(message.seq, message.part)
        self._limiter.record_sent()
        self._failpoint("before_alert")
        try:
            await self._address.send_to_chat(
                lambda chat_id: self._client.send_message(
                    chat_id, message.text(), html=message.form is MessageForm.HTML, silent=message.silent
                )
            )
        except TelegramError as error:
            return self._answer(error, message)
        self._failpoint("after_alert")
        self._repeated += message.repeat
        self._accepted()
        if message.form is MessageForm.NOTICE:
            message.form = MessageForm.AGAIN
            return False
        return True

    # ------------------------------------------------------------ answers

    def _answer(self, error: TelegramError, message: OutgoingMessage | None) -> bool:
        """Handle an error; return whether a part of the message is given up."""
        match error:
            case TelegramBusy():
                self._limiter.back_off(error.retry_after_s)
                if error.retry_after_s >= LONG_WAIT_S:
                    self._write_line(f"{self._title}: {error}; alerts wait in the log")
            case TelegramUnreachable():
                self._limiter.record_failure()
                if message is not None:
                    message.repeat = message.repeat or error.may_have_acted
                if self._silent_since_ms is None:
                    self._silent_since_ms = self._clock.now_ms()
                    self._write_line(f"{self._title}: {error}; alerts wait in the log until it answers")
            case TokenRefused():
                self._answered()
                self._parking.park_bot(str(error))
            case ChatRefused() | ChatMigrated():
                self._answered()
                self._parking.park_chat(str(error))
            case RequestRefused() if message is not None:
                return self._refused(error, message)
            case _:
                self._limiter.record_failure()  # A refused question says nothing about an alert.
        return False

    def _refused(self, error: RequestRefused, message: OutgoingMessage) -> bool:
        """Try the next form after a refusal of the text or, in unknown words, the chat; return whether it is over."""
        self._answered()
        if message.form is MessageForm.AGAIN:
            self._skip(message, error)
            return True
        is_first = message.form is MessageForm.HTML and not self._parking.why
        if not message.simplify(error):
            self._parking.park_chat(str(error))
        elif is_first:
            self._write_line(
                f"{self._title}: alert {message.key} has a defective text: {error}; sending a simpler form"
            )
        return False

    def _skip(self, message: OutgoingMessage, error: TelegramError) -> None:
        """Record a text that Telegram refuses while the chat accepts others; the chat has received a notice."""
        self._skipped += not message.is_skipped
        message.is_skipped = True
        excerpt = truncate(one_line(message.parts[message.part]), SKIPPED_UNITS_MAX)
        self._write_line(f"{self._title}: alert {message.key} was refused and replaced by a notice: {error}: {excerpt}")

    def _accepted(self) -> None:
        """Note that a message was accepted."""
        self._answered()
        self._parking.end()

    def _answered(self) -> None:
        """Note that Telegram itself answers."""
        self._limiter.record_success()
        if self._silent_since_ms is not None:
            silent_s = (self._clock.now_ms() - self._silent_since_ms) // 1_000
            self._write_line(f"{self._title}: answers again after {silent_s:,} s")
        self._silent_since_ms = None
