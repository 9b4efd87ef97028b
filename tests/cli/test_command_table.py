"""The table of commands: every example is a valid command line."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
import typer.main

from papertape.cli.app import app
from papertape.cli.arguments import expand
from papertape.cli.commands.table import GROUPS, VERBS, Verb

ALL = [verb for verbs in VERBS.values() for verb in verbs]


@pytest.mark.parametrize("verb", ALL, ids=[verb.name for verb in ALL])
def test_an_example_is_taken_by_its_verb(verb: Verb) -> None:
    assert f"papertape {verb.name}" in verb.example
    words = shlex.split(verb.example.rpartition("$(papertape token) ")[2])
    arguments = expand(words[words.index("papertape") + 1 :])
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[arguments.pop(0)]
    assert command.make_context(verb.name, arguments).params


def test_every_group_has_a_verb() -> None:
    assert {verb.name.split()[0] for verb in ALL if " " in verb.name} == set(GROUPS)
