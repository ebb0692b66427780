"""What `pqfs consumers list` shows: each consumer that runs or is wanted, from all who know something of it.

supervisor knows its state, the kernel whether it lives, the index what it serves and has completed, its slot what it
runs just now. Read-only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pqfs.errors import NotRunning
from pqfs.report import ConsumerStatus, consumers
from pqfs.stack.fleet import Fleet
from pqfs.stack.presence import Row, processes
from pqfs.wiring import App


@dataclass(frozen=True, slots=True)
class Member:
    """One consumer. `queues` None: all. `silent`: seconds since its last beat. `wanted`: it is to run.

    `state` is supervisor's word, or DRAINING (it ends when what it runs has ended), or UNSUPERVISED.
    """

    program: str
    state: str
    wanted: bool
    pid: int | None
    uptime: float | None
    queues: tuple[str, ...] | None
    owner: str | None
    job: str | None
    name: str | None
    attempt: int | None
    running_for: float | None
    progress: float | None
    completed: int | None
    silent: float | None


def crew(app: App, fleet: Fleet) -> list[Member]:
    """Every consumer by name; what is wanted and does not run is STOPPED."""
    try:
        rows = processes(app.spool.path("run"), fleet.supervisor, app.clock)
    except NotRunning:
        rows = []
    running = {each.program: each for each in rows if each.program.startswith("consumer")}
    wanted, registered = fleet.roster(), {each.owner: each for each in consumers(app)}
    members = []
    for program in sorted({*running, *wanted}):
        row = running.get(program) or _absent(program)
        members.append(_member(row, registered.get(row.owner or ""), wanted, fleet.draining()))
    return members


def _absent(program: str) -> Row:
    return Row(program, "STOPPED", None, None, None, None, None, None, None)


def _member(
    row: Row, known: ConsumerStatus | None, wanted: Mapping[str, tuple[str, ...] | None], draining: set[str]
) -> Member:
    running = known.running if known else None
    return Member(
        row.program, "DRAINING" if row.program in draining else row.state, row.program in wanted, row.pid, row.uptime,
        known.queues if known else wanted.get(row.program), row.owner, row.job,
        running.name if running and running.job == row.job else None, row.attempt, row.running_for, row.progress,
        known.completed if known else None, known.silent if known else None,
    )  # fmt: skip
