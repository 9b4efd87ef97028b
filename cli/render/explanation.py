"""`papertape why`: the causes of an event as a tree, with the readings and conditions of every decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict
from rich.text import Text
from rich.tree import Tree

from papertape.cli.explainer import Explainer, Explanation
from papertape.cli.log_reader import contracts_of, read_backwards
from papertape.cli.render.console import BAD, GOOD, HEADLINE, QUIET, emit, notes, stdout
from papertape.cli.render.event_json import json_fields
from papertape.events.errors import UsageError
from papertape.events.facts import Closing, KillSwitchTripped, PositionOpened
from papertape.projections.text.causes import CauseChain, CauseLink
from papertape.projections.text.causes import cause_chain as chain_of
from papertape.projections.text.formats import duration, money, percent, signed, utc
from papertape.projections.text.reasons import loss_percent

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.events.log import Recorded
    from papertape.events.sqlite_log import SqliteLogReader
    from papertape.projections.text.event_lines import Contracts

LARGE = 1_000.0


def show_why(reader: SqliteLogReader, seq: int, config: Path | None, *, as_json: bool) -> None:
    """Show the causes of an event. Raise UsageError for a seq that is not in the log."""
    first = _event(reader, seq)
    contracts = contracts_of(reader, [first]).by_symbol
    chain = _chain(reader, seq, contracts)
    origin = _origin(reader, chain, contracts)
    explainer = Explainer(reader, config)
    if as_json:
        emit(_json(chain, origin, explainer))
        return
    console = stdout()
    tree = _tree(chain, explainer)
    if origin is not None:
        branch = tree.add(Text("it closed a position that was opened like this:", style=QUIET))
        branch.add(_tree(origin, explainer))
    console.print(tree)
    notes(console, explainer.notes if chain.complete else [*explainer.notes, "the chain was cut short"])


def _event(reader: SqliteLogReader, seq: int) -> Recorded:
    events = reader.read(seq - 1, 1)
    if not events:
        raise UsageError(f"there is no seq {seq:,}: the log ends at seq {reader.head().seq:,}")
    return events[0]


def _chain(reader: SqliteLogReader, seq: int, contracts: Contracts) -> CauseChain:
    return chain_of(seq, lambda at: _event(reader, at), contracts)


def _origin(reader: SqliteLogReader, chain: CauseChain, contracts: Contracts) -> CauseChain | None:
    """Return the chain of the entry if the explained event closed a position."""
    event = chain.links[0].recorded.event
    if not isinstance(event, Closing):
        return None
    for recorded in read_backwards(reader, chain.links[0].recorded.seq - 1):
        entry = recorded.event
        if not isinstance(entry, PositionOpened) or (entry.strategy, entry.symbol) != (event.strategy, event.symbol):
            continue
        return _chain(reader, recorded.seq, contracts)
    return None


def _tree(chain: CauseChain, explainer: Explainer) -> Tree:
    """Return the tree with each cause below its effect."""
    root: Tree | None = None
    at: Tree | None = None
    for link in chain.links:
        label = _label(link)
        if at is None:
            root = at = Tree(label, guide_style=QUIET)
        else:
            at = at.add(label)
        for line in _numbers(link.recorded, explainer.explanation(link.recorded)):
            at.add(line)
    assert root is not None, "a chain contains at least the explained event"
    return root


def _label(link: CauseLink) -> Text:
    recorded = link.recorded
    place = f"seq {recorded.seq:,}  {utc(recorded.event.at_ms)}  "
    return Text.assemble((place, QUIET), (f"{link.line.icon} {link.line.text}", HEADLINE))


def _numbers(recorded: Recorded, explained: Explanation) -> list[Text]:
    """Return the lines below an event: the numbers of a trip or closing, conditions and readings."""
    event = recorded.event
    lines: list[Text] = []
    if isinstance(event, KillSwitchTripped):
        lost = percent(loss_percent(event.base_usdt, event.equity_usdt))
        lines.append(
            Text(f"base {money(event.base_usdt)}, peak {money(event.peak_usdt)}, equity {money(event.equity_usdt)}")
        )
        lines.append(Text(f"loss {lost} of the base, threshold {percent(event.threshold_percent)}"))
    if isinstance(event, Closing):
        costs = f"gross {signed(event.gross_usdt)}, fees {money(event.fees_usdt)}, funding {signed(event.funding_usdt)}"
        lines.append(
            Text(f"{costs}, net {signed(event.net_usdt)} USDT after {duration(event.at_ms - event.entry_time_ms)}")
        )
    lines += [condition_line(condition) for condition in explained.conditions]
    if any(explained.readings.values()):
        readings = ", ".join(f"{name} {number_text(value)}" for name, value in explained.readings.items())
        lines.append(Text(f"readings: {readings}", style=QUIET))
    return lines


def number_text(value: float) -> str:
    """Return a number with six digits or, if it is large, with thousands separators."""
    return f"{value:,.1f}" if abs(value) >= LARGE else f"{value:.6g}"


def condition_line(condition: Any) -> Text:
    """Return a condition with its mark and its numbers."""
    mark, style = ("✓", GOOD) if condition.met else ("✗", BAD)
    numbers = f"{number_text(condition.value)} {condition.relation} {number_text(condition.threshold)}"
    return Text.assemble((mark, style), f" {condition.name}: {numbers}")


def _json(chain: CauseChain, origin: CauseChain | None, explainer: Explainer) -> dict[str, Any]:
    return {
        "complete": chain.complete,
        "links": [_json_link(link, explainer) for link in chain.links],
        "origin": None if origin is None else [_json_link(link, explainer) for link in origin.links],
        "notes": explainer.notes,
    }


def _json_link(link: CauseLink, explainer: Explainer) -> dict[str, Any]:
    explained = explainer.explanation(link.recorded)
    conditions = [asdict(condition) for condition in explained.conditions]
    return {**json_fields(link.recorded), "text": link.line.text, "conditions": conditions}
