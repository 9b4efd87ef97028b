"""`papertape doctor` and `config check`: check that Apprise knows the other channels; --notify sends a test message."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

from papertape.cli.doctor.doctor_finding import Finding
from papertape.cli.environment.variables import SECRETS
from papertape.events.errors import ConfigError
from papertape.projections.notify.addresses import VARIABLE, read_addresses
from papertape.projections.notify.channel import NotifyChannel, is_known
from papertape.projections.telegram.errors import TelegramError
from papertape.projections.telegram.secret import variables_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from papertape.projections.notify.addresses import NotifyAddress

NAME: Final = "channels"
TEST_MESSAGE: Final = "papertape: a test message\n`papertape doctor --notify` sent it: alerts will reach you here."
UNKNOWN_ADVICE: Final = f"correct it in {VARIABLE}; `apprise --details` lists what Apprise knows"


def channels(folder: Path, *, send: bool) -> Iterator[Finding]:
    """Yield one finding for each channel; `folder` may contain `.env`. None if the variable itself is invalid."""
    try:
        addresses = _addresses(folder)
    except ConfigError:
        return  # Reported with the environment.
    for one in addresses:
        if not is_known(one):
            yield Finding("fail", NAME, f"{one.title}: Apprise does not know this address", UNKNOWN_ADVICE)
        elif send:
            yield _sent(one)
        else:
            yield Finding("ok", NAME, f"{one.title}: Apprise knows the address; --notify sends a test message")


def check_channels(folder: Path) -> None:
    """Raise ConfigError, with the titles of the channels whose address Apprise does not know."""
    if unknown := [one.title for one in _addresses(folder) if not is_known(one)]:
        raise ConfigError(f"{VARIABLE}: Apprise does not know the address of {', '.join(unknown)}")


def _addresses(folder: Path) -> list[NotifyAddress]:
    return read_addresses(variables_of(os.environ, folder / ".env", SECRETS))


def _sent(address: NotifyAddress) -> Finding:
    try:
        asyncio.run(NotifyChannel(address).send_message(0, TEST_MESSAGE, html=False))
    except TelegramError as error:
        return Finding("fail", NAME, f"{address.title}: {error}", "alerts would wait in the log until it accepts them")
    return Finding("ok", NAME, f"{address.title}: accepted a test message")
