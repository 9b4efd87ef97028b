"""The answer of a study, in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from papertape.projections.studies.document import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from papertape.projections.studies.document import GateResult, Outcome

REASONS: Final[dict[str, str]] = {
    "enough": "there is too little data",
    "costs": "costs eat the edge",
    "out_of_sample": "it does not make money out of sample",
    "deflated": "no better than luck among so many sets",
    "overfitting": "the best set changes with the days it is chosen on",
    "family": "no set beats cash by more than chance",
    "plateau": "a peak, not a plateau",
    "stress": "it does not survive the stress test",
}
"""What a failed gate says about the strategy, by its name."""


def make_verdict(
    gates: Sequence[GateResult],
    chosen_set: int | None,
    parameters: Mapping[str, int | float],
    trials: int,
    effective_trials: float | None = None,
    survivors: Sequence[int] = (),
) -> Verdict:
    """Return the verdict: the first failed gate decides; without one, a gate that could not be judged does.

    Failing the stress gate alone makes the bet small; it never makes the answer NO.
    """
    gate = _deciding(gates)
    return Verdict(
        outcome=gate.outcome if gate is not None else "BET",
        headline=_headline(gate, gate.outcome if gate is not None else "BET"),
        first_failed=gate.name if gate is not None else "",
        gates=tuple(gates),
        chosen_set=chosen_set,
        parameters=dict(parameters),
        trials=trials,
        effective_trials=effective_trials,
        survivors=tuple(survivors),
    )


def _deciding(gates: Sequence[GateResult]) -> GateResult | None:
    """Return the gate that decides, None if all passed."""
    *hard, stress = gates
    if hard[0].state != "passed":  # Without enough data out of sample, the other gates prove nothing.
        return hard[0]
    failed = (gate for gate in hard if gate.state == "failed")
    skipped = (gate for gate in hard if gate.state == "skipped")
    return next(failed, None) or next(skipped, None) or (stress if stress.state != "passed" else None)


def _headline(gate: GateResult | None, outcome: Outcome) -> str:
    if gate is None:
        return f"{outcome}: every gate passed"
    if gate.state == "skipped":
        return f'{outcome}: the gate "{gate.title.lower()}" could not be judged: {gate.text}'
    return f"{outcome}: {REASONS[gate.name]}: {gate.text}"
