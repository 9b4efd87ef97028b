"""Run the command line: `python -m papertape`."""

from __future__ import annotations

from papertape.cli.__main__ import main

if __name__ == "__main__":
    main()
