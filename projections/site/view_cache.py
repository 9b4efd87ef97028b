"""The most recently requested views of the past."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from papertape.projections.site.views import Views

RESULTS_CACHED_MAX: Final = 8


class ViewCache:
    """The most recently requested views. They are shared, so readers must not fold them."""

    def __init__(self, count_max: int = RESULTS_CACHED_MAX) -> None:
        self._count_max = count_max
        self._views: OrderedDict[int, Views] = OrderedDict()

    def __len__(self) -> int:
        return len(self._views)

    def get(self, seq: int) -> Views | None:
        """Return the views after exactly this event, or None."""
        views = self._views.get(seq)
        if views is not None:
            self._views.move_to_end(seq)
        return views

    def nearest_before(self, seq: int) -> Views | None:
        """Return the cached views nearest to an event, at or before it, or None."""
        nearest = max((cached for cached in self._views if cached <= seq), default=None)
        return self._views[nearest] if nearest is not None else None

    def put(self, views: Views) -> None:
        """Cache views, and drop the least recently requested ones."""
        self._views[views.seq] = views
        self._views.move_to_end(views.seq)
        while len(self._views) > self._count_max:
            self._views.popitem(last=False)
