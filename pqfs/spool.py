"""The spool on disk: where things are, the only moves between places, and durability.

    inbox/            producers write here, and nowhere else; inbox/<queue>/ feeds a named queue
    ready/<arriver>/  accepted payloads, waiting
    claimed/          payloads being processed
    work/<owner>/     what attempts write until it is published
    outbox/           published outputs; outbox/<queue>/ for a named queue
    done/<date>/      inputs of completed jobs, kept for a while
    dead/             inputs of failed and unprocessable jobs
    cancelled/        inputs of cancelled jobs
    rejected/         what could not become a job, each with its reason
    meta/             <job>.json: what a payload's path does not tell; written before the payload moves in
    run/              locks, bells, sockets; never payloads

Every move is one rename that never overwrites. After any error the spool looks before it judges: target
names are unique to a job and attempt, so a target that is there and is the same inode means *done* (NFS
answers ENOENT and EEXIST to operations that happened). spool/README.md is the contract; this is its code.

Trust: names below inbox/ come from strangers and are only used relative to a directory descriptor, never
followed. Nothing outside the root is ever written, renamed or removed.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pqfs import naming
from pqfs.clock import day
from pqfs.errors import Corrupt, Misconfigured, VolumeFault
from pqfs.events import Word, emit
from pqfs.files import Files, SyncFailed, open_directory
from pqfs.model import DEFAULT_QUEUE, Job, Outline, Place
from pqfs.naming import Claimed, Parked, Scratch

DIRECTORIES = (
    "inbox", "ready", "claimed", "work", "outbox", "done", "dead", "cancelled", "rejected", "meta", "run",
)  # fmt: skip
_BALLAST = "run/ballast"
_MEMORY = Path("/dev/shm")  # where an alarm survives the volume that it is about
_DEEP, _ROUNDS = 64, 1000  # folders that are removed in one go, and how often that is repeated for deeper ones
_FEW = 2  # up to this many files an fsync each is as quick as one syncfs, and waits for nobody else's data


Identity = tuple[int, int, int, int]


def identity(found: os.stat_result) -> Identity:
    """What tells a file, as it is now, from any other: device, inode, size, time of the last change of its data."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


