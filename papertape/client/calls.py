"""What can be asked: every function returns a call, which knows the type of its answer.

Nothing is sent before a client's `send` is given the call, so that both clients share these. Views are as of an event:
`as_of` is a seq or a UTC time such as `2025-03-01T14:05`, empty for the newest. Lists have the same ranges, `from_` and
`to` (UTC times), `after` and `before` (seqs), and the same pages: `cursor` is the `next` of the page before. A client's
`pages` and `items` read all pages of such a call.
"""

from __future__ import annotations

from secrets import token_hex
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from papertape.api.commands import (
    CloseRequest,
    CommandRequest,
    KillRequest,
    PauseRequest,
    ReloadRequest,
    ResetRequest,
    ResumeRequest,
)
from papertape.api.signals import SignalRequest
from papertape.api.view_handler import Page, ViewAsOf
from papertape.api.views.charts import CandlesView
from papertape.api.views.history import EventsFound, StateView
from papertape.api.views.installation import ConfigView
from papertape.api.views.jobs import JobList
from papertape.api.views.studies import StudyList
from papertape.api.views.trading import EquityCurvesView, RiskView, RunnerDetail
from papertape.events.commands import Accepted
from papertape.events.signals import SignalsRecorded
from papertape.projections.folds.arena import ArenaRow
from papertape.projections.folds.log_diff import Comparison
from papertape.projections.folds.pending_orders import OrderView
from papertape.projections.folds.portfolio import AccountView, PositionView
from papertape.projections.folds.signals import SignalView
from papertape.projections.folds.trades import TradeView
from papertape.projections.site.equity_curves import DayResult
from papertape.projections.site.library import BacktestRequest, EnginesView, JobView, LibraryView, SweepRequest
from papertape.projections.site.messages import Message
from papertape.projections.site.ports import ConditionsView, StrategyView
from papertape.projections.studies.detail import StudyDetail
from papertape.projections.studies.reader import SetPage
from papertape.projections.text.event_views import ChainView, EventView

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
COMMANDS: dict[type[CommandRequest], str] = {
    PauseRequest: "pause",
    ResumeRequest: "resume",
    CloseRequest: "close",
    KillRequest: "kill",
    ResetRequest: "reset",
    ReloadRequest: "reload",
}


class Call(Struct, Generic[T_co], frozen=True):
    """One request. `answer` is the type that its answer is decoded to; `body` is JSON, None for a question."""

    path: str
    answer: type[T_co]
    parameters: dict[str, Any] = {}
    body: bytes | None = None


def _view(path: str, answer: type[T], **parameters: Any) -> Call[ViewAsOf[T]]:
    """Return the call of a view, with the parameters that have a value."""
    chosen = {name: value for name, value in parameters.items() if value not in ("", None)}
    return Call(path, ViewAsOf[answer], chosen)  # type: ignore[valid-type]


def runners(as_of: str = "") -> Call[ViewAsOf[tuple[AccountView, ...]]]:
    """Ask for the accounts of all strategies."""
    return _view("runners", tuple[AccountView, ...], as_of=as_of)


def runner(strategy: str, as_of: str = "") -> Call[ViewAsOf[RunnerDetail]]:
    """Ask for one strategy: account, parameters, results, limits, positions and orders."""
    return _view(f"runners/{quote(strategy, safe='')}", RunnerDetail, as_of=as_of)


def arena(as_of: str = "") -> Call[ViewAsOf[tuple[ArenaRow, ...]]]:
    """Ask for the strategies ranked by net return, best first."""
    return _view("arena", tuple[ArenaRow, ...], as_of=as_of)


def positions(strategy: str = "", as_of: str = "", symbol: str = "") -> Call[ViewAsOf[tuple[PositionView, ...]]]:
    """Ask for the open positions, of one strategy and symbol or of all."""
    return _view("positions", tuple[PositionView, ...], strategy=strategy, symbol=symbol, as_of=as_of)


def orders(strategy: str = "", as_of: str = "", symbol: str = "") -> Call[ViewAsOf[tuple[OrderView, ...]]]:
    """Ask for the orders that wait, of one strategy and symbol or of all."""
    return _view("orders", tuple[OrderView, ...], strategy=strategy, symbol=symbol, as_of=as_of)


