"""The loudness of alerts in the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from papertape.cli.config.overrides import apply_sets, load_config
from papertape.cli.config.sections import Config
from papertape.events.errors import ConfigError
from papertape.projections.alerts.settings import AlertSettings

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_sets_the_loudness_of_some_kinds(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text('[alerts]\nentry = "off"\nfunding_paid_usdt_min = 25\n')
    assert load_config(path).alerts == AlertSettings(entry="off", funding_paid_usdt_min=25.0)


def test_a_kind_can_be_changed_for_one_run() -> None:
    assert apply_sets(Config(), ["alerts.daily=on"]).alerts == AlertSettings(daily="on")


def test_an_invalid_loudness_is_named(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text('[alerts]\nentry = "loud"\n')
    with pytest.raises(ConfigError, match=r'my\.toml:2: alerts\.entry = "loud": must be "off" or "on" or "silent"'):
        load_config(path)
