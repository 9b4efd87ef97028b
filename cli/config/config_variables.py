"""Keys of the configuration as environment variables: `PAPERTAPE_WEB__PORT` is `web.port`.

The name is the key's path in capitals, its parts joined by two underscores. Variables come from the environment,
or from `.env` beside the configuration. One with the prefix in lower case is refused by name.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from papertape.api.token import SIGNAL_TOKEN_VARIABLE, TOKEN_VARIABLE
from papertape.cli.config.places import CONFIG_VARIABLE, DATA_VARIABLE
from papertape.cli.config.schema import ConfigKey, ConfigTable
from papertape.events.errors import ConfigError
from papertape.projections.notify.addresses import VARIABLE as CHANNELS_VARIABLE
from papertape.projections.telegram.errors import SecretUnreadable
from papertape.projections.telegram.secret import FILE_SUFFIX, env_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from papertape.cli.config.schema import Node
    from papertape.cli.config.toml_lines import Path as TomlPath

PREFIX: Final = "PAPERTAPE_"
BETWEEN: Final = "__"
SECRET_NAMES: Final = (TOKEN_VARIABLE, SIGNAL_TOKEN_VARIABLE, CHANNELS_VARIABLE)
OWN: Final = (*SECRET_NAMES, *(name + FILE_SUFFIX for name in SECRET_NAMES), CONFIG_VARIABLE, DATA_VARIABLE)
"""The variables that are not keys."""
OF_DEPLOYMENT: Final = (
    "PAPERTAPE_ARCHIVE_FOLDER",
    "PAPERTAPE_BACKUP_EVERY_S",
    "PAPERTAPE_BACKUP_FOLDER",
    "PAPERTAPE_BACKUPS_KEPT",
    "PAPERTAPE_CONFIG_FILE",
    "PAPERTAPE_EXTRAS",
    "PAPERTAPE_FEED",
    "PAPERTAPE_PORT",
    "PAPERTAPE_STRATEGIES_FOLDER",
)
"""Variables of compose.yaml and deploy.sh; some resemble keys."""
RESEMBLANCE_MIN: Final = 0.85


def variable_of(path: TomlPath) -> str:
    """Return the variable of a key."""
    return PREFIX + BETWEEN.join(path).upper()


def prefixed_variables(environment: Mapping[str, str], env_file: Path) -> dict[str, tuple[str, str]]:
    """Return this program's variables, each with its value and where it is set: in the environment or in `.env`.

    Raise ConfigError for one in `.env` that says where the configuration or the data are.
    """
    try:
        lines = env_lines(env_file) if env_file.is_file() else {}
    except (OSError, SecretUnreadable):
        lines = {}  # A command that needs its secrets reports this; one that only reads a log does not need them.
    for name in (CONFIG_VARIABLE, DATA_VARIABLE):
        if lines.get(name) and name not in environment:
            raise ConfigError(f"{name} in {env_file} has no effect: set it in the environment, which is read before")
    found = {name: (value, f"{name} in {env_file}") for name, value in lines.items()}
    found |= {name: (value, name) for name, value in environment.items()}
    return {name: one for name, one in found.items() if name.upper().startswith(PREFIX)}


def is_key(name: str) -> bool:
    """Return whether a variable's name has the form of a key."""
    return BETWEEN in name[len(PREFIX) :]


def find_key(name: str, known: ConfigTable) -> tuple[TomlPath, ConfigKey] | None:
    """Return the path and the key of a variable; None if there is no such key, and for a prefix in lower case."""
    if not name.startswith(PREFIX):
        return None
    path: list[str] = []
    node: Node | None = known
    for part in name.removeprefix(PREFIX).split(BETWEEN):
        if not isinstance(node, ConfigTable):
            return None
        path.append(next((key for key in node.keys if key.upper() == part.upper()), part))
        node = node.at(path[-1])
    return (tuple(path), node) if isinstance(node, ConfigKey) else None


def refuse_unknown(names: Iterable[str], known: ConfigTable) -> None:
    """Raise ConfigError for a name that has the form of a key but is none, or that resembles a known name.

    Other names with our prefix are left alone: other programs and tests may use them.
    """
    keys = [variable_of(path) for path, _ in keys_of(known)]
    problems = []
    for name in names:
        if is_key(name):
            wrong = find_key(name, known) is None
            meant = get_close_matches(name.upper(), keys, n=1) if wrong else []
        else:
            known_names = (*OWN, *OF_DEPLOYMENT)
            in_capitals = [one for one in known_names if one == name.upper()]
            meant = [] if name in known_names else in_capitals or _resembled(name, keys)
            wrong = bool(meant)
        if wrong:
            hint = f"did you mean {meant[0]}?" if meant else "`papertape config show` lists every key"
            problems.append(f"{name} is an unknown variable; {hint}")
    if problems:
        raise ConfigError("\n".join(problems))


def _resembled(name: str, keys: Iterable[str]) -> list[str]:
    """Return the known name that a name without a double underscore was meant to be, if any."""
    letters = {_letters(key): key for key in keys}
    found = get_close_matches(_letters(name), letters, n=1, cutoff=RESEMBLANCE_MIN)
    return [letters[one] for one in found] or get_close_matches(name.upper(), OWN, n=1, cutoff=RESEMBLANCE_MIN)


def _letters(name: str) -> str:
    return name.upper().removeprefix(PREFIX).replace("_", "")


def keys_of(table: ConfigTable, path: TomlPath = ()) -> Iterator[tuple[TomlPath, ConfigKey]]:
    """Yield every key that has a name of its own, with its path."""
    for name, node in table.keys.items():
        if isinstance(node, ConfigKey):
            yield (*path, name), node
        else:
            yield from keys_of(node, (*path, name))
