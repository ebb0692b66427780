"""A contender that is up and has done its first job: what is measured on it has no start in it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

from tests.bench.arena import running, settle
from tests.bench.drain import Drain, make_places, watch
from tests.bench.load import Load
from tests.bench.peers import Contender
from tests.bench.sightings import Sightings


class Standing:
    """Its process and places, and a watch on its outbox."""

    def __init__(self, process: Popen[bytes], base: Path, sightings: Sightings) -> None:
        self._process = process
        self.pid = process.pid
        self.base = base
        self.sightings = sightings
        self.stage = base.parent / "stage"

    def prepare(self, files: Load, name: Callable[[int], str]) -> list[Path]:
        """Files that are ready to be dropped, on the same file system and on its disk already."""
        self.stage.mkdir(exist_ok=True)
        files.fill(self.stage, name)
        settle(self.base)
        return [self.stage / name(number) for number in range(files.jobs)]

    def drop(self, path: Path, queue: str = "") -> float:
        """Move a prepared file into the inbox; when that began."""
        began = time.perf_counter()
        os.rename(path, self.base / "inbox" / queue / path.name)
        return began

    def drain(self, paths: Sequence[Path], queues: Sequence[str] = ("",)) -> Drain:
        """Move all of these files into the inbox, over these queues in turn, and wait until all have come out."""
        began = time.perf_counter()
        for number, path in enumerate(paths):
            self.drop(path, queues[number % len(queues)])
        return watch(self._process, self.sightings, len(paths), began, self.base)


@contextmanager
def standing(contender: Contender, base: Path, consumers: int, queues: Sequence[str] = ()) -> Iterator[Standing]:
    """Start a contender on a ground, and have it do one job; it is ended afterwards.

    Raises:
        Stuck: the first job does not come out.
    """
    make_places(base, queues)
    outboxes = [base / "outbox" / name for name in ("", *queues)]
    command = contender.command(base, consumers)
    with Sightings(*outboxes) as sightings, running(command, base, BENCH_CONSUMERS=str(consumers)) as process:
        found = Standing(process, base, sightings)
        found.drain(found.prepare(Load(1), "first-{}".format))
        yield found
