"""How pqfs stands on a file system is chosen by what is mounted, and can be asked for otherwise."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from pqfs import kernel
from pqfs.clock import boot_id
from pqfs.doorbell import Bell
from pqfs.errors import Misconfigured
from pqfs.footing import LOCAL, Footing, footing, is_shared
from pqfs.health import examine
from pqfs.inbox import Inbox
from pqfs.index.sqlite import refuse_network
from pqfs.ingester import Ingester
from pqfs.jobqueue import JobQueue
from pqfs.pulse import Pulse, read_beat
from pqfs.runtime import Presence, Stop
from pqfs.services import tell_footing
from pqfs.settings import IngestSettings
from pqfs.vitals import look
from pqfs.watch import Watch
from tests.opened import app_of, live
from tests.shell import Shell
from tests.world import SettableClock


def on(kind: str, monkeypatch: pytest.MonkeyPatch, **asked: str) -> Footing:
    """The footing on a file system of this type."""
    monkeypatch.setattr(kernel, "file_system", lambda path: kind)
    return footing(Path("/anywhere"), IngestSettings(**asked))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", sorted(LOCAL))
def test_a_disk_of_this_host_is_watched_and_its_leases_believed(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert on(kind, monkeypatch).is_usual


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "ceph", "lustre", "9p", "virtiofs", "fuse.sshfs", "fuse.juicefs", "fuse"]
)
def test_what_other_hosts_write_to_is_polled_settles_and_holds_no_index_on_sqlite(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = on(kind, monkeypatch)

    assert (found.watch, found.complete, found.asks_leases, found.settles) == ("polling", "settle", False, True)
    with pytest.raises(Misconfigured, match=kind):
        refuse_network(Path("/anywhere"))


@pytest.mark.parametrize("kind", ["fuse.fuse-overlayfs", "fuseblk", "bcachefs", "vfat"])
def test_a_disk_that_is_not_known_is_polled_settles_and_is_asked_for_leases(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = on(kind, monkeypatch)

    assert (found.watch, found.complete) == ("polling", "both")
    assert not is_shared(kind)
    refuse_network(Path("/anywhere"))


def test_where_nothing_tells_the_type_events_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other systems have no /proc; watchdog knows how they tell of arrivals."""
    assert on("unknown", monkeypatch).watch == "inotify"


def test_settings_have_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    assert on("nfs4", monkeypatch, watch="inotify", complete="lease").is_usual
    assert on("ext4", monkeypatch, watch="polling", complete="settle") == Footing("ext4", "polling", "settle")


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (Footing("ext4", "inotify", "lease"), "watched; a file is complete when nobody has it open for writing"),
        (Footing("nfs4", "polling", "settle"), "polled every 1s; a file is complete once it has not changed for 2s"),
        (Footing("vfat", "polling", "both"), "open for writing, and it has not changed for 2s"),
    ],
)
def test_it_is_told_in_words(chosen: Footing, said: str) -> None:
    assert said in chosen.told(IngestSettings())


# -------------------------------------------------------------------- polling


class Patience(Stop):
    """Notes how long the ingester would wait, and ends it at the second time."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None, readables: object = (), writables: object = ()) -> list[int]:
        """Nobody waits."""
        assert timeout is not None
        self.waits.append(timeout)
        self.requested = len(self.waits) == 2
        return []


@pytest.mark.parametrize(("mode", "rhythm"), [("polling", 0.5), ("inotify", 5.0)])
def test_a_polled_inbox_is_swept_in_its_own_rhythm_and_nobody_is_asked_to_watch(
    jobqueue: JobQueue, clock: SettableClock, mode: str, rhythm: float
) -> None:
    settings = replace(jobqueue.settings, ingest=IngestSettings(poll_every=0.5))
    root = jobqueue.spool.root
    ingester = Ingester(JobQueue(jobqueue.spool, jobqueue.index, settings), Inbox(root, settings), "i.1.aa", clock)
    watch, stop, bell = Watch(root / "inbox", mode), Patience(), Bell(root / "run", "i.1.aa")
    (root / "inbox" / "a").write_bytes(b"1")

    ingester.run(stop, bell, watch)

    assert stop.waits == [rhythm, rhythm]
    assert (watch.blindness, [job.name for job in jobqueue.index.jobs(None, None, "~", 9)]) == (None, [b"a"])
    watch.close()
    bell.close()


# -------------------------------------------------------------------- told


def _chosen(run: Path, kind: str, clock: SettableClock) -> object:
    """What stands in the pulse of an ingester that starts on a file system of this type."""
    with Presence(run, "ingester", clock) as presence:
        tell_footing(presence, run, Footing(kind, "polling", "settle"))
        presence.pulse.beat()
    beat = read_beat(run / "ingester.pulse")
    assert beat is not None
    return beat.said["footing"]


def test_what_was_chosen_is_told_and_that_it_has_changed_since_the_last_start(
    jobqueue: JobQueue, clock: SettableClock, caplog: pytest.LogCaptureFixture
) -> None:
    run = jobqueue.spool.path("run")
    nfs = {"file_system": "nfs4", "watch": "polling", "complete": "settle"}

    assert _chosen(run, "nfs4", clock) == {**nfs, "was": None}
    assert _chosen(run, "nfs4", clock) == {**nfs, "was": None}
    assert "another file system" not in caplog.text
    assert _chosen(run, "ext4", clock) == {**nfs, "file_system": "ext4", "was": nfs}
    assert "another file system" in caplog.text


def test_a_change_is_a_notice_for_a_while(jobqueue: JobQueue, clock: SettableClock) -> None:
    app = app_of(jobqueue, clock)
    lock = live(app, "ingester")
    pulse = Pulse(app.spool.path("run"), "ingester", lock.name, boot_id(), clock)
    was = {"file_system": "ext4", "watch": "inotify", "complete": "lease"}
    pulse.note(footing={"file_system": "nfs4", "watch": "polling", "complete": "settle", "was": was})
    pulse.beat()

    (found,) = [each for each in examine(look(app)) if each.name == "footing-changed"]

    assert found.sentence == (
        "The inbox lies on nfs4 (polling, settle), and lay on ext4 (inotify, lease) when the ingester started last."
    )
    clock.pass_by(app.settings.health.remember + 1)
    assert [each.name for each in examine(look(app)) if each.name == "footing-changed"] == []
    pulse.close()
    lock.release()


@pytest.mark.parametrize(("watch", "told"), [("auto", False), ("polling", True)])
def test_status_tells_of_an_unusual_footing(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, watch: Literal["auto", "polling"], told: bool
) -> None:
    monkeypatch.setattr(kernel, "file_system", lambda path: "ext4")
    (shell.root / "pqfs.toml").write_text(f'[ingest]\nwatch = "{watch}"\n')

    assert shell("status") == 0

    assert ("ext4: the inbox is polled every 1s" in shell.out) is told
    assert shell("status", "--json") == 0
    assert json.loads(shell.out)["footing"]["file_system"] == "ext4"
