"""The stand-in of Telegram says yes and no where the real one does, and fails on demand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from papertape.sandbox.telegram.faults import TelegramFault
from papertape.sandbox.telegram.html import InvalidHtml, Span, parse, utf16_units
from papertape.sandbox.telegram.twin import CHAT_ID, TelegramTwin
from tests.sandbox.served_twin import START_MS
from tests.sandbox.virtual_time import VirtualClock, run

STRANGER = 999
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8) + (640).to_bytes(4, "big") + (480).to_bytes(4, "big") + bytes(50)
Answer = dict[str, Any]


class Caller:
    """A plain client of the twin."""

    def __init__(self, twin: TelegramTwin, http: httpx.AsyncClient) -> None:
        self.twin = twin
        self.http = http

    async def __call__(self, method: str, **arguments: Any) -> Answer:
        answer: Answer = (await self.post(method, json=arguments)).json()
        return answer

    async def post(self, method: str, **body: Any) -> httpx.Response:
        return await self.http.post(f"{self.twin.api_url}/bot{self.twin.token}/{method}", **body)

    async def send(self, text: str, **more: Any) -> Answer:
        return await self("sendMessage", **{"chat_id": CHAT_ID, "text": text, "parse_mode": "HTML", **more})


def called(use: Callable[[Caller], Awaitable[None]], **options: Any) -> TelegramTwin:
    """Let a client use a twin in virtual time."""

    async def main(clock: VirtualClock) -> TelegramTwin:
        async with TelegramTwin(clock, **options) as twin, httpx.AsyncClient(verify=False, timeout=30) as http:
            await use(Caller(twin, http))
        return twin

    return run(main, START_MS)


# ---------------------------------------------------------------- HTML


@pytest.mark.parametrize(
    ("html", "words"),
    [
        ("ab<foo>c", 'Unsupported start tag "foo" at byte offset 2'),
        ("é<br>", 'Unsupported start tag "br" at byte offset 2'),
        ("a < b", 'Unsupported start tag "" at byte offset 2'),
        ("a <b", "Unclosed start tag at byte offset 2"),
        ("<b>a", 'Can\'t find end tag corresponding to start tag "b"'),
        ("a</b>", "Unexpected end tag at byte offset 1"),
        ("<b>a</i>", 'Unmatched end tag at byte offset 4, expected "</b>", found "</i>"'),
        ("<b><i>a</b></i>", 'Unmatched end tag at byte offset 7, expected "</i>", found "</b>"'),
        ("<b>a</b", "Unclosed end tag at byte offset 4"),
        ("<span>a</span>", 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
        ("<a href=x/y>a</a>", "Unexpected end of name token at byte offset 8"),
        ('<a href="x>a</a>', 'Unclosed start tag "a" at byte offset 0'),
        ('<a ="x">a</a>', 'Empty attribute name in the tag "a" at byte offset 0'),
    ],
)
def test_html_that_makes_no_sense_is_refused_with_the_servers_words(html: str, words: str) -> None:
    with pytest.raises(InvalidHtml) as wrong:
        parse(html)
    assert str(wrong.value) == words


def test_html_that_makes_sense_is_read() -> None:
    text = (
        '<b>A &lt;&amp;&#62;</b> <a href="http://x/?a=1&amp;b">l</a>\n<pre><code class="language-py">😀x</code></pre>'
    )
    parsed = parse(f"{text}<blockquote expandable>q</blockquote> &nbsp; 1 & 2")
    assert parsed.text == "A <&> l\n😀xq &nbsp; 1 & 2"
    assert parsed.spans[:2] == (Span("b", 0, 5), Span("a", 6, 1, "http://x/?a=1&b"))
    assert set(parsed.spans[2:4]) == {Span("pre", 8, 3), Span("code", 8, 3, "language-py")}
    assert utf16_units("😀x") == 3


# ---------------------------------------------------------------- messages


def test_a_message_is_kept_as_it_is_read_and_ids_rise() -> None:
    async def use(call: Caller) -> None:
        first = await call.send("<b>LONG</b> a &lt; b", disable_notification=True)
        second = await call.send("plain <b>", parse_mode="")
        assert first["result"]["text"] == "LONG a < b"
        assert second["result"]["message_id"] == first["result"]["message_id"] + 1

    twin = called(use)
    assert [(one.text, one.silent) for one in twin.messages] == [("LONG a < b", True), ("plain <b>", False)]
    assert twin.messages[0].at_ms == START_MS


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"text": ""}, "message text is empty"),
        ({"text": "<b> </b>"}, "message text is empty"),
        ({"text": "a" * 4_097}, "message is too long"),
        ({"text": "😀" * 2_049}, "message is too long"),
        ({"text": "a", "chat_id": 5}, "chat not found"),
        ({"text": "a", "chat_id": "x"}, "invalid chat_id specified"),
        ({"text": "<x>"}, "can't parse entities: Unsupported start tag \"x\" at byte offset 0"),
        ({"text": "a", "reply_markup": {"inline_keyboard": [[{"text": "x", "callback_data": "é" * 33}]]}},
         "BUTTON_DATA_INVALID"),
    ],
)  # fmt: skip
def test_a_message_that_is_wrong_is_refused(arguments: dict[str, Any], words: str) -> None:
    async def use(call: Caller) -> None:
        answer = await call.send(**arguments)
        assert answer == {"ok": False, "error_code": 400, "description": f"Bad Request: {words}"}

    assert not called(use).messages


def test_the_longest_message_and_entities_that_shorten_it_are_taken() -> None:
    async def use(call: Caller) -> None:
        assert (await call.send("😀" * 2_048))["ok"]
        assert (await call.send("<b>" + "&amp;" * 4_096 + "</b>"))["ok"]

    called(use)


def test_wrong_token_unknown_method_and_foreign_paths() -> None:
    async def use(call: Caller) -> None:
        url = call.twin.api_url
        assert (await call.http.post(f"{url}/bot1:x/getMe")).status_code == 401
        assert (await call.http.post(f"{url}/getMe")).status_code == 404
        assert (await call.post("getNothing")).status_code == 404
        assert (await call.post("GETME")).json()["result"]["is_bot"] is True

    called(use)


def test_edits_change_a_message_or_are_refused() -> None:
    async def use(call: Caller) -> None:
        number = (await call.send("one"))["result"]["message_id"]
        where = {"chat_id": CHAT_ID, "message_id": number}
        assert (await call("editMessageText", **where, text="two"))["result"]["text"] == "two"
        again = await call("editMessageText", **where, text="two")
        assert again["description"].startswith("Bad Request: message is not modified")
        missing = await call("editMessageText", **{**where, "message_id": 77}, text="x")
        assert missing["description"] == "Bad Request: message to edit not found"

    twin = called(use)
    assert twin.messages[0].text == "two"
    assert twin.messages[0].edits == [(START_MS, "one")]


def test_pictures_and_documents_come_as_multipart() -> None:
    async def use(call: Caller) -> None:
        keys = json.dumps({"inline_keyboard": [[{"text": "go", "callback_data": "1"}]]})
        form = {"chat_id": str(CHAT_ID), "caption": "<b>c</b>", "parse_mode": "HTML", "reply_markup": keys}
        photo = {"photo": ("chart.png", PNG, "image/png")}
        assert (await call.post("sendPhoto", data=form, files=photo)).json()["ok"]
        content = bytes(range(256)) + b"\r\n--x\r\n"
        assert (await call.post("sendDocument", data=form, files={"document": ("a.bin", content)})).json()["ok"]
        wide = PNG.replace((640).to_bytes(4, "big"), (9_700).to_bytes(4, "big"))
        for words, body, caption in [
            ("IMAGE_PROCESS_FAILED", b"no picture", "c"),
            ("PHOTO_INVALID_DIMENSIONS", wide, "c"),
            ("file must be non-empty", b"", "c"),
            ("message caption is too long", PNG, "c" * 1_025),
        ]:
            given = {"data": {**form, "caption": caption}, "files": {"photo": ("p.png", body, "image/png")}}
            assert (await call.post("sendPhoto", **given)).json()["description"] == f"Bad Request: {words}"
            await asyncio.sleep(1)

    twin = called(use)
    photo, document = twin.messages
    assert (photo.kind, photo.text, photo.buttons[0].data) == ("photo", "c", "1")
    assert document.file is not None
    assert document.file.content == bytes(range(256)) + b"\r\n--x\r\n"


# ---------------------------------------------------------------- limits


def test_more_than_a_message_a_second_is_too_many() -> None:
    async def use(call: Caller) -> None:
        answers = [await call.post("sendMessage", json={"chat_id": CHAT_ID, "text": "x"}) for _ in range(5)]
        assert [one.status_code for one in answers] == [200, 200, 200, 200, 429]
        assert answers[-1].headers["retry-after"] == "1"
        assert answers[-1].json()["parameters"] == {"retry_after": 1}
        await asyncio.sleep(1)
        assert (await call.send("y"))["ok"]

    assert called(use).statistics.limited == 1


def test_a_group_takes_twenty_a_minute() -> None:
    async def use(call: Caller) -> None:
        for _ in range(20):
            assert (await call.send("x", chat_id=-100))["ok"]
            await asyncio.sleep(1)
        assert (await call.send("x", chat_id=-100))["parameters"] == {"retry_after": 40}

    called(use, chats=(-100,))


# ---------------------------------------------------------------- updates


def test_a_poll_waits_for_what_comes_and_confirms_by_offset() -> None:
    async def use(call: Caller) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(7.0, call.twin.say, "/status now")
        first = (await call("getUpdates", timeout=25))["result"]
        assert loop.time() == pytest.approx(7.0)
        assert first[0]["message"]["entities"] == [{"offset": 0, "length": 7, "type": "bot_command"}]
        assert (await call("getUpdates", timeout=25))["result"] == first, "what is not confirmed comes again"
        assert (await call("getUpdates", timeout=25, offset=first[0]["update_id"] + 1))["result"] == []
        assert loop.time() == pytest.approx(32.0)

    called(use)


def test_a_second_poller_ends_the_first_one() -> None:
    async def use(call: Caller) -> None:
        first = asyncio.ensure_future(call("getUpdates", timeout=25))
        await asyncio.sleep(1)
        second = asyncio.ensure_future(call("getUpdates", timeout=25))
        assert (await first)["error_code"] == 409
        call.twin.say("x")
        assert len((await second)["result"]) == 1
        call.twin.webhook = "https://example.org"
        assert (await call("getUpdates"))["error_code"] == 409
        assert (await call("deleteWebhook", drop_pending_updates=True))["ok"]
        assert (await call("getUpdates"))["result"] == []

    called(use)


def test_updates_jump_repeat_are_filtered_and_fade() -> None:
    async def use(call: Caller) -> None:
        one = call.twin.say("one")
        call.twin.jump(50)
        two = call.twin.say("two", user=STRANGER, chat=STRANGER, age_s=3_600)
        assert two == one + 51
        got = (await call("getUpdates", allowed_updates=["message"]))["result"]
        assert got[1]["message"]["from"]["id"] == STRANGER
        call.twin.update("edited_message", {"message_id": 1})
        call.twin.faults.on(TelegramFault.DUPLICATE_UPDATES, times=1)
        again = (await call("getUpdates", offset=two))["result"]
        assert [update["update_id"] for update in again] == [two]
        repeated = (await call("getUpdates", offset=0))["result"]
        assert [update["update_id"] for update in repeated] == [one, two]
        assert [update["update_id"] for update in (await call("getUpdates", offset=-1))["result"]] == [two]
        await asyncio.sleep(90_000)
        assert (await call("getUpdates"))["result"] == []

    called(use)


def test_a_pressed_button_waits_for_one_answer_in_time() -> None:
    async def use(call: Caller) -> None:
        keys = {"inline_keyboard": [[{"text": "CONFIRM", "callback_data": "kill:1"}]]}
        await call.send("stop?", reply_markup=keys)
        pressed = call.twin.press(call.twin.button("CONFIRM"))
        query = (await call("getUpdates"))["result"][0]["callback_query"]
        assert (query["data"], query["from"]["id"]) == ("kill:1", CHAT_ID)
        assert (await call("answerCallbackQuery", callback_query_id=query["id"], text="done"))["ok"]
        assert pressed.answered == "done"
        late = call.twin.press(call.twin.button("CONFIRM"), user=STRANGER, inaccessible=True)
        await asyncio.sleep(61)
        for callback_id in (query["id"], late.callback_id, "nonsense"):
            answer = await call("answerCallbackQuery", callback_query_id=callback_id)
            assert answer["description"].startswith("Bad Request: query is too old")

    called(use)


def test_the_menu_is_checked_and_kept_by_chat() -> None:
    async def use(call: Caller) -> None:
        scope = {"type": "chat", "chat_id": CHAT_ID}
        menu = [{"command": "status", "description": "Show state"}]
        assert (await call("setMyCommands", commands=menu, scope=scope))["ok"]
        assert (await call("getMyCommands", scope=scope))["result"] == menu
        assert (await call("getMyCommands"))["result"] == []
        wrong = await call("setMyCommands", commands=[{"command": "Kill!", "description": "x"}])
        assert wrong["description"] == "Bad Request: BOT_COMMAND_INVALID"

    called(use)


# ---------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("fault", "status"),
    [(TelegramFault.SERVER_ERROR, 500), (TelegramFault.BAD_GATEWAY, 502), (TelegramFault.UNAUTHORIZED, 401),
     (TelegramFault.FORBIDDEN, 403),
     (TelegramFault.NOT_FOUND, 404), (TelegramFault.BAD_REQUEST, 400), (TelegramFault.PARSE, 400),
     (TelegramFault.CONFLICT, 409), (TelegramFault.BUSY, 429),
     (TelegramFault.MIGRATED, 400)],
)  # fmt: skip
def test_a_fault_answers_instead_and_nothing_is_sent(fault: TelegramFault, status: int) -> None:
    async def use(call: Caller) -> None:
        call.twin.faults.on(fault, method="sendMessage", times=1)
        body = {"chat_id": CHAT_ID, "text": "x", "parse_mode": "HTML"}
        assert (await call.post("sendMessage", json=body)).status_code == status
        assert (await call.send("y"))["ok"]

    twin = called(use)
    assert twin.texts == ["y"]
    assert twin.faults.counts[fault] == 1
    assert [one.status for one in twin.received] == [status, 200]


@pytest.mark.parametrize(
    ("fault", "sent"),
    [
        (TelegramFault.RESET_BEFORE, []),
        (TelegramFault.HANGING, []),
        (TelegramFault.RESET_AFTER, ["x"]),
        (TelegramFault.TIMEOUT_AFTER, ["x"]),
    ],
)
def test_a_lost_answer_says_nothing_about_the_message(fault: TelegramFault, sent: list[str]) -> None:
    async def use(call: Caller) -> None:
        call.twin.faults.on(fault)
        with pytest.raises(httpx.TransportError):
            await call.send("x")

    assert called(use).texts == sent


def test_slowness_lasts_as_long_as_it_is_on_and_nobody_listens_when_it_is_down() -> None:
    async def use(call: Caller) -> None:
        loop = asyncio.get_running_loop()
        call.twin.faults.on(TelegramFault.SLOW, value=9.0, for_s=5.0)
        await call.send("x")
        assert loop.time() == pytest.approx(9.0)
        await call.twin.stop_listening()
        with pytest.raises(httpx.ConnectError):
            await call.send("x")
        await call.twin.start_listening()
        await call.send("y")
        assert loop.time() == pytest.approx(9.0)

    assert called(use).texts == ["x", "y"]
