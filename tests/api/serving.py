"""The API as a real process on a stage."""

from __future__ import annotations

import http.client
import socket

from tests.process.stage import Stage, eventually


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class Served:
    """An API on a stage; started again after a death, as supervisor does it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.connections: list[socket.socket] = []
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        self.process = self.stage.start("api", "api", "--port", str(self.port))
        eventually(self._answers, "the API answers")

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.stage.log("api")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/v1/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        found = socket.create_connection(("127.0.0.1", self.port))
        self.connections.append(found)
        return found

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
