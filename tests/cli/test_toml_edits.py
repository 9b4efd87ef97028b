"""Keys of a table are changed, and everything else in the text stays."""

from __future__ import annotations

import tomllib

import pytest

from papertape.cli.config.toml_edits import with_keys
from papertape.events.errors import ConfigError

TABLE = ("strategies", "grid")


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("[strategies.grid]\nwidth = 1\n", "[strategies.grid]\nwidth = 2.5\n"),
        ("[strategies.grid]\nwidth = 10.5 # wide\n", "[strategies.grid]\nwidth = 2.5  # wide\n"),
        ("[strategies.grid]\nwidth=1#wide\n", "[strategies.grid]\nwidth=2.5 #wide\n"),
        ("[strategies.grid] # own\nwidth = 'a#b' # text", "[strategies.grid] # own\nwidth = 2.5   # text"),
        ('[ strategies . grid ]\n"width" = [1, 2] # =\n', '[ strategies . grid ]\n"width" = 2.5    # =\n'),
        ("# top\r\n[strategies.grid]\r\na = 1\r\n", "# top\r\n[strategies.grid]\r\nwidth = 2.5\r\na = 1\r\n"),
        ("[strategies.grid]", "[strategies.grid]\nwidth = 2.5\n"),
        ("[strategies.grid.risk]\nb = 1\n", "[strategies.grid.risk]\nb = 1\n\n[strategies.grid]\nwidth = 2.5\n"),
        ("a = 1", "a = 1\n\n[strategies.grid]\nwidth = 2.5\n"),
        ("[strategies.grid]\nb = '''\nwidth = 3'''\n", "[strategies.grid]\nwidth = 2.5\nb = '''\nwidth = 3'''\n"),
    ],
)  # fmt: skip
def test_a_key_is_set_where_it_stands_or_below_the_header(text: str, changed: str) -> None:
    assert with_keys(text, TABLE, {"width": 2.5}) == changed


def test_texts_are_written_so_that_toml_reads_them_back() -> None:
    values: dict[str, str | int | float] = {"plain": "abc", "json": '{"a":"\\u0027"}', "whole": 3}
    assert tomllib.loads(with_keys("", TABLE, values))["strategies"]["grid"] == values


@pytest.mark.parametrize(
    "text",
    [
        "strategies = { grid = { width = 1 } }\n",
        "[strategies]\ngrid = { width = 1 }\n",
        "[strategies]\ngrid.height = 1\n",
        "[strategies.grid]\nwidth = [\n1,\n2]\n",
        "[[strategies.grid]]\nwidth = 1\n",
    ],
)
def test_what_no_line_can_change_is_refused_and_names_the_table(text: str) -> None:
    with pytest.raises(ConfigError, match=r"strategies\.grid cannot be changed .* \[strategies\.grid\]"):
        with_keys(text, TABLE, {"width": 2.5})
