"""Everything that the rules of health look at, gathered in one place: read-only, in a few milliseconds.

`look` asks the kernel, the tree, the index and the pulses once; what supervisor says is passed in, because only
some who ask can reach it. The rules in `health` judge the frozen answer and ask nothing themselves.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pqfs.clock import Clock, boot_id
from pqfs.dispatch import why_held_back
from pqfs.edition import Edition
from pqfs.errors import Corrupt, PqfsError, SchemaTooNew
from pqfs.index import Queue
from pqfs.index.notices import Notices
from pqfs.index.recording import whose_changes
from pqfs.model import DEAD, Job
from pqfs.owners import Facts, Owners
from pqfs.pulse import Beat, read_beats
from pqfs.report import ConsumerStatus, Source, consumers
from pqfs.settings import Settings
from pqfs.spool import Spool

_ROWS = 500  # unconfirmed rows that are looked at


@dataclass(frozen=True, slots=True)
class Program:
    """What supervisor says of a program that it is to keep running. `uptime` in seconds."""

    name: str
    state: str
    trouble: str
    uptime: float = 0.0


@dataclass(frozen=True, slots=True)
class Backlog:
    """A queue, and since when (Unix seconds) the job that is to be claimed next could have been; None: none waits."""

    queue: str
    since: float | None
    paused_at: float | None = None
    paused_by: str | None = None
    paused_reason: str | None = None
    paused_until: float | None = None
    held_back: str | None = None  # by which of its limits

    @property
    def waits_since(self) -> float | None:
        """Since when it has waited for a consumer: None while it is paused or at its limits."""
        return self.since if self.paused_at is None and self.held_back is None else None


@dataclass(frozen=True, slots=True)
class Running:
    """A consumer, how long what it runs may run (seconds; None: it runs nothing), and its pulse."""

    status: ConsumerStatus
    limit: float | None
    beat: Beat | None


@dataclass(frozen=True, slots=True)
class Room:
    """What is left on the spool's volume; `low`: work pauses; `log`: bytes of the index's log."""

    free: int
    inodes: int | None  # None: the file system does not count them
    all_inodes: int
    low: bool
    log: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the index says. `is_moving`: an attempt has ended within `health.backlog`; `ahead`: its newest minute."""

    backlogs: tuple[Backlog, ...] = ()
    consumers: tuple[Running, ...] = ()
    is_moving: bool = False
    ahead: float = 0.0
    dead: int = 0
    unconfirmed: tuple[float, ...] = ()
    untold: int = 0  # notices that were put aside
    to_tell_since: float | None = None  # since when the next of the others could have been told
    is_recorded: bool = False  # which rows change: for a move of the index, under way or cut off


@dataclass(frozen=True, slots=True)
class Vitals:
    """One look. `at` is Unix seconds, `boottime` counts from this boot; pulses of other boots are left out.

    `programs` None: supervisor was not asked, or does not run. `index_trouble`: why the index can not be read,
    and then `ledger` is empty.
    """

    at: float
    boottime: float
    settings: Settings
    living: tuple[Facts, ...]
    beats: tuple[Beat, ...]
    programs: tuple[Program, ...] | None
    room: Room
    volume_alarm: str | None
    ledger: Ledger = field(default_factory=Ledger)
    index_trouble: PqfsError | None = None
    outdated: tuple[str, ...] = ()  # programs that have read another pqfs.toml than lies there now

    @property
    def is_running(self) -> bool:
        """Whether any process of pqfs works on this spool, or supervisor keeps some."""
        return bool(self.programs) or any(kind_of(each.program) for each in self.living)

    def alive(self, kind: str) -> list[Facts]:
        """The living processes of a kind: `ingester`, `consumer`, `janitor`."""
        return [each for each in self.living if kind_of(each.program) == kind]

    def pulse(self, kind: str) -> Beat | None:
        """The freshest pulse of a kind, of a process that lives or of one that is gone."""
        return max((each for each in self.beats if kind_of(each.program) == kind), key=_freshness, default=None)

    def silence(self, kind: str) -> float:
        """Seconds since a kind of process gave a sign: its last beat, or its start.

        Before it ever started: since the oldest process of this spool did.
        """
        beats = {each.owner: each for each in self.beats}
        signs = [self.boottime - beat.at] if (beat := self.pulse(kind)) else []
        signs += [max(0.0, self.at - each.started_at) for each in self.alive(kind) if each.owner not in beats]
        if not self.alive(kind):
            ages = [self._age(each, beats.get(each.owner)) for each in self.living]
            ages += [each.uptime for each in self.programs or ()]
            signs.append(max(ages, default=float("inf")))
        return min(signs, default=float("inf"))

    def _age(self, facts: Facts, beat: Beat | None) -> float:
        """Seconds that a process has lived. The wall clock may be set: it is asked only before the first beat."""
        return self.boottime - beat.started_at if beat else max(0.0, self.at - facts.started_at)


def kind_of(program: str) -> str | None:
    """The kind of process that a program's name tells; None for one that only passes by (a submit)."""
    kind = program.partition("-")[0]
    return kind if kind in ("ingester", "consumer", "janitor", "courier") else None


def _freshness(beat: Beat) -> float:
    return beat.at


