"""Where the configuration and the data are: an option, else a variable, else the working directory, else XDG's folders.

An engine in a folder with a `papertape.toml` keeps everything there. Without one, as after `pip install`, the
configuration is `$XDG_CONFIG_HOME/papertape/papertape.toml` if that exists, and the data are in
`$XDG_DATA_HOME/papertape`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM: Final = "papertape"
FILE_NAME: Final = f"{PROGRAM}.toml"
CONFIG_VARIABLE: Final = "PAPERTAPE_CONFIG"
DATA_VARIABLE: Final = "PAPERTAPE_DATA_DIR"
XDG_DEFAULTS: Final = {"XDG_CONFIG_HOME": ".config", "XDG_DATA_HOME": ".local/share"}


class Places(NamedTuple):
    """The configuration file, None for the defaults, and the folder of the data, empty for that of the file."""

    file: Path | None
    data_folder: str = ""


def find_places(named: Path | None = None, environment: Mapping[str, str] = os.environ) -> Places:
    """Return the places for a command whose `--config` option is `named`."""
    variable = environment.get(CONFIG_VARIABLE)
    file = named or (Path(variable) if variable else None)
    if file is None and Path(FILE_NAME).exists():
        file = Path(FILE_NAME)
    data_folder = environment.get(DATA_VARIABLE, "")
    if file is not None:
        return Places(file, data_folder)
    shared = xdg_folder("XDG_CONFIG_HOME", environment) / FILE_NAME
    return Places(shared if shared.exists() else None, data_folder or str(xdg_folder("XDG_DATA_HOME", environment)))


def xdg_folder(name: str, environment: Mapping[str, str] = os.environ) -> Path:
    """Return this program's folder in one of XDG's, which must be absolute to count."""
    given = environment.get(name, "")
    base = Path(given) if Path(given).is_absolute() else Path(environment.get("HOME") or "/", XDG_DEFAULTS[name])
    return base / PROGRAM
