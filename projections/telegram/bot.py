"""The bot: answers questions from the configured chat, and submits commands after a confirmation.

It follows the log with its own folds. Polling, answering and following are three tasks of one `run`, so a slow answer
delays no other question, and none of them delays trading.
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
from papertape.projections.alerts.markup import plain_text
from papertape.projections.host import Announcer, Cursor, EventSource, follow
from papertape.projections.persistence.fold_store import FoldPersistence, NullFoldStore
from papertape.projections.site.views import Views
from papertape.projections.telegram.answers import QueryHandler, ReplyChannel, RuntimeInfo
from papertape.projections.telegram.chat_address import ChatAddress
from papertape.projections.telegram.client import Keyboard, TelegramClient
from papertape.projections.telegram.commands import (
    CommandUnavailable,
    answered_html,
    command_of,
    confirmation_for,
    done_words,
    who_of,
)
from papertape.projections.telegram.confirmation import (
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
from papertape.projections.telegram.text import escape, split
from papertape.projections.telegram.wire import BotCommand, CallbackQuery, ChatMessage, Update, User

LATE_S: Final = 60
SUBMIT_S_MAX: Final = 20.0
LAST_WORDS_S: Final = 5.0
TOAST_CHARS_MAX: Final = 200
MENU_CHARS_MAX: Final = 256
DONE, NOT_DONE = "✓", "✗"


class BotStatistics(Struct):
    """Counts since the start of the process. `ignored` came from others, `late` are outdated commands.

    `failed` were ended by a bug, `unsent` are undelivered answers, `seq` is the last event that the views applied.
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
        write_line: Callable[[str], None],
        *,
        runtime: RuntimeInfo | None = None,
        views: Views | None = None,
        limiter: MessageRateLimiter | None = None,
        confirmations: Confirmations | None = None,
        name: str = "telegram",
        store: FoldPersistence | None = None,
        address: ChatAddress | None = None,
    ) -> None:
        """Restore the views from `store`. `client` belongs to the bot, because polling occupies a connection.

        `limiter` and `address`, which gives the current id of the gate's chat, are shared with the other senders.
        `views` are new and folded here. `write_line` writes a line to the local log.
        """
        self._store = store or NullFoldStore()
        (self.views,), seq = self._store.restore((views or Views(),))
        self._cursor = Cursor(seq)
        self.confirmations = confirmations or Confirmations(clock.now_ms)
        self._client, self._configured_gate, self._commands = client, gate, commands
        self._address = address or ChatAddress(gate.chat_id, cursors)
        self._source, self._bus, self._clock, self._write_line = source, bus, clock, write_line
        self._replies = ReplyQueue(limiter or MessageRateLimiter(clock), clock, write_line)
        self._handler = QueryHandler(self.views, runtime or RuntimeInfo(), source, clock)
        self._poller = Poller(client, cursors, self._handle, self._greet, clock, write_line, f"{name}.updates")
        self._goal_seq = 0
        self._bot_name = ""
        self._counts = BotStatistics()

    @property
    def _gate(self) -> ChatAllowlist:
        return replace(self._configured_gate, chat_id=self._address.id)

    def statistics(self) -> BotStatistics:
        """Return what was asked, done and ignored."""
        counts, polled = self._counts, self._poller.statistics
        counts.updates, counts.duplicates, counts.ignored = polled.updates, polled.duplicates, polled.ignored
        counts.conflicts, counts.over = polled.conflicts, polled.over
        counts.unsent, counts.seq = self._replies.dropped, self._cursor.seq
        return counts

    async def run(self) -> None:
        """Answer until the bus is closed. Raises errors of reading the log and of moving the cursor."""
        self._goal_seq = await self._bus.wait_beyond(-1)
        if not self._gate.users:
            self._write_line(
                "Telegram: commands in a group need the ids of its allowed users; until then all are ignored"
            )
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._poller.run()), group.create_task(self._replies.run())]
                await follow(self._source, self._bus, [self.views], self._cursor, self._store)
                await self._last_words()
                for task in tasks:
                    task.cancel()
        except BaseExceptionGroup as failed:
            raise _first(failed) from None

    async def _last_words(self) -> None:
        try:
            async with asyncio.timeout(LAST_WORDS_S):
                await self._replies.drain()
        except TimeoutError:
            self._write_line("Telegram: the last answers could not be sent in time")

    async def _greet(self) -> None:
        """Check the bot's identity, remove its webhook, and set the menu."""
        self._bot_name = (await self._client.get_me()).username
        await self._client.delete_webhook()
        menu = [BotCommand(name, f"{usage(name)}: {what}"[:MENU_CHARS_MAX]) for name, (_, what) in MENU.items()]
        try:
            await self._address.send_to_chat(lambda chat_id: self._client.set_my_commands(menu, chat_id))
        except ChatRefused as refused:
            # The menu is only a hint: commands work without it.
            self._write_line(f"Telegram: the menu of commands could not be set: {refused}")

    # ------------------------------------------------------------ updates

    async def _handle(self, update: Update) -> None:
        """Handle an update. If a bug ends it, report it and do not retry: it would fail again."""
        await self._guarded(partial(self._handle_update, update))

    async def _guarded(self, make: Callable[[], Awaitable[object]]) -> None:
        """Run something for a user, and report to them if a bug ends it."""
        error = await failure_of(make)
        if error is not None:
            self._counts.failed += 1
            self._write_line(f"Telegram: a command failed with {type(error).__name__}: {error}")
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
            self._replies.put(partial(self._guarded, partial(self._answer, request)))
        else:
            self._offer_confirmation(request, message, sender)

    async def _answer(self, request: Question) -> None:
        """Prepare and send an answer. The update is already confirmed by then, whatever happens here."""
        answer = self._handler.answer(request, max(self._goal_seq, self._cursor.seq))
        if answer.html:
            await self._post(self._noted(answer.html))
        if answer.later is None:
            return
        later = partial(self._guarded, partial(answer.later, self._channel()))
        if not self._replies.put_slow(later):
            self._reply("busy with other charts and log readings: try again in a minute")

    def _noted(self, html: str) -> str:
        """Return an answer, with the views' progress while they catch up."""
        if self._cursor.seq >= self._goal_seq:
            return html
        return f"{still_reading(self._cursor.seq, self._goal_seq)}\n\n{html}"

    # ------------------------------------------------------------ commands

    def _offer_confirmation(self, act: Act, message: ChatMessage, sender: User) -> None:
        """Ask for confirmation with buttons, unless the command is from a backlog."""
        age_s = self._clock.now_ms() // 1_000 - message.date
        if age_s > LATE_S:
            self._counts.late += 1
            self._reply(f"this command arrived {age_s:,} s late: nothing was done\nsend it again if you still mean it")
            return
        if self._cursor.seq < self._goal_seq and not isinstance(act, KillCommand):
            self._reply(self._noted("until then only /kill is accepted"))
            return
        prompt = confirmation_for(act, self.views, fresh=self._cursor.seq >= self._goal_seq)
        if isinstance(prompt, CommandUnavailable):
            self._reply(prompt.html)
            return
        keyboard = self.confirmations.offer(act, prompt.html, message.chat.id, sender.id, prompt.trip_seq)
        self._reply(prompt.html, keyboard=keyboard, urgent=True)

    async def _pressed(self, query: CallbackQuery) -> None:
        """Do the command first; Telegram hears of it afterwards, however slow it is."""
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
            self._reject(query, verdict)

    def _reject(self, query: CallbackQuery, verdict: RejectedPress) -> None:
        self._toast(query, verdict.why)
        if verdict.over and query.message is not None:
            html = escape(query.message.text, 2_000) if verdict.known is None else verdict.known.html
            self._edit(query, answered_html(html, verdict.why, NOT_DONE) if html else escape(verdict.why))

    async def _do(self, offer: PendingCommand, sender: User) -> tuple[str, str]:
        """Submit the command; return a mark and the outcome."""
        command = command_of(offer.act, who_of(sender.id, sender.first_name), offer.trip_seq, self.views)
        if isinstance(command, CommandUnavailable):
            self._counts.refused += 1
            return NOT_DONE, f"refused: {plain_text(command.html)}"
        try:
            async with asyncio.timeout(SUBMIT_S_MAX):
                accepted = await self._commands.submit(command)
        except TimeoutError:
            return NOT_DONE, f"no answer within {SUBMIT_S_MAX:g} s: it may still be executed, check /log"
        except PapertapeError as refused:
            self._counts.refused += 1
            return NOT_DONE, f"refused: {refused}"
        self._counts.accepted += 1
        return DONE, done_words(accepted)

    # ------------------------------------------------------------ sending

    def _reply(self, html: str, *, keyboard: Keyboard = (), urgent: bool = False) -> None:
        self._replies.put(partial(self._post, html, keyboard), urgent=urgent)

    async def _post(self, html: str, keyboard: Keyboard = ()) -> ChatMessage | None:
        """Send a text in as many parts as it needs; the last one carries the buttons. Return None if it failed."""
        sent = None
        parts = split(html)
        for part in parts:
            keys = keyboard if part is parts[-1] else ()
            sent = await self._replies.send_with_retries(
                partial(self._send_part, part, keyboard=keys),
                plain=partial(self._send_part, plain_text(part), html=False, keyboard=keys),
            )
            if sent is None:
                break
        return sent

    async def _send_part(self, text: str, *, html: bool = True, keyboard: Keyboard = ()) -> ChatMessage:
        return await self._address.send_to_chat(
            partial(self._client.send_message, text=text, html=html, keyboard=keyboard)
        )

    def _channel(self) -> ReplyChannel:
        # A message is edited in the chat where it was sent.
        chat_id, client, sent = self._address.id, self._client, self._replies.send_with_retries
        return ReplyChannel(
            post=self._post,
            edit=lambda message_id, html: sent(partial(client.edit_message_text, chat_id, message_id, html)),
            photo=lambda png: sent(
                lambda: self._address.send_to_chat(partial(client.send_photo, picture=png, silent=True))
            ),
        )

    def _toast(self, query: CallbackQuery, text: str) -> None:
        answer = partial(self._answer_press, query.id, text[:TOAST_CHARS_MAX])
        self._replies.put(partial(self._replies.send_with_retries, answer, counts=False), urgent=True)

    async def _answer_press(self, callback_id: str, text: str) -> None:
        try:
            await self._client.answer_callback_query(callback_id, text, alert=True)
        except RequestRefused:
            # Too old, or already answered: the edited message says the same.
            return

    def _edit(self, query: CallbackQuery, html: str) -> None:
        if query.message is not None:
            edit = partial(self._client.edit_message_text, query.message.chat.id, query.message.message_id, html)
            self._replies.put(partial(self._replies.send_with_retries, edit), urgent=True)


def _first(failed: BaseExceptionGroup[BaseException]) -> BaseException:
    one = failed.exceptions[0]
    return _first(one) if isinstance(one, BaseExceptionGroup) else one