class Spool:
    """One spool directory. The descriptor of its root is opened once, at start, and never again.

    `alarm` is the file that says that a sync of this volume has failed: in memory, not on the volume itself.

    Source: syncfs(2) reports write-back errors once per open descriptor, so a barrier is only sound on one
    that was open before the writes (measured on xfs and btrfs).
    """

    def __init__(
        self, root: Path, files: Files | None = None, durable: bool = True, alarms: Path | None = None
    ) -> None:
        self.root = root
        self._files = files or Files()
        self._durable = durable
        try:
            self._fd = open_directory(os.fsencode(root))
        except OSError as error:
            if isinstance(error, PermissionError):
                raise Misconfigured(f"This user may not enter the spool {root} ({error.strerror}).") from error
            if not isinstance(error, FileNotFoundError | NotADirectoryError):
                raise
            raise Misconfigured(
                f"There is no spool at {root} ({error.strerror}).", f"Make one: pqfs init --spool {root}"
            ) from error
        self.alarm = _alarm(self._fd, alarms or (_MEMORY if _MEMORY.is_dir() else Path(tempfile.gettempdir())))

    def close(self) -> None:
        """Give the root's descriptor back."""
        os.close(self._fd)

    # ---------------------------------------------------------------- layout

    @classmethod
    def create(cls, root: Path) -> None:
        """Make the tree where it is missing. Repeating it is harmless."""
        try:
            root.mkdir(parents=True, exist_ok=True, mode=0o750)
            for name in DIRECTORIES:
                (root / name).mkdir(exist_ok=True, mode=0o750)
            (root / "run").chmod(0o700)  # sockets and bells: who may write there may steer us
        except OSError as error:
            raise Misconfigured(f"The spool {root} can not be made: {error.strerror}.") from error

    def check_one_file_system(self) -> None:
        """Refuse a spool whose directories are not on one file system: a move would not be one rename.

        Raises:
            Misconfigured: naming the directory that lies elsewhere, or is missing.
        """
        home = os.fstat(self._fd).st_dev
        for name in DIRECTORIES:
            try:
                found = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
            except FileNotFoundError:
                raise Misconfigured(
                    f"{self.root / name} is missing.", f"Complete the tree: pqfs init --spool {self.root}"
                ) from None
            if not stat.S_ISDIR(found.st_mode):
                raise Misconfigured(f"{self.root / name} is not a directory.")
            if found.st_dev != home and name != "run":
                raise Misconfigured(
                    f"{self.root / name} is on another file system than {self.root}.",
                    "The whole spool must be one file system, so that every move is one rename.",
                )

    def path(self, relative: str | bytes) -> Path:
        """The absolute path of something in the spool."""
        return self.root / os.fsdecode(relative)

    def ready_path(self, arriver: str, parked: Parked) -> str:
        """Where an accepted payload waits."""
        return f"ready/{arriver}/{parked}"

    def payload_path(self, job: Job | Outline, place: Place | None = None) -> str:
        """Where a job's payload belongs (`place`: where it would be in that place)."""
        parked = Parked(job.id, job.queue, naming.disk_name(job.name))
        match place or job.place:
            case Place.READY:
                return self.ready_path(job.arriver, parked)
            case Place.CLAIMED:
                return f"claimed/{Claimed(job.id, job.attempt, parked.queue, parked.name)}"
            case Place.DONE:
                return f"done/{day(job.updated_at)}/{parked}"
            case Place.DEAD:
                return f"dead/{parked}"
            case Place.CANCELLED:
                return f"cancelled/{parked}"
            case _:
                raise ValueError("a payload that is gone has no path")

    def scratch_path(self, owner: str, job: str, attempt: int, suffix: str) -> str:
        """Where an attempt writes (`part`, `parts`) and where its complete output waits (`out`)."""
        return f"work/{owner}/{Scratch(job, attempt, suffix)}"

    def output_path(self, queue: str, output: str) -> str:
        """Where an output of this name is published."""
        return f"outbox/{output}" if queue == DEFAULT_QUEUE else f"outbox/{queue}/{output}"

    # ---------------------------------------------------------------- looking

    def status(self, relative: str) -> os.stat_result | None:
        """What lies at a path, links not followed; None when nothing does."""
        try:
            return os.stat(relative, dir_fd=self._fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def exists(self, relative: str) -> bool:
        """Whether something lies at a path."""
        return self.status(relative) is not None

    def entries(self, relative: str, *, hidden: bool = False) -> list[str]:
        """The names in a directory, sorted; none when it is not there. Hidden ones only when asked for."""
        try:
            descriptor = open_directory(os.fsencode(relative), self._fd)
        except (FileNotFoundError, NotADirectoryError):
            return []
        try:
            return sorted(name for name in os.listdir(descriptor) if hidden or name[0] != ".")
        finally:
            os.close(descriptor)

    def listing(self, relative: str) -> Iterator[tuple[str, bool]]:
        """Each name in a directory that is not hidden, and whether a regular file has it; as they come, unsorted.

        Nothing is kept, however many there are. What is moved meanwhile may be seen or not.
        """
        try:
            descriptor = open_directory(os.fsencode(relative), self._fd)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            with os.scandir(descriptor) as entries:
                yield from (
                    (each.name, each.is_file(follow_symlinks=False)) for each in entries if each.name[0] != "."
                )
        finally:
            os.close(descriptor)

    def payload_directories(self) -> Iterator[str]:
        """Every directory that may hold payloads."""
        yield from (f"ready/{arriver}" for arriver in self.entries("ready"))
        yield "claimed"
        yield from (f"done/{date}" for date in self.entries("done"))
        yield from ("dead", "cancelled")

    def payloads(self) -> Iterator[tuple[str, Parked | Claimed]]:
        """Every payload in the tree: its path and what its name says. Directories are listed one at a time."""
        for arriver in self.entries("ready"):
            yield from self._parked_in(f"ready/{arriver}")
        for name in self.entries("claimed"):
            if claimed := naming.parse_claimed(name):
                yield f"claimed/{name}", claimed
        for date in self.entries("done"):
            yield from self._parked_in(f"done/{date}")
        yield from self._parked_in("dead")
        yield from self._parked_in("cancelled")

    def _parked_in(self, relative: str) -> Iterator[tuple[str, Parked]]:
        for name in self.entries(relative):
            if parked := naming.parse_parked(name):
                yield f"{relative}/{name}", parked

    def find(self, job: str) -> list[str]:
        """Search the whole tree for a job's payload. Slow: only when it is not where it belongs."""
        return [path for path, name in self.payloads() if name.job == job]

    def free_bytes(self) -> int:
        """Bytes that an unprivileged process can still write to the spool's volume."""
        volume = os.fstatvfs(self._fd)
        return volume.f_bavail * volume.f_frsize

    def is_below(self, low_water: int) -> bool:
        """Whether the volume has less room than `low_water`, or than a twentieth of itself where it is small."""
        volume = os.fstatvfs(self._fd)
        total = volume.f_blocks * volume.f_frsize
        few_inodes = volume.f_files > 0 and volume.f_favail < 64
        return few_inodes or volume.f_bavail * volume.f_frsize < min(low_water, total // 20)

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
            if not self.exists(os.fsdecode(target)):
                raise

    def reject(self, inbox_dir: int, name: bytes, job: str, reason: dict[str, Any]) -> str:
        """Put a refused object aside, its reason beside it, and return its path.

        The reason is written first, durably. Crash here: a reason without its object, which says that the object is
        still in the inbox; the next sweep refuses it again under another id.
        """
        return self._refuse(inbox_dir, name, naming.disk_name(os.path.basename(name)), job, reason)

    def refuse(self, source: str, name: bytes, job: str, reason: dict[str, Any]) -> str:
        """The same for something that lies in the spool already; `name` is what it was called."""
        return self._refuse(self._fd, os.fsencode(source), naming.disk_name(name), job, reason)

    def _refuse(self, directory: int, source: bytes, disk_name: str, job: str, reason: dict[str, Any]) -> str:
        number = naming.id12(job)
        target = f"rejected/{number}.{disk_name}"
        self.explain_refusal(number, reason)
        try:
            self._files.rename(directory, source, self._fd, os.fsencode(target))
        except OSError:
            if not self.exists(target):
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
        except FileNotFoundError:
            return False
        # Crash here: a hidden file in rejected/ that names its owner; `clear_aside` looks at it and removes it.
        found = self.status(aside)
        if found is None or identity(found) == judged:
            return self.remove(aside)
        self.readmit(aside, inbox_dir, name)
        return False

    def droppers(self) -> list[str]:
        """The owners that have put something aside to remove it."""
        hidden = (name for name in self.entries("rejected", hidden=True) if name.startswith("."))
        return sorted({".".join(name.split(".")[1:4]) for name in hidden})

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
            self.remove(source)
        return there is not None

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
            here, there = self.status(source), self.status(target)
            twins = here is not None and there is not None and os.path.samestat(here, there)
            return twins and self.remove(source)
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
        self._sync([], [path for path in map(os.path.dirname, paths) if self.exists(path)])

    def publish(self, owner: str, job: Job) -> bool:
        """Move a completed job's staged output to the outbox under the name in its row.

        The staged inode itself moves, so it can be published only once. False: it is neither staged nor in
        the outbox (a reader has taken it).
        """
        if job.output is None:
            raise ValueError(f"job {job.id} has no output name")
        staged = self.scratch_path(owner, job.id, job.attempt, "out")
        return self.move(staged, self.output_path(job.queue, job.output))

    # ---------------------------------------------------------------- small files, directories

    def write_meta(self, job: str, meta: dict[str, Any]) -> None:
        """Write or replace meta/<job>.json and make it durable.

        Crash here: a `.tmp` that nobody reads, or a meta file whose payload never came; the janitor removes
        both after an hour.
        """
        data = json.dumps({"schema": "pqfs.meta/1", **meta}).encode()
        self.replace_small(f"meta/{job}.json", f"meta/.{job}.{os.getpid()}.tmp", data)

    def replace_small(self, target: str, scratch: str, data: bytes) -> None:
        """Write or replace a small file of ours, whole and durable, by way of `scratch` beside it."""
        self.remove(scratch)
        self._files.write(self._fd, os.fsencode(scratch), data)
        if self._durable:
            self._sync([scratch], [])
        self._replace(os.fsencode(scratch), os.fsencode(target))
        if self._durable:
            self._sync([], [os.path.dirname(target) or "."])

    def _replace(self, scratch: bytes, target: bytes) -> None:
        """Rename one of our small files over what is there; an error is believed only if it did not happen."""
        written = self.status(os.fsdecode(scratch))
        try:
            self._files.replace(self._fd, scratch, target)
        except OSError:
            found = self.status(os.fsdecode(target))
            if written is None or found is None or not os.path.samestat(written, found):
                raise

    def read_meta(self, job: str) -> dict[str, Any]:
        """What meta/<job>.json says; empty when there is none or it makes no sense.

        Raises:
            OSError: it is there and can not be read now. To go on without it would lose a hold or a priority.
        """
        try:
            found = json.loads(self.path(f"meta/{job}.json").read_bytes())
        except (FileNotFoundError, IsADirectoryError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def make_directory(self, relative: str) -> None:
        """Make a directory and those above it where they are missing."""
        parent = os.path.dirname(relative)
        if parent and not self.exists(parent):
            self.make_directory(parent)
        try:
            self._files.mkdir(self._fd, os.fsencode(relative))
        except FileExistsError:
            pass

    def remove(self, relative: str) -> bool:
        """Unlink one of our files; False when it is not there."""
        try:
            self._files.unlink(self._fd, os.fsencode(relative))
        except FileNotFoundError:
            return False
        return True

    def remove_tree(self, relative: str) -> None:
        """Remove a file or directory with all below it, however deep, links not followed.

        Through descriptors: a stranger's directory in rejected/ is still its owner's, who may put a link in the
        place of a folder at any time.
        """
        found = self.status(relative)
        if found is None:
            return
        if not stat.S_ISDIR(found.st_mode):
            self.remove(relative)
            return
        for _ in range(_ROUNDS):
            self._empty(self._fd, os.fsencode(relative))
            if self.remove_directory(relative):
                return

    def _empty(self, above: int, name: bytes, top: int | None = None, depth: int = 0) -> None:
        """Remove what is in a directory. What lies too deep is moved up to `top`, for another round."""
        try:
            directory = _open_up(name, above)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            for inner in os.listdir(directory):
                is_folder = stat.S_ISDIR(os.stat(inner, dir_fd=directory, follow_symlinks=False).st_mode)
                if not is_folder:
                    self._files.unlink(directory, os.fsencode(inner))
                elif depth < _DEEP:
                    self._empty(directory, os.fsencode(inner), directory if top is None else top, depth + 1)
                    self._drop_folder(directory, os.fsencode(inner))
                elif top is not None:
                    self._files.rename(directory, os.fsencode(inner), top, f".{secrets.token_hex(8)}".encode())
        except FileNotFoundError:
            pass  # somebody else removes the same: the next round looks again
        finally:
            os.close(directory)

    def _drop_folder(self, directory: int, name: bytes) -> bool:
        try:
            self._files.rmdir(directory, name)
        except OSError:
            return False
        return True

    def leave_scratch(self, owner: str) -> None:
        """Remove what attempts of an owner that ends left in work/<owner>/, but no complete output.

        One may have been committed and not published (the answer got lost, the move failed): then the directory
        stays, and recovery publishes it.
        """
        for name in self.entries(f"work/{owner}", hidden=True):
            if not name.endswith(".out"):
                self.remove_tree(f"work/{owner}/{name}")
        self.remove_directory(f"work/{owner}")

    def remove_folder(self, inbox_dir: int, name: bytes) -> bool:
        """Remove a producer's empty folder, by the descriptor of the one that holds it: no link is followed."""
        return self._drop_folder(inbox_dir, name)

    def remove_directory(self, relative: str) -> bool:
        """Remove a directory if it is empty."""
        return self._drop_folder(self._fd, os.fsencode(relative))

    # ---------------------------------------------------------------- alarm

    def raise_alarm(self, reason: str) -> Path:
        """Leave the alarm. It stands until a reboot, or until a person removes it."""
        self.alarm.write_text(f"{reason}\n")
        return self.alarm

    def copy_anew(self, relative: str) -> None:
        """Give a payload a new inode with the bytes that the disk gives back now, durable.

        After a failed sync the old inode's pages count as clean, whatever is on the disk: only a copy proves
        that they can be read and written.
        """
        scratch = f"{os.path.dirname(relative)}/.{os.path.basename(relative)[:36]}.copy"
        self.remove(scratch)
        shutil.copyfile(self.path(relative), self.path(scratch), follow_symlinks=False)
        self._sync([scratch], [])
        self._replace(os.fsencode(scratch), os.fsencode(relative))
        self._sync([], [os.path.dirname(relative)])

    def put_back(self, descriptor: int, relative: str, scratch: str) -> None:
        """Give a payload that is held by a descriptor its place again, as a durable copy; what lies there goes.

        Crash here: the handler had removed the payload, only scratch holds a copy; the job fails as *payload lost*.
        """
        self.remove_tree(scratch)
        shutil.copyfile(f"/proc/self/fd/{descriptor}", self.path(scratch))
        found = os.fstat(descriptor)
        os.utime(self.path(scratch), ns=(found.st_atime_ns, found.st_mtime_ns))
        self._sync([scratch], [])
        self.remove_tree(relative)
        self._replace(os.fsencode(scratch), os.fsencode(relative))

    # ---------------------------------------------------------------- ballast

    def keep_ballast(self, low_water: int) -> None:
        """Keep a file that can be given up when the disk is full: on a full one SQLite can not even delete."""
        if not self.exists(_BALLAST) and not self.is_below(2 * low_water):
            volume = os.fstatvfs(self._fd)
            size = min(low_water // 4, volume.f_blocks * volume.f_frsize // 100)
            self._files.write(self._fd, os.fsencode(_BALLAST), b"\0" * size)

    def give_up_ballast(self) -> bool:
        """Remove that file to make room; whether it was there."""
        return self.remove(_BALLAST)

    # ---------------------------------------------------------------- durability

    def barrier(self, files: Sequence[str], directories: Sequence[str | int] | None) -> None:
        """Make these files and the entries of these directories durable, in this order.

        For a few files an fsync each, else one syncfs for all. A directory of the inbox is given by its
        descriptor, since its name may mean another by now; None: by syncfs, whichever they are. Under `relaxed`
        nothing is synced.

        Raises:
            VolumeFault: a sync failed. The batch must be abandoned: a second sync on the same data would
                report success and lie.
        """
        if not self._durable or not files:
            return
        if len(files) <= _FEW and directories is not None:
            self._sync(files, directories)
            return
        try:
            self._files.syncfs(self._fd)
        except SyncFailed as error:
            raise self._volume_fault(error) from error

    def _sync(self, files: Sequence[str], directories: Sequence[str | int]) -> None:
        """An fsync each.

        Raises:
            VolumeFault: one failed. OSError: a file could not be opened, and nothing has been tried on it.
        """
        try:
            for relative in files:
                self._sync_tree(relative)
            for each in directories:
                if isinstance(each, int):
                    self._files.fsync(each, b".")
                else:
                    self._files.fsync(self._fd, os.fsencode(each))
        except SyncFailed as error:
            raise self._volume_fault(error) from error

    def _volume_fault(self, error: SyncFailed) -> VolumeFault:
        alarm = self.raise_alarm(str(error.strerror))
        emit(Word.ALARM, what="a sync of the spool's volume failed", error=error.strerror, alarm=str(alarm))
        return VolumeFault(
            f"A sync of the spool's volume failed: {error.strerror}.",
            f"Look at the kernel's log (dmesg), replace the disk, then remove {alarm}.",
        )

    def _sync_tree(self, relative: str) -> None:
        found = self.status(relative)
        if found and stat.S_ISDIR(found.st_mode):
            for name in self.entries(relative, hidden=True):
                self._sync_tree(f"{relative}/{name}")
        if found and not stat.S_ISLNK(found.st_mode):
            self._files.fsync(self._fd, os.fsencode(relative))


def _open_up(name: bytes, above: int) -> int:
    """A descriptor of a directory, which a program of ours may have closed to everybody, us included."""
    try:
        directory = open_directory(name, above)
    except PermissionError:
        handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=above)
        try:
            os.chmod(f"/proc/self/fd/{handle}", stat.S_IRWXU)
        finally:
            os.close(handle)
        directory = open_directory(name, above)
    found = os.fstat(directory)
    if found.st_uid == os.geteuid() and found.st_mode & stat.S_IRWXU != stat.S_IRWXU:
        os.fchmod(directory, stat.S_IRWXU)
    return directory


def _alarm(root: int, memory: Path) -> Path:
    """Asked at start: a volume that has failed answers nothing any more (xfs, once it has shut down)."""
    found = os.fstat(root)
    return memory / f"pqfs-{os.getuid()}-{found.st_dev:x}-{found.st_ino:x}.alarm"
