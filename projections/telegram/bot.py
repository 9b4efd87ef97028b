"""The bot: answers what the configured chat asks, and hands commands in after a second yes.

It follows the log with its own folds. Polling, answering and following are three tasks of one `run`: what is asked is
never kept waiting by an answer that is slow, and trading never by any of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from papertape.events.commands import Commands
from papertape.events.cursors import Cursors
from papertape.events.errors import PapertapeError
from papertape.events.tasks import failure_of
from papertape.projections.host import Announcer, Cursor, EventSource, follow
from papertape.projections.persistence.fold_store import FoldPersistence, NullFoldStore
from papertape.projections.site.views import Views
from papertape.projections.telegram.address import ChatAddress
from papertape.projections.telegram.answers import QueryHandler, ReplyChannel, RuntimeInfo
from papertape.projections.telegram.client import Keyboard, TelegramClient
from papertape.projections.telegram.commands import (
    CommandUnavailable,
    answered_html,
    command_of,
    confirmation_for,
    done_words,
    who_of,
)
from papertape.projections.telegram.confirm import (
    NOT_YOURS,
    AcceptedPress,
    Confirmations,
    PendingCommand,
    RejectedPress,
)
from papertape.projections.telegram.errors import ChatRefused, RequestRefused
from papertape.projections.telegram.explain import failed_text, still_reading, wrong_text
from papertape.projections.telegram.parse import MENU, Act, InvalidRequest, KillCommand, Question, request_of, usage
from papertape.projections.telegram.poll import ChatAllowlist, Poller
from papertape.projections.telegram.rate_limit import MessageRateLimiter, TelegramClock
from papertape.projections.telegram.reply_queue import ReplyQueue
from papertape.projections.telegram.text import escape, split, strip_tags
from papertape.projections.telegram.wire import BotCommand, CallbackQuery, ChatMessage, Update, User

LATE_S: Final = 60
SUBMIT_S_MAX: Final = 20.0
LAST_WORDS_S: Final = 5.0
TOAST_CHARS_MAX: Final = 200
MENU_CHARS_MAX: Final = 256
DONE, NOT_DONE = "✓", "✗"


class BotStatistics(Struct):
    """Since the start of the process. `ignored` came from others, `late` were commands too old to be meant.

    `failed` are those that a bug ended, `unsent` are answers that nobody took, `seq` is the event that the views have
    come to.
    """

    updates: int = 0
    duplicates: int = 0
    ignored: int = 0
    conflicts: int = 0
    late: int = 0
    asked: int = 0
    accepted: int = 0
    refused: int = 0
    failed: int = 0
    unsent: int = 0
    seq: int = 0
    over: str = ""


class Bot:
    """The two-way side of Telegram. `run` belongs to one task."""

    def __init__(
        self,
        client: TelegramClient,
        gate: ChatAllowlist,
        commands: Commands,
        source: EventSource,
        bus: Announcer,
        cursors: Cursors,
        clock: TelegramClock,
        tell: Callable[[str], None],
        *,
        outside: RuntimeInfo | None = None,
        views: Views | None = None,
        pace: MessageRateLimiter | None = None,
        confirmations: Confirmations | None = None,
        name: str = "telegram",
        keeper: FoldPersistence | None = None,
        address: ChatAddress | None = None,
    ) -> None:
        """`client` is the bot's own: a poll keeps one of its connections. `pace` is shared with whoever else sends.

        `address` gives the current id of the gate's chat; it is shared with the other senders.

        `views` are new: they are folded here, from what `keeper` knows from before. `tell` takes a line for the local
        log.
        """
        self._keeper = keeper or NullFoldStore()
        (self.views,), seq = self._keeper.restore((views or Views(),))
        self._cursor = Cursor(seq)
        self.confirmations = confirmations or Confirmations(clock.now_ms)
        self._client, self._configured_gate, self._commands = client, gate, commands
        self._address = address or ChatAddress(gate.chat_id, cursors)
        self._source, self._bus, self._clock, self._tell = source, bus, clock, tell
        self._outbox = ReplyQueue(pace or MessageRateLimiter(clock), clock, tell)
        self._answering = QueryHandler(self.views, outside or RuntimeInfo(), source, clock)
        self._poller = Poller(client, cursors, self._handle, self._greet, clock, tell, f"{name}.updates")
        self._goal_seq = 0
        self._bot_name = ""
        self._counts = BotStatistics()

    @property
    def _gate(self) -> ChatAllowlist:
        """The gate for the chat's current id."""
        return replace(self._configured_gate, chat_id=self._address.id)

    def statistics(self) -> BotStatistics:
        """What was asked, done and ignored."""
        counts, polled = self._counts, self._poller.statistics
        counts.updates, counts.duplicates, counts.ignored = polled.updates, polled.duplicates, polled.ignored
        counts.conflicts, counts.over = polled.conflicts, polled.over
        counts.unsent, counts.seq = self._outbox.dropped, self._cursor.seq
        return counts

    async def run(self) -> None:
        """Answer until the bus is closed. Raises what reading the log or moving the cursor raises."""
        self._goal_seq = await self._bus.wait_beyond(-1)
        if not self._gate.users:
            self._tell("Telegram: a group needs the ids of its allowed users; until then no command is heard")
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._poller.run()), group.create_task(self._outbox.run())]
                await follow(self._source, self._bus, [self.views], self._cursor, self._keeper)
                await self._last_words()
                for task in tasks:
                    task.cancel()
        except BaseExceptionGroup as failed:
            raise _first(failed) from None

    async def _last_words(self) -> None:
        """What was asked just before the end is answered, where that is quick."""
        try:
            async with asyncio.timeout(LAST_WORDS_S):
                await self._outbox.drain()
        except TimeoutError:
            self._tell("Telegram: the last answers could not be sent in time")

    async def _greet(self) -> None:
        """Who the bot is, that nobody else takes its updates, and the menu."""
        self._bot_name = (await self._client.get_me()).username
        await self._client.delete_webhook()
        menu = [BotCommand(name, f"{usage(name)}: {what}"[:MENU_CHARS_MAX]) for name, (_, what) in MENU.items()]
        try:
            await self._address.send_to_chat(lambda chat_id: self._client.set_my_commands(menu, chat_id))
        except ChatRefused as refused:
            # The menu is only a hint: commands work without it.
            self._tell(f"Telegram: the menu of commands could not be set: {refused}")

    # ------------------------------------------------------------ updates

    async def _handle(self, update: Update) -> None:
        """Handle an update. If a bug ends it, report it and do not retry: it would fail again."""
        await self._guarded(partial(self._handle_update, update))

    async def _guarded(self, make: Callable[[], Awaitable[object]]) -> None:
        """Run something for a user, and report to them if a bug ends it."""
        error = await failure_of(make)
        if error is not None:
            self._counts.failed += 1
            self._tell(f"Telegram: a command failed with {type(error).__name__}: {error}")
            self._reply(failed_text(error))

    async def _handle_update(self, update: Update) -> None:
        message = update.message
        if update.callback_query is not None:
            await self._pressed(update.callback_query)
        elif message is not None and message.migrate_to_chat_id is not None:
            if message.chat.id == self._address.id:
                self._address.move_to(message.migrate_to_chat_id)
        elif message is not None:
            self._handle_message(message)

    def _handle_message(self, message: ChatMessage) -> None:
        sender = message.sender
        if sender is None or not self._gate.admits(message):
            self._poller.ignore(None if sender is None else sender.id)
            return
        is_group = message.chat.id < 0
        request = request_of(message.text, self.views.strategies, self._bot_name)
        if request is None or not message.text.strip() or (is_group and not message.text.startswith("/")):
            return
        self._counts.asked += 1
        if isinstance(request, InvalidRequest):
            self._reply(wrong_text(request))
        elif isinstance(request, Question):
            self._outbox.put(partial(self._guarded, partial(self._answer, request)))
        else:
            self._offer_confirmation(request, message, sender)

    async def _answer(self, request: Question) -> None:
        """Work an answer out and send it; the update it came with is over by then, whatever comes of it."""
        given = self._answering.answer(request, max(self._goal_seq, self._cursor.seq))
        if given.html:
            await self._post(self._noted(given.html))
        if given.later is None:
            return
        later = partial(self._guarded, partial(given.later, self._ways()))
        if not self._outbox.put_slow(later):
            self._reply("several pictures or readings of the log are waiting already: ask again in a minute")

    def _noted(self, html: str) -> str:
        """An answer, with how far the views are where they still catch up."""
        if self._cursor.seq >= self._goal_seq:
            return html
        return f"{still_reading(self._cursor.seq, self._goal_seq)}\n\n{html}"

    # ------------------------------------------------------------ commands that act

    def _offer_confirmation(self, act: Act, message: ChatMessage, sender: User) -> None:
        """Ask once more, with buttons; a command from a backlog is not meant any more."""
        age_s = self._clock.now_ms() // 1_000 - message.date
        if age_s > LATE_S:
            self._counts.late += 1
            self._reply(
                f"this came {age_s:,} s after it was written: nothing was done\nif you still mean it, ask again"
            )
            return
        if self._cursor.seq < self._goal_seq and not isinstance(act, KillCommand):
            self._reply(self._noted("only /kill is taken meanwhile"))
            return
        asked = confirmation_for(act, self.views, fresh=self._cursor.seq >= self._goal_seq)
        if isinstance(asked, CommandUnavailable):
            self._reply(asked.html)
            return
        keyboard = self.confirmations.offer(act, asked.html, message.chat.id, sender.id, asked.trip_seq)
        self._reply(asked.html, keyboard=keyboard, urgent=True)

    async def _pressed(self, query: CallbackQuery) -> None:
        """A press does its work first; Telegram hears of it afterwards, however slow it is."""
        if not self._gate.admits_press(query):
            self._poller.ignore(query.sender.id)
            if self._gate.is_here(query):
                self._toast(query, NOT_YOURS)
            return
        verdict = self.confirmations.press(query.data, self._gate.chat_id, query.sender.id)
        if isinstance(verdict, AcceptedPress):
            mark, outcome = await self._do(verdict.offer, query.sender)
            self._toast(query, outcome)
            self._edit(query, answered_html(verdict.offer.html, outcome, mark))
        else:
            self._stay(query, verdict)

    def _stay(self, query: CallbackQuery, verdict: RejectedPress) -> None:
        self._toast(query, verdict.why)
        if verdict.over and query.message is not None:
            html = escape(query.message.text, 2_000) if verdict.known is None else verdict.known.html
            self._edit(query, answered_html(html, verdict.why, NOT_DONE) if html else escape(verdict.why))

    async def _do(self, offer: PendingCommand, sender: User) -> tuple[str, str]:
        """Hand the command in; a mark and what came of it."""
        command = command_of(offer.act, who_of(sender.id, sender.first_name), offer.trip_seq, self.views)
        if isinstance(command, CommandUnavailable):
            self._counts.refused += 1
            return NOT_DONE, f"refused: {strip_tags(command.html)}"
        try:
            async with asyncio.timeout(SUBMIT_S_MAX):
                accepted = await self._commands.submit(command)
        except TimeoutError:
            return NOT_DONE, f"no answer within {SUBMIT_S_MAX:g} s: it may still be taken, /log shows it"
        except PapertapeError as refused:
            self._counts.refused += 1
            return NOT_DONE, f"refused: {refused}"
        self._counts.accepted += 1
        return DONE, done_words(accepted)

    # ------------------------------------------------------------ the way out

    def _reply(self, html: str, *, keyboard: Keyboard = (), urgent: bool = False) -> None:
        self._outbox.put(partial(self._send_text, html, keyboard), urgent=urgent)

    async def _send_text(self, html: str, keyboard: Keyboard) -> None:
        await self._post(html, keyboard)

    async def _post(self, html: str, keyboard: Keyboard = ()) -> ChatMessage | None:
        """Send a text in as many parts as it needs; the last one carries the buttons. None where it could not go."""
        sent = None
        parts = split(html)
        for part in parts:
            keys = keyboard if part is parts[-1] else ()
            sent = await self._outbox.send_with_retries(
                partial(self._send_part, part, keyboard=keys),
                plain=partial(self._send_part, strip_tags(part), html=False, keyboard=keys),
            )
            if sent is None:
                break
        return sent

    async def _send_part(self, text: str, *, html: bool = True, keyboard: Keyboard = ()) -> ChatMessage:
        return await self._address.send_to_chat(
            partial(self._client.send_message, text=text, html=html, keyboard=keyboard)
        )

    def _ways(self) -> ReplyChannel:
        # A message is edited in the chat where it was sent.
        chat_id, client, sent = self._address.id, self._client, self._outbox.send_with_retries
        return ReplyChannel(
            post=self._post,
            edit=lambda message_id, html: sent(partial(client.edit_message_text, chat_id, message_id, html)),
            photo=lambda png: sent(
                lambda: self._address.send_to_chat(partial(client.send_photo, picture=png, silent=True))
            ),
        )

    def _toast(self, query: CallbackQuery, words: str) -> None:
        self._outbox.put(partial(self._end_waiting, query.id, words[:TOAST_CHARS_MAX]), urgent=True)

    async def _end_waiting(self, callback_id: str, words: str) -> None:
        await self._outbox.send_with_retries(partial(self._answer_press, callback_id, words), counts=False)

    async def _answer_press(self, callback_id: str, words: str) -> None:
        try:
            await self._client.answer_callback_query(callback_id, words, alert=True)
        except RequestRefused:
            # Too old, or answered before: the edited message says the same.
            return

    def _edit(self, query: CallbackQuery, html: str) -> None:
        if query.message is not None:
            edit = partial(self._client.edit_message_text, query.message.chat.id, query.message.message_id, html)
            self._outbox.put(partial(self._send, edit), urgent=True)

    async def _send(self, request: Callable[[], Awaitable[object]]) -> None:
        await self._outbox.send_with_retries(request)


def _first(failed: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended a group of tasks."""
    one = failed.exceptions[0]
    return _first(one) if isinstance(one, BaseExceptionGroup) else one
