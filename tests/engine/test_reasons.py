"""The kernel's reason codes and the reasons that events can carry are one closed set."""

from __future__ import annotations

from typing import get_args

import pytest

from papertape.engine.kernel.codes import REASON_NAMES
from papertape.events.codec import CODEC
from papertape.events.errors import UsageError
from papertape.events.facts import EngineReason, OrderCancelled
from papertape.events.log import Entry


def test_each_reason_has_one_code() -> None:
    reasons = [reason for closed_set in get_args(EngineReason) for reason in get_args(closed_set)]
    assert set(REASON_NAMES.values()) == set(reasons)
    assert len(REASON_NAMES) == len(set(REASON_NAMES.values()))


def test_an_event_with_an_unknown_reason_is_never_written() -> None:
    cancelled = OrderCancelled(0, "momentum", "BTCUSDT", "long", "bored")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="OrderCancelled"):
        CODEC.encode_commit([Entry(cancelled)])
