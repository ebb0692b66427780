"""How a spool and its index come to know each other, when several begin at once."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from pqfs.custody import Identity, read_identity, write_identity
from pqfs.index import Index
from pqfs.opening import seal
from pqfs.spool import Spool


def test_of_two_hosts_that_start_a_spool_at_once_one_gives_it_its_name(
    spool: Spool, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by a walk through the README: each gave it a name of its own, and the last one to write won."""
    identity, given = index.identity, list[tuple[str, int] | None]()

    def overtaken() -> tuple[str, int] | None:
        found = identity()
        if not given:
            given.append(None)
            seal(spool, index, is_open=True)  # what the other host does in this moment
            given.append(identity())
        return found

    with monkeypatch.context() as patched:
        patched.setattr(index, "identity", overtaken)
        seal(spool, index, is_open=True)

    mark = read_identity(spool)
    assert mark and given[1] and index.identity() == given[1] == (mark.spool, mark.era)


def test_two_hosts_write_a_mark_by_way_of_two_files(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of two hosts may have one number: one took the other's file away before it had its name."""
    scratches = list[str]()
    monkeypatch.setattr(spool, "replace_small", lambda target, scratch, data: scratches.append(scratch))

    for host in ("alpha", "beta"):
        monkeypatch.setattr(os, "uname", lambda host=host: SimpleNamespace(nodename=host))
        write_identity(spool, Identity.new())

    assert len(set(scratches)) == 2
