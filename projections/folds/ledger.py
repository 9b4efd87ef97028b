"""The ledger: capital, cash and open positions of every strategy, and the last close of every symbol.

Cash changes only here: a fill that opens or increases a position costs its fee, funding is booked as it is paid, and a
fill that reduces or closes one adds the gross result of its part less its fee. So cash = capital + the sum of all
ledger entries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from msgspec import Struct, structs

from papertape.events.errors import LogDamaged
from papertape.events.facts import (
    Closing,
    FundingPaid,
    PositionIncreased,
    PositionOpened,
    PositionReduced,
    RunnerConfigured,
    Side,
)
from papertape.projections.folds.fills import FillView, fill_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from papertape.events.log import Recorded

CAPITAL_DEFAULT_USDT = 10_000.0
LEVERAGE_DEFAULT = 3.0


def direction(side: Side) -> float:
    """Return +1 for a long position and -1 for a short one."""
    return 1.0 if side == "long" else -1.0


LedgerEvent = PositionOpened | PositionIncreased | PositionReduced | FundingPaid | Closing


class Holding(Struct, frozen=True):
    """An open position: its opening event with its seq, and what its fills and funding have made of it.

    `signed_base` is d*q: the quantity, negative for a short position; `entry_price_usdt` is the average of what is
    open. Fees, slippage and funding are those of the open part; `realised_usdt` is the net result of the parts that
    were closed, `risk_usdt` what the entry and all adds put at risk, `units` the size of all entries in first fills.
    """

    opened: PositionOpened
    seq: int
    symbol: str
    entry_price_usdt: float
    signed_base: float
    liquidation_price_usdt: float
    margin_usdt: float
    fees_usdt: float
    slippage_usdt: float
    risk_usdt: float
    max_quantity_base: float
    fills: tuple[FillView, ...]
    units: float = 1.0
    funding_usdt: float = 0.0
    realised_usdt: float = 0.0

    @property
    def quantity_base(self) -> float:
        """The size of the position in coins."""
        return abs(self.signed_base)

    def unrealised_usdt(self, close_usdt: float) -> float:
        """Return U = d*q*(close - E) (exchange model, section 4)."""
        return self.signed_base * (close_usdt - self.entry_price_usdt)


class LedgerAccount(Struct):
    """One strategy's isolated capital. The totals of fees, funding and slippage include open positions.

    `holdings` are in the configured order of the symbols, so that sums are added in the engine's order.
    """

    strategy: str
    capital_usdt: float
    leverage: float
    symbols: tuple[str, ...]
    cash_usdt: float
    holdings: tuple[Holding, ...] = ()
    fees_usdt: float = 0.0
    funding_usdt: float = 0.0
    slippage_usdt: float = 0.0
    of: str = ""

    def holding(self, symbol: str) -> Holding | None:
        """Return the open position on a symbol, or None."""
        return next((h for h in self.holdings if h.symbol == symbol), None)

    def marked_usdt(self, closes: Mapping[str, float]) -> tuple[float, float]:
        """Return the sums of U and of the notional N = q*close over the open positions, at the last closes."""
        unrealised = notional = 0.0
        for position in self.holdings:
            close = closes[position.symbol]
            unrealised += position.unrealised_usdt(close)
            notional += position.quantity_base * close
        return unrealised, notional

    def put(self, symbol: str, position: Holding | None) -> None:
        """Replace the position on a symbol; None removes it."""
        holdings = [h for h in self.holdings if h.symbol != symbol]
        if position is not None:
            holdings.append(position)
        self.holdings = tuple(sorted(holdings, key=self._rank))

    def _rank(self, position: Holding) -> int:
        symbol = position.symbol
        # A symbol that a later configuration dropped may still have a position: it comes last.
        return self.symbols.index(symbol) if symbol in self.symbols else len(self.symbols)


class Ledger:
    """Fold of the accounts, in the order in which the strategies were first configured."""

    def __init__(self) -> None:
        self.accounts: dict[str, LedgerAccount] = {}
        self.closes: dict[str, float] = {}
        """The last price of each symbol, which the owner stores: candles are too many for a call each."""

    def book(self, recorded: Recorded) -> LedgerAccount | None:
        """Fold any other event; return the account whose money, positions or rules it changed, if any."""
        event = recorded.event
        match event:
            case RunnerConfigured():
                return self._configure(event)
            case PositionOpened() | PositionIncreased() | PositionReduced() | FundingPaid() | Closing():
                account = self._account(recorded.seq, event.strategy)
                _book(account, event, recorded.seq)
                return account
            case _:
                return None

    def _configure(self, event: RunnerConfigured) -> LedgerAccount:
        """Open an account with the first configuration; a later one changes the rules, never the money."""
        account = self.accounts.get(event.strategy)
        leverage = event.risk.get("leverage", LEVERAGE_DEFAULT)
        if account is None:
            capital = event.risk.get("capital_usdt", CAPITAL_DEFAULT_USDT)
            account = LedgerAccount(event.strategy, capital, leverage, event.symbols, cash_usdt=capital)
            self.accounts[event.strategy] = account
        account.leverage = leverage
        account.symbols = event.symbols
        account.of = event.of
        return account

    def _account(self, seq: int, strategy: str) -> LedgerAccount:
        account = self.accounts.get(strategy)
        if account is None:
            raise LogDamaged(seq, f"strategy {strategy!r} was never configured")
        return account


def _book(account: LedgerAccount, event: LedgerEvent, seq: int) -> None:
    match event:
        case PositionOpened():
            _open(account, event, seq)
        case PositionIncreased():
            _increase(account, event, seq)
        case PositionReduced():
            _reduce(account, event, seq)
        case FundingPaid():
            _pay(account, event)
        case Closing():
            _close(account, event)
        case _:
            assert_never(event)


def _open(account: LedgerAccount, event: PositionOpened, seq: int) -> None:
    _pay_entry(account, event)
    holding = Holding(
        opened=event,
        seq=seq,
        symbol=event.symbol,
        entry_price_usdt=event.price_usdt,
        signed_base=direction(event.side) * event.quantity_base,
        liquidation_price_usdt=event.liquidation_price_usdt,
        margin_usdt=event.margin_usdt,
        fees_usdt=event.fee_usdt,
        slippage_usdt=event.slippage_usdt,
        risk_usdt=event.risk_usdt,
        max_quantity_base=event.quantity_base,
        fills=(fill_of(event, seq),),
    )
    account.put(event.symbol, holding)


def _increase(account: LedgerAccount, event: PositionIncreased, seq: int) -> None:
    _pay_entry(account, event)
    position = account.holding(event.symbol)
    if position is None:
        return
    grown = structs.replace(
        position,
        entry_price_usdt=event.entry_price_usdt,
        signed_base=direction(event.side) * event.position_base,
        liquidation_price_usdt=event.liquidation_price_usdt,
        margin_usdt=event.margin_usdt,
        fees_usdt=position.fees_usdt + event.fee_usdt,
        slippage_usdt=position.slippage_usdt + event.slippage_usdt,
        risk_usdt=position.risk_usdt + event.risk_usdt,
        max_quantity_base=max(position.max_quantity_base, event.position_base),
        units=position.units + event.units,
        fills=(*position.fills, fill_of(event, seq)),
    )
    account.put(event.symbol, grown)


def _pay_entry(account: LedgerAccount, event: PositionOpened | PositionIncreased) -> None:
    account.cash_usdt -= event.fee_usdt
    account.fees_usdt += event.fee_usdt
    account.slippage_usdt += event.slippage_usdt


def _reduce(account: LedgerAccount, event: PositionReduced, seq: int) -> None:
    position = account.holding(event.symbol)
    # Two additions, in the engine's order, so that cash is equal to the last bit.
    account.cash_usdt += event.gross_usdt
    account.cash_usdt -= event.fee_usdt
    account.fees_usdt += event.fee_usdt
    if position is None:
        return
    own_slippage = event.quantity_base * abs(event.price_usdt - event.reference_price_usdt)
    account.slippage_usdt += own_slippage
    rest = structs.replace(
        position,
        signed_base=direction(event.side) * event.position_base,
        liquidation_price_usdt=event.liquidation_price_usdt,
        margin_usdt=event.margin_usdt,
        fees_usdt=position.fees_usdt - (event.fees_usdt - event.fee_usdt),
        slippage_usdt=position.slippage_usdt - (event.slippage_usdt - own_slippage),
        funding_usdt=position.funding_usdt - event.funding_usdt,
        realised_usdt=position.realised_usdt + event.net_usdt,
        fills=(*position.fills, fill_of(event, seq)),
    )
    account.put(event.symbol, rest)


def _pay(account: LedgerAccount, event: FundingPaid) -> None:
    account.cash_usdt += event.amount_usdt
    account.funding_usdt += event.amount_usdt
    position = account.holding(event.symbol)
    if position is not None:
        account.put(event.symbol, structs.replace(position, funding_usdt=position.funding_usdt + event.amount_usdt))


def _close(account: LedgerAccount, event: Closing) -> None:
    position = account.holding(event.symbol)
    entry_slippage = position.slippage_usdt if position is not None else 0.0
    # Two additions, in the engine's order, so that cash is equal to the last bit.
    account.cash_usdt += event.part_gross_usdt
    account.cash_usdt -= event.fee_usdt
    account.fees_usdt += event.fee_usdt
    account.slippage_usdt += event.part_slippage_usdt - entry_slippage
    account.put(event.symbol, None)
