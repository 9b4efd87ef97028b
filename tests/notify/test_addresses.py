"""The addresses of other channels: read from the environment or a file, never shown, refused by name."""

from __future__ import annotations

import pickle
import sys
from typing import TYPE_CHECKING

import pytest

from papertape.events.errors import ConfigError
from papertape.projections.notify.addresses import CHANNELS_MAX, VARIABLE, read_addresses

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("apprise")
SECRET = "kT5hF-secret-of-a-webhook"


def test_without_the_variable_there_are_no_channels() -> None:
    assert read_addresses({}) == read_addresses({VARIABLE: "  "}) == []


def test_each_has_a_title_of_its_scheme_and_a_key_that_its_place_does_not_change() -> None:
    one, two, three = read_addresses({VARIABLE: f"discord://1/{SECRET} ntfy://a/b discord://2/{SECRET}"})
    assert [each.title for each in (one, two, three)] == ["discord 1", "ntfy", "discord 2"]
    [same] = read_addresses({VARIABLE: f"discord://1/{SECRET}"})
    key = bytes(32)
    assert (same.name(key), same.title) == (one.name(key), "discord")
    assert len({one.name(key), two.name(key), three.name(key), one.name(bytes([1] * 32)), one.former_name}) == 5


def test_a_file_has_one_a_line_and_comments(tmp_path: Path) -> None:
    file = tmp_path / "urls"
    file.write_text("# the phone\nntfy://localhost/me\n\n  # the team\njson://localhost/x?a=b\n")
    assert [one.title for one in read_addresses({f"{VARIABLE}_FILE": str(file)})] == ["ntfy", "json"]


@pytest.mark.parametrize(
    ("urls", "why"),
    [
        (f"discord:/{SECRET}", "address 1 is not of the form discord://"),
        (f"ntfy://x/{SECRET} {SECRET}", "address 2 is not of the form"),
        (f"ntfy://x/{SECRET} ntfy://x/{SECRET}", "the same address twice"),
        (" ".join(f"ntfy://{number}/{SECRET}" for number in range(CHANNELS_MAX + 1)), "at most 8"),
    ],
)
def test_what_is_wrong_is_refused_by_name_and_never_shown(urls: str, why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_addresses({VARIABLE: urls})
    assert VARIABLE in str(refused.value)
    assert why in str(refused.value)
    assert SECRET not in str(refused.value)


def test_without_apprise_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(ConfigError, match=r"Apprise is not installed: pip install 'papertape\[notify\]'"):
        read_addresses({VARIABLE: "ntfy://localhost/me"})


def test_an_address_shows_only_its_title_and_cannot_be_pickled() -> None:
    [one] = read_addresses({VARIABLE: f"ntfy://localhost/{SECRET}"})
    assert SECRET not in f"{one!r} {one} {one.name(bytes(32))}"
    with pytest.raises(TypeError):
        pickle.dumps(one)
