"""`papertape` and `python -m papertape`: imports little, so that Ctrl-C during the slow imports also ends quietly."""

from __future__ import annotations

import sys

from papertape.cli import INTERRUPTED
from papertape.cli.environment.early_signals import repeat_dropped_signals


def main() -> None:
    """Run `papertape`."""
    repeat_dropped_signals()
    try:
        from papertape.cli.app import main as run  # noqa: PLC0415 - slow to import.

        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    finally:
        # After an interrupt in the `exec` of a text, as in a compiler, CPython ends by SIGINT whatever the exit code,
        # though the interrupt was caught; another `exec` of a text clears that.
        exec("")  # noqa: S102 - it is empty.


if __name__ == "__main__":
    main()
