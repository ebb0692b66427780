"""A spool with real processes on it: what the tests of this folder start, stop, kill and look at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pqfs.index import Index
from pqfs.model import Job, State
from pqfs.runner import descendants
from pqfs.settings import load
from pqfs.slot import Running, read_slot
from pqfs.spool import Spool
from pqfs.wiring import App, open_app, open_index
from tests.world import invariants

PATIENCE = 20.0  # seconds: a deadline for what takes milliseconds, so that a slow machine fails no test
Answer = TypeVar("Answer")


def eventually(question: Callable[[], Answer], what: str, within: float = PATIENCE) -> Answer:
    """Ask until the answer is true, and return it."""
    deadline = time.monotonic() + within
    while not (answer := question()):
        assert time.monotonic() < deadline, f"{what}: not within {within:g} seconds"
        time.sleep(0.005)
    return answer


class Stage:
    """One spool, its settings, and the processes that a test starts on it."""

    def __init__(self, root: Path, config: str, handlers: str = "") -> None:
        self.root = root
        self.spool = root / "spool"
        self.outbox = self.spool / "outbox"
        (root / "pqfs.toml").write_text(f'spool = "spool"\nlogs = "logs"\n{config}')
        (root / "own_handlers.py").write_text(handlers)
        (root / "logs").mkdir()
        Spool.create(self.spool)
        self._processes: list[subprocess.Popen[bytes]] = []
        with self.app():
            pass  # makes the index

    def start(
        self, command: str, program: str | None = None, *options: str, module: str = "pqfs"
    ) -> subprocess.Popen[bytes]:
        """Start `pqfs <command>` under a program's name, as supervisor would. `module`: which pqfs."""
        environment = {**os.environ, "PQFS_CONFIG": str(self.root / "pqfs.toml")}
        environment |= {"SUPERVISOR_PROCESS_NAME": program or command}
        with (self.root / "logs" / f"{program or command}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, command, *options], env=environment, stdout=log, stderr=log
            )
        self._processes.append(process)
        return process

    def consumer(self, program: str = "consumer-00") -> subprocess.Popen[bytes]:
        """Start a consumer and wait until it has registered."""
        process = self.start("consume", program)
        eventually(lambda: any(row.pid == process.pid for row in self.index.consumers()), f"{program} registers")
        return process

    def drop(self, name: str, data: bytes = b"payload\n") -> None:
        """Put a whole file into the inbox, in one rename."""
        (self.root / "drop").write_bytes(data)
        (self.root / "drop").rename(self.spool / "inbox" / name)

    def outputs(self) -> list[bytes]:
        """The contents of all outputs."""
        return [path.read_bytes() for path in sorted(self.outbox.iterdir()) if path.is_file()]

    def jobs(self, state: State | None = None) -> list[Job]:
        """Jobs, newest first; of one state those that lie in their place, since the commit comes before the move."""
        found = self.index.jobs(state, None, "~", 100_000)
        return [job for job in found if state is None or job.confirmed or state is State.PROCESSING]

    def running(self, process: subprocess.Popen[bytes]) -> Running | None:
        """What a consumer runs just now."""
        rows = [row for row in self.index.consumers() if row.pid == process.pid]
        return read_slot(self.spool / "run" / f"{rows[0].owner}.slot") if rows else None

    def runner(self, process: subprocess.Popen[bytes]) -> int:
        """The process id of a consumer's runner."""
        return eventually(lambda: descendants(process.pid), "the consumer starts its runner")[0]

    def log(self, program: str) -> str:
        """What a program has logged."""
        return (self.root / "logs" / f"{program}.log").read_text()

    @property
    def index(self) -> Index:
        """The index, for questions."""
        if not hasattr(self, "_index"):
            self._index = open_index(load({"config": str(self.root / "pqfs.toml")}, {}).settings, read_only=True)
        return self._index

    @contextmanager
    def app(self) -> Iterator[App]:
        """The spool, opened for the verbs of people."""
        app = open_app(load({"config": str(self.root / "pqfs.toml")}, {}))
        try:
            yield app
        finally:
            app.close()

    def stop(self, process: subprocess.Popen[bytes]) -> int:
        """Ask a process to drain, and wait for its end."""
        process.send_signal(signal.SIGTERM)
        return process.wait(PATIENCE)

    def close(self, taken: Collection[str] = ()) -> None:
        """End everything, let recovery finish, and check what must always be true.

        `taken` names the outputs that the test has removed, as a reader does.
        """
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self._processes:
            process.wait(PATIENCE)
        with self.app() as app:
            app.janitor("none").look()
            invariants(app.spool, app.index, taken=taken)
        self.index.close()

    def abandon(self) -> None:
        """End what is left after a test that failed."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
                process.wait()
