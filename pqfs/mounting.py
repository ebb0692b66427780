"""Judges what a mount can do, and tells how pqfs will stand on it: the checks behind `pqfs doctor --mount`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pqfs.checks import Check, Grade
from pqfs.durations import format_duration
from pqfs.footing import LOCAL, Footing, is_shared
from pqfs.mounts import LONGEST, Traits
from pqfs.settings import IngestSettings

_SKEW = 1.0  # seconds that clocks may differ before people wonder about times
_SLOW = 0.2  # seconds for one sync, above which a batch is what matters
_INSTANCES, _WATCHES = 16, 64


def judge(traits: Traits, footing: Footing, asked: IngestSettings) -> Iterator[Check]:
    """Everything that a mount was asked, as checks; the first tells how pqfs will stand on it."""
    yield from _file_system(footing, asked)
    yield from _options(traits)
    yield _renames(traits)
    yield _links(traits)
    yield _syncs(traits)
    yield _locks(traits)
    yield _inotify(traits, footing, asked)
    yield _leases(traits, footing, asked)
    yield from _names(traits)
    yield _removal(traits)
    yield _file_times(traits)
    yield _index(traits.mount.kind)


def _file_system(footing: Footing, asked: IngestSettings) -> Iterator[Check]:
    kind = footing.file_system
    usual = kind in LOCAL and footing.is_usual
    yield Check("file system", Grade.OK if usual else Grade.WARN, f"{footing.told(asked)}.")
    if kind == "tmpfs":
        yield Check("file system", Grade.WARN, "tmpfs is memory: nothing in this spool survives a restart.")


def _options(traits: Traits) -> Iterator[Check]:
    """What a person has chosen for a share, and should not have."""
    options, kind = traits.mount.options, traits.mount.kind
    if kind.startswith("nfs") and options & {"soft", "softerr"}:
        said = (
            "It is mounted soft: a server that is slow becomes an error, and what was written is lost. Mount it hard."
        )
        yield Check("mount options", Grade.BAD, said)
    elif kind.startswith("nfs") and not any(
        option.startswith(("lookupcache=pos", "lookupcache=none", "noac")) for option in options
    ):
        said = "What another host does may be seen 30 s later. Mount it with lookupcache=positive,actimeo=1."
        yield Check("mount options", Grade.WARN, said)


def _renames(traits: Traits) -> Check:
    match traits.moves:
        case "rename":
            return Check("renames", Grade.OK, "Moves never overwrite: one rename (renameat2).")
        case "link":
            said = "Moves never overwrite: by link and unlink. A crash in between leaves both names; that is mended."
            return Check("renames", Grade.OK, said)
        case _:
            said = "No move is possible here that never overwrites: this file system must not hold a spool."
            return Check("renames", Grade.BAD, said)


def _links(traits: Traits) -> Check:
    if traits.links:
        return Check("hard links", Grade.OK, "A second name of a file is known as such.")
    said = "There are none, or they are not counted: the other name of an unfinished delivery is not known as one."
    return Check("hard links", Grade.WARN, said)


def _syncs(traits: Traits) -> Check:
    if traits.fsync is None or not traits.syncs_directories:
        return Check("syncs", Grade.BAD, "Files or directories can not be made durable here.")
    costs = f"fsync {_milliseconds(traits.fsync)}"
    costs += f", syncfs {_milliseconds(traits.syncfs)}" if traits.syncfs is not None else ", no syncfs"
    grade = Grade.WARN if traits.fsync > _SLOW else Grade.OK
    return Check("syncs", grade, f"What is written can be made durable: {costs}.")


def _milliseconds(seconds: float) -> str:
    milliseconds = seconds * 1000
    return f"{milliseconds:.0f} ms" if milliseconds >= 10 else f"{milliseconds:.2g} ms"


def _locks(traits: Traits) -> Check:
    if traits.locks:
        return Check("locks", Grade.OK, "flock tells who lives.")
    return Check("locks", Grade.WARN, "flock does not work here: run/ must lie on a disk of this host.")


def _inotify(traits: Traits, footing: Footing, asked: IngestSettings) -> Check:
    if footing.watch == "polling":
        every = format_duration(asked.poll_every)
        why = "events tell of this host's arrivals alone" if is_shared(footing.file_system) else "so it was chosen"
        return Check("inotify", Grade.OK, f"Not used: {why}; the inbox is listed every {every}.")
    if not traits.events:
        every = format_duration(asked.sweep_every)
        return Check("inotify", Grade.WARN, f"No events here: the inbox is swept every {every}.")
    limit = Path("/proc/sys/fs/inotify/max_user_instances")
    instances, watches = int(limit.read_text()), int(limit.with_name("max_user_watches").read_text())
    grade = Grade.OK if instances >= _INSTANCES and watches >= _WATCHES else Grade.WARN
    return Check("inotify", grade, f"The kernel allows each user {instances} instances and {watches} watches.")


def _leases(traits: Traits, footing: Footing, asked: IngestSettings) -> Check:
    if not footing.asks_leases:
        settle = format_duration(asked.settle)
        return Check("leases", Grade.OK, f"Not asked: other hosts may write here. Files stay unchanged for {settle}.")
    if traits.sees_writers is None:
        return Check("leases", Grade.WARN, "Refused here; files must settle instead.")
    if traits.sees_writers:
        return Check("leases", Grade.OK, "The kernel tells when a file is still being written.")
    return Check("leases", Grade.WARN, "The kernel does not see writers here.")


def _names(traits: Traits) -> Iterator[Check]:
    longest = traits.longest_name
    if longest is None or longest < LONGEST:
        yield Check("names", Grade.BAD, f"Names have at most {longest or 0} bytes here; pqfs needs {LONGEST}.")
        return
    if traits.folds_case:
        yield Check("names", Grade.WARN, "Capitals make no difference here: a.txt takes the place of A.TXT.")
    if traits.keeps_names is False:
        yield Check("names", Grade.WARN, "Names do not come back as they were given (accents are written otherwise).")
    yield Check("names", Grade.OK, f"{LONGEST} bytes.")


def _removal(traits: Traits) -> Check:
    if traits.silly_renames:
        said = "What is removed while it is open stays, under a hidden name, until it is closed; that is known."
        return Check("removal", Grade.OK, said)
    return Check("removal", Grade.OK, "What is removed is gone at once.")


def _file_times(traits: Traits) -> Check:
    if traits.skew is None:
        return Check("file times", Grade.WARN, "It could not be asked what time it is there.")
    ahead = f"{abs(traits.skew):.3f} s {'ahead of' if traits.skew > 0 else 'behind'} this host's clock"
    is_off = abs(traits.skew) - traits.precision > _SKEW
    said = f"The file system's clock is {ahead} (known to {_milliseconds(traits.precision)})."
    more = " Both should follow NTP: times of arrival and ages of files go by the two." if is_off else ""
    return Check("file times", Grade.WARN if is_off else Grade.OK, said + more)


def _index(kind: str) -> Check:
    if is_shared(kind):
        said = "SQLite is refused here: put the index on a disk of this host (setting index), or on PostgreSQL."
        return Check("sqlite here", Grade.WARN, said)
    return Check("sqlite here", Grade.OK, "An index on SQLite may lie here.")
