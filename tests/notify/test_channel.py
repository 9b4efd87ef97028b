"""Alerts by Apprise to real services that fail: at least once, in order, parked while refused, nothing lost."""

from __future__ import annotations

import asyncio
import io
import logging
import signal
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from papertape.engine.ports.clock import SystemClock
from papertape.events.cursors import Cursors, MemoryCursors
from papertape.events.failpoints import VARIABLE
from papertape.projections.notify.addresses import NotifyAddress
from papertape.projections.notify.channel import FixedDestination, NotifyChannel, known_service, titled
from papertape.projections.telegram.delivery import Notifier
from papertape.projections.telegram.errors import ChatRefused, TelegramUnreachable
from papertape.projections.telegram.text import REPEAT_MARK
from tests.build import news
from tests.engine.processes import ROOT, environment
from tests.notify.receivers import HANGS, HttpReceiver, SmtpReceiver
from tests.patience import PATIENCE_S, stretched
from tests.telegram.rig import Plain, Tape
from tests.telegram.sender_process import Hurry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

pytest.importorskip("apprise")
# Its modules import what later Pythons no longer have.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
SECRET = "secret-of-the-path"
ALERTS = 12


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """Apprise takes a second to import, and longer on a busy machine."""
    assert known_service("json://127.0.0.1/x") is not None


@pytest.fixture
def service() -> Iterator[HttpReceiver]:
    made = HttpReceiver()
    yield made
    made.close()


def test_a_fault_in_apprise_shows_no_address(capfd: pytest.CaptureFixture[str]) -> None:
    def broken(url: str, *_: str) -> None:
        raise ValueError(f"cannot parse {url}")

    address = NotifyAddress(f"json://127.0.0.1/{SECRET}", "json")
    sent = NotifyChannel(address, deliver_by=broken).send_message(0, "text")
    with pytest.raises(TelegramUnreachable, match="Apprise itself failed"):
        asyncio.run(sent)
    assert SECRET not in "".join(capfd.readouterr())


