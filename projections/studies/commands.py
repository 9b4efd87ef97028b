"""The command lines that continue a study and that run its chosen set again, ready to be copied."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from papertape.projections.studies.reader import LOG_SUFFIX

if TYPE_CHECKING:
    from papertape.projections.studies.document import StudyPlan
    from papertape.projections.studies.reader import StudyView


def resume_command(plan: StudyPlan) -> str:
    """Return the command that continues a study."""
    return shlex.join(("papertape", "sweep", "--study", plan.name))


def backtest_command(study: StudyView) -> str:
    """Return the command that writes the chosen set's backtest to a log beside the study's file; empty without one."""
    plan, document = study.plan, study.document
    if plan is None or document is None or document.verdict.chosen_set is None:
        return ""
    log = Path(study.file).with_name(f"{study.name}{LOG_SUFFIX}")
    values = {**plan.parameters, **document.verdict.parameters}
    options = [option for name, value in values.items() for option in ("--set", f"{plan.strategy}.{name}={value}")]
    words = ("papertape", "backtest", "--strategy", plan.strategy, "--candles", "FILE", *options, "--db", str(log))
    return shlex.join(words)
