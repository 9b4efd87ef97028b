"""Detect strategies that no longer do what their studies promised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.projections.watchdog.checks import AnomalyKind, DetectedProblem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from papertape.projections.folds.promised import PromiseView


def find_drifts(promises: Mapping[str, PromiseView]) -> Iterator[DetectedProblem]:
    """Yield every difference between promise and result, by strategy. A result far below covers the one below.

    A difference may last for weeks, so it is reported when it begins and when it is over, without reminders.
    """
    for strategy, promise in promises.items():
        kinds = {AnomalyKind(drift.kind) for drift in promise.drifts}
        for drift in promise.drifts:
            kind = AnomalyKind(drift.kind)
            covered = kind is AnomalyKind.RESULT_BELOW_PROMISE and AnomalyKind.RESULT_FAR_BELOW_PROMISE in kinds
            yield DetectedProblem(kind, strategy, drift.text, covered=covered, reminds=False)
