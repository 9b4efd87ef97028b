"""The sources of the token and the chat id, and that no error shows them."""

from __future__ import annotations

import copy
import logging
import pickle
from pathlib import Path

import msgspec
import pytest

from papertape.events.errors import ConfigError
from papertape.projections.telegram.errors import ChatIdMalformed, SecretUnreadable, TokenMalformed
from papertape.projections.telegram.secret import BotToken, Redaction, env_lines, read_access, redact, variables_of
from tests.canary import CANARY

TOKEN = CANARY
GIVEN = {"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_CHAT_ID": "-1001234567890"}


def test_the_environment_gives_token_and_chat() -> None:
    found = read_access(GIVEN)
    assert found is not None
    assert (found.token.reveal(), found.chat_id) == (TOKEN, -1_001_234_567_890)
    assert read_access({}) is None
    assert read_access({"TELEGRAM_BOT_TOKEN": " ", "TELEGRAM_CHAT_ID": "5"}) is None


def test_files_can_hold_token_and_chat(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "chat").write_text(" 77 \n")
    given = {"TELEGRAM_BOT_TOKEN_FILE": str(tmp_path / "token"), "TELEGRAM_CHAT_ID_FILE": str(tmp_path / "chat")}
    found = read_access(given)
    assert found is not None
    assert (found.token.reveal(), found.chat_id) == (TOKEN, 77)


def test_an_env_file_completes_the_environment(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(f"# ours\n\nexport TELEGRAM_BOT_TOKEN='{TOKEN}'\nTELEGRAM_CHAT_ID=5 # me\nHEARTBEAT_INTERVAL=60\n")
    found = read_access(variables_of({}, file))
    assert found is not None
    assert (found.token.reveal(), found.chat_id) == (TOKEN, 5)
    (tmp_path / "chat").write_text("6")
    over = read_access(variables_of({"TELEGRAM_CHAT_ID_FILE": str(tmp_path / "chat")}, file))
    assert over is not None
    assert over.chat_id == 6
    assert variables_of({}, file)["HEARTBEAT_INTERVAL"] == "60"
    assert variables_of({"A": "b"}, tmp_path / "none") == {"A": "b"}


@pytest.mark.parametrize(
    ("change", "error", "word"),
    [
        ({"TELEGRAM_BOT_TOKEN": "canary"}, TokenMalformed, "TELEGRAM_BOT_TOKEN"),
        ({"TELEGRAM_BOT_TOKEN": TOKEN + "\ncanary"}, TokenMalformed, "TELEGRAM_BOT_TOKEN"),
        ({"TELEGRAM_CHAT_ID": ""}, ChatIdMalformed, "TELEGRAM_CHAT_ID"),
        ({"TELEGRAM_CHAT_ID": "@canary"}, ChatIdMalformed, "TELEGRAM_CHAT_ID"),
        ({"TELEGRAM_CHAT_ID": "0"}, ChatIdMalformed, "TELEGRAM_CHAT_ID"),
        ({"TELEGRAM_BOT_TOKEN_FILE": "/x"}, SecretUnreadable, "both set"),
        ({"TELEGRAM_BOT_TOKEN": "", "TELEGRAM_BOT_TOKEN_FILE": "/no/such"}, SecretUnreadable, "No such file"),
    ],
)
def test_a_malformed_secret_is_refused_by_name_without_its_value(
    change: dict[str, str], error: type[ConfigError], word: str
) -> None:
    with pytest.raises(error, match=word) as refused:
        read_access(GIVEN | change)
    assert "canary" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_an_unreadable_secret_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    for content in (b"\xff\xfecanary", b"x" * 70_000):
        file.write_bytes(content)
        with pytest.raises(SecretUnreadable) as refused:
            read_access({"TELEGRAM_BOT_TOKEN_FILE": str(file)})
        assert refused.value.__context__ is None
    file.write_text("no variable canary")
    with pytest.raises(SecretUnreadable, match="line 1") as refused:
        env_lines(file)
    assert "canary" not in str(refused.value)


def test_a_token_never_shows_itself() -> None:
    token = BotToken(TOKEN)
    found = read_access(GIVEN)
    texts = [repr(token), str(token), f"{token}", f"{token!r:>40}", f"{found}", repr([token]), repr({"a": found})]
    assert not any("canary" in text or "1234567890" in text for text in texts)
    for write in (pickle.dumps, copy.deepcopy, msgspec.json.encode, msgspec.msgpack.encode):
        with pytest.raises(TypeError) as refused:
            write(token)
        assert "canary" not in str(refused.value)


def test_redaction_takes_tokens_out_of_texts_and_records() -> None:
    url = f"POST https://api.telegram.org/bot{TOKEN}/sendMessage and bot1:short and {TOKEN} and bot123%3A{TOKEN[10:]}"
    assert redact(url).count("<redacted>") == 4
    assert "canary" not in redact(url)
    assert redact("robot 12:30:00 and BTCUSDT:84018.7") == "robot 12:30:00 and BTCUSDT:84018.7"
    with pytest.raises(ValueError, match="invalid literal") as error:
        int(url)
    record = logging.LogRecord("x", 10, "f", 1, "asked %s", (url,), (ValueError, error.value, error.tb))
    assert Redaction().filter(record)
    assert "canary" not in logging.Formatter().format(record)
    assert "Traceback" in logging.Formatter().format(record)
