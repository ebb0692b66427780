"""Sweeps over an inbox: real files, real leases, a real index; only the clock is set."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest
from watchdog.events import FileSystemEvent

from pqfs.doorbell import Bell
from pqfs.errors import DiskFull, IndexBusy, PqfsError, VolumeFault
from pqfs.files import Files, SyncFailed
from pqfs.inbox import Inbox
from pqfs.index import Index, walk
from pqfs.index.sqlite import SqliteEngine
from pqfs.ingester import Ingester
from pqfs.jobqueue import JobQueue
from pqfs.model import Job
from pqfs.pulse import Pulse, read_beat
from pqfs.rejected import Refusal, refusals
from pqfs.runtime import Stop
from pqfs.settings import IngestSettings, QueueSettings, Settings
from pqfs.sidecars import Sidecars
from pqfs.spool import Spool
from pqfs.watch import Watch
from tests.world import SettableClock, eventually, invariants

OWNER = "ingester.1.0123abcd"


class FailingEngine(SqliteEngine):
    """Fails the commits that a test wants to fail, and counts the others."""

    def __init__(self, path: Path) -> None:
        self.failures: list[apsw.Error] = []
        self.commits = 0
        super().__init__(path)

    def _commit(self) -> None:
        if self.failures:
            raise self.failures.pop()
        super()._commit()
        self.commits += 1


class StrangerFiles(Files):
    """Lets a producer act right before a file leaves the inbox, and a disk fail at its syncs."""

    def __init__(self) -> None:
        self.meanwhile: Callable[[int, bytes], None] | None = None
        self.sync_error: OSError | None = None

    def rename(self, source_dir: int, source: bytes, target_dir: int, target: bytes) -> None:
        if self.meanwhile is not None:
            act, self.meanwhile = self.meanwhile, None
            act(source_dir, source)
        super().rename(source_dir, source, target_dir, target)

    def fsync(self, directory: int, path: bytes) -> None:
        if self.sync_error is not None:
            raise self.sync_error


class Dock:
    """An ingester and its inbox."""

    def __init__(self, root: Path, settings: Settings, clock: SettableClock, alarms: Path) -> None:
        self.clock, self.root = clock, root
        self.inbox = root / "inbox"
        self.files = StrangerFiles()
        self.spool = Spool(root, self.files, alarms=alarms)
        self.engine = FailingEngine(root / "index.db")
        self.index = Index(self.engine)
        self.jobqueue = JobQueue(self.spool, self.index, settings)
        self.ingester = Ingester(self.jobqueue, Inbox(root, settings), OWNER, clock)
        self.sweep = self.ingester.sweep

    def drop(self, name: str, data: bytes = b"payload", mtime: float | None = None) -> Path:
        """A whole file."""
        path = self.inbox / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        if mtime is not None:
            os.utime(path, (mtime, mtime))
        return path

    def wish(self, name: str, **wanted: Any) -> Path:
        """A sidecar."""
        return self.drop(f"{name}.job.json", json.dumps(wanted).encode())

    def jobs(self) -> list[Job]:
        """Every job in order of its id."""
        return list(walk(self.index))

    def names(self) -> list[bytes]:
        """What the jobs are called."""
        return [job.name for job in self.jobs()]

    def refused(self) -> dict[str, Refusal]:
        """What was refused, by name."""
        return {each.name: each for each in refusals(self.spool)}

    def in_inbox(self) -> set[str]:
        """What lies in the inbox."""
        return {str(path.relative_to(self.inbox)) for path in self.inbox.rglob("*")}

    def at_rest(self) -> None:
        """Spool and index tell one story."""
        invariants(self.spool, self.index)


Docking = Callable[..., Dock]


@pytest.fixture
def docking(settings: Settings, clock: SettableClock, tmp_path: Path) -> Iterator[Docking]:
    """Build a dock: `docking(batch=2)`, `docking(queues={"mail": QueueSettings()})`."""
    made: list[Dock] = []
    (tmp_path / "alarms").mkdir()

    def dock(queues: dict[str, QueueSettings] | None = None, **ingest: Any) -> Dock:
        Spool.create(settings.spool)
        chosen = replace(settings, ingest=IngestSettings(**ingest), queues=queues or {})
        made.append(Dock(settings.spool, chosen, clock, tmp_path / "alarms"))
        return made[-1]

    yield dock
    for each in made:
        each.index.close()
        each.spool.close()


@pytest.fixture
def dock(docking: Docking) -> Dock:
    """With the default settings."""
    return docking()


# -------------------------------------------------------------------- order and batches


def test_one_sweep_takes_files_in_order_of_modification_time_then_name(dock: Dock) -> None:
    for name, mtime in (("c", 30.0), ("b", 10.0), ("a", 20.0), ("0", 20.0)):
        dock.drop(name, mtime=mtime)

    assert dock.sweep().taken == 4
    assert dock.names() == [b"b", b"0", b"a", b"c"]
    assert dock.in_inbox() == set()
    dock.at_rest()


@pytest.mark.parametrize(("batch", "commits"), [(2, 3), (5, 1)])
def test_a_sweep_commits_once_a_batch(docking: Docking, batch: int, commits: int) -> None:
    dock = docking(batch=batch)
    for name in "abcde":
        dock.drop(name)
    before = dock.engine.commits

    assert dock.sweep().taken == 5
    assert dock.engine.commits - before == commits


def test_an_empty_inbox_costs_no_commit(dock: Dock) -> None:
    before = dock.engine.commits

    assert dock.sweep().taken == 0
    assert dock.engine.commits == before


def test_a_drain_takes_all_there_is_and_does_not_wait_for_a_writer_without_patience(dock: Dock) -> None:
    dock.drop("a")
    with dock.drop("b").open("ab"):
        assert dock.ingester.drain(0.0) == 1
        assert dock.in_inbox() == {"b"}


# -------------------------------------------------------------------- directories and queues


def test_a_directory_named_as_a_queue_feeds_it_and_stays(docking: Docking, clock: SettableClock) -> None:
    dock = docking({"mail": QueueSettings(priority=3)})
    dock.drop("mail/a")

    dock.sweep()

    assert [(job.queue, job.name, job.priority) for job in dock.jobs()] == [("mail", b"a", 3)]
    for _ in range(3):
        clock.pass_by(61)
        dock.sweep()
    assert dock.in_inbox() == {"mail"}


def test_where_it_is_allowed_a_new_directory_makes_a_queue(docking: Docking, tmp_path: Path) -> None:
    dock = docking(create_queues_by_mkdir=True)
    dock.drop("mail/a")
    dock.drop("Not a queue/b")
    (dock.inbox / "link").symlink_to(tmp_path)

    dock.sweep()

    assert {(job.queue, job.name) for job in dock.jobs()} == {("mail", b"a"), ("default", b"Not a queue/b")}
    assert {queue.name for queue in dock.index.queues()} == {"default", "mail"}
    assert "symbolic link" in dock.refused()["link"].reason


def test_a_directory_of_another_name_may_be_refused_whole(docking: Docking) -> None:
    dock = docking(unknown_directory="reject")
    dock.drop("folder/a", b"kept")

    sweep = dock.sweep()

    assert (sweep.taken, sweep.rejected) == (0, 1)
    refused = dock.refused()["folder"]
    assert "no queue has its name" in refused.reason
    assert (dock.root / str(refused.path) / "a").read_bytes() == b"kept"


def test_an_empty_directory_goes_only_after_a_while(dock: Dock, clock: SettableClock) -> None:
    """At once would pull it from under a `cp -r`."""
    dock.drop("folder/a")
    dock.sweep()
    assert dock.names() == [b"folder/a"]
    dock.sweep()

    clock.pass_by(59)
    dock.sweep()
    assert dock.in_inbox() == {"folder"}

    clock.pass_by(1)
    dock.sweep()
    assert dock.in_inbox() == set()


def test_a_directory_that_was_used_again_waits_anew(dock: Dock, clock: SettableClock) -> None:
    (dock.inbox / "folder").mkdir()
    dock.sweep()
    clock.pass_by(59)
    dock.drop("folder/.hidden")
    dock.sweep()
    (dock.inbox / "folder" / ".hidden").unlink()

    clock.pass_by(59)
    dock.sweep()

    assert dock.in_inbox() == {"folder"}


# -------------------------------------------------------------------- sidecars


def test_a_sidecar_that_is_there_counts_and_goes(dock: Dock) -> None:
    dock.drop("a")
    dock.wish("a", priority=7, delay="1m", metadata={"who": "me"})

    dock.sweep()

    (job,) = dock.jobs()
    assert (job.priority, job.ready_at) == (7, dock.clock.now() + 60)
    assert (job.options or {})["metadata"] == {"who": "me"}
    assert dock.in_inbox() == set()
    dock.at_rest()


def test_a_sidecar_that_comes_first_waits_for_its_payload(dock: Dock, clock: SettableClock) -> None:
    dock.wish("a", priority=7)
    dock.sweep()
    clock.pass_by(599)
    dock.sweep()
    dock.drop("a")

    dock.sweep()

    assert [job.priority for job in dock.jobs()] == [7]
    assert dock.refused() == {}


def test_a_sidecar_that_comes_late_is_refused_and_names_the_job(dock: Dock) -> None:
    dock.drop("a")
    dock.sweep()
    dock.wish("a", priority=7)

    dock.sweep()

    (job,) = dock.jobs()
    refused = dock.refused()["a.job.json"]
    assert (refused.job, job.priority) == (job.id, 0)
    assert "too late" in refused.reason


def test_a_sidecar_whose_payload_never_comes_is_refused(dock: Dock, clock: SettableClock) -> None:
    dock.wish("a", priority=7)
    dock.sweep()

    clock.pass_by(600)
    dock.sweep()

    assert dock.refused()["a.job.json"].reason == "its payload did not come"
    assert dock.in_inbox() == set()


def test_a_sidecar_for_the_next_file_of_a_name_is_not_taken_for_that_of_the_last(
    dock: Dock, clock: SettableClock
) -> None:
    """A producer that sends the same name every minute, its sidecar first each time."""
    dock.drop("a")
    clock.wall = dock.wish("a", priority=1).stat().st_ctime + 0.001
    dock.sweep()
    assert dock.in_inbox() == set()

    eventually(lambda: dock.wish("a", priority=2).stat().st_ctime > clock.wall + 0.01, "the system's clock goes on")
    clock.pass_by(60)
    dock.sweep()
    assert dock.in_inbox() == {"a.job.json"}
    dock.drop("a")
    dock.sweep()

    assert [job.priority for job in dock.jobs()] == [1, 2]
    assert dock.refused() == {}


def test_a_payload_waits_for_its_sidecar_as_long_as_its_queue_says(docking: Docking, clock: SettableClock) -> None:
    dock = docking({"mail": QueueSettings(sidecar="wait:10s")})
    dock.drop("mail/a")
    dock.drop("mail/b")

    sweep = dock.sweep()
    assert (sweep.taken, sweep.waiting) == (0, 2)
    assert sweep.next_look <= 1.0
    dock.wish("mail/a", priority=5)
    assert dock.sweep().taken == 1
    clock.pass_by(9.9)
    assert dock.sweep().taken == 0
    clock.pass_by(0.2)
    assert dock.sweep().taken == 1

    assert [(job.name, job.priority) for job in dock.jobs()] == [(b"a", 5), (b"b", 0)]


def test_where_a_sidecar_is_required_nothing_is_taken_without(docking: Docking, clock: SettableClock) -> None:
    dock = docking({"mail": QueueSettings(sidecar="required")})
    dock.drop("mail/a")
    for _ in range(3):
        assert dock.sweep().taken == 0
        clock.pass_by(86400)

    dock.wish("mail/a")

    assert dock.sweep().taken == 1


def test_a_payload_waits_while_its_sidecar_is_being_written(dock: Dock) -> None:
    dock.drop("a")
    with dock.wish("a", priority=7).open("ab"):
        assert dock.sweep().taken == 0

    assert dock.sweep().taken == 1
    assert [job.priority for job in dock.jobs()] == [7]


def test_an_invalid_sidecar_refuses_both(dock: Dock) -> None:
    dock.drop("a", b"kept")
    dock.wish("a", priority="high")

    assert dock.sweep().rejected == 2

    refused = dock.refused()
    assert set(refused) == {"a", "a.job.json"}
    assert all("priority" in each.reason for each in refused.values())
    assert (dock.root / str(refused["a"].path)).read_bytes() == b"kept"
    assert dock.jobs() == []
    assert dock.in_inbox() == set()


@pytest.fixture
def redirecting(docking: Docking) -> Dock:
    """A queue whose sidecars may name another."""
    return docking({"mail": QueueSettings(sidecar_queue=True), "slow": QueueSettings(), "shut": QueueSettings()})


def test_a_sidecar_may_send_its_payload_to_another_queue_only_where_that_is_allowed(redirecting: Dock) -> None:
    redirecting.drop("mail/a")
    redirecting.wish("mail/a", queue="slow")
    redirecting.drop("shut/b")
    redirecting.wish("shut/b", queue="slow")

    redirecting.sweep()

    assert {(job.name, job.queue) for job in redirecting.jobs()} == {(b"a", "slow")}
    assert len(redirecting.refused()) == 2
    assert all("sidecar_queue is off for queue shut" in str(why) for why in redirecting.refused().values())
    redirecting.at_rest()


def test_a_sidecar_that_sent_its_job_to_another_queue_is_removed_after_a_crash(
    redirecting: Dock, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    redirecting.drop("mail/a")
    redirecting.wish("mail/a", queue="slow")
    with monkeypatch.context() as crash:
        crash.setattr(Sidecars, "drop", lambda *_: None)  # the crash comes between the commit and the removal
        redirecting.sweep()
    assert redirecting.in_inbox() == {"mail", "mail/a.job.json"}

    redirecting.sweep()
    clock.pass_by(601)
    redirecting.sweep()

    assert redirecting.in_inbox() == {"mail"}
    assert redirecting.refused() == {}


def test_a_sidecar_is_not_taken_for_that_of_a_job_of_a_queue_that_it_does_not_name(redirecting: Dock) -> None:
    redirecting.drop("slow/a")
    redirecting.wish("slow/a", priority=1)
    redirecting.sweep()
    redirecting.wish("mail/a", priority=2)

    redirecting.sweep()
    assert "mail/a.job.json" in redirecting.in_inbox()
    redirecting.drop("mail/a")
    redirecting.sweep()

    assert [(job.queue, job.priority) for job in redirecting.jobs()] == [("slow", 1), ("mail", 2)]


def test_a_sidecar_that_names_a_queue_that_nobody_serves_refuses_both(redirecting: Dock) -> None:
    redirecting.drop("mail/a")
    redirecting.wish("mail/a", queue="nowhere")

    redirecting.sweep()

    assert {each.reason for each in redirecting.refused().values()} == {
        "its sidecar names queue nowhere, and there is none"
    }
    assert redirecting.jobs() == []


# -------------------------------------------------------------------- unsettled, ghosts, links


def test_a_file_that_was_opened_just_before_it_was_moved_is_a_job_once_it_is_closed(dock: Dock) -> None:
    writers: list[int] = []
    dock.files.meanwhile = lambda at, name: writers.append(os.open(name, os.O_WRONLY | os.O_APPEND, dir_fd=at))
    dock.drop("a", b"first")

    assert dock.sweep().taken == 0
    os.write(writers[0], b" second")
    sweep = dock.sweep()
    assert (sweep.taken, dock.jobs(), dock.in_inbox()) == (0, [], set())
    assert sweep.next_look <= 0.25
    os.close(writers[0])
    assert dock.sweep().taken == 1

    (job,) = dock.jobs()
    assert job.size == len(b"first second")
    assert dock.spool.path(dock.spool.payload_path(job)).read_bytes() == b"first second"
    assert dock.sweep().taken == 0
    dock.at_rest()


def test_an_unsettled_file_that_was_exchanged_for_a_link_is_refused(dock: Dock) -> None:
    def exchange(at: int, name: bytes) -> None:
        os.unlink(name, dir_fd=at)
        os.symlink("/etc/passwd", name, dir_fd=at)

    dock.files.meanwhile = exchange
    dock.drop("a")

    assert dock.sweep().taken == 0
    assert dock.sweep().rejected == 1
    assert "not a regular file" in dock.refused()["a"].reason
    assert dock.jobs() == []


def test_an_unsettled_file_that_can_not_be_opened_just_now_is_not_forgotten(
    dock: Dock, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers: list[int] = []
    dock.files.meanwhile = lambda at, name: writers.append(os.open(name, os.O_WRONLY, dir_fd=at))
    dock.drop("a")
    dock.sweep()
    os.close(writers[0])

    def ask_again(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(dock.jobqueue, "ask_again", ask_again)
        assert dock.sweep().taken == 0

    assert dock.sweep().taken == 1
    dock.at_rest()


def test_the_ghost_of_a_move_is_unlinked_and_its_payload_stays(dock: Dock) -> None:
    """Loss of power, or link and unlink instead of a rename: both names of one file are there."""
    dock.drop("a")
    dock.sweep()
    (job,) = dock.jobs()
    os.link(dock.spool.path(dock.spool.payload_path(job)), dock.inbox / "a")

    sweep = dock.sweep()

    assert (sweep.taken, sweep.rejected) == (0, 0)
    assert dock.in_inbox() == set()
    assert dock.refused() == {}
    dock.at_rest()


def test_a_file_with_a_foreign_hard_link_waits_and_is_refused_in_the_end(
    dock: Dock, clock: SettableClock, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").write_bytes(b"theirs")
    os.link(tmp_path / "elsewhere", dock.inbox / "a")

    assert dock.sweep().waiting == 1
    clock.pass_by(599)
    assert dock.sweep().waiting == 1
    clock.pass_by(1)
    assert dock.sweep().rejected == 1

    assert "hard link" in dock.refused()["a"].reason
    assert (tmp_path / "elsewhere").read_bytes() == b"theirs"


# -------------------------------------------------------------------- trouble


def test_nothing_is_taken_while_the_disk_is_almost_full(dock: Dock, monkeypatch: pytest.MonkeyPatch) -> None:
    dock.drop("a")
    with monkeypatch.context() as patch:
        patch.setattr(Spool, "is_below", lambda spool, low_water: True)
        sweep = dock.sweep()
        assert (sweep.taken, sweep.next_look, dock.in_inbox()) == (0, 1.0, {"a"})

    assert dock.sweep().taken == 1


@pytest.mark.parametrize(("error", "told"), [(apsw.FullError, DiskFull), (apsw.BusyError, IndexBusy)])
def test_files_whose_commit_failed_are_kept_and_committed_by_the_next_sweep(
    dock: Dock, error: type[apsw.Error], told: type[PqfsError]
) -> None:
    dock.drop("a", mtime=1)
    dock.wish("a", priority=7)
    dock.drop("b", mtime=2)
    dock.engine.failures = [error("on the test's wish"), error("and once more")]

    for _ in range(2):
        with pytest.raises(told):
            dock.sweep()
        assert dock.jobs() == []
        assert len(dock.spool.entries(f"ready/{OWNER}")) == 2

    assert dock.sweep().taken == 2
    assert [(job.name, job.priority) for job in dock.jobs()] == [(b"a", 7), (b"b", 0)]
    assert dock.refused() == {}
    assert dock.in_inbox() == set()
    assert sum(row[1] for row in dock.index.stats(0)) == 2
    dock.at_rest()


def test_a_failed_sync_ends_the_process_and_nothing_becomes_a_job(dock: Dock) -> None:
    """A second sync on the same data would report success and lie."""
    dock.drop("a")
    dock.files.sync_error = SyncFailed(errno.EIO, "Input/output error")
    bell = Bell(dock.root / "run", OWNER)

    with pytest.raises(VolumeFault):
        dock.ingester.run(Stop(), bell, Watch(dock.inbox, "inotify"))

    bell.close()
    assert dock.jobs() == []
    assert len(dock.spool.entries(f"ready/{OWNER}")) == 1
    assert dock.spool.alarm.exists()


# -------------------------------------------------------------------- the watch


class RecordedWatch(Watch):
    """Remembers when it was armed and dropped, and how often it tried itself."""

    def __init__(self, inbox: Path) -> None:
        super().__init__(inbox, "inotify")
        self.said: list[str] = []
        self.trials = 0

    def _touch(self, probe: Path) -> None:
        self.trials += 1
        super()._touch(probe)

    def arm(self) -> bool:
        armed = super().arm()
        self.said.append("armed")
        return armed

    def disarm(self) -> None:
        if self._observer is not None:
            self.said.append("dropped")
        super().disarm()


@pytest.fixture
def quiet_watchdog() -> Iterator[None]:
    """A watch adds a handler to watchdog's log."""
    log = logging.getLogger("watchdog")
    handlers, propagate = log.handlers[:], log.propagate
    yield
    log.handlers[:], log.propagate = handlers, propagate


