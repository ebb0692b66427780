"""The REST API as a process: `pqfs api`. TERM drains: answers under way are given, what is leased is given back."""

from __future__ import annotations

import socket

import uvicorn

from pqfs import kernel
from pqfs.api.access import is_loopback
from pqfs.api.application import application
from pqfs.api.desk import Desk
from pqfs.custody import is_barred
from pqfs.errors import Misconfigured
from pqfs.events import Word, emit
from pqfs.keys import Keys
from pqfs.runtime import Stop, follow_supervisor
from pqfs.settings import Loaded
from pqfs.spool import Spool
from pqfs.wiring import open_app

_DRAIN = 20  # seconds for answers under way
_MOST = 500  # connections at once; the next one is told 503
_TICKS = 5  # of a tenth of a second, between two looks whether the index is barred


class _Server(uvicorn.Server):
    """Says where it listens, once it does; ends when nobody may use the index for a while."""

    def __init__(self, config: uvicorn.Config, spool: Spool) -> None:
        super().__init__(config)
        self._spool = spool

    async def on_tick(self, counter: int) -> bool:
        is_over = counter % _TICKS == 0 and is_barred(self._spool)
        return await super().on_tick(counter) or is_over

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
            emit(Word.STARTED, what=f"REST API on http://{host}:{self.config.port}")


def serve(loaded: Loaded, host: str | None = None, port: int | None = None) -> None:
    """Serve until asked to stop.

    Raises:
        Misconfigured: other hosts could reach it, and there is no key.
    """
    settings = loaded.settings
    host, port = host or settings.api.host, port or settings.api.port
    keys = Keys(settings.spool)
    if not is_loopback(host) and not keys.all():
        raise Misconfigured(
            f"Without keys only this host is served, and not {host}.",
            "Make a key first: pqfs keys add NAME --role operator",
        )
    kernel.ignore_lease_breaks()
    app = open_app(loaded)
    desk = Desk(app, on_lost=lambda: setattr(server, "should_exit", True))
    config = uvicorn.Config(
        application(desk, keys), host, port, log_level="warning", access_log=False, server_header=False,
        limit_concurrency=_MOST, timeout_graceful_shutdown=_DRAIN, timeout_keep_alive=30, lifespan="off",
    )  # fmt: skip
    server = _Server(config, app.spool)
    try:
        stop = Stop()
        stop.listen()  # at its end uvicorn sends the signal on, to whoever listened before it
        follow_supervisor()
        server.should_exit = stop.requested
        server.run()
    finally:
        desk.close()
        app.close()
