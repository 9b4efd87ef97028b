"""The library, the form that starts jobs, and the followed logs side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from papertape.events.errors import UsageError

if TYPE_CHECKING:
    from papertape.projections.site.library import (
        EnginesView,
        JobView,
        Library,
        LibraryEntry,
        LibraryView,
        MarketFile,
    )
    from papertape.projections.site.ports import StrategyView
    from papertape.ui.page_request import PageRequest

GROUPS: Final = {
    "": ("All", ()),
    "logs": ("Logs", ("log", "branch")),
    "backtests": ("Backtests", ("backtest",)),
    "studies": ("Studies", ("study",)),
    "archives": ("Archives", ("archive",)),
    "backups": ("Backups", ("backup",)),
    "unreadable": ("Unreadable", ("unreadable",)),
}
"""The tabs of the library, with the kinds of entries that each shows."""
JOBS_SHOWN_MAX: Final = 6
NO_JOBS: Final = "this page starts no jobs"


class GroupTab(Struct, frozen=True):
    """A tab of the library, and how many entries it has."""

    name: str
    title: str
    count: int


class LibraryPage(Struct, frozen=True):
    """The context of the library: the entries of the chosen tab, and the newest jobs."""

    view: LibraryView
    entries: tuple[LibraryEntry, ...]
    group: str
    tabs: tuple[GroupTab, ...]
    own: str
    """The id of the page's own log."""
    jobs: tuple[JobView, ...]
    refusal: str
    is_several: bool

    @property
    def is_working(self) -> bool:
        """Whether a job waits or runs, so that the page refreshes itself."""
        return any(job.state in ("queued", "running") for job in self.jobs)


class StartPage(Struct, frozen=True):
    """The context of the form: what can be chosen, and why nothing can be started (empty if something can)."""

    kind: Literal["backtest", "sweep"]
    files: tuple[MarketFile, ...]
    logs: tuple[LibraryEntry, ...]
    strategies: tuple[StrategyView, ...]
    refusal: str


class EnginesPage(Struct, frozen=True):
    """The context of the followed logs."""

    view: EnginesView


async def library(request: PageRequest) -> LibraryPage:
    """Load the library. Raise UsageError for an unknown tab, and for a log that was opened from another library."""
    source, group = library_of(request), request.parameter("show")
    if group not in GROUPS:
        raise UsageError(f"show={group!r} is not one of {', '.join(name for name in GROUPS if name)}")
    view = await source.view()
    shown = {name: _of_kinds(view.entries, kinds) for name, (_, kinds) in GROUPS.items()}
    jobs = request.site.jobs
    return LibraryPage(
        view=view,
        entries=shown[group],
        group=group,
        tabs=tuple(
            GroupTab(name, title, len(shown[name])) for name, (title, _) in GROUPS.items() if not name or shown[name]
        ),
        own=next((one.id for one in view.entries if one.address == "/"), ""),
        jobs=() if jobs is None else jobs.views()[:JOBS_SHOWN_MAX],
        refusal=NO_JOBS if jobs is None else jobs.refusal,
        is_several=source.is_several,
    )


async def start(request: PageRequest) -> StartPage:
    """Load the form of a backtest or a sweep. Raise UsageError for another kind."""
    kind = request.parameter("kind") or "backtest"
    if kind not in ("backtest", "sweep"):
        raise UsageError(f"kind={kind!r} is neither backtest nor sweep")
    view, jobs = await library_of(request).view(), request.site.jobs
    return StartPage(
        kind="sweep" if kind == "sweep" else "backtest",
        files=view.files,
        logs=tuple(one for one in view.entries if one.is_log),
        strategies=request.site.strategies,
        refusal=NO_JOBS if jobs is None else jobs.refusal,
    )


async def engines(request: PageRequest) -> EnginesPage:
    """Load the followed logs."""
    return EnginesPage(await library_of(request).engines())


def library_of(request: PageRequest) -> Library:
    """Return the library. Raise UsageError for a log that was opened from another one."""
    if request.site.library is None:
        raise UsageError("this log was opened from a library; go back to the library to see others")
    return request.site.library


def _of_kinds(entries: tuple[LibraryEntry, ...], kinds: tuple[str, ...]) -> tuple[LibraryEntry, ...]:
    return tuple(one for one in entries if not kinds or one.kind in kinds)
