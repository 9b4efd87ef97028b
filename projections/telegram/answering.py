"""From a question to its answer: which view it is, and what else has to be asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from msgspec import Struct

from events.facts import OrderPlaced
from events.log import Recorded
from projections.host import Source
from projections.telegram.asof import as_of
from projections.telegram.client import TelegramClient
from projections.telegram.explain import (
    Conditions,
    as_of_text,
    config_text,
    health_text,
    help_text,
    log_text,
    symbol_of,
    unknown_symbol,
    version_text,
    why_not_text,
    why_text,
)
from projections.telegram.pace import Clock
from projections.telegram.parse import AsOf, Daily, LastEvents, LastTrades, Profit, Question, Show, Why, WhyNot
from projections.telegram.pictures import Curve, picture
from projections.telegram.replies import (
    arena,
    daily_text,
    last_trades,
    positions,
    profit_text,
    risk,
    status,
    weekly_text,
)
from projections.telegram.results import courses_of
from projections.telegram.statistics import DeliveryStatistics
from projections.telegram.views import Views
from projections.telegram.wire import Message
from projections.watchdog.dog import DogView
from projections.why import Condition, why
