"""`papertape decide-diff`: decide again on the inputs of a log, and list what differs from the expected decisions.

Expected is what the log holds, or what another version wrote into a file with `--write`.
"""

from __future__ import annotations

from contextlib import closing, nullcontext
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from papertape.cli.arguments import optional_moment_ms
from papertape.cli.log_reader import read_forwards
from papertape.cli.offline.output_files import log_files
from papertape.cli.whatif.changed_settings import ChangedSettings
from papertape.cli.whatif.decision_diff import (
    DifferenceCause,
    DifferenceFinder,
    DirectDifference,
    OutcomePair,
    Outcomes,
    outcome_pairs,
)
from papertape.cli.whatif.decisions_file import (
    FORMAT,
    DecisionsFile,
    DecisionsHeader,
    read_decisions,
    written_decisions,
)
from papertape.engine.command_queue import market_ms
from papertape.engine.hook_overrun import ended_overruns
from papertape.engine.redecision import Redecided, Redecision, follow
from papertape.engine.reducer.hook_guard import GUARD_CODE
from papertape.engine.reducer.reducer import apply, groups, is_decision
from papertape.engine.reducer.state import new_state
from papertape.engine.strategy_registry import code_digest, kernel_digest
from papertape.events.errors import EngineFault, UsageError
from papertape.events.facts import Event, RunnerConfigured
from papertape.events.log import Head, Recorded
from papertape.events.sqlite_log import SqliteLogReader
from papertape.projections.persistence.fork import fork
from papertape.projections.site.market_time import MarketTimeCutoff

if TYPE_CHECKING:
    from collections.abc import Iterator

    from papertape.engine.reducer.state import EngineState, Runner

RECORDED: Final = "as recorded"


class DecideOptions(Struct, frozen=True):
    """The options of the command line."""

    config: Path | None = None
    sets: tuple[str, ...] = ()
    start: str | None = None
    end: str | None = None
    write: Path | None = None
    expect: Path | None = None


class RefusedInput(Struct, frozen=True):
    """A recorded input, such as a command, that does not fit the state which the new decisions led to."""

    seq: int
    text: str
    reason: str


class DecisionReport(Struct, frozen=True):
    """The result of deciding a log again. `differences` are the direct ones, each with its consequences, oldest first.

    `omitted` counts direct differences that are not listed. `followed` names strategies that cannot be asked, each
    with the reason: their recorded decisions were taken over.
    """

    log: str
    seq: int
    from_ms: int | None
    until_ms: int | None
    expectation: str
    settings: tuple[str, ...]
    expected_decisions: int
    decided_decisions: int
    equal: bool
    results: tuple[OutcomePair, ...]
    differences: tuple[DirectDifference, ...]
    omitted: int
    followed: dict[str, str]
    refused: tuple[RefusedInput, ...]

    @property
    def count(self) -> int:
        """The number of decisions that differ."""
        return self.results[-1].differences


def decide_again(log: Path, options: DecideOptions) -> DecisionReport:
    """Decide again on the inputs of a log, compare, and write the decisions if asked to.

    Raise UsageError, ConfigError, PortableDamaged, or LogDamaged and the like for a log that cannot be read.
    """
    expected = None if options.expect is None else read_decisions(options.expect)
    with closing(SqliteLogReader(log)) as reader:
        reader.verify_tail()
        span = _span(reader, options, expected)
        comparison = _Comparison(span, ChangedSettings(options.config, options.sets, reader), expected)
        header = comparison.header()
        writing = nullcontext() if options.write is None else written_decisions(options.write, header, log_files(log))
        with ended_overruns(GUARD_CODE), writing as writer:
            for seq, decided in comparison.run():
                if writer is not None:
                    writer.add(seq, decided)
    return comparison.report(log, options.expect)


