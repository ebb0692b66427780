"""Whom an identity provider may vouch for, and what the spool's secrets.toml must say for it."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace
from pathlib import Path

import pytest

from pqfs import doctor
from pqfs.admission import admits, parse_addresses
from pqfs.checks import Grade
from pqfs.errors import Misconfigured, PqfsError
from pqfs.settings import Loaded, Settings, load
from pqfs.spool import Spool
from pqfs.stack.browser import command
from pqfs.stack.identity import identity

_WHOLE = """
[auth]
redirect_uri = "https://jobs.example.org/oauth2callback"
cookie_secret = "0123456789abcdef0123456789abcdef"
client_id = "a"
client_secret = "b"
server_metadata_url = "https://accounts.example.org/.well-known/openid-configuration"
"""


@pytest.mark.parametrize("email", ["ann@example.org", "Ann@Example.ORG", "bob@lab.example.org"])
def test_an_address_that_was_named_or_whose_domain_was_is_admitted(email: str) -> None:
    assert admits(("ann@example.org", "*@lab.example.org"), email)


@pytest.mark.parametrize(
    "email",
    [
        "", "ann", "@example.org", "bob@example.org", "ann@example.org@evil.org", "ann@example.org.evil.org",
        "ann@notlab.example.org", "ann@x.lab.example.org", "*@lab.example.org ", "ann@lab.example.org\n",
        "\N{CYRILLIC SMALL LETTER A}nn@lab.example.org", "bob@x@lab.example.org",
    ],
)  # fmt: skip
def test_any_other_address_is_not(email: str) -> None:
    assert not admits(("ann@example.org", "*@lab.example.org"), email)


def test_addresses_are_read_from_a_list_and_from_a_text() -> None:
    assert load({"ui_oidc": ["Ann@Example.org"]}, {}).settings.ui_oidc == ("ann@example.org",)
    found = load({}, {"PQFS_UI_OIDC": "ann@example.org, *@lab.example.org"}).settings.ui_oidc
    assert found == ("ann@example.org", "*@lab.example.org")
    assert load({}, {}).settings.ui_oidc == ()


@pytest.mark.parametrize("wrong", ["*", "*@*", "a*@example.org", "ann", "ann@localhost", "*@", "@example.org"])
def test_what_would_admit_everybody_or_nobody_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="no e-mail address"):
        parse_addresses([wrong])
    with pytest.raises(Misconfigured, match="ui_oidc"):
        load({"ui_oidc": [wrong]}, {})


def test_a_provider_and_the_consoles_own_name_are_read_from_the_spools_secrets(tmp_path: Path) -> None:
    pytest.importorskip("authlib")
    (tmp_path / "secrets.toml").write_text(_WHOLE)

    found = identity(tmp_path)

    assert (found.providers, found.host) == (("default",), "jobs.example.org")


def test_several_providers_have_names(tmp_path: Path) -> None:
    pytest.importorskip("authlib")
    head, _, provider = _WHOLE.partition("client_id")
    (tmp_path / "secrets.toml").write_text(f"{head}[auth.one]\nclient_id{provider}[auth.two]\nclient_id{provider}")

    assert identity(tmp_path).providers == ("one", "two")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("oauth2callback", "", "redirect_uri"),
        ("0123456789abcdef0123456789abcdef", "short", "cookie_secret"),
        ('client_secret = "b"', "", "client_secret"),
        ("client_", "other_", "client_id"),
        ("[auth]", "[other]", r"\[auth\]"),
        ("[auth]", "[auth", "can not be read"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, before: str, after: str, said: str) -> None:
    (tmp_path / "secrets.toml").write_text(_WHOLE.replace(before, after))

    with pytest.raises(Misconfigured, match=said):
        identity(tmp_path)


def test_without_a_file_or_without_the_library_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Misconfigured, match=r"no secrets\.toml"):
        identity(tmp_path)
    (tmp_path / "secrets.toml").write_text(_WHOLE)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Misconfigured, match="Authlib"):
        identity(tmp_path)


# -------------------------------------------------------------------- the console's command


def _allowed(settings: Settings) -> list[str]:
    line = command(settings)
    return [line[at + 1] for at, word in enumerate(line) if word == "--server.allowedHosts"]


def test_by_the_name_behind_a_proxy_the_console_answers_and_then_everybody_signs_in(settings: Settings) -> None:
    pytest.importorskip("authlib")
    settings.spool.mkdir()
    (settings.spool / "secrets.toml").write_text(_WHOLE)

    assert "jobs.example.org" not in _allowed(settings), "nobody is admitted by a provider"
    assert "jobs.example.org" in _allowed(replace(settings, ui_oidc=("*@example.org",)))


def test_other_hosts_may_reach_it_once_a_provider_vouches(settings: Settings) -> None:
    pytest.importorskip("authlib")
    exposed = replace(settings, ui_address="0.0.0.0", ui_oidc=("*@example.org",))
    settings.spool.mkdir()
    with pytest.raises(PqfsError):
        command(exposed)
    (settings.spool / "secrets.toml").write_text(_WHOLE)

    assert "0.0.0.0" in command(exposed)


def test_no_secrets_are_read_but_the_spools_own(settings: Settings) -> None:
    line = command(settings)

    assert line[line.index("--secrets.files") + 1] == str(settings.spool / "secrets.toml")


# -------------------------------------------------------------------- doctor


def _checks(settings: Settings, name: str) -> list[tuple[Grade, str]]:
    return [(each.grade, each.sentence) for each in doctor.examine(Loaded(settings, {}, None)) if each.name == name]


def test_doctor_says_who_else_can_read_the_secrets_and_that_they_do_not_fit(settings: Settings) -> None:
    Spool.create(settings.spool)
    assert _checks(settings, "sign in") == []
    path = settings.spool / "secrets.toml"
    path.write_text("[auth]\n")
    os.chmod(path, 0o644)
    asked = replace(settings, ui_oidc=("*@example.org",))

    assert any("secrets.toml is 0644" in said for _, said in _checks(asked, "permissions"))
    ((grade, said),) = _checks(asked, "sign in")
    assert grade is Grade.BAD and "redirect_uri" in said


def test_doctor_says_that_the_file_of_users_was_spoilt(settings: Settings) -> None:
    Spool.create(settings.spool)
    (settings.spool / "users.json").write_text("{")

    ((grade, said),) = _checks(settings, "sign in")
    assert grade is Grade.BAD and "users.json can not be read" in said