def trades(
    strategy: str = "",
    symbol: str = "",
    side: Literal["", "long", "short"] = "",
    reason: str = "",
    result: Literal["", "won", "lost"] = "",
    from_: str = "",
    to: str = "",
    before: int | None = None,
    limit: int | None = None,
    as_of: str = "",
    *,
    after: int | None = None,
    cursor: int | None = None,
) -> Call[ViewAsOf[Page[TradeView]]]:
    """Ask for a page of closed trades, newest first; the ranges limit their exits."""
    chosen = {"strategy": strategy, "symbol": symbol, "side": side, "reason": reason, "result": result}
    span = {"from": from_, "to": to, "after": after, "before": before, "limit": limit, "cursor": cursor, "as_of": as_of}
    return _view("trades", Page[TradeView], **chosen, **span)


def equity(strategy: str = "", as_of: str = "", from_: str = "", to: str = "") -> Call[ViewAsOf[EquityCurvesView]]:
    """Ask for the equity over time, of all together and of each strategy; the range limits points and marks."""
    return _view("equity", EquityCurvesView, strategy=strategy, as_of=as_of, **{"from": from_}, to=to)


def days(
    limit: int | None = None, as_of: str = "", from_: str = "", to: str = "", *, cursor: int | None = None
) -> Call[ViewAsOf[Page[DayResult]]]:
    """Ask for a page of results by UTC day, by default the newest, oldest first; later pages have earlier days."""
    return _view("days", Page[DayResult], limit=limit, as_of=as_of, **{"from": from_}, to=to, cursor=cursor)


def risk(as_of: str = "") -> Call[ViewAsOf[RiskView]]:
    """Ask for the usage of every limit, and for active and past trips of kill switches."""
    return _view("risk", RiskView, as_of=as_of)


def signals(as_of: str = "") -> Call[ViewAsOf[tuple[SignalView, ...]]]:
    """Ask for the newest signal of every symbol and name."""
    return _view("signals", tuple[SignalView, ...], as_of=as_of)


def candles(
    symbol: str,
    timeframe: str = "",
    limit: int | None = None,
    cursor: int | None = None,
    strategy: str = "",
    as_of: str = "",
    from_: str = "",
    to: str = "",
) -> Call[ViewAsOf[CandlesView]]:
    """Ask for a page of candles with indicators and fills; with `strategy`, also for the readings that it plots.

    The first page has the newest candles, oldest first; later pages have earlier candles.
    """
    span = {"timeframe": timeframe, "limit": limit, "cursor": cursor, "from": from_, "to": to}
    return _view(f"candles/{quote(symbol, safe='')}", CandlesView, **span, strategy=strategy, as_of=as_of)


def conditions(strategy: str, symbol: str, as_of: str = "") -> Call[ViewAsOf[tuple[ConditionsView, ...]]]:
    """Ask for the conditions of an entry, met or not."""
    return _view("conditions", tuple[ConditionsView, ...], strategy=strategy, symbol=symbol, as_of=as_of)


def events(
    types: Sequence[str] = (),
    symbol: str = "",
    strategy: str = "",
    text: str = "",
    after: int | None = None,
    before: int | None = None,
    order: Literal["oldest", "newest"] = "oldest",
    limit: int | None = None,
    as_of: str = "",
    from_: str = "",
    to: str = "",
    *,
    trade: int | None = None,
    cursor: int | None = None,
    everything: bool = False,
) -> Call[ViewAsOf[EventsFound]]:
    """Ask for a page of events, of one trade with the event that closed it; `everything` includes candles."""
    chosen = {"type": list(types) or None, "symbol": symbol, "strategy": strategy, "text": text}
    span = {"trade": trade, "after": after, "before": before, "from": from_, "to": to, "as_of": as_of}
    page = {"order": order, "limit": limit, "cursor": cursor, "all": "true" if everything else ""}
    return _view("events", EventsFound, **chosen, **span, **page)