def look(source: Source, programs: Sequence[Program] | None = None) -> Vitals:
    """One look at an opened spool."""
    body = _body(source.settings, source.spool, source.owners, source.clock, programs)
    try:
        return Vitals(**body, ledger=_ledger(source, body["beats"], body["at"]))
    except Corrupt as error:
        return Vitals(**body, index_trouble=error)


def look_without_index(
    settings: Settings, clock: Clock, trouble: PqfsError, programs: Sequence[Program] | None = None
) -> Vitals:
    """One look at a spool whose index can not be opened, for this reason. An empty spool needs none.

    Raises:
        Misconfigured: there is no spool either.
    """
    if isinstance(trouble, SchemaTooNew):
        raise trouble  # nothing is wrong with the index
    spool = Spool(settings.spool)
    try:
        found = Vitals(**_body(settings, spool, Owners(settings.spool / "run"), clock, programs))
        is_missed = isinstance(trouble, Corrupt) or found.is_running or next(spool.payloads(), None) is not None
        return replace(found, index_trouble=trouble if is_missed else None)
    finally:
        spool.close()


def _body(
    settings: Settings, spool: Spool, owners: Owners, clock: Clock, programs: Sequence[Program] | None
) -> dict[str, Any]:
    boot, living = boot_id(), owners.living()
    beats = tuple(beat for beat in read_beats(spool.path("run")) if beat.boot_id == boot)
    return {
        "settings": settings,
        "living": tuple(living),
        "beats": beats,
        "outdated": outdated(beats, {each.owner for each in living}),
        "programs": None if programs is None else tuple(programs),
        "room": _room(spool, settings),
        "volume_alarm": _text(spool.alarm),
        "at": clock.now(),
        "boottime": clock.boottime(),
    }


def outdated(beats: Sequence[Beat], living: Collection[str]) -> tuple[str, ...]:
    """The programs, of these owners, that have read another pqfs.toml than lies there now."""
    told = {each.program: Edition(*each.edition) for each in beats if each.edition and each.owner in living}
    old = {edition for edition in set(told.values()) if edition.is_outdated}
    return tuple(sorted(program for program, edition in told.items() if edition in old))


def _room(spool: Spool, settings: Settings) -> Room:
    volume = os.statvfs(spool.root)
    return Room(
        spool.free_bytes(), volume.f_favail if volume.f_files else None, volume.f_files,
        spool.is_below(int(settings.low_water)), _size(settings.index_log),
    )  # fmt: skip


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _text(path: Path) -> str | None:
    try:
        return f"{path}: {path.read_text().strip()}"
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{path}: {error.strerror}"


# -------------------------------------------------------------------- the index


def _ledger(source: Source, beats: tuple[Beat, ...], now: float) -> Ledger:
    index, settings = source.index, source.settings
    minutes = index.stats(now - settings.health.backlog)
    untold, to_tell_since = Notices(index.engine).waiting()
    return Ledger(
        backlogs=tuple(_backlogs(source, now)),
        consumers=tuple(_running(source, status, beats) for status in consumers(source)),
        is_moving=any(completed or failed for _, _, completed, failed, *_ in minutes),
        ahead=max((minute * 60.0 for minute, *_ in minutes), default=0.0),
        dead=sum(jobs for _, state, jobs in index.counts() if state in DEAD),
        unconfirmed=tuple(job.updated_at for job in index.unconfirmed(_ROWS)),
        untold=untold,
        to_tell_since=to_tell_since,
        is_recorded=whose_changes(index.engine) is not None,
    )


def _backlogs(source: Source, now: float) -> list[Backlog]:
    """What is to be claimed next of each queue. A job whose time came while nobody claimed counts as due."""
    sleeper = source.index.overslept(now)
    return [
        _backlog(source, queue, sleeper if sleeper and sleeper.queue == queue.name else None, now)
        for queue in source.terms.look()
    ]


def _backlog(source: Source, queue: Queue, sleeper: Job | None, now: float) -> Backlog:
    since = _since(source.index.head(queue.name), sleeper)
    if since is not None:  # nobody could have claimed it before
        since = max(since, queue.open_since(now), _period_start(source, queue.name, now))
    held_back = " ".join(why_held_back(source.index, source.terms, queue.name, now)) or None
    if not queue.is_paused(now):
        return Backlog(queue.name, since, held_back=held_back)
    pause = (queue.paused_at, queue.paused_by, queue.paused_reason, queue.paused_until)
    return Backlog(queue.name, since, *pause, held_back)


def _period_start(source: Source, queue: str, now: float) -> float:
    """When the running minute, hour or day began, of a queue that starts only so many jobs in one."""
    pace = source.terms.queue(queue).claim_pace()
    return now - now % pace[1] if pace else 0.0


def _since(*heads: Job | None) -> float | None:
    """Since when a job could be claimed: its time has come, and nobody has steered it since."""
    return min((max(job.ready_at, job.updated_at) for job in heads if job), default=None)


def _running(source: Source, status: ConsumerStatus, beats: tuple[Beat, ...]) -> Running:
    beat = next((each for each in beats if each.owner == status.owner), None)
    job = source.index.job(status.running.job) if status.running else None
    if job is None:
        return Running(status, None, beat)
    timeout = float((job.options or {}).get("timeout") or source.terms.queue(job.queue).timeout)
    return Running(status, timeout + source.settings.consume.kill_after, beat)
