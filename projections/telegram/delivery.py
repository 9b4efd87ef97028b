"""The notifier: brings alerts out of the log to one chat. Never lost, in order, urgent ones first, never a storm.

It follows the log behind its own durable cursors, so memory stays flat however long Telegram is silent, and trading
never waits for it. What may come twice after a crash or a lost answer is marked.

| Telegram says                      | what happens                                                                |
|------------------------------------|-----------------------------------------------------------------------------|
| yes                                | the cursor moves                                                            |
| 429                                | nothing is sent for as long as it says                                      |
| nothing, 5xx, something unreadable | pauses of up to 60 s by chance, for ever; after an hour a digest            |
| 400, HTML not understood           | once more as plain text; the defect is told                                 |
| 400, anything else                 | told, counted, skipped                                                      |
| 403, or no such chat               | parked with one line, tried again once an hour                              |
| 401, 404, group migrated           | parked with one line until the next start                                   |
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from events.cursors import Cursors
from events.failpoints import reach as die_here
from projections.host import Announcer, Source
from projections.keeping import Keeper, KeptNowhere
from projections.telegram.client import TelegramClient
from projections.telegram.digest import OUTAGE_MS, URGENT_SINGLE_MAX, AlertDigest, Backlog, Digesting
from projections.telegram.errors import (
    ChatMigrated,
    ChatRefused,
    EntitiesRefused,
    TelegramBusy,
    TelegramError,
    TelegramUnreachable,
    TokenRefused,
)
from projections.telegram.lanes import Deriving, Lane, Parcel, Receipts
from projections.telegram.pace import Clock, Pace
from projections.telegram.statistics import DeliveryStatistics
from projections.telegram.text import cut, marked, one_line, plain

PROBE_MS: Final = 3_600_000
LAST_WORDS_MS: Final = 10_000
"""After the bus was closed alerts still go for so long; what is left goes at the next start."""
FOR_EVER_MS: Final = 1 << 62
TOLD_UNITS_MAX: Final = 600
LONG_WAIT_S: Final = 60.0


class Notifier:
    """Delivers the alerts of a log to `chat_id`. `run` belongs to one task."""

    def __init__(
        self,
        reader: Source,
        bus: Announcer,
        cursors: Cursors,
        alerts: Callable[[], Deriving],
        client: TelegramClient,
        chat_id: int,
        clock: Clock,
        tell: Callable[[str], None],
        *,
        digest: Callable[[], Digesting] = AlertDigest,
        pace: Pace | None = None,
        name: str = "telegram",
        begin_after_seq: int | None = None,
        notes: Mapping[int, str] | None = None,
        keeper: Keeper | None = None,
        reach: Callable[[str], None] = die_here,
    ) -> None:
        """`alerts` makes a new fold for each lane, which `keeper` may know from before; `digest` one a backlog.

        `tell` takes one clear line for the local log. A shared `pace` counts what others send to the chat.

        Cursors begin with `name`. On its very first start it begins behind `begin_after_seq`, or at the head. `notes`
        are for the start of this process, by its seq.
        """
        self._reader, self._bus, self._cursors = reader, bus, cursors
        self._alerts, self._digest, self._keeper = alerts, digest, keeper or KeptNowhere()
        self._client, self._chat_id = client, chat_id
        self._clock, self._tell, self._reach = clock, tell, reach
        self._pace = pace or Pace(clock)
        self._name, self._begin_after_seq, self._notes = name, begin_after_seq, notes or {}
        self._digest_receipts = Receipts(cursors, f"{name}.digest")
        self._lanes: tuple[Lane, ...] = ()
        self._head_seq = 0
        self._sent = self._repeated = self._skipped = 0
        self._urgent_in_outage = 0
        self._backlog: Backlog | None = None
        self._digest_html = True
        self._digest_repeat = self._digest_receipts.may_have_come(self._digest_receipts.sent_seq + 1, 0)
        self._parked, self._parked_until_ms = "", 0
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
            parked=self._parked,
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

    def _lane(self, kind: str, floor_seq: int) -> Lane:
        receipts = Receipts(self._cursors, f"{self._name}.{kind}")
        # What is not sent yet is derived once more: the fold must not be further than that.
        fold, seq = self._keeper.restored(self._alerts(), max(floor_seq, receipts.sent_seq))
        is_urgent = kind == "urgent"
        return Lane(
            self._reader, receipts, fold, urgent=is_urgent, floor_seq=floor_seq, folded_seq=seq, notes=self._notes
        )

    async def _step(self) -> bool:
        """Do the next thing, or wait for it; False when everything is over."""
        await self._look()
        urgent, normal = self._lanes
        if urgent.pending is None and normal.pending is None:
            return await self._wait_for_more()
        parked_ms = self._parked_until_ms - self._clock.now_ms()
        if parked_ms > 0:
            return await self._rest(min(PROBE_MS, parked_ms) / 1_000.0)
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
        is_more = urgent.look(self._head_seq)
        while is_more:
            await asyncio.sleep(0)
            is_more = urgent.look(self._head_seq)
        is_more = normal.look(self._head_seq)
        while is_more and not self._is_urgent_due():
            await asyncio.sleep(0)
            await self._see_head()
            urgent.look(self._head_seq)
            is_more = normal.look(self._head_seq)

    async def _see_head(self) -> None:
        # Beyond -1 there is always something: this is the head as it is now.
        self._head_seq = max(self._head_seq, await self._bus.wait_beyond(-1))

    async def _wait_for_more(self) -> bool:
        await self._keep()
        head_seq = await self._bus.wait_beyond(self._head_seq)
        if head_seq <= self._head_seq:
            await self._keep(last=True)
            return False
        self._head_seq = head_seq
        return True

    async def _keep(self, *, last: bool = False) -> None:
        """Nothing waits: both lanes have come to the same event, and one fold stands for both."""
        urgent, normal = self._lanes
        seq = normal.folded_seq
        if urgent.folded_seq == seq and self._keeper.is_due(seq, last=last):
            for lane in self._lanes:
                lane.remember()
            await self._keeper.keep(seq, normal.fold, last=last)

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

    def _age_ms(self, parcel: Parcel) -> int:
        return max(0, self._clock.now_ms() - parcel.oldest_ms)

    def _is_old(self, parcel: Parcel | None) -> bool:
        return parcel is not None and self._age_ms(parcel) > OUTAGE_MS

    def _is_urgent_due(self) -> bool:
        pending = self._lanes[0].pending
        return pending is not None and not self._is_overflow(pending)

    def _is_overflow(self, parcel: Parcel) -> bool:
        """Whether an urgent alert has to wait for the digest: after an outage too many came before it."""
        if self._backlog is not None and self._backlog.collector.urgent:
            return True
        return self._is_old(parcel) and self._urgent_in_outage >= URGENT_SINGLE_MAX

    def _is_digest_due(self) -> bool:
        return self._backlog is not None or any(self._is_old(lane.pending) for lane in self._lanes)

    # ------------------------------------------------------------ sending

    async def _send(self, lane: Lane, parcel: Parcel) -> None:
        """Send the next part of an alert; afterwards it is over, or stays where it is."""
        error = await self._post(parcel, lane.receipts)
        if error is None:
            self._took(lane, parcel)
        elif self._is_refused(error, parcel):
            self._skip(parcel, error)
            lane.finish(parcel.seq)

    def _took(self, lane: Lane, parcel: Parcel) -> None:
        if not parcel.is_last:
            lane.receipts.accepted(parcel.seq, parcel.part)
            parcel.part += 1
            parcel.repeat = lane.receipts.may_have_come(parcel.seq, parcel.part)
            return
        self._urgent_in_outage = self._urgent_in_outage + parcel.urgent if self._is_old(parcel) else 0
        lane.finish(parcel.seq)
        self._sent += 1
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
        parcel = backlog.parcel(html=self._digest_html, repeat=self._digest_repeat)
        refusal = await self._post(parcel, self._digest_receipts)
        if refusal is not None and not self._is_refused(refusal, parcel):
            self._digest_html, self._digest_repeat = parcel.html, parcel.repeat
            return
        if refusal is not None:
            self._skip(parcel, refusal)
        self._digest_receipts.done(parcel.seq)
        for lane in self._lanes:
            lane.skip_to(parcel.seq)
        self._backlog, self._digest_html, self._digest_repeat, self._urgent_in_outage = None, True, False, 0
        self._reach("after_alert_cursor")
        if refusal is None:
            self._sent += 1
            self._tell(f"Telegram: one digest stands for {backlog.count:,} alerts that had waited")

    async def _post(self, parcel: Parcel, receipts: Receipts) -> TelegramError | None:
        """One request, its place durable before it goes. None for a yes; the error has been answered."""
        receipts.sending(parcel.seq, parcel.part)
        self._pace.took()
        self._reach("before_alert")
        try:
            await self._client.send_message(self._chat_id, _text(parcel), html=parcel.html, silent=parcel.silent)
        except TelegramError as error:
            self._answer(error, parcel)
            return error
        self._reach("after_alert")
        self._repeated += parcel.repeat
        self._heard()
        return None

    # ------------------------------------------------------------ answers

    def _answer(self, error: TelegramError, parcel: Parcel | None) -> None:
        """What an error means for everything that follows; one about the message itself is `_is_refused`."""
        match error:
            case TelegramBusy():
                self._pace.busy(error.retry_after_s)
                if error.retry_after_s >= LONG_WAIT_S:
                    self._tell(f"Telegram: {error}; alerts wait in the log")
            case TelegramUnreachable():
                self._pace.failed()
                if parcel is not None:
                    parcel.repeat = parcel.repeat or error.may_have_acted
                if self._silent_since_ms is None:
                    self._silent_since_ms = self._clock.now_ms()
                    self._tell(f"Telegram: {error}; alerts wait in the log until it answers")
            case ChatRefused():
                self._park(f"{error}; alerts wait in the log, it is tried again once an hour", PROBE_MS)
            case TokenRefused() | ChatMigrated():
                self._park(f"{error}; alerts wait in the log until this is corrected and papertape started again")
            case _ if parcel is None:
                self._pace.failed()  # A refused question says nothing about an alert.
            case _:
                self._heard()

    def _is_refused(self, error: TelegramError, parcel: Parcel) -> bool:
        """Whether the message itself will never be taken. HTML that is not understood goes once more as plain text."""
        if isinstance(error, TelegramBusy | TelegramUnreachable | ChatRefused | TokenRefused | ChatMigrated):
            return False
        if isinstance(error, EntitiesRefused) and parcel.html:
            self._tell(f"Telegram: a defect in the text of alert {parcel.key}: {error}; it goes as plain text")
            parcel.html = False
            return False
        return True

    def _skip(self, parcel: Parcel, error: TelegramError) -> None:
        self._skipped += 1
        what = cut(one_line(parcel.parts[parcel.part]), TOLD_UNITS_MAX)
        self._tell(f"Telegram: alert {parcel.key} was refused and is skipped: {error}: {what}")

    def _park(self, why: str, probe_ms: int = FOR_EVER_MS) -> None:
        if self._parked != why:
            self._tell(f"Telegram is parked: {why}")
        self._parked = why
        self._parked_until_ms = self._clock.now_ms() + probe_ms if probe_ms < FOR_EVER_MS else FOR_EVER_MS

    def _heard(self) -> None:
        """Telegram answers for itself."""
        self._pace.answered()
        if self._silent_since_ms is not None:
            silent_s = (self._clock.now_ms() - self._silent_since_ms) // 1_000
            self._tell(f"Telegram: it answers again after {silent_s:,} s")
        if self._parked:
            self._tell("Telegram: the chat takes messages again")
        self._silent_since_ms, self._parked, self._parked_until_ms = None, "", 0


def _text(parcel: Parcel) -> str:
    part = parcel.parts[parcel.part]
    shown = part if parcel.html else plain(part)
    return marked(shown) if parcel.repeat else shown
