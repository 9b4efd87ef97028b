"""ccxt itself: imported only when used, its addresses replaced for a stand-in, its errors translated into ours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit, urlunsplit

from papertape.engine.feeds.candle_row import TIME_MS_MAX
from papertape.engine.feeds.live.exchange import FUNDING_RATE_MAX, FundingSettlement
from papertape.engine.ports.feed import RefusalReason
from papertape.events.errors import ExchangeBusy, ExchangeError, ExchangeRefused, ExchangeUnreachable, UsageError
from papertape.events.units import MINUTE_MS

CLOSE_WITHIN_WALL_S: Final = 1.0
WORDS_CHARS_MAX: Final = 200
MARKET_TYPES: Final = ("swap", "linear")
PARSING: Final = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What ccxt raises for an answer of an unexpected shape."""

WITHOUT_CCXT: Final = "every exchange but bitget needs ccxt: pip install 'papertape[exchanges]'"

T = TypeVar("T")


def check_exchange(name: str, option: str) -> None:
    """Check a name without importing ccxt, which is slow. Raise UsageError if there is no ccxt, or no such exchange."""
    found = find_spec("ccxt")
    if found is None:
        raise UsageError(f"{option}: {WITHOUT_CCXT}")
    folders = [Path(one) / "pro" for one in found.submodule_search_locations or ()]
    names = [file.stem for folder in folders for file in folder.glob("*.py") if not file.stem.startswith("_")]
    if name not in names:
        raise _unknown_exchange(name, option, names)


def _unknown_exchange(name: str, option: str, names: Sequence[str]) -> UsageError:
    near = get_close_matches(name, names, n=3)
    meant = f"; did you mean {', '.join(near)}?" if near else ""
    return UsageError(f"{option} {name}: ccxt does not know it{meant}")


def exchange_class(name: str, option: str, module: str = "ccxt.pro") -> type[Any]:
    """Return ccxt's class of an exchange. Raise UsageError if there is no ccxt, or no such exchange.

    `option` names where the exchange was configured, for the message.
    """
    try:
        library = import_module(module)
    except ImportError:
        raise UsageError(f"{option}: {WITHOUT_CCXT}") from None
    if name not in library.exchanges:
        raise _unknown_exchange(name, option, library.exchanges)
    return getattr(library, name)  # type: ignore[no-any-return]


def open_exchange(kind: type[Any], rest_url: str, ws_url: str) -> Any:
    """Return an exchange object without keys that lists only perpetuals. Nothing is connected yet."""
    # Without `newUpdates` a stream also shows corrections of the candle before the newest.
    exchange = kind({"enableRateLimit": True, "aiohttp_trust_env": True, "newUpdates": False})
    listing = exchange.options.get("fetchMarkets")
    if isinstance(listing, dict) and isinstance(types := listing.get("types"), list):
        listing["types"] = [one for one in types if one in MARKET_TYPES] or types
    exchange.urls["api"] = replace_base_urls(exchange.urls["api"], rest_url, ws_url)
    return exchange


def replace_base_urls(urls: Any, rest_url: str, ws_url: str) -> Any:
    """Return the same tree of addresses on other hosts; paths stay, and so do addresses without a replacement."""
    if isinstance(urls, dict):
        return {name: replace_base_urls(one, rest_url, ws_url) for name, one in urls.items()}
    if not isinstance(urls, str) or not (new := ws_url if urls.startswith("ws") else rest_url):
        return urls
    place, old = urlsplit(new), urlsplit(urls)
    return urlunsplit((place.scheme, place.netloc, place.path.rstrip("/") + old.path, old.query, ""))


async def answer(exchange: Any, call: Callable[[], Awaitable[T]], limit_s: float) -> T:
    """Return what ccxt answers within a limit in wall seconds; raise an ExchangeError otherwise."""
    library = import_module("ccxt")
    try:
        async with asyncio.timeout(limit_s):
            return await call()
    except (library.RateLimitExceeded, library.DDoSProtection) as error:
        raise ExchangeBusy(_words(exchange, error)) from error
    except library.NetworkError as error:
        raise ExchangeUnreachable(_words(exchange, error)) from error
    except library.BaseError as error:
        raise ExchangeRefused(_words(exchange, error), type(error).__name__) from error
    except (OSError, TimeoutError) as error:
        raise ExchangeUnreachable(f"{exchange.id}: {error or 'no answer in time'}") from error
    except PARSING as error:
        raise ExchangeUnreachable(f"{exchange.id}: an unexpected answer ({error!r})"[:WORDS_CHARS_MAX]) from error


def _words(exchange: Any, error: BaseException) -> str:
    cause = f": {error.__cause__}" if error.__cause__ is not None and str(error.__cause__) else ""
    text = " ".join(f"{error}{cause}".split())[:WORDS_CHARS_MAX]
    return f"{exchange.id}: {text.removeprefix(exchange.id).strip() or type(error).__name__}"


async def close_exchange(exchange: Any) -> None:
    """Close an exchange object's connections, whatever state they are in: a silent peer would delay a handshake."""
    session = exchange.session
    with suppress(ExchangeError):
        await answer(exchange, exchange.close, CLOSE_WITHIN_WALL_S)
    exchange.session = None
    if session is not None:
        await session.close()


# ---------------------------------------------------------------- rows


def numbers_of(line: Any, count: int) -> tuple[int, list[float]] | RefusalReason:
    """Return the time in UTC ms and the first `count` finite numbers of a row; return why it is invalid otherwise."""
    if not isinstance(line, list | tuple) or len(line) <= count:
        return RefusalReason.WRONG_SHAPE
    time_ms, values = line[0], line[1 : count + 1]
    if type(time_ms) is not int or not all(type(value) in (int, float) for value in values):
        return RefusalReason.WRONG_SHAPE
    if not all(map(isfinite, values)):
        return RefusalReason.NOT_FINITE
    if not 0 <= time_ms <= TIME_MS_MAX:
        return RefusalReason.TIME_OUT_OF_RANGE
    return time_ms, [float(value) for value in values]


def settlement_of(entry: Any) -> FundingSettlement | RefusalReason:
    """Read a funding settlement; its time is cut to the minute. Return why it is invalid otherwise."""
    if not isinstance(entry, dict):
        return RefusalReason.WRONG_SHAPE
    read = numbers_of([entry.get("timestamp"), entry.get("fundingRate")], 1)
    if isinstance(read, RefusalReason):
        return read
    time_ms, (rate,) = read
    if abs(rate) > FUNDING_RATE_MAX:
        return RefusalReason.INCONSISTENT
    return FundingSettlement(time_ms // MINUTE_MS * MINUTE_MS, rate)
