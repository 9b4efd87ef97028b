"""The description of the API is complete, matches the Structs, and is shown on a page and in the docs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from papertape.api.app import application
from papertape.api.gate import Access
from papertape.api.routes import GuardedMount, GuardedSocket
from papertape.api.streams import Streams
from tests.events.loop import in_loop
from tests.support import REPOSITORY
from tests.web.site import client_of, example_day, gate_of, site_of

if TYPE_CHECKING:
    from collections.abc import Iterator

SITE = site_of(example_day())
ROUTES: list[Any] = list(application(SITE, gate_of(), Streams(SITE.timeline)).routes)
SCHEMAS = [
    "AccountView", "AccountViewListAnswer", "AnomalyCase", "AnomalyKind", "AnomalyView", "ArenaRow",
    "ArenaRowListAnswer", "AsOf", "Axis", "BacktestRequest", "BandView", "BreakdownView", "CandleView",
    "CandlesView", "CandlesViewAnswer", "CauseView", "ChainView", "ChainViewAnswer", "ChartView", "CloseRequest",
    "CommandAccepted", "Comparison", "ConditionView", "ConditionsView", "ConditionsViewListAnswer", "ConfigView",
    "ConfigViewAnswer", "Costs", "CoverageView", "DayResult", "DayResultPage", "DayResultPageAnswer",
    "DecisionDifference", "DecisionReasons", "DescribedEvent", "DrawdownPoint", "DriftView", "EngineArenaRow",
    "EngineRow", "EngineStatus", "EngineTotals", "EnginesView", "EpochView", "EquityCurvesView",
    "EquityCurvesViewAnswer", "EquityMarkView", "EquityPoint", "EquityView", "EventView", "EventViewAnswer",
    "EventsFound", "EventsFoundAnswer", "FeedRepairsView", "FeedView", "FieldDifference", "FillView", "FoldResult",
    "GateResult", "GroupRow", "HealthView", "HistogramBin", "JobList", "JobView", "KillRequest", "LibraryEntry",
    "LibraryView", "LimitView", "LiveView", "LogExtent", "MarketDifference", "MarketFile", "MatrixCell", "Message",
    "MessageListAnswer", "NotReadyReason", "OrderView", "OrderViewListAnswer", "PauseRequest", "Performance",
    "PlotLine", "PlotView", "PortfolioView", "PositionView", "PositionViewListAnswer", "Problem", "PromiseView",
    "PromisedSummary", "ReadinessView", "ReadingView", "ReadyView", "RefusedView", "ReloadRequest", "RepairView",
    "ResetRequest", "RestingPrice", "ResumeRequest", "RiskView", "RiskViewAnswer", "RunnerDetail",
    "RunnerDetailAnswer", "SetFigures", "SetPage", "SetSharpes", "SettlementView", "SignalReceipt", "SignalRequest",
    "SignalView", "SignalViewListAnswer", "SignalsRecorded", "SpaceView", "StateView", "StateViewAnswer",
    "StatusView", "StrategyPair", "StrategyView", "StrategyViewListAnswer", "StudyConclusions", "StudyDetail",
    "StudyList", "StudyPlan", "StudyProgress", "StudySummary", "SuspendedView", "SweepRequest", "TargetView",
    "TotalView", "TradeView", "TradeViewPage", "TradeViewPageAnswer", "TripView", "TroubleView", "Verdict",
    "WatchdogView", "WebView", "Yardstick",
]  # fmt: skip
UNDESCRIBED = {"/openapi.json", "/api/docs", "/api/docs.css"}


async def description() -> dict[str, Any]:
    """Return the content of `/openapi.json`."""
    async with client_of(SITE) as client:
        content: dict[str, Any] = (await client.get("/openapi.json")).json()
        return content


@in_loop
async def test_every_route_is_described_with_its_protection() -> None:
    told = await description()
    for route in ROUTES:
        assert not isinstance(route, GuardedMount)
        if isinstance(route, GuardedSocket) or route.path in UNDESCRIBED:
            continue
        operation = told["paths"][route.path][route.method.lower()]
        assert operation["summary"]
        security = operation.get("security")
        assert security == {
            Access.OPEN: None, Access.READ: [{"token": []}, {}], Access.COMMAND: [{"token": []}],
            Access.SIGNAL: [{"signalToken": []}],
        }[route.access]  # fmt: skip
        assert ("401" in operation["responses"]) == (route.access is not Access.OPEN or route.path == "/login")


@in_loop
async def test_the_limit_parameter_is_the_same_everywhere_and_described() -> None:
    told = await description()
    limits = {
        path: one["schema"]
        for path, methods in told["paths"].items()
        for one in methods.get("get", {}).get("parameters", [])
        if one["name"] == "limit"
    }
    paged = {"trades", "events", "days", "candles/{symbol}", "studies", "studies/{name}/sets"}
    assert {f"/api/v1/{path}" for path in paged} == limits.keys()
    same = {
        "type": "integer",
        "minimum": 1,
        "maximum": 1_500,
        "default": 100,
        "description": "The maximum number of items.",
    }
    assert all(schema == same for schema in limits.values()), limits


@in_loop
async def test_the_description_explains_short_pages_of_events() -> None:
    events = (await description())["paths"]["/api/v1/events"]["get"]
    assert "even empty and still have a `next`" in events["description"]


@in_loop
async def test_every_reference_has_a_target() -> None:
    told = await description()
    schemas = told["components"]["schemas"]
    references = set(re.findall(r"#/components/schemas/([^\"']+)", str(told)))
    assert references <= schemas.keys()
    assert {"ArenaRow", "PositionView", "TradeView", "EventView", "ResetRequest", "Problem"} <= schemas.keys()
    assert schemas["ResetRequest"]["required"] == ["actor", "reason", "scope", "trip_seq"]


@in_loop
async def test_the_names_of_schemas_are_those_that_generated_clients_use() -> None:
    """A changed name breaks every generated client: keep it, even if its class is renamed."""
    assert list((await description())["components"]["schemas"]) == SCHEMAS


@in_loop
async def test_every_schema_works_with_common_client_generators() -> None:
    """They support neither tuples (`prefixItems`) nor `true` and `false` as schemas, and make classes of the names."""
    told = await description()
    odd = [
        f"{place}: {key}"
        for place, tree in nodes(told)
        for key, value in tree.items()
        if key == "prefixItems" or (key in ("items", "contains", "not") and isinstance(value, bool))
    ]
    assert not odd, odd
    assert all(re.fullmatch(r"[A-Z][A-Za-z0-9]*", name) for name in told["components"]["schemas"])


def nodes(tree: Any, place: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every object of the description with its path."""
    if isinstance(tree, dict):
        yield place, tree
        for key, value in tree.items():
            yield from nodes(value, f"{place}/{key}")
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from nodes(value, f"{place}/{index}")


@in_loop
async def test_the_page_shows_every_route_without_a_script() -> None:
    async with client_of(SITE) as client:
        page = (await client.get("/api/docs")).text
    for path in (await description())["paths"]:
        assert f"</b> {path}</h2>" in page
    assert "<script" not in page
    assert "style=" not in page
    assert "http://" not in page
    assert "https://" not in page


@pytest.mark.parametrize("route", ROUTES, ids=lambda one: one.path)
def test_the_docs_name_every_route(route: Any) -> None:
    method = "WS" if isinstance(route, GuardedSocket) else route.method
    docs = (REPOSITORY / "docs" / "http-api.md").read_text(encoding="utf-8")
    assert f"`{method} {route.path}`" in docs, f"docs/http-api.md does not name {method} {route.path}"


def test_the_docs_name_no_unknown_route() -> None:
    docs = (REPOSITORY / "docs" / "http-api.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(GET|POST|WS) (/[^`\s]*)`", docs))
    there = {("WS" if isinstance(one, GuardedSocket) else one.method, one.path) for one in ROUTES}
    assert named == there