@pytest.fixture
def working(dock: Dock) -> Iterator[RecordedWatch]:
    """An ingester at work in a thread that sweeps every 0.2 s, with a pulse."""
    settings = replace(dock.jobqueue.settings, ingest=IngestSettings(sweep_every=0.2))
    pulse = Pulse(dock.root / "run", "ingester", OWNER, "boot", dock.clock)
    jobqueue = JobQueue(dock.spool, dock.index, settings)
    ingester = Ingester(jobqueue, Inbox(dock.root, settings), OWNER, dock.clock, pulse)
    watch, stop, bell = RecordedWatch(dock.inbox), Stop(), Bell(dock.root / "run", OWNER)
    thread = threading.Thread(target=ingester.run, args=(stop, bell, watch))
    thread.start()
    eventually(lambda: watch.said == ["armed"], "the watch is armed")
    yield watch
    stop.request()
    thread.join()
    watch.close()
    pulse.close()
    bell.close()


def _blind(dock: Dock) -> dict[str, Any]:
    """What the ingester's pulse says of its sight."""
    beat = read_beat(dock.root / "run" / "ingester.pulse")
    return (beat.said.get("blind") if beat else None) or {}


def _kill_the_emitter(watch: Watch, dock: Dock) -> None:
    assert watch._observer is not None
    for emitter in tuple(watch._observer.emitters):
        emitter.stop()