class _DecidedSpan(Struct, frozen=True):
    """The part of a log to decide on: up to the row that ends with `head`, between two market times."""

    reader: SqliteLogReader
    head: Head
    from_ms: int | None
    until_ms: int | None

    def groups(self) -> Iterator[tuple[list[Recorded], bool]]:
        """Yield inputs with their recorded consequences, and whether they lie behind the start."""
        start = None if self.from_ms is None else MarketTimeCutoff(self.from_ms)
        end = None if self.until_ms is None else MarketTimeCutoff(self.until_ms)
        for group in groups(read_forwards(self.reader, head=self.head)):
            if is_decision(group[0].event):
                raise EngineFault(f"seq {group[0].seq}: a decision without the input that led to it")
            if end is not None and not end.includes(group[0]):
                return
            if start is not None and not start.includes(group[0]):
                start = None
            yield list(group), start is None


def _span(reader: SqliteLogReader, options: DecideOptions, expected: DecisionsFile | None) -> _DecidedSpan:
    """Return the part of the log that the options name, or that a file of decisions covers."""
    if expected is None:
        times = optional_moment_ms(options.start, "--from"), optional_moment_ms(options.end, "--to")
        return _DecidedSpan(reader, reader.head(), *times)
    header = expected.header
    if options.start is not None or options.end is not None:
        raise UsageError("--expect names its own period: write the file with the same --from and --to")
    if reader.hash_at(header.seq) != header.hash:
        raise UsageError(f"--expect {options.expect}: it was written over another log, which ends at seq {header.seq}")
    return _DecidedSpan(reader, Head(header.seq, header.hash), header.from_ms, header.until_ms)


