"""Sets of files: assembled into one payload, made a job, and only then taken out of the inbox.

    1  judge the manifest, then every member: complete, and nobody writes it
    2  copy them into work/<me>/<job>.1.part; ask again, as at first: nobody has touched any
    3  submit, as everything is submitted: the marks of the files, and a key of which there is one, are in that commit
    4  remove exactly the files that were judged, make that durable, remove the manifest last

Dying before 3 leaves the files as they were. A set that is met again and whose key is taken goes on with 4. What can
not become a job is refused together, the manifest last.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pqfs import bundle, naming
from pqfs.bundle import Part
from pqfs.clock import Clock
from pqfs.duplicates import SET
from pqfs.errors import Rejected, Unavailable
from pqfs.events import Word, emit
from pqfs.fileset import FileSet, Shelf, is_as_taken, job_name, lacks, mark_of, next_key
from pqfs.inbox import Entry, Inbox, Judgement, Verdict
from pqfs.intake import ITS_OWN, Intake
from pqfs.jobqueue import JobQueue
from pqfs.kernel import is_immovable
from pqfs.model import Arrival
from pqfs.naming import JobIds
from pqfs.places import identity
from pqfs.quota import Quotas
from pqfs.settings import QueueSettings
from pqfs.sidecars import Wait
from pqfs.tracing import trace_of

_LATER = 5.0  # seconds until something that did not work is tried again
_SOON = 0.05
LEAD, MEMBERS = "lead", "members"


@dataclass(frozen=True, slots=True)
class Bench:
    """Where sets are assembled: the ingester's own name, ids and clock.

    `keep` is given an arrival that has moved to ready/ and whose commit failed; `beat` says that work goes on.
    """

    owner: str
    ids: JobIds
    clock: Clock
    keep: Callable[[Arrival], None]
    beat: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of a set, or of a file of none, at one look. `limit`: how long it may wait (seconds)."""

    entry: Entry
    taken: int = 0
    rejected: int = 0
    wait: Judgement | None = None
    limit: float | None = None