def _exchange_the_directory(watch: Watch, dock: Dock) -> None:
    dock.inbox.rename(dock.root / "elsewhere")
    dock.inbox.mkdir()


def _deafen(watch: Watch, dock: Dock) -> None:
    hearing, armed = watch._knock.dispatch, watch.said.count("armed")  # type: ignore[attr-defined]

    def hear_once_armed_anew(event: FileSystemEvent) -> None:
        if watch.said.count("armed") > armed:  # type: ignore[attr-defined]
            hearing(event)

    watch._knock.dispatch = hear_once_armed_anew  # type: ignore[method-assign]


@pytest.mark.usefixtures("quiet_watchdog")
@pytest.mark.parametrize(
    ("blind", "cause"),
    [
        (_kill_the_emitter, "its emitting thread has died"),
        (_exchange_the_directory, "the directory was exchanged"),
        (_deafen, "its probe was not seen within 0.3 s"),
    ],
)
def test_a_blind_watch_is_armed_anew_within_a_sweep_and_told_of(
    dock: Dock,
    working: RecordedWatch,
    monkeypatch: pytest.MonkeyPatch,
    blind: Callable[[Watch, Dock], None],
    cause: str,
) -> None:
    eventually(lambda: working.trials > 1, "a probe was seen: only then the next one is touched")
    assert _blind(dock) == {}
    monkeypatch.setattr("pqfs.watch.SEEN_WITHIN", 0.3)

    blind(working, dock)

    eventually(lambda: working.said[-2:] == ["dropped", "armed"], "the watch is armed anew")
    eventually(lambda: _blind(dock).get("is_over"), "it is told that it sees again")
    assert _blind(dock)["cause"] == cause
    dock.drop("a")
    eventually(lambda: dock.names() == [b"a"], "files are taken")


