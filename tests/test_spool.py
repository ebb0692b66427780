"""The only mover of files: it looks before it judges, never overwrites, and syncs what it promised."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pqfs.errors import Corrupt, Misconfigured, VolumeFault
from pqfs.files import Files, SyncFailed
from pqfs.jobqueue import JobQueue
from pqfs.model import Job, Place, State
from pqfs.naming import Parked
from pqfs.places import DIRECTORIES, identity
from pqfs.spool import Spool
from tests.world import SettableClock, new_id, submitted


class Liar(Files):
    """Answers the next rename with an error although it happened, as NFS does after a lost reply."""

    def __init__(self, error: int) -> None:
        self.error = error
        self.lies = 1

    def rename(self, source_dir: int, source: bytes, target_dir: int, target: bytes) -> None:
        super().rename(source_dir, source, target_dir, target)
        if self.lies:
            self.lies -= 1
            raise OSError(self.error, os.strerror(self.error))


class HalfLiar(Liar):
    """The same where a move is link and unlink: the first of them is denied, so the second is not tried."""

    def rename(self, source_dir: int, source: bytes, target_dir: int, target: bytes) -> None:
        if self.lies:
            self.lies -= 1
            os.link(source, target, src_dir_fd=source_dir, dst_dir_fd=target_dir, follow_symlinks=False)
            raise OSError(self.error, os.strerror(self.error))
        super().rename(source_dir, source, target_dir, target)


class Recorder(Files):
    """Does everything and writes down what was asked for; may refuse to sync."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fault: int | None = None

    def _note(self, what: str) -> None:
        self.asked.append(what)
        if self.fault is not None and what.partition(" ")[0] in ("fsync", "syncfs"):
            raise OSError(self.fault, os.strerror(self.fault))

    def write(self, directory: int, path: bytes, data: bytes, mode: int = 0o640) -> None:
        self._note(f"write {path.decode().partition('.')[0]}")
        super().write(directory, path, data, mode)

    def replace(self, directory: int, source: bytes, target: bytes) -> None:
        self._note(f"replace {target.decode()}")
        super().replace(directory, source, target)

    def rename(self, source_dir: int, source: bytes, target_dir: int, target: bytes) -> None:
        self._note(f"rename {target.decode()}")
        super().rename(source_dir, source, target_dir, target)

    def _sync(self, asked: str) -> None:
        try:
            self._note(asked)
        except OSError as error:
            raise SyncFailed(error.errno, error.strerror) from error

    def fsync(self, directory: int, path: bytes) -> None:
        self._sync(f"fsync {path.decode()}")
        super().fsync(directory, path)

    def syncfs(self, descriptor: int) -> None:
        self._sync("syncfs")
        super().syncfs(descriptor)


Opener = Callable[..., Spool]


@pytest.fixture
def opened(spool: Spool) -> Iterator[Opener]:
    """The spool once more, through other file operations: `opened(Files(), durable=True)`."""
    others: list[Spool] = []

    def open_with(files: Files, durable: bool = True) -> Spool:
        others.append(Spool(spool.root, files, durable, alarms=spool.root.parent))
        return others[-1]

    yield open_with
    for other in others:
        other.close()


def put(spool: Spool, path: str, data: bytes = b"data") -> Path:
    """A file somewhere in the spool."""
    spool.path(path).parent.mkdir(parents=True, exist_ok=True)
    spool.path(path).write_bytes(data)
    return spool.path(path)


# -------------------------------------------------------------------- layout


def test_the_tree_is_made_whole_private_and_twice_without_harm(tmp_path: Path) -> None:
    Spool.create(tmp_path / "deep" / "spool")
    Spool.create(tmp_path / "deep" / "spool")

    made = tmp_path / "deep" / "spool"
    assert sorted(path.name for path in made.iterdir()) == sorted(DIRECTORIES)
    assert stat.S_IMODE((made / "run").stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o007 == 0 for path in made.iterdir())


def test_a_spool_that_is_not_there_is_told_with_the_way_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="There is no spool at") as caught:
        Spool(tmp_path / "nowhere")

    assert "pqfs init" in caught.value.hint


