"""The pages of studies: the verdict first, honest pictures, and every state of a file without a 500."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from html import unescape
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from msgspec.structs import replace

from papertape.projections.studies.document import Axis, Costs, Document, Verdict
from papertape.projections.studies.reader import StudyFolder, net_outside
from papertape.projections.text.formats import gain
from tests.events.loop import in_loop
from tests.studies_file import AXES, SMALL_AXES, document, gates, write_examples, write_study
from tests.ui.site_pages import DAY, Elements, visiting
from tests.web.site import gate_of, site_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx

    from papertape.api.gate import Gate

CONCLUDED = document(SMALL_AXES)
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202e"


@asynccontextmanager
async def client(folder: Path, gate: Gate | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of the pages with a folder of studies."""
    site = site_of(list(DAY))
    site.studies = StudyFolder(folder)
    async with visiting(site, gate) as found:
        yield found


async def page_of(folder: Path, name: str, query: str = "", status: int = 200) -> str:
    """Return the page of a study."""
    async with client(folder) as there:
        answer = await there.get(f"/studies/{quote(name, safe='')}{query}")
    assert answer.status_code == status, answer.text[-500:]
    return answer.text


async def text_of(folder: Path, concluded: Document, axes: tuple[Axis, ...] = SMALL_AXES) -> str:
    """Return the visible text of the page of a study with these conclusions."""
    write_study(folder, "s", axes=axes, concluded=concluded)
    return Elements(await page_of(folder, "s")).text


@in_loop
async def test_without_a_study_the_list_shows_how_to_run_the_first(tmp_path: Path) -> None:
    async with client(tmp_path / "nothing") as there:
        text = Elements((await there.get("/studies")).text).text
    assert "No study yet" in text
    assert "papertape sweep --strategy momentum" in text


@in_loop
async def test_the_list_leads_to_every_study_and_no_state_is_an_error(tmp_path: Path) -> None:
    write_examples(tmp_path, SMALL_AXES)
    async with client(tmp_path) as there:
        found = Elements((await there.get("/studies")).text)
        links = [link for link in found.of("a", "href") if link.startswith("/studies/")]
        assert len(links) == 6
        for link in links:
            assert (await there.get(link)).status_code == 200, link
    for word in ("complete", "running", "interrupted", "failed", "newer format", "unreadable"):
        assert word in found.text
    assert gain(net_outside(CONCLUDED)) in found.text


@in_loop
async def test_the_verdict_is_first_with_every_gate(tmp_path: Path) -> None:
    text = await text_of(tmp_path, CONCLUDED)
    order = [text.index(word) for word in (
        CONCLUDED.verdict.headline, "Costs", "All sets", "Test folds joined", "In sample against out of sample",
        "Walk-forward matrix", "Distribution of all sets", "Trades of the chosen set", "Plan",
    )]  # fmt: skip
    assert order == sorted(order)
    for gate in CONCLUDED.verdict.gates:
        assert gate.title in text
        assert gate.text in text
        assert gate.change in text
    assert text.count("passed") == 3
    assert "buy & hold" in text.casefold()


@pytest.mark.parametrize("outcome", ["BET", "BET SMALL", "CANNOT SAY", "NO"])
@in_loop
async def test_every_outcome_has_its_badge(tmp_path: Path, outcome: str) -> None:
    verdict = Verdict(outcome, "The answer.", "", gates(failed_at=99), 3, {}, 12)  # type: ignore[arg-type]
    assert f"{outcome} The answer." in await text_of(tmp_path, replace(CONCLUDED, verdict=verdict))


@pytest.mark.parametrize(
    ("costs", "said"),
    [
        (Costs(200.0, 50.0, 20.0, -10.0, 120.0, 7), "Of 100 USDT gross, fees, slippage and funding took 40.00."),
        (Costs(100.0, 150.0, 50.0, 0.0, -100.0, 7), "Of 100 USDT gross, costs took 200.00: more than was earned."),
        (Costs(-60.0, 30.0, 10.0, 5.0, -95.0, 7), "Before costs the trades lost 60.00 USDT"),
        (Costs(0.0, 0.0, 0.0, 0.0, 0.0, 0), "No trades out of sample"),
    ],
)
@in_loop
async def test_costs_are_told_as_they_are(tmp_path: Path, costs: Costs, said: str) -> None:
    assert said in await text_of(tmp_path, replace(CONCLUDED, costs=costs))


@in_loop
async def test_a_study_without_trades_folds_or_parameters_renders(tmp_path: Path) -> None:
    verdict = Verdict("CANNOT SAY", "Nothing traded.", "enough", (), None, {}, 1)
    nothing = Document(verdict, Costs(0.0, 0.0, 0.0, 0.0, 0.0, 0))
    text = await text_of(tmp_path, nothing, axes=())
    assert "Nothing traded." in text
    assert "Test folds joined" not in text
    assert "Trades of the chosen set" not in text


@in_loop
async def test_a_running_study_shows_progress_but_no_results(tmp_path: Path) -> None:
    write_study(tmp_path, "s", axes=SMALL_AXES, state="running", results_max=50)
    text = Elements(await page_of(tmp_path, "s")).text
    assert "Running: 50 of 132 results" in text
    assert "Last stored" in text
    assert "All sets" not in text


