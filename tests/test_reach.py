"""What root has left in the spool of another user is found, and what every spool has of others is no matter."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pqfs.checks import Grade
from pqfs.doctor import examine
from pqfs.reach import User, out_of_reach, owner
from pqfs.settings import Loaded, Settings
from pqfs.spool import Spool

SERVICE = User("service", 61001, frozenset({61001}))


def left(settings: Settings, path: str, mode: int) -> Path:
    """A file that this user, who is not the service, leaves in the spool."""
    found = settings.spool / path
    found.parent.mkdir(exist_ok=True, mode=0o777)
    found.write_bytes(b"")
    found.chmod(mode)
    return found


@pytest.fixture
def opened(settings: Settings, spool: Spool) -> Settings:
    """A spool whose folders are open to everybody."""
    for folder in (settings.spool, *settings.spool.iterdir()):
        folder.chmod(0o777)
    return settings


def test_what_the_owner_of_a_spool_can_not_work_with_is_found(opened: Settings) -> None:
    out = [
        left(opened, "ready/submit.1.0123abcd/payload", 0o600),
        left(opened, "meta/queue.mail.json", 0o640),
        left(opened, "run/doorbell", 0o644),
        left(opened, "index.db", 0o644),
        left(opened, "done/2026-11-22/payload", 0o644).parent,
    ]
    (opened.spool / "ready" / "submit.1.0123abcd").chmod(0o777)
    out[-1].chmod(0o755)

    assert sorted(out_of_reach(opened, SERVICE)) == sorted(out)


def test_what_others_may_own_is_no_matter(opened: Settings) -> None:
    for path, mode in (
        ("inbox/a.txt", 0o600),
        ("rejected/a.txt", 0o000),
        ("outbox/a.txt", 0o400),
        ("ready/payload", 0o644),  # a producer's file, which the service may read
    ):
        left(opened, path, mode)

    assert out_of_reach(opened, SERVICE) == []


def test_whose_spool_it_is_reaches_all_of_it(settings: Settings, spool: Spool) -> None:
    left(settings, "ready/payload", 0o000)

    assert out_of_reach(settings, owner(settings)) == []


@pytest.mark.root
def test_the_doctor_names_what_root_has_left_and_how_to_mend_it(settings: Settings, spool: Spool) -> None:
    for folder in (settings.spool, *settings.spool.iterdir()):
        os.chown(folder, SERVICE.number, SERVICE.number)
    path = left(settings, "dead/payload", 0o600)

    said = [each for each in examine(Loaded(settings, {}, None)) if each.name == "reach"]

    assert [each.grade for each in said] == [Grade.BAD]
    assert f"Run: chown -h 61001: {path}" in said[0].sentence
    os.chown(path, SERVICE.number, SERVICE.number)
    assert [each.grade for each in examine(Loaded(settings, {}, None)) if each.name == "reach"] == [Grade.OK]
