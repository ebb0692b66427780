"""What lies in the inbox and whether it is complete: judged by the kernel, never followed, never blocking."""

from __future__ import annotations

import mmap
import os
import socket
import stat
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pqfs import kernel
from pqfs.durations import Size
from pqfs.footing import Footing
from pqfs.inbox import Entry, Inbox, Judgement, Verdict, writers
from pqfs.settings import IngestSettings, QueueSettings, Settings
from pqfs.spool import Spool
from pqfs.validation import validated

NO_QUEUES: frozenset[str] = frozenset()


@pytest.fixture
def folder(spool: Spool) -> Path:
    """The inbox directory."""
    return spool.path("inbox")


@pytest.fixture
def inbox(settings: Settings, folder: Path) -> Inbox:
    """The inbox seen with default settings."""
    return Inbox(folder.parent, settings)


def with_settings(settings: Settings, folder: Path, queue: QueueSettings | None = None, **ingest: object) -> Inbox:
    """The inbox seen with other settings."""
    chosen = validated(IngestSettings, ingest, {})
    return Inbox(folder.parent, replace(settings, ingest=chosen, defaults=queue or settings.defaults))


def entries(inbox: Inbox, *queues: str) -> list[Entry]:
    return inbox.entries(frozenset(queues))[0]


def judge(inbox: Inbox, name: bytes | None = None, now: float = 0.0) -> Judgement:
    """The judgement on the only entry, or on that of this path. Its descriptor is closed."""
    (entry,) = [each for each in entries(inbox) if name is None or each.path == name]
    directory = inbox.open_parent(entry)
    try:
        judgement = inbox.judge(directory, entry, now)
    finally:
        os.close(directory)
    if judgement.descriptor is not None:
        os.close(judgement.descriptor)
    return judgement


