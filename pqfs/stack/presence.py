"""What `pqfs ps` shows: what supervisor says of each process, joined with who holds a lock and what it runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pqfs.clock import Clock
from pqfs.errors import NotRunning, Refused
from pqfs.owners import Facts, Owners
from pqfs.pulse import read_beats
from pqfs.slot import Running, read_slot
from pqfs.stack.supervisor import Process, Stopping, Supervisor
from pqfs.vitals import outdated

_LOCKLESS = ("ui", "produce")
UNSUPERVISED = "UNSUPERVISED"  # started by hand, or draining after the end of its supervisord


@dataclass(frozen=True, slots=True)
class Row:
    """One process. `owner` None: it holds no lock (yet); `uptime` and `running_for` in seconds.

    `outdated`: pqfs.toml has changed since it was started.
    """

    program: str
    state: str
    pid: int | None
    uptime: float | None
    owner: str | None
    job: str | None
    attempt: int | None
    running_for: float | None
    progress: float | None
    outdated: bool = False


def processes(run: Path, supervisor: Supervisor, clock: Clock) -> list[Row]:
    """Every process of this spool: supervisor's, but for spare slots, then those that it knows nothing of.

    Raises:
        NotRunning: there is none.
        Refused: this user may not look.
    """
    try:
        living = {facts.pid: facts for facts in Owners(run).living()}
    except PermissionError as error:
        raise Refused(f"This user may not enter {run}.", "Ask as the user that runs pqfs.") from error
    try:
        supervised = [each for each in supervisor.processes() if not each.is_spare]
    except (NotRunning, Stopping):
        if not living:
            raise
        supervised = []
    known = {each.pid for each in supervised}
    rows = [_row(run, clock, each, living.get(each.pid)) for each in supervised]
    rows += _unsupervised(run, clock, [facts for pid, facts in living.items() if pid not in known])
    old = outdated(read_beats(run), {facts.owner for facts in living.values()})
    return [replace(row, outdated=True) if row.program in old else row for row in rows]


def _row(run: Path, clock: Clock, process: Process, facts: Facts | None) -> Row:
    owner = facts.owner if facts else None
    state = process.state
    if state == "RUNNING" and owner is None and process.name not in _LOCKLESS:
        state = "STARTING"  # supervisor calls a process running from its first moment on (startsecs=0)
    return Row(process.name, state, process.pid or None, process.uptime, owner, *_now(run, clock, owner))


def _unsupervised(run: Path, clock: Clock, strangers: list[Facts]) -> Iterator[Row]:
    for facts in strangers:
        uptime = max(0.0, clock.now() - facts.started_at)
        yield Row(facts.program, UNSUPERVISED, facts.pid, uptime, facts.owner, *_now(run, clock, facts.owner))


def _now(run: Path, clock: Clock, owner: str | None) -> tuple[str | None, int | None, float | None, float | None]:
    running: Running | None = read_slot(run / f"{owner}.slot") if owner else None
    if running is None:
        return None, None, None, None
    return running.job, running.attempt, max(0.0, clock.boottime() - running.started), running.progress
