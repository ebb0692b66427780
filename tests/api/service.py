"""An application on a spool of its own, and clients with keys; nothing listens anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from pqfs.api.application import application
from pqfs.api.desk import Desk
from pqfs.keys import Keys, Role
from pqfs.settings import load
from pqfs.spool import Spool
from pqfs.testing import SettableClock
from pqfs.wiring import App, open_app
from tests.world import invariants

CONFIG = """
durability = "relaxed"
low_water = 0
[api]
max_body = "1MiB"
patience = "200ms"
[queues.small]
max_size = 10
[queues.scans]
sets = "manifest"
[queues.closed]
accepts = false
"""


@dataclass
class Service:
    """One API on one spool, its clock, and its clients."""

    app: App
    desk: Desk
    clock: SettableClock
    keys: Keys
    local: TestClient

    def client(self, *roles: Role, name: str = "someone") -> TestClient:
        """Somebody elsewhere, with a new key that is good for these."""
        secret = self.keys.add(name, roles, self.clock.now())
        return TestClient(
            self.local.app,
            "http://api.example",
            headers={"Authorization": f"Bearer {secret}"},
            client=("10.0.0.7", 1),
        )

    def left(self) -> list[str]:
        """What lies in the scratch of anybody."""
        spool = self.app.spool
        return [name for owner in spool.entries("work") for name in spool.entries(f"work/{owner}", hidden=True)]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """It ends as a process does, and then everything must hold."""
    Spool.create(tmp_path / "spool")
    (tmp_path / "pqfs.toml").write_text(CONFIG)
    clock = SettableClock()
    app = open_app(load({"spool": str(tmp_path / "spool"), "config": str(tmp_path / "pqfs.toml")}, {}), clock=clock)
    desk = Desk(app)
    keys = Keys(app.settings.spool)
    local = TestClient(application(desk, keys), "http://127.0.0.1", client=("127.0.0.1", 50000))
    yield Service(app, desk, clock, keys, local)
    desk.close()
    app.janitor("none").look()
    invariants(app.spool, app.index)
    assert app.spool.entries("work") == []
    app.close()


@pytest.fixture
def local(service: Service) -> TestClient:
    """This host, where there are no keys."""
    return service.local
