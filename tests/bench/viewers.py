"""What viewers cost: the throughput that ten of them leave, and the console's memory after very many refreshes.

    python -m tests.bench.viewers [--jobs 4000] [--runs 5] [--viewers 10] [--refreshes 1000]

A viewer is a plain client of the console's websocket that has the first page drawn every five seconds, as a browser
does. The console runs at a low priority (nice 10). Each run drains a backlog of small files by two consumers, without
viewers and with them in turn; the middle of the runs counts. Then one viewer refreshes as fast as it is answered, and
the console's memory is read before and after.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import DEVNULL, Popen

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

from tests.bench import arena, figures, usage
from tests.bench.arena import Room
from tests.bench.figures import Figures, Target, Value, median
from tests.bench.load import Load
from tests.bench.peers import PQFS
from tests.bench.standing import Standing, standing

_EVERY = 5.0  # seconds
_START = 30.0  # seconds for the console to listen
_LEFT, _GROWN = 0.8, 1.1  # of the throughput, at least; of the memory, at most


class Viewer:
    """A session of the console without a browser."""

    def __init__(self, port: int) -> None:
        self._stay = ExitStack()
        self._connection = self._stay.enter_context(connect(f"ws://127.0.0.1:{port}/_stcore/stream", max_size=None))

    def refresh(self) -> float:
        """Have the page drawn; seconds until it was whole."""
        began, asked = time.monotonic(), BackMsg()
        asked.rerun_script.query_string = ""
        self._connection.send(asked.SerializeToString())
        while True:
            told = ForwardMsg()
            told.ParseFromString(bytes(self._connection.recv(timeout=60, decode=False)))
            if told.WhichOneof("type") == "script_finished":
                return time.monotonic() - began

    def close(self) -> None:
        """Leave."""
        self._stay.close()


class Crowd:
    """Viewers that look again and again, none in step with another. `seconds`: how long each look took."""

    def __init__(self, port: int, count: int) -> None:
        self.seconds: list[float] = []
        self._over = threading.Event()
        looks = ((port, _EVERY * number / count) for number in range(count))
        self._threads = [threading.Thread(target=self._look, args=each) for each in looks]

    def _look(self, port: int, offset: float) -> None:
        viewer = Viewer(port)
        viewer.refresh()  # the first paint, which is not what is measured
        self._over.wait(offset)
        while not self._over.is_set():
            self.seconds.append(viewer.refresh())
            self._over.wait(_EVERY)
        viewer.close()

    def __enter__(self) -> Crowd:
        for each in self._threads:
            each.start()
        time.sleep(2 * _EVERY)
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        for each in self._threads:
            each.join()


@contextmanager
def console(base: Path) -> Iterator[tuple[int, int]]:
    """The console of a spool at a low priority: its port and its pid."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    line = ["nice", "-n10", sys.executable, "-m", "pqfs", "--spool", str(base), "ui", "--ui-port", str(port)]
    process = Popen(line, cwd=base.parent, stdout=DEVNULL, stderr=DEVNULL)
    try:
        _await(port)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(30)


def _await(port: int) -> None:
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the console does not listen")


def throughput(stand: Standing, jobs: int, runs: int, viewers: int) -> list[dict[str, Value]]:
    """One row a run: jobs a second alone and watched, and how long a look took."""
    rows: list[dict[str, Value]] = []
    for run in range(runs):
        alone = _rate(stand, jobs, f"alone-{run}")
        with console(stand.base) as (port, _), Crowd(port, viewers) as crowd:
            watched = _rate(stand, jobs, f"watched-{run}")
        rows.append({"run": run, "jobs/s": alone, "jobs/s, watched": watched, "a look, s": median(crowd.seconds)})
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def _rate(stand: Standing, jobs: int, name: str) -> float:
    paths = stand.prepare(Load(jobs), lambda number: f"{name}-{number}")
    began = time.monotonic()
    stand.drain(paths)
    return jobs / (time.monotonic() - began)


def memory(base: Path, refreshes: int) -> tuple[float, float]:
    """MiB of the console when it has warmed up, and after so many refreshes more."""
    with console(base) as (port, pid):
        viewer = Viewer(port)
        for _ in range(max(20, refreshes // 10)):
            viewer.refresh()
        before = usage.of_process(pid).resident / 2**20
        for _ in range(refreshes):
            viewer.refresh()
        viewer.close()
        return before, usage.of_process(pid).resident / 2**20


def main() -> None:
    parser = arena.arguments(__doc__)
    for name, usual in (("jobs", 4000), ("runs", 5), ("viewers", 10), ("refreshes", 1000)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    options = parser.parse_args()
    arena.interruptible()
    files = 4 * options.jobs * options.runs  # inputs and outputs, watched and not
    with arena.ground(options.at, Room(files, files * 200)) as base, standing(PQFS, base, 2) as stand:
        rows = throughput(stand, options.jobs, options.runs, options.viewers)
        before, after = memory(stand.base, options.refreshes)
        kind = arena.kind_of(base)
    alone, watched = (median([float(row[name] or 0) for row in rows]) for name in ("jobs/s", "jobs/s, watched"))
    targets = [
        Target("throughput that viewers leave", watched / alone, _LEFT, at_least=True),
        Target("memory after all refreshes, of that before", after / before, _GROWN),
    ]
    facts = {"file system": kind, "cores": str(os.cpu_count()), "memory": f"{before:.0f} MiB, then {after:.0f} MiB"}
    figures.publish(Figures("viewers", arena.command_line(), rows, targets, facts=facts), options.json)


if __name__ == "__main__":
    main()
