"""Why a file of the inbox is still there, in words: the answer of the code that decides, asked the same questions.

Changes nothing: it judges as the ingester does and gives back what it was told.
"""

from __future__ import annotations

import fnmatch
import os
import signal
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pqfs import kernel, naming, sidecar
from pqfs.errors import Rejected
from pqfs.fileset import FileSet, Shelf, lacks
from pqfs.inbox import IGNORED, SIDECAR, Entry, Inbox, Judgement, Verdict, writers
from pqfs.quota import Quotas
from pqfs.report import Source
from pqfs.sidecars import Wait


def explain(source: Source, relative: str) -> Iterator[str]:
    """Sentences about a path below inbox/."""
    inbox, path = Inbox(source.spool.root, source.settings, source.terms), os.fsencode(relative)
    yield from _ignored(inbox, source, relative)
    if not inbox.is_ignored(os.path.basename(path)):
        yield from _about_entry(source, inbox, path)


def _ignored(inbox: Inbox, source: Source, relative: str) -> Iterator[str]:
    for part in relative.split("/"):
        for pattern in (*IGNORED, *source.settings.ingest.ignore):
            if inbox.is_ignored(os.fsencode(part)) and fnmatch.fnmatchcase(part, pattern):
                yield f"It is ignored: {_show(part)} matches {pattern}, which says that a file is not complete yet."
                yield "Rename it when it is, and it will be taken."
                return


def _about_entry(source: Source, inbox: Inbox, path: bytes) -> Iterator[str]:
    queues = frozenset(queue.name for queue in source.terms.look()) | set(source.settings.queues)
    entries, _ = inbox.entries(queues)
    entry = next((each for each in entries if each.path == path), None)
    if entry is None and os.fsdecode(path) in queues:
        yield f"It is the folder of queue {os.fsdecode(path)}: what is dropped there is for it."
    elif entry is None:
        yield from _about_folder(inbox.path / os.fsdecode(path))
    elif entry.path.endswith(SIDECAR):
        yield from _about_sidecar(source, entry, entries)
    elif pids := writers(inbox.path / os.fsdecode(path)):
        yield f"It is still being written, by {', '.join(map(_process, pids))}."
    elif source.terms.queue(entry.queue).sets != "none" and _may_ask():
        beside = (each for each in entries if each.queue == entry.queue)
        yield from _about_set(source, Shelf(inbox, source.terms, beside), entry)
    elif _may_ask():
        yield from _judged(source, inbox, entry, entries)


def _about_set(source: Source, shelf: Shelf, entry: Entry) -> Iterator[str]:
    """A file of a queue that takes files together."""
    own = [lead for lead in shelf.leads() if os.path.dirname(lead.path) == os.path.dirname(entry.path)]
    if shelf.is_lead(entry):
        yield from _about_lead(source, shelf, entry)
        return
    for lead in own:
        found = _read(source, shelf, lead)
        if isinstance(found, FileSet) and entry.path in {
            found.path_of(member.name) for member in found.asked.members
        }:
            yield f"It belongs to the set of {_show(os.fsdecode(os.path.basename(lead.path)))}."
            yield from _about_lead(source, shelf, lead)
            return
    yield f"Queue {entry.queue} takes files together, and nothing says yet to which others this one belongs."
    yield _set_limit(source, entry.queue)


def _about_lead(source: Source, shelf: Shelf, lead: Entry) -> Iterator[str]:
    match _read(source, shelf, lead):
        case FileSet() as found if found.missing:
            yield f"The set waits: {lacks(found.missing)}."
            yield _set_limit(source, lead.queue)
        case FileSet():
            yield f"The set is there, for queue {lead.queue}: it is taken when nobody writes any of its files."
        case Rejected() as error:
            yield f"It will be rejected: {error.message}."
        case waits:
            yield f"It waits: {waits}."


def _read(source: Source, shelf: Shelf, lead: Entry) -> FileSet | Rejected | Wait:
    directory = shelf.inbox.open_parent(lead)
    try:
        return shelf.read(directory, lead, source.clock.boottime())
    except (Rejected, Wait) as what:
        return what
    finally:
        os.close(directory)


def _set_limit(source: Source, queue: str) -> str:
    terms = source.terms.queue(queue)
    if terms.set_policy == "wait":
        return "It waits for that as long as it takes."
    return f"It is rejected when that does not come within {terms.set_wait:g} seconds."


