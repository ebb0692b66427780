"""A small server that gives the text of all figures to whoever asks.

It asks nobody who he is; it listens where it is told to, on loopback as a rule.
"""

from __future__ import annotations

import socket
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pqfs.errors import Misconfigured, PqfsError, Unavailable
from pqfs.events import trouble
from pqfs.exposition import PROMETHEUS
from pqfs.scrape import content_type, text, wants_openmetrics
from pqfs.settings import Loaded

PORT = 9477
_PATIENCE = 10.0  # seconds for a client to say what it wants


class ScrapeServer(ThreadingHTTPServer):
    """Gives the text at /metrics. Bound when made; `serve_forever` answers."""

    daemon_threads = True

    def __init__(self, loaded: Loaded, host: str, port: int) -> None:
        self.loaded = loaded
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise Unavailable(f"Nobody can listen on {host}:{port}: {error.strerror}.", "Choose another.") from error


class _Handler(BaseHTTPRequestHandler):
    server: ScrapeServer
    timeout = _PATIENCE
    server_version = "pqfs"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer /metrics, and nothing else."""
        if self.path.partition("?")[0] != "/metrics":
            self._answer(HTTPStatus.NOT_FOUND, PROMETHEUS, "See /metrics\n")
            return
        openmetrics = wants_openmetrics(self.headers.get("Accept"))
        try:
            said = text(self.server.loaded, openmetrics)
        except PqfsError as error:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", f"{error.message}\n")
        except Exception:  # noqa: BLE001 -- one answer that fails must not be silence; the next may succeed
            trouble("gathering metrics")
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", "See the log.\n")
        else:
            self._answer(HTTPStatus.OK, content_type(openmetrics), said)

    def do_HEAD(self) -> None:
        """The same without the text."""
        self.do_GET()

    def _answer(self, status: HTTPStatus, kind: str, said: str) -> None:
        data = said.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing of each scrape."""


def address(written: str) -> tuple[str, int]:
    """Host and port of `127.0.0.1:9477`, `[::1]:9477`, `:9477` or `9477`; the host is this one where none is named.

    Raises:
        Misconfigured: it is none of these.
    """
    host, _, port = written.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise Misconfigured(f"{written!r} is no address.", f"Write it as 127.0.0.1:{PORT}.")
    return host.strip("[]") or "127.0.0.1", int(port)