def event(seq: int, as_of: str = "") -> Call[ViewAsOf[EventView]]:
    """Ask for one event."""
    return _view(f"events/{seq}", EventView, as_of=as_of)


def why(seq: int, as_of: str = "") -> Call[ViewAsOf[ChainView]]:
    """Ask why an event happened, back to its root cause."""
    return _view(f"why/{seq}", ChainView, as_of=as_of)


def messages(as_of: str = "") -> Call[ViewAsOf[tuple[Message, ...]]]:
    """Ask for the owner's messages, newest first."""
    return _view("messages", tuple[Message, ...], as_of=as_of)


def state(as_of: str = "", *, digest: bool = False) -> Call[ViewAsOf[StateView]]:
    """Ask for the whole state; with `digest`, also for the digest of everything that the engine knew."""
    return _view("state", StateView, as_of=as_of, digest="true" if digest else "")


def config() -> Call[ViewAsOf[ConfigView]]:
    """Ask for the version and the configuration, without secrets."""
    return _view("config", ConfigView)


def strategies() -> Call[ViewAsOf[tuple[StrategyView, ...]]]:
    """Ask for all strategies, with the JSON schema of their parameters."""
    return _view("strategies", tuple[StrategyView, ...])


def studies(limit: int | None = None, cursor: int | None = None) -> Call[StudyList]:
    """Ask for a page of studies, the newest first."""
    given = {"limit": limit, "cursor": cursor}
    return Call("studies", StudyList, {name: value for name, value in given.items() if value is not None})


def study(name: str) -> Call[StudyDetail]:
    """Ask for one study with its verdict."""
    return Call(f"studies/{quote(name, safe='')}", StudyDetail)


def study_sets(name: str, **parameters: str | int) -> Call[SetPage]:
    """Ask for a page of a study's sets: `span`, `sort`, `order`, `limit`, `cursor`."""
    return Call(f"studies/{quote(name, safe='')}/sets", SetPage, dict(parameters))


def library() -> Call[LibraryView]:
    """Ask what lies in the data folders: logs, backtests, studies, archives, backups, market files."""
    return Call("library", LibraryView)


def engines() -> Call[EnginesView]:
    """Ask for the logs that the page was started with, their totals and one ranking."""
    return Call("engines", EnginesView)


def comparison(a: str, b: str) -> Call[Comparison]:
    """Ask for two logs of the library, by their ids, and the first decision in which they differ."""
    return Call("comparison", Comparison, {"a": a, "b": b})


def jobs() -> Call[JobList]:
    """Ask for the jobs of the page, the newest first."""
    return Call("jobs", JobList)


def job(number: str) -> Call[JobView]:
    """Ask for one job with its progress."""
    return Call(f"jobs/{quote(number, safe='')}", JobView)


def start_job(request: BacktestRequest | SweepRequest) -> Call[JobView]:
    """Start a backtest or a sweep."""
    kind = "sweep" if isinstance(request, SweepRequest) else "backtest"
    return Call(f"jobs/{kind}", JobView, body=msgspec.json.encode(request))


def cancel_job(number: str) -> Call[JobView]:
    """Cancel a job; a sweep stays resumable."""
    return Call(f"jobs/{quote(number, safe='')}/cancel", JobView, body=b"")


def start_job_again(number: str) -> Call[JobView]:
    """Resume a sweep that was cancelled or failed."""
    return Call(f"jobs/{quote(number, safe='')}/again", JobView, body=b"")


def command(request: CommandRequest) -> Call[Accepted]:
    """Command the engine: `command(PauseRequest(actor="anna", reason="news"))`."""
    return Call(f"commands/{COMMANDS[type(request)]}", Accepted, body=msgspec.json.encode(request))


def record_signals(*requests: SignalRequest) -> Call[SignalsRecorded]:
    """Record signals from outside the market, all of them or none.

    One without an id and a time gets an id here, so that it is recorded once even if the request is repeated.
    """
    named = [one if one.id or one.at is not None else replace(one, id=token_hex(12)) for one in requests]
    return Call("signals", SignalsRecorded, body=msgspec.json.encode(named))