@pytest.mark.usefixtures("quiet_watchdog")
def test_an_inbox_that_can_not_be_watched_is_told_until_it_can(dock: Dock, working: RecordedWatch) -> None:
    dock.inbox.rename(dock.root / "elsewhere")
    dock.inbox.write_bytes(b"a file")
    eventually(lambda: _blind(dock).get("cause", "").startswith("it can not be watched"), "blindness is told")
    assert _blind(dock)["is_over"] is False

    dock.inbox.unlink()

    eventually(lambda: _blind(dock)["is_over"], "it sees again")
    shutil.rmtree(dock.root / "elsewhere")


def test_the_file_that_should_have_gone_first_is_told(dock: Dock) -> None:
    with dock.drop("first").open("ab"):
        dock.sweep()
        dock.clock.pass_by(100)
        with dock.drop("second").open("ab"):
            found = dock.sweep()

    assert found.longest is not None
    assert (found.longest.name, found.longest.since) == ("first", dock.clock.boottime() - 100)
    assert found.longest.reason == "somebody is still writing it"


@pytest.mark.usefixtures("quiet_watchdog")
def test_the_watch_is_dropped_while_much_arrives_and_armed_again_after(dock: Dock, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for number in range(100):
        (tmp_path / "folder" / str(number)).touch()
    watch, stop, bell = RecordedWatch(dock.inbox), Stop(), Bell(dock.root / "run", OWNER)
    thread = threading.Thread(target=dock.ingester.run, args=(stop, bell, watch))
    thread.start()
    try:
        eventually(lambda: watch.said == ["armed"], "the watch is armed when there is nothing to do")
        (tmp_path / "folder").rename(dock.inbox / "folder")  # all at once
        eventually(lambda: watch.said == ["armed", "dropped", "armed"], "dropped under load, and armed again")
        (tmp_path / "one").touch()
        (tmp_path / "one").rename(dock.inbox / "one")
        eventually(lambda: not (dock.inbox / "one").exists(), "a single file is taken")
    finally:
        stop.request()
        thread.join()
        watch.disarm()
        bell.close()

    assert watch.said == ["armed", "dropped", "armed", "dropped"], "a single file drops no watch but the test did"
    assert len(dock.jobs()) == 101
    dock.at_rest()


def test_what_left_the_inbox_is_not_forgotten_when_it_can_not_be_asked_for_again(
    dock: Dock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second question, after the rename, meets a failing disk: nobody else looks after these files."""
    dock.drop("a")
    dock.drop("b")
    status, failures = dock.spool.status, [OSError(errno.EIO, "Input/output error")]

    def fails_once(relative: str) -> os.stat_result | None:
        if relative.startswith("ready/") and failures:
            raise failures.pop()
        return status(relative)

    monkeypatch.setattr(dock.spool, "status", fails_once)
    with pytest.raises(OSError, match="Input/output"):
        dock.sweep()

    dock.sweep()

    assert sorted(dock.names()) == [b"a", b"b"]
