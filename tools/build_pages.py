"""Build the package with the pages' assets, so that an installed papertape loads nothing from other servers."""

from __future__ import annotations

import runpy
from pathlib import Path

from setuptools.command.build_py import build_py


class BuildPages(build_py):
    """Fetches the assets before the build collects files; without npm the package has no assets."""

    def run(self) -> None:
        """Fetch the assets and build."""
        message = runpy.run_path(str(Path(__file__).with_name("assets.py")))["fetch"](None)
        if message:
            self.announce(message, level=3)
        super().run()