def test_a_spool_that_can_not_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(Misconfigured, match="can not be made"):
        Spool.create(tmp_path / "file" / "spool")


@pytest.mark.parametrize("name", [name for name in DIRECTORIES if name != "run"])
def test_a_missing_or_replaced_directory_is_named(spool: Spool, name: str) -> None:
    spool.check_one_file_system()
    spool.path(name).rmdir()

    with pytest.raises(Misconfigured, match=f"{name} is missing"):
        spool.check_one_file_system()
    spool.path(name).symlink_to("/")
    with pytest.raises(Misconfigured, match=f"{name} is not a directory"):
        spool.check_one_file_system()


def test_a_directory_on_another_file_system_is_named(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.stat

    def elsewhere(path: str, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        found = real(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
        if path != "outbox":
            return found
        return os.stat_result([*found[:2], found.st_dev + 1, *found[3:]])

    monkeypatch.setattr(os, "stat", elsewhere)

    with pytest.raises(Misconfigured, match="outbox is on another file system"):
        spool.check_one_file_system()


def test_an_output_of_a_named_queue_has_a_folder_of_its_own(spool: Spool) -> None:
    assert spool.output_path("default", "x") == "outbox/x"
    assert spool.output_path("mail", "x") == "outbox/mail/x"


# -------------------------------------------------------------------- moves look before they judge


def test_a_move_is_one_rename_of_the_same_inode(spool: Spool) -> None:
    inode = put(spool, "dead/a").stat().st_ino

    assert spool.move("dead/a", "cancelled/a")

    assert spool.path("cancelled/a").stat().st_ino == inode
    assert not spool.exists("dead/a")


def test_a_move_never_overwrites_another_file(spool: Spool) -> None:
    put(spool, "dead/a", b"mine")
    put(spool, "cancelled/a", b"other")

    with pytest.raises(Corrupt, match="another file is there"):
        spool.move("dead/a", "cancelled/a")

    assert spool.path("dead/a").read_bytes() == b"mine"
    assert spool.path("cancelled/a").read_bytes() == b"other"


@pytest.mark.parametrize("error", [errno.ENOENT, errno.EEXIST])
def test_a_move_that_happened_but_was_denied_is_believed_by_its_effect(opened: Opener, error: int) -> None:
    files = Liar(error)
    spool = opened(files)
    put(spool, "dead/a", b"mine")

    assert spool.move("dead/a", "cancelled/a")

    assert files.lies == 0
    assert spool.path("cancelled/a").read_bytes() == b"mine"
    assert not spool.exists("dead/a")


@pytest.mark.parametrize("error", [errno.ENOENT, errno.EEXIST, errno.EIO])
def test_an_acceptance_that_happened_but_was_denied_is_believed_by_its_effect(opened: Opener, error: int) -> None:
    files = Liar(error)
    spool = opened(files)
    put(spool, "inbox/a", b"mine")
    spool.make_directory("ready/me")
    parked = Parked(new_id(), "default", "a")
    inbox = os.open(spool.path("inbox"), os.O_RDONLY)

    spool.accept(inbox, b"a", "me", parked)

    os.close(inbox)
    assert files.lies == 0
    assert spool.path(spool.ready_path("me", parked)).read_bytes() == b"mine"


def test_a_link_that_was_denied_leaves_no_second_name_in_the_inbox(opened: Opener) -> None:
    """With two names it would neither become a job nor be known as a ghost before the next walk."""
    spool = opened(HalfLiar(errno.EEXIST))
    put(spool, "inbox/a", b"mine")
    spool.make_directory("ready/me")
    parked = Parked(new_id(), "default", "a")
    inbox = os.open(spool.path("inbox"), os.O_RDONLY)

    spool.accept(inbox, b"a", "me", parked)

    os.close(inbox)
    assert not spool.exists("inbox/a")
    assert spool.path(spool.ready_path("me", parked)).stat().st_nlink == 1


@pytest.mark.parametrize("files", [Liar(errno.ENOENT), Liar(errno.EEXIST), Liar(errno.EIO), HalfLiar(errno.EEXIST)])
def test_what_is_removed_from_the_inbox_is_gone_whatever_was_answered(opened: Opener, files: Liar) -> None:
    """Else its payload kept a second name until this owner ended, and waited for so long."""
    spool = opened(files)
    put(spool, "inbox/x")
    inbox = os.open(spool.path("inbox"), os.O_RDONLY)

    assert spool.drop(inbox, b"x", identity(spool.path("inbox/x").stat()), "me")

    os.close(inbox)
    assert files.lies == 0
    assert (spool.entries("inbox"), spool.entries("rejected", hidden=True)) == ([], [])


def test_a_tree_in_which_somebody_holds_a_file_is_removed_as_far_as_can_be_and_nobody_is_held_up(
    opened: Opener,
) -> None:
    """On NFS what was removed while it was open is there under another name, and can not be removed."""

    class Silly(Files):
        looks = 0

        def unlink(self, directory: int, path: bytes) -> None:
            if path.startswith(b".nfs"):
                self.looks += 1
                raise OSError(errno.EBUSY, "Device or resource busy")
            super().unlink(directory, path)

    files = Silly()
    spool = opened(files)
    for name in ("one/a", "one/.nfs0000000000000001", "b"):
        put(spool, f"work/me/{name}")

    spool.remove_tree("work/me")
    spool.leave_scratch("me")

    assert sorted(str(path.relative_to(spool.root)) for path in spool.path("work").rglob("*")) == [
        "work/me", "work/me/one", "work/me/one/.nfs0000000000000001",
    ]  # fmt: skip
    assert files.looks < 8
    spool.remove_tree("work/me/one/.nfs0000000000000001")


def test_a_folder_that_is_gone_although_that_was_denied_is_gone(opened: Opener) -> None:
    class Denied(Files):
        def rmdir(self, directory: int, path: bytes) -> None:
            super().rmdir(directory, path)
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    spool = opened(Denied())
    put(spool, "work/me/one/a")

    spool.remove_tree("work/me")

    assert not spool.exists("work/me")


def test_accepting_what_its_producer_took_away_says_so(spool: Spool) -> None:
    spool.make_directory("ready/me")
    inbox = os.open(spool.path("inbox"), os.O_RDONLY)

    with pytest.raises(FileNotFoundError):
        spool.accept(inbox, b"a", "me", Parked(new_id(), "default", "a"))

    os.close(inbox)


def test_a_move_of_nothing_is_false_and_makes_no_directory(spool: Spool) -> None:
    assert spool.move("dead/a", "cancelled/a") is False
    assert spool.move("dead/a", "done/2027-01-15/a") is False
    assert spool.entries("done") == []


def test_a_move_that_was_made_before_is_true_again(spool: Spool) -> None:
    put(spool, "dead/a")
    assert spool.move("dead/a", "cancelled/a")

    assert spool.move("dead/a", "cancelled/a")


def test_the_directory_of_a_target_is_made_when_there_is_something_to_move(spool: Spool) -> None:
    put(spool, "claimed/a")

    assert spool.move("claimed/a", "done/2027-01-15/a")

    assert spool.entries("done/2027-01-15") == ["a"]


def test_two_names_of_one_inode_are_one_interrupted_move(spool: Spool) -> None:
    """Where there is no renameat2 a crash between link and unlink leaves both."""
    put(spool, "dead/a", b"mine")
    spool.path("cancelled/a").hardlink_to(spool.path("dead/a"))

    assert spool.move("dead/a", "cancelled/a")

    assert not spool.exists("dead/a")
    assert spool.path("cancelled/a").read_bytes() == b"mine"
    assert spool.path("cancelled/a").stat().st_nlink == 1


def test_a_file_that_is_moved_to_where_it_is_stays(spool: Spool) -> None:
    """Race: `settle` searches the tree, and finds the payload just brought to its place by somebody else."""
    put(spool, "dead/a", b"mine")

    assert spool.move("dead/a", "dead/a")
    assert spool.path("dead/a").read_bytes() == b"mine"
    assert not spool.move("dead/b", "dead/b")


def test_an_error_that_is_no_lie_is_not_swallowed(opened: Opener) -> None:
    class Broken(Files):
        def rename(self, source_dir: int, source: bytes, target_dir: int, target: bytes) -> None:
            raise OSError(errno.EIO, "broken")

    spool = opened(Broken())
    put(spool, "dead/a")

    with pytest.raises(OSError, match="broken"):
        spool.move("dead/a", "cancelled/a")


# -------------------------------------------------------------------- payloads of jobs


@pytest.fixture
def job(jobqueue: JobQueue, clock: SettableClock) -> Job:
    """A pending job with its payload in ready/."""
    return submitted(jobqueue, clock.now())


@pytest.mark.parametrize("left_in", ["ready", "claimed", "dead", "cancelled"])
@pytest.mark.parametrize(
    ("state", "place"),
    [
        (State.PENDING, Place.READY), (State.COMPLETED, Place.DONE), (State.FAILED, Place.DEAD),
        (State.CANCELLED, Place.CANCELLED),
    ],
)  # fmt: skip
def test_a_payload_is_brought_to_its_place_from_wherever_it_was_left(
    spool: Spool, job: Job, left_in: str, state: State, place: Place
) -> None:
    leased = replace(job, attempt=1)
    spool.move(spool.payload_path(leased), spool.payload_path(leased, Place(left_in)))
    wanted = replace(leased, state=state, place=place)

    assert spool.settle(wanted)

    assert spool.find(job.id) == [spool.payload_path(wanted)]
    assert spool.settle(wanted)


def test_a_payload_left_by_another_attempt_is_found_by_search(spool: Spool, job: Job) -> None:
    spool.move(spool.payload_path(job), spool.payload_path(replace(job, attempt=3), Place.CLAIMED))

    assert spool.settle(replace(job, attempt=7))

    assert spool.find(job.id) == [spool.payload_path(job)]


def test_a_payload_of_a_later_attempt_is_left_to_that(spool: Spool, job: Job) -> None:
    later = spool.payload_path(replace(job, attempt=7), Place.CLAIMED)
    spool.move(spool.payload_path(job), later)

    assert not spool.settle(replace(job, attempt=3))

    assert spool.find(job.id) == [later]


def test_a_deletion_makes_durable_that_a_directory_that_has_gone_has_gone(
    opened: Callable[[Files], Spool], job: Job
) -> None:
    """Else power brings back an arriver's directory, and with it the name that a deleted payload had in it."""
    recorder = Recorder()
    spool = opened(recorder)
    spool.remove(spool.payload_path(job))
    spool.remove_directory(os.path.dirname(spool.payload_path(job)))

    spool.discard_for_good(job)

    assert "fsync ready" in recorder.asked


def test_a_payload_that_is_nowhere_is_told(spool: Spool, job: Job) -> None:
    spool.path(spool.payload_path(job)).unlink()

    assert not spool.settle(job)


def test_a_payload_that_is_not_kept_is_removed_wherever_it_is(spool: Spool, job: Job) -> None:
    leased = replace(job, attempt=1)
    assert spool.start(leased)

    assert spool.settle(replace(leased, state=State.COMPLETED, place=Place.GONE))

    assert spool.find(job.id) == []


def test_of_two_who_start_one_attempt_exactly_one_wins(spool: Spool, job: Job) -> None:
    leased = replace(job, attempt=1)

    assert [spool.start(leased), spool.start(leased)] == [True, False]

    assert spool.find(job.id) == [spool.payload_path(leased, Place.CLAIMED)]


def test_an_interrupted_start_is_won_by_whoever_removes_the_old_name(spool: Spool, job: Job) -> None:
    leased = replace(job, attempt=1)
    ready, claimed = (spool.path(spool.payload_path(leased, place)) for place in (Place.READY, Place.CLAIMED))
    claimed.hardlink_to(ready)

    assert [spool.start(leased), spool.start(leased)] == [True, False]

    assert not ready.exists()


def test_a_start_is_not_won_over_another_file(spool: Spool, job: Job) -> None:
    leased = replace(job, attempt=1)
    put(spool, spool.payload_path(leased, Place.CLAIMED), b"another")

    assert not spool.start(leased)

    assert spool.path(spool.payload_path(leased, Place.READY)).read_bytes() == b"payload"


def test_an_attempt_of_yesterday_can_not_start_what_was_taken_back(spool: Spool, job: Job) -> None:
    stale, current = replace(job, attempt=1), replace(job, attempt=2)
    assert spool.start(current)

    assert not spool.start(stale)


def test_an_output_is_published_by_moving_the_staged_inode(spool: Spool, job: Job) -> None:
    done = replace(job, attempt=1, output="name", state=State.COMPLETED)
    inode = put(spool, spool.scratch_path("me", job.id, 1, "out")).stat().st_ino

    assert spool.publish("me", done)
    assert spool.publish("me", done)

    assert spool.path("outbox/name").stat().st_ino == inode
    assert spool.entries("work/me") == []


def test_an_output_of_a_queue_whose_folder_is_missing_is_published_into_a_new_one(spool: Spool, job: Job) -> None:
    put(spool, spool.scratch_path("me", job.id, 1, "out"))

    assert spool.publish("me", replace(job, attempt=1, output="name", queue="mail"))

    assert spool.entries("outbox/mail") == ["name"]


def test_an_output_directory_is_published_by_one_rename(spool: Spool, job: Job) -> None:
    staged = spool.scratch_path("me", job.id, 1, "out")
    put(spool, f"{staged}/a")
    put(spool, f"{staged}/deep/b")

    assert spool.publish("me", replace(job, attempt=1, output="name"))

    assert spool.entries("outbox/name") == ["a", "deep"]


def test_an_output_that_a_reader_has_taken_is_not_published_again(spool: Spool, job: Job) -> None:
    assert not spool.publish("me", replace(job, attempt=1, output="name"))


# -------------------------------------------------------------------- refusal


def test_what_is_refused_lies_beside_its_reason(spool: Spool) -> None:
    put(spool, "inbox/bad\nname", b"bytes")
    inbox = os.open(spool.path("inbox"), os.O_RDONLY)
    number = new_id()

    path = spool.reject(inbox, b"bad\nname", number, {"reason": "it is bad", "name": "bad%0Aname"})

    os.close(inbox)
    assert path == f"rejected/{number[-12:]}.bad%0Aname"
    assert spool.path(path).read_bytes() == b"bytes"
    reason = json.loads(spool.path(f"rejected/{number[-12:]}.reason.json").read_bytes())
    assert reason == {"schema": "pqfs.rejected/1", "reason": "it is bad", "name": "bad%0Aname"}
    assert spool.entries("inbox") == []


def test_the_reason_is_durable_before_the_object_is_moved(opened: Opener) -> None:
    files = Recorder()
    spool = opened(files)
    put(spool, "inbox/x")
    inbox = os.open(spool.path("inbox"), os.O_RDONLY)

    spool.reject(inbox, b"x", new_id(), {"reason": "why"})

    os.close(inbox)
    assert [what.partition(" ")[0] for what in files.asked] == ["write", "fsync", "fsync", "rename"]


def test_what_was_refused_goes_back_but_never_over_something(spool: Spool) -> None:
    put(spool, "rejected/0123456789ab.x", b"old")
    put(spool, "inbox/x", b"new")
    inbox = os.open(spool.path("inbox"), os.O_RDONLY)

    with pytest.raises(FileExistsError):
        spool.readmit("rejected/0123456789ab.x", inbox, b"x")
    spool.readmit("rejected/0123456789ab.x", inbox, b"y")

    os.close(inbox)
    assert (spool.path("inbox/x").read_bytes(), spool.path("inbox/y").read_bytes()) == (b"new", b"old")


def test_a_file_of_the_inbox_is_dropped_once_and_only_the_one_that_was_judged(spool: Spool) -> None:
    inbox = os.open(spool.path("inbox"), os.O_RDONLY)
    put(spool, "inbox/x")
    judged = identity(spool.path("inbox/x").stat())

    assert spool.drop(inbox, b"x", judged, "me")
    assert not spool.drop(inbox, b"x", judged, "me"), "it is gone"
    put(spool, "inbox/x", b"another")
    assert not spool.drop(inbox, b"x", judged, "me"), "it is another"

    os.close(inbox)
    assert spool.path("inbox/x").read_bytes() == b"another"
    assert spool.entries("rejected") == []


class Stranger(Files):
    """Puts another file in the place of one right before it is renamed; may die right after."""

    def __init__(self, root: Path, dies: bool) -> None:
        self.root, self.dies = root, dies

    def rename(self, source_dir: int, source: bytes, target_dir: int, target: bytes) -> None:
        if source == b"x" and not (self.root / "done" / "once").exists():
            (self.root / "done" / "once").touch()
            (self.root / "inbox" / "y").write_bytes(b"another")
            (self.root / "inbox" / "y").rename(self.root / "inbox" / "x")
        super().rename(source_dir, source, target_dir, target)
        if self.dies:
            raise Dead


class Dead(BaseException):
    """The process has ended."""


def test_a_file_that_took_a_dropped_name_in_the_last_moment_is_put_back(spool: Spool) -> None:
    strange = Spool(spool.root, Stranger(spool.root, dies=False))
    inbox = os.open(spool.path("inbox"), os.O_RDONLY)
    put(spool, "inbox/x")

    assert not strange.drop(inbox, b"x", identity(spool.path("inbox/x").stat()), "me")

    os.close(inbox)
    strange.close()
    assert spool.path("inbox/x").read_bytes() == b"another"
    assert spool.entries("rejected", hidden=True) == []


@pytest.mark.parametrize("owner", ["ingester.12.0123abcd", "ingester-01.12.0123abcd.host-7", "ingester.1.12345678.a"])
@pytest.mark.parametrize("name", [b"x", b"5.6.txt"])
def test_what_was_about_to_be_dropped_names_its_owner_whole_and_is_removed(
    spool: Spool, owner: str, name: bytes
) -> None:
    """Cut short, the name was that of nobody alive: another host's janitor refused what was just being dropped."""
    mortal = Spool(spool.root, Stranger(spool.root, dies=True))
    put(spool, "done/once")
    inbox = os.open(spool.path("inbox"), os.O_RDONLY)
    put(spool, f"inbox/{os.fsdecode(name)}")
    with pytest.raises(Dead):
        mortal.drop(inbox, name, identity(spool.path(f"inbox/{os.fsdecode(name)}").stat()), owner)
    os.close(inbox)
    mortal.close()
    put(spool, "rejected/.nfs0000000000000001")

    assert spool.droppers() == [owner]
    spool.clear_aside(owner, new_id(), 0.0)

    assert spool.entries("rejected", hidden=True) == [".nfs0000000000000001"]


@pytest.mark.parametrize("swapped", [False, True])
def test_a_drop_that_was_interrupted_is_finished_and_what_took_its_name_is_refused(
    spool: Spool, swapped: bool
) -> None:
    mortal = Spool(spool.root, Stranger(spool.root, dies=True))
    inbox = os.open(spool.path("inbox"), os.O_RDONLY)
    put(spool, "inbox/x")
    if not swapped:
        put(spool, "done/once")
    with pytest.raises(Dead):
        mortal.drop(inbox, b"x", identity(spool.path("inbox/x").stat()), "me")
    os.close(inbox)
    mortal.close()
    assert spool.entries("rejected") == []

    job = new_id()
    assert (spool.clear_aside("someone", job, 0.0), spool.clear_aside("me", job, 0.0)) == (0, 1)

    left = [name for name in spool.entries("rejected", hidden=True) if not name.endswith(".reason.json")]
    assert [spool.path(f"rejected/{name}").read_bytes() for name in left] == ([b"another"] if swapped else [])
    assert len(spool.entries("rejected", hidden=True)) == (2 if swapped else 0)


def test_a_tree_deeper_than_any_path_is_removed_and_no_link_in_it_followed(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "kept").write_bytes(b"kept")
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "file").touch()
    (inner / "link").symlink_to(tmp_path / "theirs")
    for _ in range(1500):
        (tmp_path / "outer").mkdir()
        inner.rename(tmp_path / "outer" / "a folder's name of some length")
        (tmp_path / "outer").rename(inner)
    inner.rename(spool.path("rejected/0123456789ab.x"))

    spool.remove_tree("rejected/0123456789ab.x")

    assert spool.entries("rejected") == []
    assert (tmp_path / "theirs" / "kept").read_bytes() == b"kept"


# -------------------------------------------------------------------- small files


def test_meta_is_durable_under_its_own_name_before_it_counts(opened: Opener) -> None:
    files = Recorder()
    spool = opened(files)
    job = new_id()

    spool.write_meta(job, {"priority": 5})

    assert [what.partition(" ")[0] for what in files.asked] == ["write", "fsync", "replace", "fsync"]
    assert files.asked[2:] == [f"replace meta/{job}.json", "fsync meta"]
    assert spool.read_meta(job) == {"schema": "pqfs.meta/1", "priority": 5}


def test_meta_is_replaced_and_a_half_written_one_does_no_harm(spool: Spool) -> None:
    job = new_id()
    put(spool, f"meta/.{job}.{os.getpid()}.tmp", b"half")

    spool.write_meta(job, {"held": True})
    spool.write_meta(job, {"held": False})

    assert spool.read_meta(job)["held"] is False
    assert spool.entries("meta") == [f"{job}.json"]


@pytest.mark.parametrize("data", [None, b"", b"{", b"[1]", b"\xff"])
def test_meta_that_can_not_be_read_is_empty(spool: Spool, data: bytes | None) -> None:
    job = new_id()
    if data is not None:
        put(spool, f"meta/{job}.json", data)

    assert spool.read_meta(job) == {}


def test_a_tree_is_removed_without_following_links(spool: Spool) -> None:
    put(spool, "work/me/x.parts/deep/file")
    outside = put(spool, "done/keep/me")
    spool.path("work/me/x.parts/link").symlink_to(spool.path("done/keep"))
    spool.path("work/me/x.parts/deep/link").symlink_to(outside)

    spool.remove_tree("work/me/x.parts")
    spool.remove_tree("work/me/x.parts")

    assert spool.entries("work/me") == []
    assert outside.exists()


def test_ballast_is_kept_once_and_given_up_once(spool: Spool) -> None:
    spool.keep_ballast(1 << 20)
    size = spool.path("run/ballast").stat().st_size
    spool.keep_ballast(1 << 20)

    assert 0 < size <= 1 << 18
    assert spool.give_up_ballast()
    assert not spool.give_up_ballast()


def test_a_volume_below_low_water_is_told(spool: Spool) -> None:
    volume = os.statvfs(spool.root)
    total = volume.f_blocks * volume.f_frsize

    assert not spool.is_below(0)
    assert spool.free_bytes() == pytest.approx(volume.f_bavail * volume.f_frsize, rel=0.2)
    # However much is asked for, a twentieth of the volume is enough.
    assert spool.is_below(total * 10) == (spool.free_bytes() < total // 20)


# -------------------------------------------------------------------- durability


@pytest.mark.parametrize("count", [1, 2])
def test_a_few_files_are_synced_one_by_one_then_the_directories_in_the_order_given(
    opened: Opener, count: int
) -> None:
    files = Recorder()
    spool = opened(files)
    paths = [f"ready/me/{number}" for number in range(count)]
    for path in paths:
        put(spool, path)

    spool.barrier(paths, ["inbox", "ready/me"])

    assert files.asked == [*(f"fsync {path}" for path in paths), "fsync inbox", "fsync ready/me"]


def test_many_files_are_synced_by_one_syncfs(opened: Opener) -> None:
    files = Recorder()
    spool = opened(files)
    paths = [f"ready/me/{number}" for number in range(3)]
    for path in paths:
        put(spool, path)

    spool.barrier(paths, ["inbox", "ready/me"])

    assert files.asked == ["syncfs"]


def test_an_output_directory_is_synced_with_everything_in_it(opened: Opener) -> None:
    files = Recorder()
    spool = opened(files)
    put(spool, "work/me/x.out/a")
    put(spool, "work/me/x.out/deep/b")
    spool.path("work/me/x.out/link").symlink_to("/etc/passwd")

    spool.barrier(["work/me/x.out"], ["work/me"])

    order = ["a", "deep/b", "deep", "."]
    assert files.asked == [
        *("fsync " + os.path.normpath(f"work/me/x.out/{each}") for each in order),
        "fsync work/me",
    ]


@pytest.mark.parametrize("count", [1, 3])
def test_a_failed_sync_is_a_fault_of_the_volume_and_is_not_repeated(opened: Opener, count: int) -> None:
    """The second sync of the same data reports success and lies."""
    files = Recorder()
    spool = opened(files)
    paths = [f"ready/me/{number}" for number in range(count)]
    for path in paths:
        put(spool, path)
    files.fault = errno.EIO

    with pytest.raises(VolumeFault):
        spool.barrier(paths, ["inbox"])

    assert len(files.asked) == 1
    assert spool.alarm.read_text() == "Input/output error\n"
    assert spool.root not in spool.alarm.parents
    assert "Input/output error" in spool.alarm.read_text()
    spool.alarm.unlink()


def test_the_alarm_is_raised_although_the_volume_answers_nothing_any_more(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """xfs shuts down when its log can not be written, and refuses even to say what a descriptor is."""
    files = Recorder()
    spool = opened(files)
    put(spool, "ready/me/a")
    files.fault = errno.EIO
    answer = os.fstat

    def refuse(descriptor: int) -> os.stat_result:
        if descriptor == spool._fd:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return answer(descriptor)

    monkeypatch.setattr(os, "fstat", refuse)

    with pytest.raises(VolumeFault):
        spool.barrier(["ready/me/a"], ["ready/me"])

    assert spool.alarm.exists()
    spool.alarm.unlink()


def test_relaxed_durability_syncs_nothing(opened: Opener) -> None:
    files = Recorder()
    spool = opened(files, durable=False)
    put(spool, "ready/me/x")

    spool.barrier(["ready/me/x"] * 5, ["inbox"])
    spool.write_meta(new_id(), {})

    assert not [what for what in files.asked if what.startswith(("fsync", "syncfs"))]


def test_nothing_to_sync_costs_nothing(opened: Opener) -> None:
    files = Recorder()

    opened(files).barrier([], ["inbox"])

    assert files.asked == []


def test_after_a_failed_sync_a_payload_gets_a_new_inode_with_the_same_bytes(spool: Spool) -> None:
    path = put(spool, "ready/me/x", b"bytes")
    before = path.stat().st_ino
    keep_the_number = path.open("rb")

    spool.copy_anew("ready/me/x")

    keep_the_number.close()
    assert path.read_bytes() == b"bytes"
    assert path.stat().st_ino != before
    assert spool.entries("ready/me", hidden=True) == ["x"]


def test_a_tree_is_removed_however_deep_it_is_and_whatever_it_forbids(spool: Spool) -> None:
    """A program made it, and a path to its end would be too long to be opened."""
    top = spool.path("work/tree")
    top.mkdir()
    inner = os.open(top, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("directory", dir_fd=inner)
        above, inner = inner, os.open("directory", os.O_RDONLY, dir_fd=inner)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=inner))
        os.close(above)
    os.close(inner)
    (top / "closed" / "inside").mkdir(parents=True)
    (top / "closed" / "inside" / "file").touch()
    (top / "closed" / "inside").chmod(0o500)
    (top / "closed").chmod(0)
    (top / "link").symlink_to("/etc")

    spool.remove_tree("work/tree")

    assert not spool.exists("work/tree")
    assert Path("/etc/passwd").exists()


def test_two_who_recover_the_same_twins_leave_one_name(spool: Spool) -> None:
    """The second had looked before the first removed one name, and moved the file back to the other."""
    put(spool, "ready/me/x", b"bytes")
    os.link(spool.path("ready/me/x"), spool.path("claimed/x"))
    won: list[bool] = []

    class Between(Files):
        def unlink(self, directory: int, path: bytes) -> None:
            won.append(spool.win("ready/me/x", "claimed/x"))
            if won[-1]:
                spool.move("claimed/x", "ready/me/x")
            super().unlink(directory, path)

    second = Spool(spool.root, Between())
    won.append(second.win("ready/me/x", "claimed/x"))
    second.close()

    assert sorted(won) == [False, True]
    assert spool.exists("ready/me/x") != spool.exists("claimed/x")
