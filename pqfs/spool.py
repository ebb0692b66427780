"""The spool on disk: the only moves between its places.

Every move is one rename that never overwrites. After any error the spool looks before it judges: target
names are unique to a job and attempt, so a target that is there and is the same inode means *done* (NFS
answers ENOENT and EEXIST to operations that happened). spool/README.md is the contract; this is its code.
`places` tells where things are, `ground` makes them durable.

Trust: names below inbox/ come from strangers and are only used relative to a directory descriptor, never
followed. Nothing outside the root is ever written, renamed or removed.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from typing import Any

from pqfs import naming
from pqfs.errors import Corrupt
from pqfs.ground import Ground
from pqfs.model import DEFAULT_QUEUE, Job, Place
from pqfs.naming import Claimed, Parked
from pqfs.places import Identity, identity

# What an owner is about to drop, and of which host it is where its name tells: never a host of digits alone.
_ASIDE = re.compile(r"\.(?P<owner>[^.]+\.\d+\.[0-9a-f]{8}(?:\.(?!\d+\.)[a-z0-9-]+)?)\.\d+\.\d+\.")


class Spool(Ground):
    """One spool directory: its places, its ground, and every move of a payload or an output."""

    # ---------------------------------------------------------------- moving

    def accept(self, inbox_dir: int, name: bytes, arriver: str, parked: Parked) -> None:
        """Take a file out of the inbox: one rename into ready/<arriver>/. Not durable before `barrier`.

        Raises:
            FileNotFoundError: the producer took it away again; nothing has happened.
        """
        target = os.fsencode(self.ready_path(arriver, parked))
        try:
            self._files.rename(inbox_dir, name, self._fd, target)
        except OSError:
            if not self._has_moved(inbox_dir, name, os.fsdecode(target)):
                raise

    def _has_moved(self, directory: int, name: bytes, target: str) -> bool:
        """After an error of a move to a name that is ours alone: whether it happened all the same.

        Where it is link and unlink, the first may have happened and been denied: then the second is made up for.
        """
        there = self.status(target)
        try:
            here = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if there is not None and os.path.samestat(here, there):
                self._files.unlink(directory, name)
        except FileNotFoundError:
            pass
        return there is not None

    def reject(self, inbox_dir: int, name: bytes, job: str, reason: dict[str, Any]) -> str:
        """Put a refused object aside, its reason beside it, and return its path.

        The reason is written first, durably. Crash here: a reason without its object, which says that the object is
        still in the inbox; the next sweep refuses it again under another id.
        """
        return self._refuse(inbox_dir, name, naming.disk_name(os.path.basename(name)), job, reason)

    def refuse(self, source: str, name: bytes, job: str, reason: dict[str, Any]) -> str:
        """The same for something that lies in the spool already; `name` is what it was called."""
        return self._refuse(self._fd, os.fsencode(source), naming.disk_name(name), job, reason)

    def drop_refused(self, source: str, name: bytes, job: str) -> bool:
        """Remove the old name of a payload that was refused, which a loss of power has left. False: it was not."""
        refused = f"rejected/{naming.id12(job)}.{naming.disk_name(name)}"
        here, there = self.status(source), self.status(refused)
        return bool(here and there and os.path.samestat(here, there)) and self._drop_twin(source, refused)

    def _refuse(self, directory: int, source: bytes, disk_name: str, job: str, reason: dict[str, Any]) -> str:
        number = naming.id12(job)
        target = f"rejected/{number}.{disk_name}"
        self.explain_refusal(number, reason)
        try:
            self._files.rename(directory, source, self._fd, os.fsencode(target))
        except OSError:
            if not self._has_moved(directory, source, target):
                self.remove(f"rejected/{number}.reason.json")  # nothing has moved, so there is nothing to explain
                raise
        return target

    def explain_refusal(self, number: str, reason: dict[str, Any]) -> None:
        """Write the reason of a refused object, durably."""
        explained = f"rejected/{number}.reason.json"
        data = json.dumps({"schema": "pqfs.rejected/1", **reason}, indent=1).encode() + b"\n"
        self.remove(explained)  # half of one, if the same refusal was interrupted
        self._files.write(self._fd, explained.encode(), data)
        if self._durable:
            self._sync([explained], ["rejected"])  # else a loss of power may leave an object that nothing explains

    def readmit(self, refused: str, inbox_dir: int, name: bytes) -> None:
        """Move a refused object back into the inbox, never over something that is there (FileExistsError)."""
        try:
            self._files.rename(self._fd, os.fsencode(refused), inbox_dir, name)
        except OSError:
            if self.exists(refused):
                raise

    def drop(self, inbox_dir: int, name: bytes, judged: Identity, owner: str) -> bool:
        """Remove a file from the inbox: a ghost of our own move, or a sidecar that has become part of a job.

        Exactly the file that was judged: its name may mean another by now, which stays, or is put back (False).
        Nobody can unlink by inode, so it is put where no producer can reach it, looked at, and only then removed.
        """
        size, changed = judged[2:]
        aside = f"rejected/.{owner}.{size}.{changed}.{naming.disk_name(os.path.basename(name))}"
        try:
            if identity(os.stat(name, dir_fd=inbox_dir, follow_symlinks=False)) != judged:
                return False
            self._files.rename(inbox_dir, name, self._fd, os.fsencode(aside))
        except OSError as error:
            if not self._has_moved(inbox_dir, name, aside):
                if isinstance(error, FileNotFoundError):
                    return False
                raise
        # Crash here: a hidden file in rejected/ that names its owner; `clear_aside` looks at it and removes it.
        found = self.status(aside)
        if found is None or identity(found) == judged:
            return self.remove(aside)
        self.readmit(aside, inbox_dir, name)
        return False

    def keep_out(self, folder: str | int) -> None:
        """Make durable what has been removed from a folder (of the inbox: its descriptor): it does not come back.

        Raises:
            VolumeFault: the sync failed.
        """
        if self._durable:
            self._sync([], [folder])

    def droppers(self) -> list[str]:
        """The owners that have put something aside to remove it."""
        asides = map(_ASIDE.match, self.entries("rejected", hidden=True))
        return sorted({found["owner"] for found in asides if found})

    def clear_aside(self, owner: str, job: str, now: float) -> int:
        """Finish what a dead owner was about to drop; what had taken its name in that moment is refused, not lost."""
        mine = [name for name in self.entries("rejected", hidden=True) if name.startswith(f".{owner}.")]
        for name in mine:
            path = f"rejected/{name}"
            size, changed, disk_name = name.removeprefix(f".{owner}.").split(".", 2)
            found = self.status(path)
            if found is None or (str(found.st_size), str(found.st_mtime_ns)) == (size, changed):
                self.remove(path)
                continue
            reason = "it took the name of a file that was being removed"
            said = {"name": disk_name, "queue": DEFAULT_QUEUE, "reason": reason, "at": now, "size": found.st_size}
            self.refuse(path, naming.original(disk_name), job, said)
        return len(mine)

    def move(self, source: str, target: str) -> bool:
        """Move a file of ours. True when it now is at `target`, False when there was nothing to move.

        Raises:
            Corrupt: something else lies at the target.
        """
        if source == target:  # its own twin: the one name that it has must not be unlinked
            return self.exists(target)
        for _ in range(2):
            try:
                self._files.rename(self._fd, os.fsencode(source), self._fd, os.fsencode(target))
                return True
            except FileNotFoundError:
                if self.exists(target):
                    return True
                if self.exists(os.path.dirname(target)) or not self.exists(source):
                    return False
                self.make_directory(os.path.dirname(target))
            except FileExistsError:
                return self._resolve_twin(source, target)
        return False

    def _resolve_twin(self, source: str, target: str) -> bool:
        here, there = self.status(source), self.status(target)
        if here and there and (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino):
            raise Corrupt(f"{source} can not move to {target}: another file is there.", "See: pqfs fsck")
        if here and there:  # two names of one inode: an interrupted move
            self._drop_twin(source, target)
        return there is not None

    def _drop_twin(self, source: str, target: str) -> bool:
        """Remove the first of two names of one file. True for the one who removed it.

        Race: two who recover meet the same twins, and the second removes the name to which the first has just moved
        the file on. So whoever removes one holds a lock on the file itself, and looks again under it.
        """
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(source, flags, dir_fd=self._fd)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            names = (os.fstat(descriptor), self.status(source), self.status(target))
            are_one = len({(each.st_dev, each.st_ino) if each else None for each in names}) == 1
            return are_one and self.remove(source)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)

    def start(self, job: Job) -> bool:
        """Move a leased payload from ready/ to claimed/: whoever wins this rename decides about the attempt."""
        return self.win(self.payload_path(job, Place.READY), self.payload_path(job, Place.CLAIMED))

    def win(self, source: str, target: str) -> bool:
        """Move a file that others may be moving to the same place. True for the one whose rename did it.

        Unlike `move` it does not take *the target is there* for success: that may be another's. Where a file
        system lies about a rename that happened (NFS), nobody wins and the attempt is lost, which costs a loss.
        """
        try:
            self._files.rename(self._fd, os.fsencode(source), self._fd, os.fsencode(target))
        except FileNotFoundError:
            return False
        except FileExistsError:  # link and unlink instead of a rename: whoever removes the old name wins
            return self._drop_twin(source, target)
        return True

    def settle(self, job: Job) -> bool:
        """Move a payload from wherever its attempt left it to where its row says. False: it is nowhere.

        The likely place is tried first; the tree is searched only when the payload is in neither.
        """
        if job.place is Place.GONE:
            self.discard(job)
            return True
        target = self.payload_path(job)
        for place in (Place.CLAIMED, Place.READY, Place.DEAD, Place.CANCELLED):
            if place is not job.place and self.move(self.payload_path(job, place), target):
                return True
        # Twice: a move from a directory not yet listed to one already listed hides a file from one search.
        return self.exists(target) or any(self._settle_from_afar(job, target) for _ in range(2))

    def _settle_from_afar(self, job: Job, target: str) -> bool:
        for path, name in list(self.payloads()):
            is_later = isinstance(name, Claimed) and name.attempt > job.attempt
            is_done = path.startswith("done/") and job.place is not Place.DONE  # proof that it was completed
            if name.job == job.id and not is_later and not is_done:
                return self.move(path, target)
        return False

    def discard(self, job: Job) -> None:
        """Remove a payload that is not kept, wherever its attempt left it."""
        for place in (Place.CLAIMED, Place.READY, Place.DONE, Place.DEAD, Place.CANCELLED):
            self.remove(self.payload_path(job, place))

    def gather(self, job: Job) -> bool:
        """Settle, and remove every old name that a loss of power has left or brought back."""
        found = self.settle(job)
        for place in Place:
            if found and place not in (Place.GONE, job.place):
                self.move(self.payload_path(job, place), self.payload_path(job))
        return found

    def settle_for_good(self, job: Job) -> bool:
        """The same, durably: for moves out of places that recovery does not look through (dead/, cancelled/)."""
        found = self.gather(job)
        self._sync_places(job)
        return found

    def discard_for_good(self, job: Job) -> None:
        """Discard, durably, and make durable that its output is published: no row will remember either.

        A loss of power may have brought back the name that any of its attempts had in claimed/.
        """
        self.discard(job)
        for name in self.entries("claimed"):
            if name.startswith(f"{job.id}."):
                self.remove(f"claimed/{name}")
        self._sync_places(job)

    def _sync_places(self, job: Job) -> None:
        """Make durable where a job's payload and output are, and where they are no more.

        Source: until its own directory is synced, an old name may come back with a loss of power (btrfs).
        """
        if not self._durable:
            return
        places = [place for place in Place if place is not Place.GONE]
        places.sort(key=lambda place: place is job.place)  # what it left before where it arrived
        paths = [self.payload_path(job, place) for place in places]
        paths += [self.output_path(job.queue, job.output)] if job.output else []
        self._sync([], list(dict.fromkeys(self._standing(os.path.dirname(path)) for path in paths)))

    def _standing(self, directory: str) -> str:
        """A directory, or the nearest one above that is there: what was removed must stay removed, too."""
        while directory and not self.exists(directory):
            directory = os.path.dirname(directory)
        return directory or "."

    def publish(self, owner: str, job: Job) -> bool:
        """Move a completed job's staged output to the outbox under the name in its row.

        The staged inode itself moves, so it can be published only once. False: it is neither staged nor in
        the outbox (a reader has taken it).
        """
        if job.output is None:
            raise ValueError(f"job {job.id} has no output name")
        staged = self.scratch_path(owner, job.id, job.attempt, "out")
        return self.move(staged, self.output_path(job.queue, job.output))

    # ---------------------------------------------------------------- meta files

    def write_meta(self, job: str, meta: dict[str, Any]) -> None:
        """Write or replace meta/<job>.json and make it durable.

        Crash here: a `.tmp` that nobody reads, or a meta file whose payload never came; the janitor removes
        both after an hour.
        """
        data = json.dumps({"schema": "pqfs.meta/1", **meta}).encode()
        self.replace_small(f"meta/{job}.json", f"meta/.{job}.{os.getpid()}.tmp", data)

    def write_note(self, queue: str, note: dict[str, Any]) -> None:
        """Write or replace what people set of a queue, and make it durable."""
        data = json.dumps({"schema": "pqfs.queue/1", **note}).encode()
        self.replace_small(naming.note_path(queue), f"meta/.queue.{queue}.{os.getpid()}.tmp", data)

    def read_note(self, queue: str) -> dict[str, Any]:
        """What people set of a queue; empty when they set nothing, or it makes no sense. Errors as `read_meta`."""
        return self._read_small(naming.note_path(queue))

    def write_schedule(self, name: str, note: dict[str, Any]) -> None:
        """Write or replace what is wanted of a schedule, and make it durable."""
        data = json.dumps({"schema": "pqfs.schedule/1", **note}).encode()
        self.replace_small(naming.schedule_path(name), f"meta/.schedule.{name}.{os.getpid()}.tmp", data)

    def read_schedule(self, name: str) -> dict[str, Any]:
        """What is wanted of a schedule; empty when that makes no sense. Errors as `read_meta`."""
        return self._read_small(naming.schedule_path(name))

    def read_meta(self, job: str) -> dict[str, Any]:
        """What meta/<job>.json says; empty when there is none or it makes no sense.

        Raises:
            OSError: it is there and can not be read now. To go on without it would lose a hold or a priority.
        """
        return self._read_small(f"meta/{job}.json")

    def _read_small(self, path: str) -> dict[str, Any]:
        try:
            found = json.loads(self.path(path).read_bytes())
        except (FileNotFoundError, IsADirectoryError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}
