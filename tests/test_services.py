"""What the processes do besides their work."""

from __future__ import annotations

from pathlib import Path

import pytest

from pqfs import services
from pqfs.errors import IndexDamaged, IndexGone
from pqfs.index import Index
from pqfs.runtime import Stop
from pqfs.settings import Loaded, Settings, load
from pqfs.spool import Spool
from pqfs.wiring import App, open_app


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


def test_who_waits_for_the_index_ends_when_the_settings_have_changed_and_the_next_one_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index was moved meanwhile: at the place that this process has read there is none any more."""
    config = tmp_path / "pqfs.toml"
    config.write_text('spool = "spool"\n')
    loaded = load({"config": str(config)}, {})

    def gone(_: Loaded) -> App:
        raise IndexGone("It was moved.")

    def changed(_: float) -> None:
        assert config.read_text() == 'spool = "spool"\n', "it waited once more"
        config.write_text('spool = "spool"\nindex = "sqlite:////x.db"\n')

    monkeypatch.setenv("SUPERVISOR_ENABLED", "1")
    monkeypatch.setattr(services, "follow_supervisor", lambda: None)
    monkeypatch.setattr(services, "open_app", gone)
    monkeypatch.setattr("pqfs.services.time.sleep", changed)

    with pytest.raises(IndexGone, match="moved"):
        services._open(loaded)