@pytest.mark.parametrize("state", ["interrupted", "failed"])
@in_loop
async def test_an_unfinished_study_shows_the_line_that_continues_it(tmp_path: Path, state: str) -> None:
    write_study(tmp_path, "s", axes=SMALL_AXES, state=state, results_max=50)
    text = Elements(await page_of(tmp_path, "s")).text
    assert f"{state.capitalize()}: 50 of 132 results" in text
    assert "papertape walkforward s" in text


@in_loop
async def test_a_cell_shows_its_set_and_keeps_the_choice_of_axes(tmp_path: Path) -> None:
    write_study(tmp_path, "s", concluded=document())
    html = await page_of(tmp_path, "s", "?across=sl_percent&up=volume_confirmation_multiplier&by=sharpe&set=42")
    found = Elements(html)
    assert len(re.findall(r'<button name="set"', html)) == 300
    assert html.count('<table class="heat') == 10, "a map for each breakout_lookback"
    assert [value for value in found.of("option", "value") if value == "sharpe"]
    assert re.search(r'<option value="sharpe" selected>', html)
    assert re.search(r"Set 42\b.*breakout_lookback 15\b", found.text)
    assert "volume_confirmation_multiplier 1.5" in found.text


@in_loop
async def test_a_held_parameter_leaves_one_map(tmp_path: Path) -> None:
    write_study(tmp_path, "s", concluded=document())
    html = await page_of(tmp_path, "s", "?hold_volume_confirmation_multiplier=2")
    assert html.count('<table class="heat') == 1
    assert len(re.findall(r'<button name="set"', html)) == 100


@pytest.mark.parametrize("query", ["?by=luck", "?set=x", "?set=-1", "?hold_sl_percent=x", "?part=nothing"])
@in_loop
async def test_an_unknown_choice_is_a_page_that_says_so(tmp_path: Path, query: str) -> None:
    write_study(tmp_path, "s", axes=SMALL_AXES, concluded=CONCLUDED)
    await page_of(tmp_path, "s", query, 404)


@pytest.mark.parametrize("query", ["?set=999999999", "?across=nothing&up=nothing", "?hold_sl_percent=99", "?hold_x=1"])
@in_loop
async def test_a_choice_that_the_study_does_not_have_is_ignored(tmp_path: Path, query: str) -> None:
    write_study(tmp_path, "s", axes=SMALL_AXES, concluded=CONCLUDED)
    assert "All sets" in await page_of(tmp_path, "s", query)


@pytest.mark.parametrize("name", ["nothing", "../s", "/etc/passwd", "\x00", "%2e%2e%2fs", "ledger", "<b>s</b>"])
@in_loop
async def test_an_unknown_name_is_a_page_that_says_so(tmp_path: Path, name: str) -> None:
    write_study(tmp_path, "s", axes=SMALL_AXES)
    text = await page_of(tmp_path / "studies", name, status=404)
    assert "<b>s</b>" not in text


@in_loop
async def test_hostile_texts_are_shown_as_text(tmp_path: Path) -> None:
    verdict = replace(CONCLUDED.verdict, headline=HOSTILE, gates=tuple(replace(one, text=HOSTILE) for one in gates()))
    write_study(
        tmp_path,
        HOSTILE.replace("/", "_"),
        axes=(Axis(HOSTILE, (1, 2)),),
        concluded=replace(CONCLUDED, verdict=verdict),
    )
    async with client(tmp_path) as there:
        listed = (await there.get("/studies")).text
        link = unescape(re.findall(r'href="(/studies/[^"]+)"', listed)[0])
        answer = await there.get(link)
    assert answer.status_code == 200
    for html in (listed, answer.text):
        assert "<img" not in html
        assert "<script>alert" not in html
        assert "\u202e" not in html


@in_loop
async def test_the_log_of_the_chosen_set_is_one_command_away(tmp_path: Path) -> None:
    write_study(tmp_path, "s", axes=SMALL_AXES, concluded=CONCLUDED)
    assert "papertape study backtest s" in Elements(await page_of(tmp_path, "s")).text
    (tmp_path / "s.backtest.db").touch()
    shown = Elements(await page_of(tmp_path, "s"))
    command = f"papertape ui --port 0 --db {tmp_path}/s.backtest.db"
    assert command in shown.text
    assert command in shown.of("button", "data-copy-text")
    site = site_of(list(DAY), database=str(tmp_path / "s.backtest.db"))
    site.studies = StudyFolder(tmp_path)
    async with visiting(site) as there:
        own = Elements((await there.get("/studies/s?as_of=12")).text)
    assert "These pages show its backtest" in own.text
    assert command not in own.text


@in_loop
async def test_no_number_is_drawn_that_was_not_measured(tmp_path: Path) -> None:
    write_study(tmp_path, "s", axes=AXES, concluded=document(), results_max=17)
    html = await page_of(tmp_path, "s")
    assert len(re.findall(r'<button name="set"', html)) == 17
    assert html.count('<td class="unmeasured">') == 283


@in_loop
async def test_the_pages_have_the_access_of_every_page(tmp_path: Path) -> None:
    async with client(tmp_path, gate_of(reading_open=False)) as there:
        for path in ("/studies", "/studies/s"):
            assert (await there.get(path)).status_code == 303
