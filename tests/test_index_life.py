"""Everything that can befall an index: what a person is told, and that no job is lost or runs again afterwards."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest

from pqfs import kernel
from pqfs.index import Index, sqlite
from pqfs.index.sqlite import SqliteEngine
from pqfs.model import Arrival, Kind, Outcome, Place, State
from pqfs.owners import Life, Owners
from pqfs.settings import Loaded, Settings
from pqfs.spool import Spool
from pqfs.wiring import App, open_app
from tests.opened import live
from tests.shell import Shell
from tests.world import invariants, new_id, submitted, write_output

# What becomes of a job of each name: whether its payload is kept, and the state that the tree tells.
FATES = {
    b"kept": State.COMPLETED, b"gone": State.COMPLETED, b"failed": State.FAILED, b"cancelled": State.CANCELLED,
    b"held": State.HELD, b"waiting": State.PENDING,
}  # fmt: skip


ARRIVER = "submit.1.aaaaaaaa"
MORE = [f"more{number}".encode() for number in range(150)]


@pytest.fixture(autouse=True)
def nobody_else_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Owners of these tests are this process: without a lock they are dead."""
    real = Owners.life

    def life(self: Owners, owner: str) -> Life:
        return real(self, owner) if (self._run / f"{owner}.lock").exists() else Life.DEAD

    monkeypatch.setattr(Owners, "life", life)


def end(app: App, kind: Kind, *names: bytes) -> None:
    """Run the waiting jobs of these names to their end."""
    lock = live(app, "consumer-00")
    jobs = app.jobqueue.claim(lock.name, ["default"], len(FATES), app.clock.now())
    wanted = [job for job in jobs if job.name in names]
    for job in wanted:
        assert app.spool.start(job)
        size, digest = write_output(app.spool, job)
        outcome = Outcome(kind, None if kind is Kind.DONE else "no", 0.0, app.clock.now(), 0.1)
        done = Outcome(kind, started_at=app.clock.now(), output_size=size, output_sha256=digest)
        app.jobqueue.end(job, done if kind is Kind.DONE else outcome, app.clock.now())
    app.jobqueue.give_back([job for job in jobs if job not in wanted], "not now", app.clock.now())
    app.spool.remove_tree(f"work/{lock.name}")
    lock.release()


def let_go(app: App, name: bytes) -> None:
    """Retention removes the input of a completed job."""
    [job] = [job for job in app.index.jobs(State.COMPLETED, None, "~", 1000) if job.name == name]
    app.janitor("janitor")._let_go(job)


def live_through(app: App) -> None:
    """Bring the jobs of FATES, which wait, to their fates."""
    end(app, Kind.DONE, b"kept", b"gone")
    let_go(app, b"gone")
    end(app, Kind.PERMANENT, b"failed")
    for job in app.index.jobs(State.PENDING, None, "~", 1000):
        if job.name == b"cancelled":
            app.jobqueue.cancel(job, "me", None, app.clock.now())
        if job.name == b"held":
            app.jobqueue.hold(job, "me", None, app.clock.now())


@contextmanager
def opened(shell: Shell) -> Iterator[App]:
    app = shell.app()
    try:
        yield app
    finally:
        app.close()


def arrive(shell: Shell) -> None:
    """One job of each name, and enough others for an index of many pages."""
    with opened(shell) as app:
        app.spool.make_directory(f"ready/{ARRIVER}")
        app.spool.make_directory(f"work/{ARRIVER}")
        staged = []
        for name in [*FATES, *MORE]:
            job = new_id(app.clock.now())
            staged.append(
                (Arrival(job, "default", name, 7, priority=10 * (name in FATES)), f"work/{ARRIVER}/{job}.1.part")
            )
            app.spool.path(staged[-1][1]).write_bytes(b"payload")
        app.jobqueue.submit(ARRIVER, staged, app.clock.now())
        app.spool.remove_directory(f"work/{ARRIVER}")


