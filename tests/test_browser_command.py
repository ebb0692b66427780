"""Where the console may listen: on this host alone, or elsewhere once somebody has a password."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pqfs.errors import Misconfigured, Refused
from pqfs.settings import Loaded, Settings, load
from pqfs.stack.browser import command, is_loopback, variables


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_this_host_alone_reaches_a_loopback_address(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize("address", [None, "", "0.0.0.0", "::", "10.0.0.1", "example.org", "localhost.example.org"])
def test_any_other_address_counts_as_reached_by_others(address: str | None) -> None:
    assert not is_loopback(address)


def test_other_addresses_are_refused_until_there_is_a_password(settings: Settings) -> None:
    exposed = replace(settings, ui_address="0.0.0.0")
    with pytest.raises(Refused, match="only if there is a password"):
        command(exposed)
    settings.spool.mkdir()
    (settings.spool / "users.json").write_text("{}")

    assert "0.0.0.0" in command(exposed)


def test_a_site_whose_name_was_made_to_mean_this_host_is_not_answered(settings: Settings) -> None:
    line = command(settings)

    allowed = [line[at + 1] for at, word in enumerate(line) if word == "--server.allowedHosts"]
    assert allowed == ["localhost", "127.0.0.1", "::1"]
    assert line[line.index("--server.enableXsrfProtection") + 1] == "true"


def test_the_console_finds_the_settings_of_its_command(tmp_path: Path) -> None:
    loaded = load({"spool": str(tmp_path), "ui_only": "ops"}, {})

    assert load({}, variables(loaded)).settings.ui_only == "ops"
    assert "PQFS_UI_ONLY" not in variables(Loaded(Settings(), {}, None))
    with pytest.raises(Misconfigured):
        load({"ui_only": "everything"}, {})
