"""A pgbouncer before a PostgreSQL server, which gives every transaction another session: `Proxy.started(server)`.

Two sessions for everybody, so that they are shared in earnest; a socket in a directory of its own, nothing else.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.server import Server

_PATIENCE = 20.0
_CONFIG = """\
[databases]
* = host={server} user={user}
[pgbouncer]
listen_addr =
unix_socket_dir = {top}
unix_socket_mode = 0777
auth_type = any
pool_mode = transaction
default_pool_size = 2
max_client_conn = 200
server_login_retry = 1
logfile = {top}/log
"""


def program() -> str | None:
    """Where pgbouncer is; None where it is not installed."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@dataclass
class Proxy:
    """One proxy. `address(name)`: of a database behind it."""

    top: Path
    server: Server
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextmanager
    def started(cls, server: Server) -> Iterator[Proxy]:
        """A new proxy, gone without a trace afterwards."""
        proxy = cls(Path(tempfile.mkdtemp(prefix="pqfs-proxy-")), server)
        (proxy.top / "ini").write_text(_CONFIG.format(server=server.top, user=server.user, top=proxy.top))
        if os.getuid() == 0:
            shutil.chown(proxy.top, server.user)
        try:
            proxy.start()
            yield proxy
        finally:
            proxy.stop()
            shutil.rmtree(proxy.top)

    def start(self) -> None:
        """Start it, as the user whose server it is: it refuses root."""
        found = program()
        assert found is not None, "pgbouncer is not installed"
        user = self.server.user if os.getuid() == 0 else None
        self.process = subprocess.Popen([found, "-q", self.top / "ini"], user=user, start_new_session=True)
        self.wait()

    def wait(self, database: str = "postgres") -> None:
        """Wait until it answers, and a database behind it does."""
        deadline = time.monotonic() + _PATIENCE
        while not self._answers(database):
            assert time.monotonic() < deadline, f"the proxy does not answer: {(self.top / 'log').read_text()}"
            time.sleep(0.005)

    def _answers(self, database: str) -> bool:
        with suppress(psycopg.OperationalError), psycopg.connect(self.address(database)) as connection:
            connection.execute("SELECT 1")
            return True
        return False

    def stop(self) -> None:
        """End it at once, and every connection through it."""
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        (self.top / ".s.PGSQL.6432").unlink(missing_ok=True)

    def address(self, database: str) -> str:
        """Where a database of the server is found through it."""
        return f"postgresql://{self.server.user}@/{database}?host={self.top}&port=6432"

    def asks_each(self, database: str, sql: str) -> list[tuple[object, ...]]:
        """What both of the sessions that everybody shares answer."""
        first, second = (psycopg.connect(self.address(database)) for _ in range(2))
        with first, second:  # both within a transaction at once, so that neither has the other's session
            return [row for each in (first, second) for row in each.execute(sql, prepare=False).fetchall()]