class _Comparison:
    """Two sides on their way through a log: what is expected, and what is decided again."""

    def __init__(self, span: _DecidedSpan, settings: ChangedSettings, expected: DecisionsFile | None) -> None:
        self._span, self._settings, self._expected = span, settings, expected
        self._redecision = Redecision(new_state(settings.strategies), 0, settings.reconfigure)
        self._finder = DifferenceFinder(self._redecision, self._held, self._code_causes)
        self._held_state: EngineState | None = None
        self._outcomes = Outcomes()
        self._decided_outcomes: Outcomes | None = None
        self._at_seq = self._expected_count = self._decided_count = 0
        self._followed: dict[str, str] = {}
        self._refused: list[RefusedInput] = []

    def header(self) -> DecisionsHeader:
        """Return the header of a file with the decisions of this version."""
        code = {name: code_digest([one]) for name, one in self._settings.strategies.items() if not one.fault}
        head, lines = self._span.head, self._settings.lines
        times = self._span.from_ms, self._span.until_ms
        return DecisionsHeader(FORMAT, version("papertape"), head.seq, head.hash, *times, kernel_digest(), code, lines)

    def run(self) -> Iterator[tuple[int, list[Event]]]:
        """Decide and compare; yield the decisions on each input with its seq."""
        begun = False
        for group, is_within in self._span.groups():
            self._at_seq = group[0].seq
            self._finder.contracts.apply(group[0])
            if not is_within:
                apply(self._redecision.state, group)
                self._redecision.seq = group[-1].seq
                self._fold(group, None)
                continue
            if not begun:
                begun = True
                self._change_configuration()
            yield group[0].seq, self._take(group)

    def _change_configuration(self) -> None:
        """Put the other configuration into force behind what was decided before the period."""
        at_ms = market_ms(self._redecision.state)
        changes = self._redecision.change_configuration(at_ms)
        if changes:
            self._fold([], self._redecision.take_inputs(lambda: changes))
        self._note_runners()

    def _take(self, group: list[Recorded]) -> list[Event]:
        """Decide on one input, and compare."""
        head, expected_group = group[0], self._expected_group(group)
        redecided = self._redecision.take(group)
        if isinstance(head.event, RunnerConfigured):
            self._note_runners()
        if redecided.refused:
            self._refused.append(RefusedInput(head.seq, self._finder.words_of(head.event), redecided.refused))
        expected = [item.event for item in expected_group[1:]]
        decided = [entry.event for entry in redecided.entries if is_decision(entry.event)]
        self._finder.compare(head, expected, decided)
        if self._held_state is not None:
            follow(self._held_state, expected_group)
            self._finder.note_positions()
        self._fold(expected_group, redecided)
        self._expected_count += len(expected)
        self._decided_count += len(decided)
        return decided

    def _expected_group(self, group: list[Recorded]) -> list[Recorded]:
        """Return an input with its expected consequences."""
        if self._expected is None:
            return group
        head = group[0]
        return [head, *(replace(head, cause=head.seq, event=event) for event in self._expected.on(head.seq))]

    def _held(self) -> EngineState:
        """Return the state before the present input to which the expected decisions led.

        It is built when the first difference asks for it: without one it would be the decided state.
        """
        if self._held_state is None:
            state = self._held_state = new_state(self._settings.strategies)
            for group, is_within in takewhile(lambda pair: pair[0][0].seq < self._at_seq, self._span.groups()):
                follow(state, self._expected_group(group) if is_within else group)
        return self._held_state

    def _fold(self, expected: list[Recorded], redecided: Redecided | None) -> None:
        """Fold the results of both sides; while they are the same, one fold serves both."""
        made = None if redecided is None else [entry.event for entry in redecided.entries]
        if made is not None and self._decided_outcomes is None and made != [item.event for item in expected]:
            self._decided_outcomes = fork(self._outcomes)
        for item in expected:
            self._outcomes.apply(item)
        if redecided is not None and self._decided_outcomes is not None:
            for seq, entry in enumerate(redecided.entries, start=redecided.first_seq):
                self._decided_outcomes.apply(Recorded(seq, 0, entry.cause, entry.event))

    def _note_runners(self) -> None:
        """Note which strategies cannot be asked, and which do not run as recorded."""
        for runner in self._redecision.state.runners:
            name, strategy = runner.strategy.name, runner.strategy
            if strategy.fault:
                self._followed[name] = strategy.fault
            elif runner.configured.code_digest != code_digest([strategy]) or self._settings.lines:
                self._redecision.unlike.add(name)

    def _code_causes(self, held: Runner) -> list[DifferenceCause]:
        """Return what differs in the code of a strategy, by its digest."""
        name = held.strategy.name
        strategy = self._redecision.state.runner(name).strategy
        if strategy.fault:
            return [DifferenceCause("unknown", f"{name}: {strategy.fault}; its recorded decisions were taken over")]
        header = None if self._expected is None else self._expected.header
        causes = []
        if header is not None and header.settings != self._settings.lines:
            texts = [", ".join(lines) or "no changes" for lines in (header.settings, self._settings.lines)]
            causes.append(DifferenceCause("setting", f"settings: {texts[0]} -> {texts[1]}"))
        before = held.configured.code_digest if header is None else header.code.get(name, "")
        after, file = code_digest([strategy]), Path(strategy.file).name
        if before == after:
            return causes
        digests = f"({before[:8] or 'unknown'} -> {after[:8]})"
        if header is None:
            others = [one for one in self._held().runners if one.strategy.name != name]
            same = any(one.configured.code_digest == code_digest([one.strategy]) for one in others)
        else:
            same = header.kernel == kernel_digest()
        text = f"{name}: another {file} {digests}" if same else f"{name}: papertape's own code, or {file} {digests}"
        return [*causes, DifferenceCause("code", text)]

    def report(self, log: Path, expect: Path | None) -> DecisionReport:
        """Return the result."""
        finder = self._finder
        return DecisionReport(
            log=str(log),
            seq=self._span.head.seq,
            from_ms=self._span.from_ms,
            until_ms=self._span.until_ms,
            expectation=RECORDED if expect is None else f"as in {expect}",
            settings=self._settings.lines,
            expected_decisions=self._expected_count,
            decided_decisions=self._decided_count,
            equal=not finder.by_strategy,
            results=outcome_pairs(self._outcomes, self._decided_outcomes or self._outcomes, finder.by_strategy),
            differences=tuple(finder.roots),
            omitted=finder.omitted,
            followed=self._followed,
            refused=tuple(self._refused),
        )
