"""Record the live view of a log as an SVG: `python tools/picture.py data/demo.db docs/live.svg`.

The picture is what `papertape run` shows on a terminal at the head of that log, drawn by the same code.
"""

from __future__ import annotations

import re
import sys
from contextlib import closing
from io import StringIO
from pathlib import Path

from rich.console import Console

from papertape.cli.render.dashboard import Dashboard
from papertape.events.log import Recorded
from papertape.events.sqlite_log import SqliteLogReader
from papertape.projections.host import fold

COLUMNS = 150
SPEED = 900.0


def record(db: Path, picture: Path, until_seq: int | None) -> None:
    """Fold the log into a screen and save one frame of it."""
    screen, seq, seconds = Dashboard("sim", SPEED), 0, 1.0
    with closing(SqliteLogReader(db)) as reader:
        events: list[Recorded] = [one for commit in reader.commits() for one in commit.recorded()]
        shown = [one for one in events if until_seq is None or one.seq <= until_seq]
        fold(screen.folds, shown)
        seq = shown[-1].seq
        last = [one for one in shown if one.recorded_at_ms > shown[-1].recorded_at_ms - 5_000]
        seconds = max(1.0, (last[-1].recorded_at_ms - last[0].recorded_at_ms) / 1_000.0)
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True, color_system="truecolor")
    console.print(screen.frame(console, seq, seq, len(last) / seconds))
    svg = console.export_svg(title="papertape run --feed sim --speed 900")
    # The picture loads no fonts from elsewhere: it uses those of the viewer.
    picture.write_text(re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    record(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else None)
