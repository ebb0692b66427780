"""Which files of an inbox belong together, and what a set still lacks. Looks, never moves.

A set is named by its lead: a manifest that lists its members (`sets = "manifest"`), or a marker `<set>.done` beside
files `<set>.*` (`sets = "done"`). Lead and members lie in one folder. What a set is known by stands in the row of the
job that it has become: the marks of its files as they were taken. A file is the one that was taken if it has the very
mark, or that of its data and was not touched since the job had been made: so a copy of a spool still knows it, and
the same file that comes a second time is a new one.
"""

from __future__ import annotations

import hashlib
import os
import stat
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from pqfs import manifest, naming
from pqfs.errors import Rejected
from pqfs.inbox import Entry, Inbox, Judgement, Verdict
from pqfs.manifest import DONE, MANIFEST, MOST, Manifest, Member
from pqfs.places import identity
from pqfs.settings import PerQueue
from pqfs.sidecars import Wait

_INSTANT = 0.001  # the precision of the instant in a job id
_READ = 1 << 20  # bytes of a lead that tell it from others: more than a manifest may have
_SHOWN = 5  # names that a sentence lists


@dataclass(frozen=True, slots=True)
class FileSet:
    """A set as its lead names it.

    Attributes:
        lead: the manifest, or the marker; `status` what it was when it was read.
        there: the entries of its members that lie in the inbox, by name.
        key: what tells this set, as it came, from every other.
    """

    lead: Entry
    status: os.stat_result
    asked: Manifest
    there: Mapping[str, Entry]
    key: str

    @property
    def name(self) -> bytes:
        """What its job is called."""
        return job_name(self.lead)

    @property
    def missing(self) -> list[str]:
        """The names of the members that are not there."""
        missing = [member.name for member in self.asked.members if member.name not in self.there]
        return missing if self.asked.members else [f"{os.fsdecode(_stem(self.lead))}.*"]

    def path_of(self, member: str) -> bytes:
        """Where a member lies, relative to the inbox."""
        return os.path.join(os.path.dirname(self.lead.path), os.fsencode(member))


class Shelf:
    """What lies in the queues that take sets, as it was listed."""

    def __init__(self, inbox: Inbox, terms: PerQueue, entries: Iterable[Entry]) -> None:
        self.inbox = inbox
        self._terms = terms
        self._entries = {entry.path: entry for entry in entries}
        self._paths = sorted(self._entries)

    def leads(self) -> list[Entry]:
        """The manifests and markers, in the order in which they came."""
        return [entry for entry in self._entries.values() if self.is_lead(entry)]

    def is_lead(self, entry: Entry) -> bool:
        """Whether it is the manifest or the marker of a set."""
        ending = _ending(self._terms, entry.queue)
        return entry.path.endswith(ending) and len(os.path.basename(entry.path)) > len(ending)

    def others(self, named: Iterable[bytes]) -> Iterator[Entry]:
        """What is neither a lead nor one of these paths."""
        known = set(named)
        return (each for path, each in self._entries.items() if path not in known and not self.is_lead(each))

    def read(self, directory: int, lead: Entry, now: float) -> FileSet:
        """The set of a lead. `directory` holds it; `now` is boot time.

        Raises:
            Wait: the lead is not complete.
            Rejected: it can not be one.
        """
        judgement = self.inbox.judge(directory, lead, now)
        if judgement.verdict is Verdict.REJECT:
            raise Rejected(judgement.reason)
        if judgement.descriptor is None or judgement.found is None:
            raise Wait(
                judgement if judgement.verdict is Verdict.WAIT else Judgement(Verdict.WAIT, "it has just gone")
            )
        try:
            asked = self._asked(lead, judgement.descriptor)
            digest = _digest(judgement.descriptor)
            if identity(os.fstat(judgement.descriptor)) != identity(judgement.found):
                raise Wait(Judgement(Verdict.WAIT, "it is being changed", 0.1))
        finally:
            os.close(judgement.descriptor)
        there = {each.name: self._beside(lead, each.name) for each in asked.members}
        known = {name: entry for name, entry in there.items() if entry is not None}
        return FileSet(lead, judgement.found, asked, known, _key(lead.path, judgement.found, digest))

    def _asked(self, lead: Entry, descriptor: int) -> Manifest:
        if lead.path.endswith(MANIFEST) and self._terms.queue(lead.queue).sets == "manifest":
            return manifest.read(descriptor)
        members = list(islice(self._beginning_with(lead.path.removesuffix(DONE) + b"."), MOST + 1))
        if len(members) > MOST:
            raise Rejected(f"its set has more than {MOST} files")
        return Manifest(members=tuple(Member(name=os.fsdecode(name)) for name in members))

    def _beginning_with(self, start: bytes) -> Iterator[bytes]:
        """The names of the files, but leads, whose paths begin so, in the same folder."""
        for path in islice(self._paths, bisect_left(self._paths, start), None):
            if not path.startswith(start):
                return
            if b"/" not in path[len(start) :] and not self.is_lead(self._entries[path]):
                yield os.path.basename(path)

    def _beside(self, lead: Entry, name: str) -> Entry | None:
        return self._entries.get(os.path.join(os.path.dirname(lead.path), os.fsencode(name)))


# -------------------------------------------------------------------- marks


def mark_of(found: os.stat_result) -> str:
    """What tells a file as it is from what it was: size, the time of its data, the time of its inode."""
    return f"{found.st_size}.{found.st_mtime_ns}.{found.st_ctime_ns}"


def is_as_taken(found: os.stat_result, mark: str, job: str) -> bool:
    """Whether what lies there is what had this mark when the job was made of it."""
    size, modified, changed = map(int, mark.split("."))
    if not stat.S_ISREG(found.st_mode) or (found.st_size, found.st_mtime_ns) != (size, modified):
        return False
    return found.st_ctime_ns == changed or found.st_ctime_ns / 1e9 <= naming.id_time(job) + _INSTANT


def next_key(key: str, job: str) -> str:
    """The key of a set that is the very same as the one of a job, and came after it."""
    return hashlib.sha256(f"{key} {job}".encode()).hexdigest()


def _key(path: bytes, found: os.stat_result, digest: str) -> str:
    """No idempotency key has it: those are UTF-8."""
    told = b"\xffset\0%b\0%d.%d\0%b" % (path, found.st_size, found.st_mtime_ns, digest.encode())
    return hashlib.sha256(told).hexdigest()


def _digest(descriptor: int) -> str:
    return hashlib.sha256(os.pread(descriptor, _READ, 0)).hexdigest()


# -------------------------------------------------------------------- words


def job_name(lead: Entry) -> bytes:
    """What the job of a set is called: it is a tar file."""
    return lead.name[: len(lead.name) - len(os.path.basename(lead.path))] + _stem(lead) + b".tar"


def lacks(missing: Sequence[str]) -> str:
    """What a set lacks, in words."""
    shown = ", ".join(naming.printable(os.fsencode(name)) for name in missing[:_SHOWN])
    more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    return f"{shown}{more} {'is' if len(missing) == 1 else 'are'} missing"


def _ending(terms: PerQueue, queue: str) -> bytes:
    return MANIFEST if terms.queue(queue).sets == "manifest" else DONE


def _stem(lead: Entry) -> bytes:
    base = os.path.basename(lead.path)
    return base.removesuffix(MANIFEST if base.endswith(MANIFEST) else DONE)
