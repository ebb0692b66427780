"""What the processes do besides their work."""

from __future__ import annotations

import pytest

from pqfs import services
from pqfs.errors import IndexDamaged
from pqfs.index import Index
from pqfs.runtime import Stop
from pqfs.settings import Loaded, Settings
from pqfs.spool import Spool
from pqfs.wiring import open_app


def test_a_look_through_that_can_not_read_is_told_and_ends_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite calls a failed read of its first page damage: one failed read is no proof of it."""

    def unreadable(settings: Settings, read_only: bool = False) -> Index:
        raise IndexDamaged("database disk image is malformed")

    Spool.create(settings.spool)
    app = open_app(Loaded(settings, {}, None))
    monkeypatch.setattr(services, "open_index", unreadable)

    services._look_through(app, Stop())

    assert "looking through the index" in caplog.text
    assert not (settings.spool / "run" / "index.barred").exists()
    app.close()
