"""Generated names on their way through a whole spool, from the inbox to the outbox, and on every surface."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from pqfs import naming
from pqfs.cli import run
from pqfs.inbox import Inbox
from pqfs.index import walk
from pqfs.model import State
from pqfs.settings import Settings
from pqfs.spool import Spool
from tests.crash.harness import World
from tests.hostile.names import harm_of, names, wrong_form

_AT_ONCE = 500
_SURFACES = (
    ["jobs", "list", "-n", "2000"], ["jobs", "list", "-n", "2000", "--json"], ["status"], ["fsck"],
    ["monitor", "--once"], ["rejected", "list"], ["dead", "list"], ["audit", "list"], ["queue", "list"],
    ["consumers", "list"],
)  # fmt: skip
_FEW = 25  # names that a surface is tried with one by one, that are refused, and that become dead letters


def passage(root: Path, seed: int, count: int) -> Iterator[str]:
    """Send `count` names through; everything that was wrong."""
    inbox = Inbox(root, Settings(spool=root))
    ready = list(names(seed, count, inbox.is_ignored))
    for first in range(0, count, _AT_ONCE):
        yield from _through(root / str(first), ready[first : first + _AT_ONCE], surfaces=first == 0)
        shutil.rmtree(root / str(first))


def _through(root: Path, batch: Sequence[bytes], surfaces: bool) -> Iterator[str]:
    for name in batch:
        yield from wrong_form(name)
    Spool.create(root)
    world = World(root, Settings(spool=root, logs=root.parent / "logs"))
    told = io.StringIO()
    try:
        with _log_to(told):
            for name in batch:
                world.drop(name)
            world.drain()
        yield from _came_out(world, batch)
        world.invariants()
        if surfaces:
            with _log_to(told):
                _go_wrong(world, batch[:_FEW])
    except AssertionError as error:
        yield str(error)
    finally:
        world.close()
    yield from _shown(told.getvalue(), "the log")
    if surfaces:
        yield from _every_surface(root, batch)


def _go_wrong(world: World, batch: Sequence[bytes]) -> None:
    """Each name once more: as a symbolic link, which is refused, and as a job that a person of that name fails."""
    refuser = world.ingester()
    for name in batch:
        world.drop_link(os.fsdecode(name), os.fsdecode(name)[:100])
    refuser.sweep()
    for name in batch:
        world.drop(name)
    refuser.sweep()
    for job in world.index.jobs(State.PENDING, None, "~", len(batch)):
        words = job.name.decode("utf-8", "replace")
        world.jobqueue.fail(job, words, words, world.clock.now())


@contextlib.contextmanager
def _log_to(stream: io.StringIO) -> Iterator[None]:
    log = logging.getLogger("pqfs")
    handler, level = logging.StreamHandler(stream), log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def _came_out(world: World, batch: Sequence[bytes]) -> Iterator[str]:
    """Each is one job of that very name, completed, its output made of its very bytes."""
    jobs = {job.name: job for job in walk(world.index)}
    for name in batch:
        job = jobs.get(name)
        if job is None or job.output is None:
            yield f"{name!r} did not come out: {job and job.state}"
            continue
        if world.sent[name] not in world.spool.path(world.spool.output_path(job.queue, job.output)).read_bytes():
            yield f"{name!r} came out with other bytes"
        if harm := harm_of(job.output):
            yield f"the output of {name!r} is called {job.output!r}: {harm}"


def _every_surface(root: Path, batch: Sequence[bytes]) -> Iterator[str]:
    for command in (*_SURFACES, *(["why", os.fsdecode(name)] for name in batch[:_FEW])):
        shown, said = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(said):
            run(["--spool", str(root), "--logs", str(root.parent / "logs"), *command])
        yield from _shown(shown.getvalue() + said.getvalue(), f"pqfs {command[0]}")
        if "--json" in command:
            yield from _told_in_json(shown.getvalue(), batch)


def _told_in_json(text: str, batch: Sequence[bytes]) -> Iterator[str]:
    told = {naming.original(each["name"]) for each in json.loads(text)["items"]}
    yield from (f"{name!r} is not in the JSON listing" for name in batch if name not in told)


def _shown(text: str, where: str) -> Iterator[str]:
    for line in text.split("\n"):
        if harm := harm_of(line):
            yield f"{where} shows {line[:200]!r}: {harm}"