def within(seconds: float, act: Callable[[], Judgement]) -> Judgement:
    """Run what must not block; fail when it does."""
    found: list[Judgement] = []
    thread = threading.Thread(target=lambda: found.append(act()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert found, "it blocks"
    return found[0]


# -------------------------------------------------------------------- complete or not


def test_a_file_that_nobody_writes_is_taken_and_held_open_for_reading(inbox: Inbox, folder: Path) -> None:
    (folder / "a").write_bytes(b"data")
    (entry,) = entries(inbox)
    directory = inbox.open_parent(entry)

    judgement = inbox.judge(directory, entry, 0.0)

    assert judgement.verdict is Verdict.TAKE
    assert judgement.descriptor is not None
    assert os.read(judgement.descriptor, 10) == b"data"
    assert not os.get_inheritable(judgement.descriptor)
    os.close(judgement.descriptor)
    os.close(directory)


def test_an_empty_file_is_a_file(inbox: Inbox, folder: Path) -> None:
    (folder / "a").touch()

    assert judge(inbox).verdict is Verdict.TAKE


def test_a_file_waits_while_somebody_has_it_open_for_writing(inbox: Inbox, folder: Path) -> None:
    with (folder / "a").open("wb") as file:
        file.write(b"half")
        file.flush()
        judgement = judge(inbox, now=1e6)

    assert judgement.verdict is Verdict.WAIT
    assert judgement.reason == "somebody is still writing it"
    assert judgement.descriptor is None
    assert judge(inbox, now=1e6).verdict is Verdict.TAKE


def test_a_file_waits_while_it_is_mapped_writable(inbox: Inbox, folder: Path) -> None:
    (folder / "a").write_bytes(b"x" * 4096)
    with (folder / "a").open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)

    assert judge(inbox, now=1e6).verdict is Verdict.WAIT
    mapped.close()
    assert judge(inbox, now=1e6).verdict is Verdict.TAKE


def test_where_leases_are_refused_a_file_must_stay_unchanged_for_the_settle_time(
    inbox: Inbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(descriptor: int) -> bool:
        raise PermissionError(13, "no lease")

    monkeypatch.setattr(kernel, "is_open_for_writing", refused)
    (folder / "a").write_bytes(b"1")

    first = judge(inbox, now=100.0)
    early = judge(inbox, now=101.9)
    with (folder / "a").open("ab") as file:
        file.write(b"2")
    grown = judge(inbox, now=103.0)
    again = judge(inbox, now=104.9)
    settled = judge(inbox, now=105.0)

    assert [each.verdict for each in (first, early, grown, again)] == [Verdict.WAIT] * 4
    assert first.retry_in == 2.0
    assert early.retry_in == pytest.approx(0.1)
    assert "must stay unchanged for 2 seconds" in early.reason
    assert settled.verdict is Verdict.TAKE


def test_a_modification_time_that_lies_hides_no_change(
    inbox: Inbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "footing", Footing("nfs4", "polling", "settle"))
    (folder / "a").write_bytes(b"1111")
    os.utime(folder / "a", ns=(0, 0))
    judge(inbox, now=0.0)

    with (folder / "a").open("r+b") as file:
        file.write(b"2222")
    os.utime(folder / "a", ns=(0, 0))

    assert judge(inbox, now=2.0).verdict is Verdict.WAIT
    assert judge(inbox, now=4.0).verdict is Verdict.TAKE


def test_a_writer_starts_the_settle_time_anew(settings: Settings, folder: Path) -> None:
    inbox = with_settings(settings, folder, QueueSettings(settle=10.0))
    (folder / "a").write_bytes(b"1")
    assert judge(inbox, now=0.0).verdict is Verdict.WAIT

    with (folder / "a").open("ab"):
        assert judge(inbox, now=9.0).verdict is Verdict.WAIT

    assert judge(inbox, now=11.0).verdict is Verdict.WAIT
    assert judge(inbox, now=19.0).verdict is Verdict.TAKE


def test_a_file_system_whose_leases_do_not_see_every_writer_always_settles(
    settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "file_system", lambda path: "nfs4")
    inbox = with_settings(settings, folder)
    (folder / "a").write_bytes(b"1")

    assert judge(inbox, now=0.0).verdict is Verdict.WAIT
    assert judge(inbox, now=2.0).verdict is Verdict.TAKE


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
def test_of_a_shared_file_system_no_lease_is_asked(
    settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """NFS 4 and SMB answer as if somebody wrote the file, for ever, whenever the server keeps it to itself."""
    monkeypatch.setattr(kernel, "file_system", lambda path: kind)
    monkeypatch.setattr(kernel, "is_open_for_writing", lambda descriptor: True)
    inbox = with_settings(settings, folder)
    (folder / "a").write_bytes(b"1")

    judge(inbox, now=0.0)

    assert judge(inbox, now=2.0).verdict is Verdict.TAKE


def test_on_a_disk_that_is_not_known_a_file_must_settle_and_have_no_writer(
    settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "file_system", lambda path: "bcachefs")
    inbox = with_settings(settings, folder)
    with (folder / "a").open("wb"):
        assert judge(inbox, now=0.0).reason == "somebody is still writing it"
        assert judge(inbox, now=9.0).reason == "somebody is still writing it"

    assert judge(inbox, now=10.0).verdict is Verdict.WAIT
    assert judge(inbox, now=11.0).verdict is Verdict.TAKE


def test_a_second_hard_link_waits_then_is_refused(inbox: Inbox, folder: Path) -> None:
    (folder.parent / "elsewhere").write_bytes(b"1")
    (folder / "a").hardlink_to(folder.parent / "elsewhere")

    waits, refused = judge(inbox, now=0.0), judge(inbox, now=600.0)

    assert waits.verdict is Verdict.WAIT
    assert "hard link" in waits.reason
    assert waits.found is not None
    assert waits.found.st_nlink == 2
    assert refused.verdict is Verdict.REJECT
    (folder.parent / "elsewhere").unlink()
    assert judge(inbox, now=601.0).verdict is Verdict.TAKE


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_a_file_that_can_not_be_read_waits_then_is_refused(inbox: Inbox, folder: Path) -> None:
    (folder / "a").write_bytes(b"1")
    (folder / "a").chmod(0)

    assert judge(inbox, now=0.0).verdict is Verdict.WAIT
    assert judge(inbox, now=600.0).verdict is Verdict.REJECT
    (folder / "a").chmod(0o600)
    assert judge(inbox, now=601.0).verdict is Verdict.TAKE


def test_a_file_that_can_not_be_reopened_waits_with_the_reason(
    inbox: Inbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for root, whom no mode stops."""

    def refused(handle: int) -> int:
        raise PermissionError(13, "no")

    monkeypatch.setattr("pqfs.inbox._reopen", refused)
    (folder / "a").write_bytes(b"1")

    assert judge(inbox).reason == "it can not be read by this user"


# -------------------------------------------------------------------- what can never be a job


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def unix_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the path of a socket has 107 bytes at most
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
    os.chdir(here)


def device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (fifo, "it is a named pipe"),
        (link, "it is a symbolic link"),
        (dangling, "it is a symbolic link"),
        (unix_socket, "it is a socket"),
        (device, "it is a character device"),
    ],
)
def test_what_is_not_a_regular_file_is_refused_without_blocking_or_following(
    inbox: Inbox, folder: Path, make: Callable[[Path], None], reason: str
) -> None:
    make(folder / "a")

    judgement = within(10.0, lambda: judge(inbox))

    assert (judgement.verdict, judgement.reason) == (Verdict.REJECT, reason)
    assert judgement.descriptor is None


def test_what_is_exchanged_between_listing_and_judging_is_judged_as_what_it_is_now(
    inbox: Inbox, folder: Path
) -> None:
    (folder / "a").write_bytes(b"1")
    (entry,) = entries(inbox)
    (folder / "a").unlink()
    os.mkfifo(folder / "a")
    directory = inbox.open_parent(entry)

    judgement = within(10.0, lambda: inbox.judge(directory, entry, 0.0))

    os.close(directory)
    assert judgement.verdict is Verdict.REJECT


def test_what_has_gone_since_it_was_listed_has_vanished(inbox: Inbox, folder: Path) -> None:
    (folder / "a").write_bytes(b"1")
    (entry,) = entries(inbox)
    (folder / "a").unlink()
    directory = inbox.open_parent(entry)

    assert inbox.judge(directory, entry, 0.0).verdict is Verdict.VANISHED
    os.close(directory)


def test_a_file_over_the_limit_is_refused_without_waiting_for_its_end(settings: Settings, folder: Path) -> None:
    inbox = with_settings(settings, folder, QueueSettings(max_size=Size(1024)))

    with (folder / "a").open("wb") as writer:
        writer.write(b"x" * 1025)
        writer.flush()
        judgement = judge(inbox)

    assert judgement.verdict is Verdict.REJECT
    assert judgement.reason == "it has 1025 bytes; queue default takes at most 1024"
    (folder / "a").write_bytes(b"x" * 1024)
    assert judge(inbox).verdict is Verdict.TAKE


# -------------------------------------------------------------------- listing


def test_entries_come_in_order_of_modification_time_then_name(inbox: Inbox, folder: Path) -> None:
    for name, mtime in (("b", 2), ("c", 1), ("a", 2), ("d", 0)):
        (folder / name).touch()
        os.utime(folder / name, (0, mtime))

    assert [entry.path for entry in entries(inbox)] == [b"d", b"c", b"a", b"b"]


def test_any_name_that_the_kernel_knows_is_listed_as_its_bytes(inbox: Inbox, folder: Path) -> None:
    names = [b"with space", b"new\nline", b"-dash", b"\xff\xfe", b"x" * 255, b"%41", b"\x1b[2J"]
    for name in names:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).touch()

    assert {entry.name for entry in entries(inbox)} == set(names)


def test_a_directory_named_as_a_queue_feeds_it(inbox: Inbox, folder: Path) -> None:
    (folder / "mail" / "deep").mkdir(parents=True)
    (folder / "mail" / "a").touch()
    (folder / "mail" / "deep" / "b").touch()
    (folder / "c").touch()

    found = {(entry.queue, entry.name, entry.path) for entry in entries(inbox, "mail")}

    assert found == {
        ("mail", b"a", b"mail/a"),
        ("mail", b"deep/b", b"mail/deep/b"),
        ("default", b"c", b"c"),
    }


def test_a_directory_below_another_is_no_queue_even_if_one_has_its_name(inbox: Inbox, folder: Path) -> None:
    (folder / "folder" / "mail").mkdir(parents=True)
    (folder / "folder" / "mail" / "a").touch()

    assert [(entry.queue, entry.name) for entry in entries(inbox, "mail")] == [("default", b"folder/mail/a")]


def test_a_directory_of_another_name_is_flattened_into_the_default_queue(inbox: Inbox, folder: Path) -> None:
    (folder / "holiday" / "day 1").mkdir(parents=True)
    (folder / "holiday" / "a").touch()
    (folder / "holiday" / "day 1" / "b").touch()

    assert {(entry.queue, entry.name) for entry in entries(inbox)} == {
        ("default", b"holiday/a"),
        ("default", b"holiday/day 1/b"),
    }


def test_a_directory_may_be_refused_as_a_whole(settings: Settings, folder: Path) -> None:
    inbox = with_settings(settings, folder, unknown_directory="reject")
    (folder / "holiday").mkdir()
    (folder / "holiday" / "a").touch()

    judgement = judge(inbox)

    assert (judgement.verdict, judgement.reason) == (
        Verdict.REJECT,
        "it is a directory, and no queue has its name",
    )


def test_empty_directories_are_told_but_not_those_of_queues(inbox: Inbox, folder: Path) -> None:
    (folder / "mail" / "inner").mkdir(parents=True)
    (folder / "other" / "inner").mkdir(parents=True)
    (folder / "idle").mkdir()

    _, empty = inbox.entries(frozenset({"mail", "idle"}))

    assert sorted(empty) == [b"mail/inner", b"other/inner"]


def test_a_directory_that_holds_only_what_is_not_ready_yet_is_not_empty(inbox: Inbox, folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other" / ".rsync.tmp").touch()

    assert inbox.entries(NO_QUEUES) == ([], [])


def test_a_link_to_a_directory_is_an_entry_and_is_not_entered(inbox: Inbox, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "a").touch()
    (folder / "mail").symlink_to(tmp_path / "secret")

    found = entries(inbox, "mail")

    assert [entry.path for entry in found] == [b"mail"]
    assert judge(inbox).reason == "it is a symbolic link"


def test_a_directory_that_becomes_a_link_is_not_followed_when_it_is_opened(
    inbox: Inbox, folder: Path, tmp_path: Path
) -> None:
    (folder / "dir").mkdir()
    (folder / "dir" / "a").touch()
    (entry,) = entries(inbox)
    (folder / "dir").rename(tmp_path / "aside")
    (folder / "dir").symlink_to(tmp_path / "aside")

    with pytest.raises(OSError):
        inbox.open_parent(entry)


def test_an_inbox_that_is_not_there_is_empty(inbox: Inbox, folder: Path) -> None:
    before = inbox.identity()
    folder.rmdir()

    assert inbox.entries(NO_QUEUES) == ([], [])
    assert inbox.identity() is None
    folder.mkdir()
    assert before is not None


# -------------------------------------------------------------------- names that say "not yet"


@pytest.mark.parametrize(
    "name",
    [
        b".hidden", b".a.txt.Xy12", b"a.tmp", b"a.TEMP.tmp", b"a.part", b"a.partial", b"a.crdownload", b"~$doc.docx",
        b"doc~", b".syncthing.a.tmp", b"a.filepart", b"a.swp", b"Thumbs.db", b"new\nline.tmp", b"\xff.part",
    ],
)  # fmt: skip
def test_a_name_that_says_not_yet_is_left_alone(inbox: Inbox, folder: Path, name: bytes) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).touch()

    assert inbox.is_ignored(name)
    assert entries(inbox) == []


@pytest.mark.parametrize(
    "name", [b"a", b"a.txt", b"part", b"tmp", b"a.tmp.gz", b"~a", b"x.part\n", b"a.tmp\nb", b"partial.txt"]
)
def test_other_names_are_not(inbox: Inbox, name: bytes) -> None:
    assert not inbox.is_ignored(name)


@given(st.binary(min_size=1, max_size=255))
def test_any_name_can_be_asked(name: bytes) -> None:
    inbox = Inbox(Path("/nowhere"), Settings())

    assert isinstance(inbox.is_ignored(name), bool)
    assert inbox.is_ignored(b"." + name)


def test_more_patterns_may_be_named(settings: Settings, folder: Path) -> None:
    inbox = with_settings(settings, folder, ignore=["*.lock", "draft-*"])

    assert inbox.is_ignored(b"a.lock")
    assert inbox.is_ignored(b"draft-1")
    assert inbox.is_ignored(b"a.tmp")


# -------------------------------------------------------------------- memory


def test_how_long_something_waits_is_counted_from_when_it_was_first_seen_and_forgotten_when_it_goes(
    inbox: Inbox, folder: Path
) -> None:
    (folder / "a").touch()
    (entry,) = entries(inbox)

    inbox.note(entry, 10.0)
    inbox.note(entry, 20.0)
    assert inbox.waited(entry, 25.0) == 15.0

    (folder / "a").unlink()
    assert entries(inbox) == []
    assert inbox.waited(entry, 25.0) == 0.0


def test_what_has_been_taken_needs_no_memory(inbox: Inbox, folder: Path) -> None:
    (folder / "a").touch()
    (entry,) = entries(inbox)
    inbox.note(entry, 10.0)

    inbox.let_go(entry)

    assert inbox.waited(entry, 25.0) == 0.0
    inbox.let_go(entry)


# -------------------------------------------------------------------- who writes


def test_the_processes_that_write_a_file_can_be_named(folder: Path) -> None:
    path = folder / "a"
    with path.open("wb"):
        assert writers(path) == [os.getpid()]
    with path.open("rb"):
        assert writers(path) == []
    assert writers(folder / "nothing") == []
