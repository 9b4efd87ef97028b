"""The package is built with what the pages load, so that an installed papertape asks no other server for anything."""

from __future__ import annotations

import runpy
from pathlib import Path

from setuptools.command.build_py import build_py


class BuildPages(build_py):
    """Fetch what the pages load before files are gathered; without npm the package is built without it."""

    def run(self) -> None:
        """Build."""
        said = runpy.run_path(str(Path(__file__).with_name("assets.py")))["fetch"](None)
        if said:
            self.announce(said, level=3)
        super().run()
