"""The cache of past views is bounded."""

from __future__ import annotations

from papertape.projections.host import fold
from papertape.projections.site.view_cache import ViewCache
from papertape.projections.site.views import Views
from tests.build import candle, recorded


def views_after(count: int) -> Views:
    """Return the views after this many candles."""
    views = Views()
    fold([views], recorded([candle(minute, 100.0) for minute in range(count)]))
    return views


def test_the_cache_drops_the_least_recently_requested_views() -> None:
    results, every = ViewCache(2), {seq: views_after(seq) for seq in (3, 5, 9)}
    results.put(every[3])
    results.put(every[5])
    assert results.get(3) is every[3]
    results.put(every[9])
    assert [results.get(seq) for seq in (3, 5, 9)] == [every[3], None, every[9]]
    assert [results.nearest_before(seq) for seq in (2, 3, 8, 9)] == [None, every[3], every[3], every[9]]
    assert len(results) == 2