class Assembly:
    """The sets of one ingester's inbox."""

    def __init__(self, jobqueue: JobQueue, inbox: Inbox, intake: Intake, bench: Bench) -> None:
        self._jobqueue = jobqueue
        self._spool = jobqueue.spool
        self._terms = jobqueue.terms
        self._inbox = inbox
        self._intake = intake
        self._bench = bench
        self._shelf = Shelf(inbox, jobqueue.terms, ())

    def split(self, entries: Sequence[Entry], known: frozenset[str]) -> Sequence[Entry]:
        """Keep what lies in queues that take sets, and return the rest. `known` are the queues that there are."""
        queues = {name for name in known if self._terms.queue(name).sets != "none"}
        self._shelf = Shelf(self._inbox, self._terms, (each for each in entries if each.queue in queues))
        return [each for each in entries if each.queue not in queues] if queues else entries

    def look(self, quotas: Quotas) -> Iterator[Seen]:
        """Go on with what was begun, take what is complete, refuse what is wrong or late; what became of each.

        Whoever takes files that another set names as well has them: that is begun first which was begun before.
        """
        sets, unread = list[FileSet](), set[bytes]()
        for lead in self._shelf.leads():
            if seen := self._alone(lead, partial(self._read, lead, sets)):
                unread.add(os.path.dirname(lead.path))
                yield seen
        named = {each.path_of(name) for each in sets for name in each.there}
        fresh = list[tuple[FileSet, str]]()
        for each in sets:
            if seen := self._alone(each.lead, partial(self._go_on, each, fresh)):
                yield seen
        for each, key in fresh:
            if seen := self._alone(each.lead, partial(self._take, each, key, quotas)):
                yield seen
        for entry in self._shelf.others(named):
            if os.path.dirname(entry.path) not in unread and (
                seen := self._alone(entry, partial(self._judge, entry))
            ):
                yield seen

    def _alone(self, entry: Entry, act: Callable[[int], Seen | None]) -> Seen | None:
        """Act in the folder that holds an entry. What is wrong with it alone holds up no other."""
        limit = self._limit(entry.queue)
        try:
            directory = self._inbox.open_parent(entry)
        except OSError:
            return None  # its folder has gone: the next sweep looks again
        try:
            return act(directory)
        except _MemberWaits as wait:
            return Seen(wait.entry, wait=wait.judgement, limit=limit)
        except Wait as wait:
            return Seen(entry, wait=wait.judgement, limit=limit)
        except OSError as error:
            if error.errno not in ITS_OWN:
                raise
            return Seen(entry, wait=_later(f"it can not be moved: {error.strerror}", _LATER), limit=limit)
        finally:
            os.close(directory)

    def _limit(self, queue: str) -> float | None:
        """How long a set of a queue waits for what is missing (seconds); None: for as long as it takes."""
        terms = self._terms.queue(queue)
        return terms.set_wait if terms.set_policy == "reject" else None

    # ---------------------------------------------------------------- what there is

    def _read(self, lead: Entry, sets: list[FileSet], directory: int) -> Seen | None:
        try:
            sets.append(self._shelf.read(directory, lead, self._bench.clock.boottime()))
        except Rejected as error:
            told = job_name(lead)
            return Seen(lead, rejected=int(self._intake.reject(directory, lead, error.message, told=told)))
        return None

    def _go_on(self, found: FileSet, fresh: list[tuple[FileSet, str]], directory: int) -> Seen | None:
        """Take what is left of a set that has become a job out of the inbox; one that has not is `fresh`."""
        key = found.key
        while owner := self._jobqueue.duplicates.owner_of_set(found.lead.queue, key):
            job = self._jobqueue.index.job(owner)
            marks = (job.options or {}).get(SET) if job else None
            if marks and is_as_taken(found.status, marks[LEAD], owner):
                self._clear(found, marks, owner, directory)
                return None
            key = next_key(key, owner)
        fresh.append((found, key))
        return None

    def _judge(self, entry: Entry, directory: int) -> Seen | None:
        """A file that no manifest names: what can never be a member is refused at once, the others in time."""
        now, limit = self._bench.clock.boottime(), self._limit(entry.queue)
        waited = self._inbox.waited(entry, now)
        reason = "no manifest names it"
        if waited == 0.0 or (limit is not None and waited >= limit):
            judgement = self._inbox.judge(directory, entry, now)
            _close(judgement)
            if judgement.verdict is Verdict.REJECT:
                return Seen(entry, rejected=int(self._intake.reject(directory, entry, judgement.reason)))
            if judgement.verdict is Verdict.TAKE and limit is not None and self._inbox.quiet(entry, now) >= limit:
                reason = f"{reason}, for {limit:g} seconds"
                return Seen(entry, rejected=int(self._intake.reject(directory, entry, reason)))
        rest = _LATER if limit is None else max(_SOON, limit - waited)
        return Seen(entry, wait=_later(reason, rest), limit=limit)

    # ---------------------------------------------------------------- one set

    def _take(self, found: FileSet, key: str, quotas: Quotas, directory: int) -> Seen | None:
        """Make a set a job, or refuse it.

        Raises:
            Wait: not now.
        """
        queue = found.lead.queue
        _ask_quota(quotas, queue, 0)
        try:
            judged = self._complete(found, directory)
            size = bundle.size_of([each.st_size for each in judged.values()])
            self._check_size(queue, size, quotas)
            arrival = self._assemble(found, judged, key, directory)
        except Rejected as error:
            told = job_name(found.lead) if not isinstance(error, _Twin) else b""
            return Seen(found.lead, rejected=self._refuse(found, error.message, told, directory))
        quotas.count(queue, arrival.size)
        emit(
            Word.INGESTED, job=arrival.id, queue=queue, name=naming.printable(arrival.name),
            trace=trace_of(arrival.options),
        )  # fmt: skip
        self._clear(found, (arrival.options or {})[SET], arrival.id, directory)
        return Seen(found.lead, taken=1)

    def _complete(self, found: FileSet, directory: int) -> dict[str, os.stat_result]:
        """The members as they were judged, when all of them are there and complete."""
        judged, missing = dict[str, os.stat_result](), found.missing
        for name, entry in found.there.items():
            judgement = self._inbox.judge(directory, entry, self._bench.clock.boottime())
            immovable = judgement.descriptor is not None and is_immovable(judgement.descriptor)
            _close(judgement)
            if judgement.verdict is Verdict.REJECT:
                raise Rejected(f"{naming.printable(entry.path)}: {judgement.reason}")
            if judgement.verdict is Verdict.WAIT:
                raise _MemberWaits(entry, judgement)
            if immovable:
                raise _MemberWaits(entry, _later("nobody may move it", _LATER))
            if judgement.found is None:
                missing.append(name)
            else:
                judged[name] = judgement.found
        if missing:
            self._mourn(found, missing)
        return judged

    def _mourn(self, found: FileSet, missing: Sequence[str]) -> None:
        """A set that is not complete: it waits, from the last that happened to one of its files."""
        now, limit = self._bench.clock.boottime(), self._limit(found.lead.queue)
        quiet = min(self._inbox.quiet(each, now) for each in (found.lead, *found.there.values()))
        if limit is None:
            raise Wait(_later(lacks(missing), _LATER))
        if quiet < limit:
            raise Wait(_later(lacks(missing), max(_SOON, limit - quiet)))
        raise Rejected(f"{lacks(missing)}, for {limit:g} seconds")

    def _check_size(self, queue: str, size: int, quotas: Quotas) -> None:
        largest = self._terms.queue(queue).largest
        if largest is not None and size > largest:
            raise Rejected(f"together its files have {size} bytes; queue {queue} takes at most {largest}")
        _ask_quota(quotas, queue, size)
        if self._spool.free_bytes() - size < int(self._jobqueue.settings.low_water):
            raise Wait(_later("there is no room to copy its files", _LATER))

    # ---------------------------------------------------------------- from files to a job

    def _assemble(self, found: FileSet, judged: Mapping[str, os.stat_result], key: str, directory: int) -> Arrival:
        bench, spool = self._bench, self._spool
        now = bench.clock.now()
        job = bench.ids.next(now)
        path = spool.scratch_path(bench.owner, job, 1, "part")
        spool.make_directory(f"work/{bench.owner}")
        try:
            parts = self._parts(found, judged, directory)
            size = bundle.write(spool.path(path), parts, lambda: bench.beat("copying a set"))
            for name, before in judged.items():
                os.close(self._open_again(found.there[name], before, directory))
            members = {name: mark_of(each) for name, each in judged.items()}
            marks = {"key": key, LEAD: mark_of(found.status), MEMBERS: members}
            queue: QueueSettings = self._terms.queue(found.lead.queue)
            arrival = Arrival(job, found.lead.queue, found.name, size, queue.priority)
            arrival = found.asked.put_on(arrival, now, **{SET: marks})
            self._submit(arrival, path)
        finally:
            spool.remove_tree(path)
            spool.remove_directory(f"work/{bench.owner}")
        return arrival

    def _parts(self, found: FileSet, judged: Mapping[str, os.stat_result], directory: int) -> Iterator[Part]:
        """Each member, open while it is read."""
        for member in found.asked.members:
            before = judged[member.name]
            descriptor = self._open_again(found.there[member.name], before, directory)
            try:
                yield Part(member.name, descriptor, before.st_size, member.sha256)
            finally:
                os.close(descriptor)

    def _open_again(self, entry: Entry, before: os.stat_result, directory: int) -> int:
        """A descriptor of the very file that was judged, untouched since, and written by nobody.

        Race: a producer opens a member, or puts another in its place, after it was judged; so it is judged anew
        before it is copied, and once more after all have been.
        """
        judgement = self._inbox.judge(directory, entry, self._bench.clock.boottime())
        now = judgement.found
        if judgement.descriptor is None or now is None or _version(now) != _version(before):
            _close(judgement)
            raise Wait(_later(f"{naming.printable(entry.path)} has changed", _SOON))
        return judgement.descriptor

    def _submit(self, arrival: Arrival, path: str) -> None:
        try:
            twins = self._jobqueue.submit(self._bench.owner, [(arrival, path)], self._bench.clock.now())
        except (Unavailable, OSError):
            if not self._spool.exists(path):
                self._bench.keep(arrival)  # it waits in ready/ for its commit, which may even have happened
            raise
        for twin in twins:
            if twin.kind == SET:
                raise Wait(_later("another has just taken it", _SOON))
            if twin.is_turned_away:
                raise _Twin(self._jobqueue.duplicates.reason(twin))

    # ---------------------------------------------------------------- out of the inbox

    def _clear(self, found: FileSet, marks: Mapping[str, Any], job: str, directory: int) -> None:
        """Remove the files that have become a job; the manifest, which tells of them, once they can not return."""
        # Crash here: a job, and the files that it was made of; the next sweep finds the key taken, and goes on here.
        for name, mark in marks[MEMBERS].items():
            self._drop(replace(found.lead, path=found.path_of(name)), mark, job, directory)
        self._spool.keep_out(directory)
        # Crash here: a job, and the manifest alone; the next sweep finds the key taken, and removes that, too.
        self._drop(found.lead, marks[LEAD], job, directory)

    def _drop(self, entry: Entry, mark: str, job: str, directory: int) -> None:
        """Remove a file if it is the one that was taken: another, or one that was touched since, stays."""
        try:
            found = os.stat(os.path.basename(entry.path), dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return
        if is_as_taken(found, mark, job):
            self._intake.remove(directory, entry, identity(found))

    def _refuse(self, found: FileSet, reason: str, told: bytes, directory: int) -> int:
        """Put a set into rejected/; how many files that were."""
        name = naming.printable(found.name)
        refused = 0
        for entry in found.there.values():
            refused += self._intake.reject(directory, entry, f"its set {name} was refused: {reason}", told=b"")
        # Crash here: some files are refused; the others wait for those, as a set that is not complete, and follow.
        return refused + self._intake.reject(directory, found.lead, reason, told=told)


class _MemberWaits(Wait):
    """A set must wait because of one of its files."""

    def __init__(self, entry: Entry, judgement: Judgement) -> None:
        super().__init__(judgement)
        self.entry = entry


class _Twin(Rejected):
    """The set is a duplicate; its producer has been told so by the commit that found it out."""


def _ask_quota(quotas: Quotas, queue: str, size: int) -> None:
    if reason := quotas.why_not(queue, size):
        raise Wait(_later(reason, quotas.retry_in(queue)))


def _later(reason: str, seconds: float) -> Judgement:
    return Judgement(Verdict.WAIT, reason, seconds)


def _close(judgement: Judgement) -> None:
    if judgement.descriptor is not None:
        os.close(judgement.descriptor)


def _version(found: os.stat_result) -> tuple[int, int, str]:
    return found.st_dev, found.st_ino, mark_of(found)
