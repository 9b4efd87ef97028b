"""`papertape`, and `python -m papertape`: light, so that a Ctrl-C while all the rest is imported ends quietly too."""

from __future__ import annotations

import sys

from papertape.cli import INTERRUPTED


def main() -> None:
    """The entry point `papertape`."""
    try:
        from papertape.cli.app import main as run  # noqa: PLC0415 - it is what takes its time.

        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