class Line:
    """A tape of alerts, and channels that deliver them. `told` is what they wrote to the local log."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.tape, self.told, self.cursors = Tape(self.clock), list[str](), MemoryCursors()

    @asynccontextmanager
    async def to(self, url: str, cursors: Cursors | None = None, answer_s_max: float = 30.0) -> AsyncIterator[Notifier]:
        """Deliver to an address, cut off at the end as by a crash."""
        one = NotifyAddress(url, "there")
        notifier = Notifier(
            self.tape, self.tape.bus, cursors or self.cursors, Plain, NotifyChannel(one, answer_s_max),
            FixedDestination(), self.clock, self.told.append,
            name=one.former_name, title=one.title, limiter=Hurry(self.clock), begin_after_seq=0,
        )  # fmt: skip
        task = asyncio.ensure_future(notifier.run())
        try:
            yield notifier
        finally:
            task.cancel()
            await asyncio.wait([task])


async def until(is_so: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    until_s = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < until_s, "it did not happen in time"
        await asyncio.sleep(0.02)


def json_url(service: HttpReceiver) -> str:
    return f"json://127.0.0.1:{service.port}/{SECRET}"


@pytest.mark.system
@pytest.mark.parametrize(
    ("manner", "parked", "said"),
    [
        (500, "", "there: it answered 500; alerts wait in the log until it answers"),
        (403, "it answered 403", "there is parked: it answered 403; alerts wait in the log"),
        (404, "it answered 404", "there is parked: it answered 404; alerts wait in the log"),
        (HANGS, "", "there: no answer within 3 s; alerts wait in the log until it answers"),
    ],
)
def test_alerts_wait_while_a_service_fails_and_come_in_order_afterwards(
    service: HttpReceiver, manner: int | str, parked: str, said: str
) -> None:
    async def main() -> None:
        line = Line()
        service.manner = manner
        line.tape.add(news("a"), news("b"))
        patience_s = 3.0 if isinstance(manner, str) else 30.0
        async with line.to(json_url(service), answer_s_max=patience_s) as notifier:
            await until(lambda: service.refused >= 1 and bool(line.told))
            assert notifier.statistics().parked == parked
            assert notifier.statistics().oldest_unsent_ms > 0
            assert service.messages == []
            service.manner = 200
            service.ended.set()
            await until(lambda: notifier.statistics().lag_events == 0)
            assert notifier.statistics().parked == ""
        assert any(one.startswith(said) for one in line.told), line.told
        assert SECRET not in "".join(line.told)
        unmarked = [text.replace(f"\n{REPEAT_MARK}", "") for text in service.messages]
        assert list(dict.fromkeys(unmarked)) == ["1 a", "2 b"]

    asyncio.run(main())


def test_a_refused_connection_and_a_restart_of_the_service(service: HttpReceiver) -> None:
    async def main() -> None:
        line, port = Line(), service.port
        service.close()
        line.tape.add(news("a"))
        async with line.to(json_url(service)) as notifier:
            await until(lambda: bool(line.told))
            assert line.told[0].startswith("there: it could not be reached")
            again = HttpReceiver(port)
            await until(lambda: notifier.statistics().lag_events == 0)
            again.close()
        assert again.messages == [f"1 a\n{REPEAT_MARK}"], "nobody knows whether the first one came"

    asyncio.run(main())


def test_a_broken_channel_does_not_delay_another(service: HttpReceiver) -> None:
    async def main() -> None:
        line, broken = Line(), HttpReceiver()
        broken.manner = HANGS
        line.tape.add(*[news("x") for _ in range(ALERTS)])
        async with line.to(json_url(broken)) as first, line.to(json_url(service)) as second:
            await until(lambda: len(service.messages) == ALERTS)
            assert (second.statistics().parked, first.statistics().lag_events) == ("", ALERTS)
        broken.close()

    asyncio.run(main())


def test_a_text_that_is_refused_is_replaced_by_a_notice_only_where_others_are_accepted(service: HttpReceiver) -> None:
    async def main() -> None:
        line = Line()
        service.manner = 400
        line.tape.add(news("a"))
        async with line.to(json_url(service)) as notifier:
            await until(lambda: service.refused >= 3 and bool(notifier.statistics().parked))
            service.manner = 200
            await until(lambda: notifier.statistics().lag_events == 0)
            assert notifier.statistics().skipped == 0
        assert service.messages[-1] == "1 a"

    asyncio.run(main())


def test_ntfy_gets_a_title_and_plain_text(service: HttpReceiver) -> None:
    async def main() -> None:
        channel = NotifyChannel(NotifyAddress(f"ntfy://127.0.0.1:{service.port}/topic", "ntfy"))
        await channel.send_message(0, "<b>Stopped &amp; safe</b>\n<code>vwap_rsi</code>: -5 %")
        assert service.messages == ["Stopped & safe\nvwap_rsi: -5 %"]

    asyncio.run(main())


def test_an_e_mail_has_its_subject_and_a_refusal_parks() -> None:
    async def main() -> None:
        line, sink = Line(), SmtpReceiver()
        sink.refusal = "550 no such box here"
        line.tape.add(news("a\nof two lines"))
        url = f"mailto://127.0.0.1:{sink.port}?to=owner@example.org&from=bot@example.org&mode=insecure"
        async with line.to(url) as notifier:
            await until(lambda: sink.refused >= 1 and bool(notifier.statistics().parked))
            assert notifier.statistics().parked == "it answered 550"
            sink.refusal = ""
            await until(lambda: notifier.statistics().lag_events == 0)
        sink.close()
        [mail] = sink.mails
        assert "Subject: 1 a" in mail
        assert "of two lines" in mail

    asyncio.run(main())


def test_an_unknown_address_parks_and_says_why() -> None:
    async def main() -> None:
        channel = NotifyChannel(NotifyAddress("nonesuch://host/x", "nonesuch"))
        with pytest.raises(ChatRefused, match="not one that Apprise knows"):
            await channel.send_message(0, "x")

    asyncio.run(main())


def test_no_line_of_apprise_reaches_a_log(service: HttpReceiver) -> None:
    service.manner = 500
    # A handler of the root, because pytest's own also hears loggers that pass nothing on.
    lines, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(lines), root.level

    async def main() -> None:
        line = Line()
        line.tape.add(news("a"))
        async with line.to(json_url(service)):
            await until(lambda: service.refused >= 1 and bool(line.told))

    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        asyncio.run(main())
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert "selector" in lines.getvalue(), "it heard others"
    assert SECRET not in lines.getvalue()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one line", ("papertape", "one line")),
        ("first\n\nrest\nmore", ("first", "rest\nmore")),
        (f"{'x' * 121}\nrest", ("papertape", f"{'x' * 121}\nrest")),
    ],
)
def test_the_title_is_the_first_line(text: str, expected: tuple[str, str]) -> None:
    assert titled(text) == expected


def test_a_hanging_service_holds_up_neither_the_end_of_the_loop_nor_of_the_process(service: HttpReceiver) -> None:
    service.manner = HANGS
    script = (
        "import asyncio, sys, time\n"
        "from papertape.projections.notify.addresses import NotifyAddress\n"
        "from papertape.projections.notify.channel import NotifyChannel\n"
        "async def main():\n"
        "    task = asyncio.ensure_future(NotifyChannel(NotifyAddress(sys.argv[1], 'x')).send_message(0, 'x'))\n"
        "    await asyncio.to_thread(sys.stdin.readline)\n"
        "    task.cancel()\n"
        "asyncio.run(main())\n"
    )

    async def main() -> float:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, json_url(service), cwd=ROOT, stdin=asyncio.subprocess.PIPE
        )
        await until(lambda: service.refused >= 1)
        began_s = time.monotonic()
        await process.communicate(b"\n")
        assert process.returncode == 0
        return time.monotonic() - began_s

    assert asyncio.run(main()) < stretched(2.0)


# ---------------------------------------------------------------- real processes


@pytest.mark.system
def test_processes_killed_at_failpoints_lose_nothing_and_mark_every_repeat(
    service: HttpReceiver, tmp_path: Path
) -> None:
    async def send(failpoint: str = "") -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.notify.sender_process", str(tmp_path / "cursors"), str(ALERTS),
            json_url(service), cwd=ROOT, env=environment(**({VARIABLE: failpoint} if failpoint else {})),
        )  # fmt: skip
        async with asyncio.timeout(PATIENCE_S):
            return await process.wait()

    async def main() -> None:
        for name in ("before_alert", "after_alert"):
            assert await send(f"{name}:2") == -signal.SIGKILL
        assert await send() == 0

    asyncio.run(main())
    texts = service.messages
    clean = [text.replace(f"\n{REPEAT_MARK}", "") for text in texts]
    assert list(dict.fromkeys(clean)) == [f"{seq} alert" for seq in range(1, ALERTS + 1)]
    unmarked = [text for text in texts if REPEAT_MARK not in text]
    assert len(unmarked) == len(set(unmarked)), "a repeat without a mark"
    assert len(texts) == ALERTS + 1, "only the kill after the answer repeats one"
