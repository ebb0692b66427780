"""Whether the index is still one's own: a newer pqfs may have brought it up to date under a process that slept."""

from __future__ import annotations

from typing import Any

import apsw
import pytest

from pqfs.errors import IndexGone, Unavailable
from pqfs.index import Index
from pqfs.vigil import EVERY, Vigil
from tests.world import SettableClock


def test_who_slept_through_an_upgrade_knows_it_as_soon_as_he_wakes(
    index: Index, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    vigil = Vigil(index, clock)
    monkeypatch.setattr(index.engine, "schema_version", lambda: 9999)
    vigil.look()

    clock.pass_by(EVERY)

    with pytest.raises(IndexGone, match="this pqfs knows up to"):
        vigil.look()
    with pytest.raises(IndexGone):
        vigil.look()


class Locked:
    """A connection on a disk that refuses every lock."""

    system_errno = 0

    def pragma(self, name: str) -> Any:
        """What SQLite says then."""
        raise apsw.ProtocolError("locking protocol")


@pytest.mark.sqlite
def test_who_can_not_ask_hears_so_in_a_sentence_and_asks_again(
    index: Index, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by the system calls: a lock of the index that was refused ended a consumer in a traceback."""
    vigil = Vigil(index, clock)
    clock.pass_by(EVERY)

    with monkeypatch.context() as patched:
        patched.setattr(index.engine, "_connection", Locked())
        with pytest.raises(Unavailable, match="locking protocol"):
            vigil.look()

    vigil.look()
