"""What the passes over sets of parameters run on: containers and loops, those of CPython or compiled ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from msgspec import Struct

    from papertape.engine.kernel.sets.tables import Asks, CandleTable, MarketRows
    from papertape.engine.kernel.state import FactColumns
    from papertape.engine.research.tape import Tape


class Kit(Protocol):
    """One way to run the passes for one strategy. Its containers are indexed step by step."""

    name: str
    slots: Any
    references: Any
    active: Any
    facts_scratch: Any
    notes: Any
    out: Any
    answers: Any
    desks: Any
    accounts: Any
    rules: Any
    contracts: Any
    tiers: Any

    def facts(self, tape: Tape) -> FactColumns:
        """Return the facts of a tape."""

    def by_symbol(self, facts: FactColumns) -> FactColumns:
        """Return the facts of one symbol after those of another, each in their order."""

    def candles(self, facts: FactColumns) -> FactColumns:
        """Return the candles among facts."""

    def observed(self, symbol: int | None) -> tuple[Any, ...]:
        """Return the new market of a symbol, or of all, before the first fact: markets, series, rings, signals."""

    def rings(self, symbol: int) -> tuple[Any, Any, Any]:
        """Return new rings of a symbol: histories, followed by those of the references, settlements, and readings."""

    def records(self, structs: Sequence[Struct]) -> Any:
        """Return Structs of one type as rows."""

    def twin(self, rows: Any) -> Any:
        """Return a copy of rows."""

    def copies(self, rows: Any, count: int) -> Any:
        """Return so many copies of rows."""

    def zeros(self, kind: type[Struct], count: int) -> Any:
        """Return rows of a type whose numbers are 0."""

    def ints(self, values: Sequence[int]) -> Any:
        """Return whole numbers as a column."""

    def grid(self, rows: int, columns: int) -> Any:
        """Return a table of whole numbers."""

    def counting(self, columns: int) -> Any:
        """Return a table of one row, 0 1 2 and so on."""

    def floats(self, rows: int, columns: int) -> Any:
        """Return a table of numbers."""

    def table(self, candles: int) -> tuple[CandleTable, Asks]:
        """Return the empty tables of candles and of closes."""

    def rows(self, total: int) -> MarketRows:
        """Return rows to be filled, `total` at most."""

    def add_idle(self, rows: MarketRows, n: int, observed: tuple[Any, ...], symbol: int) -> None:
        """Make row `n` that of a symbol's candles between closes, at which nothing completes."""

    def new_state(self) -> Any:
        """Return the strategy's state before the first fact, as a row."""

    def end_states(self, states: Any) -> None:
        """Add a state for the row of the candles between closes; nobody looks at it."""

    def states(self, total: int, before: Any) -> Any:
        """Return room for the states of the strategy at every row: that of `before`, which ends, or new room."""

    def leaves(self, rows: Any) -> Iterator[tuple[Any, ...]]:
        """Return the numbers of every row."""

    def rows_bytes(self, table: Any) -> list[bytes]:
        """Return every row of a table of numbers as bytes."""

    def failed(self) -> bool:
        """Return whether a hook failed since this was asked last; compiled ones raise."""

    @property
    def prepare(self) -> Callable[..., tuple[int, int]]:
        """The first pass."""

    @property
    def prepare_beside(self) -> Callable[..., tuple[int, int]]:
        """The first pass for a strategy with references."""

    @property
    def fill_order(self) -> Callable[..., int]:
        """What puts the candles of all symbols in order."""

    @property
    def fill_pauses(self) -> Callable[..., int]:
        """What ends the table of candles."""

    @property
    def follow(self) -> Callable[..., int]:
        """The second pass."""

    @property
    def find_entries(self) -> Callable[..., int]:
        """The third pass, for entries."""

    @property
    def sift_entries(self) -> Callable[..., int]:
        """The third pass, for the first conditions of entries; it may raise what a hook raises."""

    @property
    def find_exits(self) -> Callable[..., int]:
        """The third pass, for exits."""

    @property
    def fill_following(self) -> Callable[..., int]:
        """The function that makes exits easy to look up."""

    @property
    def trade(self) -> Callable[..., int]:
        """The fourth pass, for one symbol."""

    @property
    def trade_all(self) -> Callable[..., int]:
        """The fourth pass, for several symbols."""