def _about_folder(path: Path) -> Iterator[str]:
    try:
        if not stat.S_ISDIR(path.lstat().st_mode):
            yield "It lies in a folder that nothing is taken from: a mount, or one that is ignored or closed."
            return
        os.scandir(path).close()
    except OSError as error:
        yield f"It can not be looked into ({error.strerror}), so nothing in it is taken."
    else:
        yield "It is a directory: the files in it are taken, and it is removed once it has stayed empty."


def _judged(source: Source, inbox: Inbox, entry: Entry, entries: Sequence[Entry]) -> Iterator[str]:
    with _judgement(source, inbox, entry) as judgement:
        match judgement.verdict:
            case Verdict.TAKE:
                yield from _about_complete(source, inbox, entry, entries, judgement.descriptor)
            case Verdict.WAIT:
                yield f"It waits: {judgement.reason}."
            case Verdict.REJECT:
                yield f"It will be rejected: {judgement.reason}."
            case Verdict.VANISHED:
                yield "It has just gone."
            case Verdict.GHOST:
                yield "It is the other end of a move that was interrupted, and will be removed."


@contextmanager
def _judgement(source: Source, inbox: Inbox, entry: Entry) -> Iterator[Judgement]:
    directory = inbox.open_parent(entry)
    try:
        judgement = inbox.judge(directory, entry, source.clock.boottime())
    finally:
        os.close(directory)
    try:
        yield judgement
    finally:
        if judgement.descriptor is not None:
            os.close(judgement.descriptor)


def _about_complete(
    source: Source, inbox: Inbox, entry: Entry, entries: Sequence[Entry], descriptor: int | None
) -> Iterator[str]:
    beside = next((each for each in entries if each.path == entry.path + SIDECAR), None)
    quota = Quotas(source.index, source.terms, source.clock.now()).why_not(entry.queue, entry.size)
    if descriptor is not None and kernel.is_immovable(descriptor):
        yield "It is complete, but nobody may move it: it has the attribute i or a (see lsattr and chattr)."
    elif quota:
        yield f"It is complete and waits: {quota}. Files are taken as room appears, in order."
    elif beside:
        yield from _with_sidecar(source, inbox, entry, beside)
    elif wait := source.terms.queue(entry.queue).sidecar_wait():
        yield _waits_for_sidecar(entry, wait)
    else:
        yield f"It is complete and can be taken, for queue {entry.queue}."


def _with_sidecar(source: Source, inbox: Inbox, entry: Entry, beside: Entry) -> Iterator[str]:
    with _judgement(source, inbox, beside) as judgement:
        if judgement.verdict is Verdict.REJECT:
            yield f"It will be rejected: its sidecar can not be read: {judgement.reason}."
        elif judgement.descriptor is None:
            yield f"It waits: its sidecar is not complete: {judgement.reason}."
        else:
            try:
                sidecar.read(judgement.descriptor)
            except Rejected as error:
                yield f"It will be rejected: {error.message}."
            else:
                yield f"It is complete and can be taken with its sidecar, for queue {entry.queue}."


def _waits_for_sidecar(entry: Entry, wait: float) -> str:
    name = _show(os.fsdecode(entry.path + SIDECAR))
    if wait == float("inf"):
        return f"Queue {entry.queue} takes no file without its sidecar: it waits for {name}."
    return f"Queue {entry.queue} waits up to {wait:g} seconds for the sidecar {name}."


def _about_sidecar(source: Source, entry: Entry, entries: Sequence[Entry]) -> Iterator[str]:
    payload = entry.path.removesuffix(SIDECAR)
    if any(each.path == payload for each in entries):
        yield "It is the sidecar of a file that is still in the inbox, and goes with it."
        return
    yield f"It is a sidecar; its payload {_show(os.fsdecode(payload))} is not in the inbox."
    yield f"It is rejected when none comes within {source.settings.ingest.wait_limit:g} seconds."


def _may_ask() -> bool:
    """Whether a read lease may be asked for here: a writer that breaks it sends SIGIO, whose default kills."""
    number = getattr(signal, "SIGIO", None)
    if number is None or signal.getsignal(number) is signal.SIG_IGN:
        return True
    if threading.current_thread() is not threading.main_thread():
        return False
    kernel.ignore_lease_breaks()
    return True


def _process(pid: int) -> str:
    try:
        return f"process {pid} ({Path(f'/proc/{pid}/comm').read_text().strip()})"
    except OSError:
        return f"process {pid}"


def _show(name: str) -> str:
    return naming.printable(os.fsencode(name))
