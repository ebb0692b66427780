"""Whether the index is still one's own: a newer pqfs may have brought it up to date under a process that slept."""

from __future__ import annotations

import pytest

from pqfs.errors import IndexGone
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