def fates(app: App) -> dict[bytes, State]:
    return {job.name: job.state for job in app.index.jobs(None, None, "~", 1000) if job.name in FATES}


def check(shell: Shell) -> None:
    """Everything is as the tree tells, what was completed does not run again, and all is well."""
    with opened(shell) as app:
        app.janitor("janitor").look()
        assert fates(app) == FATES
        names = {job.name for job in app.index.jobs(State.PENDING, None, "~", 1000)}
        assert names == {b"waiting", *MORE}
        invariants(app.spool, app.index)
    assert shell("fsck") == 0, shell.out


@pytest.fixture
def lived(shell: Shell) -> Shell:
    """A stopped spool whose jobs have met their fates."""
    arrive(shell)
    with opened(shell) as app:
        live_through(app)
    return shell


# -------------------------------------------------------------------- damage


def zeroed(index: Path) -> None:
    with index.open("r+b") as file:
        file.seek(index.stat().st_size // 4096 // 3 * 4096)
        file.write(bytes(index.stat().st_size // 3))


def truncated(index: Path) -> None:
    os.truncate(index, index.stat().st_size // 4096 // 2 * 4096)


def no_header(index: Path) -> None:
    with index.open("r+b") as file:
        file.write(random.Random(1).randbytes(100))


def random_leaves(index: Path) -> None:
    """Noise over the heads of the leaves of every table."""
    pages, noise = index.stat().st_size // 4096, random.Random(2)
    with index.open("r+b") as file:
        for page in range(1, pages):
            file.seek(page * 4096)
            if file.read(1) == b"\x0d":
                file.seek(page * 4096 + 1)
                file.write(noise.randbytes(64))


def deleted(index: Path) -> None:
    index.unlink()


def emptied(index: Path) -> None:
    index.write_bytes(b"")


def a_directory(index: Path) -> None:
    index.unlink()
    index.mkdir()


def another_database(index: Path) -> None:
    index.unlink()
    connection = apsw.Connection(str(index))
    connection.execute("CREATE TABLE cats (name TEXT)")
    connection.close()


def another_spools(index: Path) -> None:
    root = index.parent.parent / "other"
    Spool.create(root)
    open_app(Loaded(Settings(spool=root, logs=root), {}, None)).close()
    shutil.copy(root / "index.db", index)


DAMAGES: dict[Callable[[Path], None], str] = {
    zeroed: "is damaged", truncated: "is damaged", no_header: "is damaged", random_leaves: "is damaged",
    deleted: "no index", emptied: "no index", a_directory: "is damaged", another_database: "is damaged",
    another_spools: "another spool",
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_broken_index_is_told_in_a_sentence_and_made_again(lived: Shell, damage: Callable[[Path], None]) -> None:
    damage(lived.spool / "index.db")

    assert lived("up", "--no-ui", "-d") == 6
    assert DAMAGES[damage] in lived.err
    assert "pqfs index rebuild" in lived.err
    assert len(lived.err.splitlines()) == 2
    assert lived("submit", "a.txt") != 0
    assert lived("status") in (1, 6)

    assert lived("index", "rebuild", "-y") == 0
    check(lived)


def test_a_rebuild_keeps_what_was_there(lived: Shell) -> None:
    no_header(lived.spool / "index.db")
    before = (lived.spool / "index.db").read_bytes()

    assert lived("index", "rebuild", "-y") == 0

    [aside] = lived.spool.glob("index.db.*.aside")
    assert aside.read_bytes() == before


def test_damage_in_the_middle_stops_the_first_who_looks_after_a_crash(lived: Shell) -> None:
    kill(lived)
    zeroed(lived.spool / "index.db")

    assert lived("jobs", "cancel", "0", "-y") == 6
    assert "is damaged" in lived.err
    assert lived("jobs", "list") == 6, "it is barred for readers, too"


def test_a_database_that_is_sound_after_all_is_opened_again_by_a_rebuild(lived: Shell) -> None:
    (lived.spool / "run" / "index.barred").write_text("The index is damaged: a cable.\nHint\n")
    assert lived("status") == 6

    assert lived("index", "rebuild", "-y") == 0

    assert "nothing was missing" in lived.err
    check(lived)


# -------------------------------------------------------------------- copies


def kill(shell: Shell) -> None:
    """Leave the index as kill -9 of everybody leaves it: not closed, its log beside it."""
    app = shell.app()
    submitted(app.jobqueue, app.clock.now(), b"more0", arriver=ARRIVER)
    kept = shell.root / "killed"
    kept.mkdir()
    for path in [*shell.spool.glob("index.db*"), shell.spool / ".identity"]:
        shutil.copy(path, kept / path.name)
    app.close()
    for path in kept.iterdir():
        shutil.copy(path, shell.spool / path.name)


def _count(shell: Shell) -> int:
    with opened(shell) as app:
        return len(app.index.jobs(None, None, "~", 1000))


def test_an_index_whose_log_was_deleted_is_brought_up_to_date(lived: Shell) -> None:
    before = _count(lived)
    kill(lived)
    for suffix in ("-wal", "-shm"):
        (lived.spool / f"index.db{suffix}").unlink()

    assert _count(lived) == before + 1, "the job that only the log knew"
    assert lived("janitor", "--once") == 0
    assert lived("fsck") == 0, lived.out


def test_an_index_that_was_deleted_without_its_log_is_made_again(lived: Shell) -> None:
    kill(lived)
    (lived.spool / "index.db").unlink()

    assert lived("jobs", "cancel", "0", "-y") == 6
    assert lived("index", "rebuild", "-y") == 0
    assert len(list(lived.spool.glob("index.db.*.aside-wal"))) == 1
    assert lived("janitor", "--once") == 0
    assert lived("fsck") == 0, lived.out


def test_after_a_kill_nothing_has_to_be_brought_up_to_date(lived: Shell) -> None:
    kill(lived)

    assert lived("janitor", "--once") == 0

    assert "up to date" not in lived.err


@pytest.mark.parametrize("by_hand", [True, False], ids=["put in place by hand", "restored"])
def test_an_older_copy_runs_nothing_again_and_loses_nothing(shell: Shell, by_hand: bool) -> None:
    arrive(shell)
    with opened(shell) as app:
        [held] = [job for job in app.index.jobs(State.PENDING, None, "~", 1000) if job.name == b"more7"]
        app.jobqueue.hold(held, "me", None, app.clock.now())
    if by_hand:
        shutil.copy(shell.spool / "index.db", shell.root / "copy.db")
    else:
        assert shell("index", "backup", "copy.db") == 0
    with opened(shell) as app:
        live_through(app)
        app.jobqueue.release(app.jobqueue.job(held.id), "me", None, app.clock.now())
        since = submitted(app.jobqueue, app.clock.now(), b"since", arriver=ARRIVER)
        app.jobqueue.cancel(since, "me", None, app.clock.now())

    if by_hand:
        shutil.copy(shell.root / "copy.db", shell.spool / "index.db")
    else:
        assert shell("index", "restore", "copy.db", "-y") == 0, shell.err

    check(shell)
    assert shell.state(since.id) == "cancelled"


def test_an_older_tree_runs_nothing_again(shell: Shell) -> None:
    arrive(shell)
    shutil.copytree(shell.spool, shell.root / "copy", ignore=shutil.ignore_patterns("index.db*"))
    with opened(shell) as app:
        live_through(app)
    (shell.spool / "index.db").rename(shell.root / "index.db")
    shutil.rmtree(shell.spool)
    (shell.root / "copy").rename(shell.spool)
    (shell.root / "index.db").rename(shell.spool / "index.db")

    with opened(shell) as app:
        app.janitor("janitor").look()
        assert fates(app) == {**FATES, b"gone": State.COMPLETED}
        app.janitor("janitor").look()
        outputs = {str(job.output) for job in app.index.jobs(State.COMPLETED, None, "~", 1000)}
        invariants(app.spool, app.index, taken=outputs)


def test_what_ran_when_a_copy_was_made_does_not_run_again_when_it_was_completed_since(shell: Shell) -> None:
    with opened(shell) as app:
        job = submitted(app.jobqueue, app.clock.now(), arriver=ARRIVER)
        lock = live(app, "consumer-00")
        [claimed] = app.jobqueue.claim(lock.name, ["default"], 1, app.clock.now())
        assert app.spool.start(claimed)
        app.index.engine.backup(str(shell.root / "copy.db"))
        size, digest = write_output(app.spool, claimed)
        done = Outcome(Kind.DONE, output_size=size, output_sha256=digest)
        app.jobqueue.end(claimed, done, app.clock.now())
        app.spool.remove_tree(f"work/{lock.name}")
        lock.release()
        let_go(app, b"a.txt")

    assert shell("index", "restore", "copy.db", "-y") == 0, shell.err

    with opened(shell) as app:
        found = app.jobqueue.job(job.id)
        assert (found.state, found.place) == (State.COMPLETED, Place.GONE)
        assert app.spool.exists(f"outbox/{found.output}")


_KILLED = """
import os, sys
from pqfs.settings import load
from pqfs.wiring import open_app
app = open_app(load({"spool": sys.argv[1]}, {}))
with app.index.transaction():
    app.index.create_queue("late", 1.0)
os._exit(9)
"""


def test_whoever_opens_it_first_depends_on_no_log_whose_sync_may_have_failed(lived: Shell) -> None:
    subprocess.run([sys.executable, "-c", _KILLED, lived.spool], check=False)
    assert (lived.spool / "index.db-wal").stat().st_size > 0

    with opened(lived):
        shutil.copy(lived.spool / "index.db", lived.root / "alone.db")

    with closing(Index(SqliteEngine(lived.root / "alone.db"))) as alone:
        assert "late" in {queue.name for queue in alone.queues()}


def test_a_spool_that_was_copied_whole_needs_nothing(lived: Shell) -> None:
    shutil.copytree(lived.spool, lived.root / "moved")
    shutil.rmtree(lived.spool)
    (lived.root / "moved").rename(lived.spool)

    check(lived)


def test_a_copy_of_the_tree_as_the_readme_has_it_made_is_restored_with_its_backup(lived: Shell) -> None:
    """It has neither run/ nor an index, and some ways to copy leave out empty folders."""
    assert lived("index", "backup", "copy.db") == 0, lived.err
    for left_out in ("run", "work", "receipts"):
        shutil.rmtree(lived.spool / left_out)
    for path in lived.spool.glob("index.db*"):
        path.unlink()

    assert lived("index", "restore", "copy.db", "--restart", "-y") == 0, lived.err

    check(lived)


_LATE = """
import sys, time
from pathlib import Path
from pqfs.clock import boot_id
from pqfs.custody import Custody, is_barred
from pqfs.owners import OwnerLock
from pqfs.spool import Spool
spool = Spool(Path(sys.argv[1]))
custody = Custody(spool)
custody.enter(0.0)
custody.share()
print("has the index", flush=True)
while not is_barred(spool):
    time.sleep(0.01)
time.sleep(0.1)
lock = OwnerLock(spool.path("run"), "consumer-07", boot_id(), time.time())
time.sleep(60)
"""


def test_who_had_opened_the_index_and_is_known_as_an_owner_only_later_is_asked_to_end_too(lived: Shell) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _LATE, str(lived.spool)], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": "."},
        cwd=Path(__file__).parent.parent,
    ) as late:  # fmt: skip
        assert late.stdout is not None
        late.stdout.readline()

        assert lived("index", "rebuild", "--restart") == 0, lived.err

    assert "consumer-07" in lived.err
    check(lived)


def test_a_folder_that_is_no_spool_is_not_made_one_by_a_rebuild(shell: Shell) -> None:
    (shell.root / "elsewhere").mkdir()

    assert shell("--spool", shell.root / "elsewhere", "index", "rebuild") == 2

    assert "is missing" in shell.err
    assert list((shell.root / "elsewhere").iterdir()) == []


def test_a_copy_that_is_no_index_is_not_put_in_place(lived: Shell) -> None:
    (lived.root / "copy.db").write_bytes(b"no database" * 1000)
    before = (lived.spool / "index.db").read_bytes()

    assert lived("index", "restore", "copy.db", "-y") == 1
    assert "can not be used" in lived.err
    assert lived("index", "restore", "none.db", "-y") == 1
    another_spools(lived.root / "copy.db")
    assert lived("index", "restore", "copy.db", "-y") == 6
    assert "another spool" in lived.err
    assert (lived.spool / "index.db").read_bytes() == before
    assert lived("status") == 0
    assert not list(lived.spool.glob(".index*"))


def test_a_backup_made_while_others_write_is_whole(lived: Shell) -> None:
    """Writers commit between the steps of the backup."""
    with opened(lived) as app:
        copies = []
        for number in range(5):
            with app.index.transaction():
                app.index.create_queue(f"q{number}", app.clock.now())
            assert lived("index", "backup", f"copy{number}.db") == 0
            copies.append(lived.root / f"copy{number}.db")
    for path in copies:
        assert path.stat().st_mode & 0o777 == 0o600
        copy = Index(SqliteEngine(path))
        assert copy.engine.integrity() == []
        copy.close()
    assert not list(lived.root.glob(".copy*"))


# -------------------------------------------------------------------- refused


def test_a_newer_schema_is_refused_and_nothing_is_put_aside(lived: Shell) -> None:
    connection = apsw.Connection(str(lived.spool / "index.db"))
    connection.pragma("user_version", 99)
    connection.close()

    for command in (("up", "--no-ui", "-d"), ("index", "rebuild", "-y"), ("status",), ("jobs", "list")):
        assert lived(*command) == 6, command
        assert "schema 99" in lived.err
    assert not list(lived.spool.glob("*.aside"))


def test_an_affected_library_is_refused(lived: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "library_version", lambda: (3, 46, 1))

    for command in (("up", "--no-ui", "-d"), ("index", "rebuild", "-y"), ("jobs", "list")):
        assert lived(*command) == 2, command
        assert "can corrupt a database" in lived.err


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "fuse.sshfs"])
def test_a_network_file_system_is_refused(lived: Shell, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(kernel, "file_system", lambda path: kind)

    assert lived("up", "--no-ui", "-d") == 2
    assert f"network file system ({kind})" in lived.err


# -------------------------------------------------------------------- company


def test_a_rebuild_and_a_start_exclude_each_other(lived: Shell) -> None:
    with opened(lived):
        assert lived("index", "rebuild", "-y") == 1
        assert lived("index", "restore", "x.db", "-y") == 1
    assert lived("index", "rebuild", "-y") == 0


class Killed(BaseException):
    """The process is gone."""


def test_a_rebuild_that_is_killed_after_any_commit_is_finished_by_whoever_comes_next(
    lived: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SqliteEngine._commit
    monkeypatch.setattr("pqfs.rebuild._CHUNK", 40, raising=False)
    for limit in range(100):
        for path in lived.spool.glob("index.db*"):
            path.unlink()
        done = 0

        def commit(engine: SqliteEngine, limit: int = limit) -> None:
            nonlocal done
            if done >= limit:
                raise Killed
            done += 1
            real(engine)

        monkeypatch.setattr(SqliteEngine, "_commit", commit)
        try:
            code: int | None = lived("index", "rebuild", "-y")
        except Killed:
            code = None
        monkeypatch.setattr(SqliteEngine, "_commit", real)
        assert code in (0, None)
        with opened(lived) as app:
            app.janitor("janitor").look()
            assert fates(app) == FATES, f"killed before commit {limit}"
            invariants(app.spool, app.index)
        if code == 0:
            return
    pytest.fail("it never came to its end")
