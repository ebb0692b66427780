"""Sets of files: taken together or not at all, whoever writes or lies; real files, real leases, a real index."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest
from jsonschema import Draft202012Validator

from pqfs import bundle, manifest
from pqfs.courier import Courier
from pqfs.errors import DiskFull, Rejected
from pqfs.inbox import Inbox
from pqfs.ingester import Ingester
from pqfs.manifest import Manifest
from pqfs.settings import KeepSettings, QueueSettings
from pqfs.why import why
from tests.opened import app_of
from tests.test_ingester import Dock, Docking, docking  # noqa: F401 -- a fixture

SETS = {"scans": QueueSettings(sets="manifest", receipts=True)}
SCHEMA = Draft202012Validator(manifest.schema())
PAGES = {"1.png": b"first page", "2.png": b"second page"}


def packed(dock: Dock, name: bytes = b"scan.tar") -> dict[str, bytes]:
    """What is in the payload of the one job of this name."""
    (job,) = (each for each in dock.jobs() if each.name == name)
    data = dock.spool.path(dock.spool.find(job.id)[0]).read_bytes()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {each.name: tar.extractfile(each).read() for each in tar}  # type: ignore[union-attr]


def announce(dock: Dock, *names: str | dict[str, str], name: str = "scan", at: str = "scans", **more: Any) -> Path:
    """A manifest."""
    members = [each if isinstance(each, dict) else {"name": each} for each in names]
    (dock.inbox / at).mkdir(parents=True, exist_ok=True)
    return dock.drop(f"{at}/{name}.manifest.json", json.dumps({"members": members, **more}).encode())


def deliver(dock: Dock, pages: dict[str, bytes] = PAGES, at: str = "scans") -> None:
    for name, data in pages.items():
        dock.drop(f"{at}/{name}", data)


def read(folder: Path, data: bytes) -> Manifest:
    """Read these bytes as a manifest."""
    path = folder / "manifest"
    path.write_bytes(data)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return manifest.read(descriptor)
    finally:
        os.close(descriptor)


@pytest.fixture
def dock(docking: Docking) -> Dock:  # noqa: F811
    return docking(SETS)


# -------------------------------------------------------------------- complete


@pytest.mark.parametrize("first", ["manifest", "members"])
def test_a_set_is_one_job_whatever_came_first(dock: Dock, first: str) -> None:
    if first == "manifest":
        announce(dock, *PAGES)
        assert dock.sweep().taken == 0
    deliver(dock)
    if first == "members":
        assert dock.sweep().taken == 0
        announce(dock, *PAGES)

    assert dock.sweep().taken == 1
    assert packed(dock) == PAGES
    assert dock.in_inbox() == {"scans"}
    assert dock.spool.entries("work") == []
    dock.at_rest()


def test_the_manifest_asks_as_a_sidecar_does(dock: Dock) -> None:
    announce(dock, *PAGES, priority=7, delay="5m", metadata={"from": "lab 3"})
    deliver(dock)
    dock.sweep()

    (job,) = dock.jobs()
    assert (job.priority, job.ready_at, job.queue) == (7, dock.clock.now() + 300, "scans")
    assert (job.options or {})["metadata"] == {"from": "lab 3"}


def test_the_same_files_make_the_same_payload(dock: Dock) -> None:
    payloads = []
    for mtime in (1.0, 2.0):
        announce(dock, *PAGES)
        for name, data in PAGES.items():
            dock.drop(f"scans/{name}", data, mtime)
        dock.sweep()
        payloads.append(dock.spool.path(dock.spool.find(dock.jobs()[-1].id)[0]).read_bytes())

    assert payloads[0] == payloads[1]


def test_a_set_in_a_folder_of_its_own_is_taken_from_there(dock: Dock) -> None:
    announce(dock, *PAGES, at="scans/today")
    deliver(dock, at="scans/today")

    assert dock.sweep().taken == 1
    assert packed(dock, b"today/scan.tar") == PAGES


def test_a_queue_without_sets_takes_a_manifest_for_a_file(docking: Docking) -> None:  # noqa: F811
    dock = docking()
    dock.drop("scan.manifest.json", b"{}")

    assert dock.sweep().taken == 1
    assert dock.names() == [b"scan.manifest.json"]


def test_a_marker_says_that_all_files_of_its_name_are_there(docking: Docking) -> None:  # noqa: F811
    dock = docking({"scans": QueueSettings(sets="done")})
    deliver(dock, {"scan.1.png": b"1", "scan.txt": b"text", "other.txt": b"another's"})
    assert dock.sweep().taken == 0
    dock.drop("scans/scan.done", b"")

    assert dock.sweep().taken == 1
    assert packed(dock) == {"scan.1.png": b"1", "scan.txt": b"text"}
    assert dock.in_inbox() == {"scans", "scans/other.txt"}
    dock.at_rest()


# -------------------------------------------------------------------- incomplete


def test_a_set_waits_for_what_is_missing_and_is_refused_together(dock: Dock) -> None:
    announce(dock, *PAGES)
    dock.drop("scans/1.png")
    dock.sweep()
    dock.clock.pass_by(599.0)
    assert dock.sweep().rejected == 0
    dock.clock.pass_by(2.0)

    assert dock.sweep().rejected == 2
    said = dock.refused()
    assert said["scan.manifest.json"].reason == "2.png is missing, for 600 seconds"
    assert said["1.png"].reason == "its set scan.tar was refused: 2.png is missing, for 600 seconds"
    assert dock.in_inbox() == {"scans"}
    dock.at_rest()


def test_a_set_waits_anew_from_each_file_that_comes(dock: Dock) -> None:
    announce(dock, *PAGES)
    dock.sweep()
    dock.clock.pass_by(500.0)
    dock.drop("scans/1.png")
    dock.sweep()
    dock.clock.pass_by(500.0)

    assert dock.sweep().rejected == 0
    dock.drop("scans/2.png")
    assert dock.sweep().taken == 1


def test_with_the_policy_wait_nothing_is_refused_for_its_age(docking: Docking) -> None:  # noqa: F811
    dock = docking({"scans": QueueSettings(sets="manifest", set_policy="wait")})
    announce(dock, *PAGES)
    dock.drop("scans/1.png")
    dock.drop("scans/stray.png")
    dock.sweep()
    dock.clock.pass_by(90 * 86400.0)

    assert dock.sweep().rejected == 0
    dock.drop("scans/2.png")
    assert dock.sweep().taken == 1
    assert dock.in_inbox() == {"scans", "scans/stray.png"}


def test_what_no_manifest_names_is_no_job_and_is_refused_in_time(dock: Dock) -> None:
    dock.drop("scans/stray.png")
    assert dock.sweep().taken == 0
    dock.clock.pass_by(601.0)
    dock.sweep()

    assert dock.refused()["stray.png"].reason == "no manifest names it, for 600 seconds"


def test_a_member_that_is_still_written_is_waited_for(dock: Dock) -> None:
    announce(dock, *PAGES)
    deliver(dock)
    with (dock.inbox / "scans/2.png").open("ab") as writer:
        dock.clock.pass_by(10_000.0)
        assert dock.sweep().taken == 0
        dock.clock.pass_by(10_000.0)
        assert dock.sweep().rejected == 0
        writer.write(b" and more")

    assert dock.sweep().taken == 1
    assert packed(dock)["2.png"] == b"second page and more"


# -------------------------------------------------------------------- wrong


def test_a_file_that_is_not_what_its_manifest_says_refuses_the_whole_set(dock: Dock) -> None:
    digest = hashlib.sha256(b"whole").hexdigest()
    announce(dock, "1.png", {"name": "2.png", "sha256": digest})
    deliver(dock)

    assert dock.sweep().rejected == 3
    assert f"the manifest says {digest}" in dock.refused()["scan.manifest.json"].reason
    assert not dock.jobs()
    assert dock.spool.entries("work") == []
    dock.at_rest()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not valid JSON"),
        (b"{}", "members"),
        (b"[" * 60000, "not valid JSON"),
        (b'{"members": []}', "1 to 1000 members"),
        (b'{"members": [{"name": "a"}], "members": [{"name": "b"}]}', "a key stands twice"),
        (b'{"members": [{"name": "a"}, {"name": "a"}]}', "no member twice"),
        (b'{"members": [{"name": "../a"}]}', "plain name"),
        (b'{"members": [{"name": "/etc/passwd"}]}', "plain name"),
        (b'{"members": [{"name": ".."}]}', "never taken"),
        (b'{"members": [{"name": ".hidden"}]}', "never taken"),
        (b'{"members": [{"name": "a.tmp"}]}', "never taken"),
        (b'{"members": [{"name": "a\\u0000b"}]}', "plain name"),
        (b'{"members": [{"name": ""}]}', "plain name"),
        (b'{"members": [{"name": "scan.manifest.json"}]}', "that of a manifest"),
        (b'{"members": [{"name": "\\ud800"}]}', "half a surrogate pair"),
        (b'{"members": [{"name": "a", "sha256": "no"}]}', "SHA-256"),
        (b'{"members": [{"name": "a", "size": 1}]}', "Extra inputs"),
        (b'{"members": [{"name": "a"}], "queue": "mail"}', "Extra inputs"),
        (b'{"members": [{"name": "a"}], "priority": 1001}', "priority"),
        (json.dumps({"members": [{"name": str(n)} for n in range(1001)]}).encode(), "1 to 1000 members"),
        (b'{"members": [{"name": "' + b"n" * 256 + b'"}]}', "plain name"),
        (b" " * (2**18 + 1), "larger than 262144 bytes"),
    ],
)  # fmt: skip
def test_a_manifest_that_can_not_be_one_is_refused_in_words(tmp_path: Path, data: bytes, says: str) -> None:
    with pytest.raises(Rejected) as caught:
        read(tmp_path, data)

    assert says in caught.value.message
    assert caught.value.message.startswith("the manifest is")


def test_a_manifest_of_a_hundred_megabytes_is_not_read(dock: Dock) -> None:
    path = dock.drop("scans/scan.manifest.json")
    os.truncate(path, 100 * 2**20)

    assert dock.sweep().rejected == 1
    assert "larger than 262144 bytes" in dock.refused()["scan.manifest.json"].reason


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_member_that_is_no_file_refuses_the_set(dock: Dock, kind: str) -> None:
    dock.drop("scans/1.png")
    member = dock.inbox / "scans/2.png"
    if kind == "link":
        member.symlink_to("/etc/passwd")
    elif kind == "pipe":
        os.mkfifo(member)
    else:
        member.mkdir()
    announce(dock, *PAGES)
    dock.sweep()
    dock.clock.pass_by(601.0)
    dock.sweep()

    assert not dock.jobs()
    assert "scan.manifest.json" in dock.refused()
    assert not (dock.inbox / "scans/1.png").exists()
    dock.at_rest()


def test_a_member_with_a_second_name_waits_until_it_has_one(dock: Dock) -> None:
    announce(dock, *PAGES)
    deliver(dock)
    second = dock.root.parent / "second"
    os.link(dock.inbox / "scans/2.png", second)
    assert dock.sweep().taken == 0
    second.unlink()

    assert dock.sweep().taken == 1


def test_a_member_that_two_manifests_name_is_in_one_job(dock: Dock) -> None:
    deliver(dock)
    announce(dock, "1.png", name="a")
    announce(dock, "1.png", "2.png", name="b")
    os.utime(dock.inbox / "scans/a.manifest.json", (1, 1))
    dock.sweep()
    dock.clock.pass_by(601.0)
    dock.sweep()

    assert dock.names() == [b"a.tar"]
    assert {"2.png", "b.manifest.json"} <= set(dock.refused())
    dock.at_rest()


def test_a_set_that_is_too_large_is_refused(docking: Docking) -> None:  # noqa: F811
    dock = docking({"scans": QueueSettings(sets="manifest", max_size=12_000)})  # type: ignore[arg-type]
    announce(dock, *PAGES)
    deliver(dock, dict.fromkeys(PAGES, b"x" * 6_000))
    dock.sweep()

    assert "queue scans takes at most 12000" in dock.refused()["scan.manifest.json"].reason


def test_a_set_beyond_a_quota_waits(docking: Docking) -> None:  # noqa: F811
    dock = docking({"scans": QueueSettings(sets="manifest", max_files=1)})
    for name in ("a", "b"):
        announce(dock, f"{name}.png", name=name)
        dock.drop(f"scans/{name}.png")

    assert (dock.sweep().taken, dock.sweep().taken) == (1, 0)
    assert len(dock.in_inbox()) == 3


def test_one_more_of_an_earlier_set_is_refused_where_duplicates_are(docking: Docking) -> None:  # noqa: F811
    dock = docking({"scans": QueueSettings(sets="manifest", duplicates="reject")})
    for _ in range(2):
        announce(dock, *PAGES)
        deliver(dock)
        dock.sweep()

    assert len(dock.jobs()) == 1
    assert "it is a duplicate" in dock.refused()["scan.manifest.json"].reason
    assert dock.in_inbox() == {"scans"}
    dock.at_rest()


# -------------------------------------------------------------------- races


def test_a_member_that_is_exchanged_after_the_set_was_taken_stays(dock: Dock) -> None:
    announce(dock, *PAGES)
    deliver(dock)

    def exchange(directory: int, name: bytes) -> None:
        dock.drop("scans/2.png", b"another one")

    dock.files.meanwhile = exchange

    assert dock.sweep().taken == 1
    assert packed(dock) == PAGES
    assert (dock.inbox / "scans/2.png").read_bytes() == b"another one"
    assert not (dock.inbox / "scans/1.png").exists()
    dock.at_rest()


def test_a_member_that_is_written_while_it_is_copied_is_not_taken(
    dock: Dock, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce(dock, *PAGES)
    deliver(dock)
    real = bundle.write

    def write(*arguments: Any) -> int:
        size = real(*arguments)
        dock.drop("scans/1.png", b"first page, once more")
        return size

    monkeypatch.setattr(bundle, "write", write)
    assert dock.sweep().taken == 0
    monkeypatch.undo()

    assert dock.sweep().taken == 1
    assert packed(dock)["1.png"] == b"first page, once more"
    dock.at_rest()


def test_of_two_ingesters_that_take_one_set_one_makes_the_job(dock: Dock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other has committed, and died before it removed the files, right before this one commits."""
    announce(dock, *PAGES)
    deliver(dock)
    other = Ingester(dock.jobqueue, Inbox(dock.root, dock.jobqueue.settings), "ingester.2.0123abcd", dock.clock)
    monkeypatch.setattr(other._sets, "_clear", lambda *_: None)
    submit = dock.jobqueue.submit

    def meanwhile(*arguments: Any) -> Any:
        monkeypatch.setattr(dock.jobqueue, "submit", submit)
        assert other.sweep().taken == 1
        return submit(*arguments)

    monkeypatch.setattr(dock.jobqueue, "submit", meanwhile)
    assert dock.sweep().taken == 0
    assert dock.sweep().taken == 0
    assert packed(dock) == PAGES
    assert dock.in_inbox() == {"scans"}
    assert dock.spool.entries("rejected") == []
    dock.at_rest()


def test_a_set_whose_commit_failed_is_committed_by_the_next_sweep(dock: Dock) -> None:
    announce(dock, *PAGES)
    deliver(dock)
    dock.engine.failures = [apsw.FullError("full")]
    with pytest.raises(DiskFull):
        dock.sweep()

    assert dock.sweep().taken == 1
    assert packed(dock) == PAGES
    assert dock.in_inbox() == {"scans"}
    dock.at_rest()


def test_the_very_same_files_come_again_and_are_another_set(dock: Dock) -> None:
    """As of `rsync -t`, or `cp -p`: name, size and time are those of the set that was taken."""
    for _ in range(3):
        lead = announce(dock, *PAGES)
        deliver(dock)
        for path in (lead, *(dock.inbox / "scans" / name for name in PAGES)):
            os.utime(path, (1000, 1000))
        dock.clock.wall = lead.stat().st_ctime - 0.5  # a job of this clock is older than the next that comes
        assert dock.sweep().taken == 1

    assert dock.names() == [b"scan.tar"] * 3
    assert dock.in_inbox() == {"scans"}


# -------------------------------------------------------------------- told


def _said(dock: Dock, path: str) -> str:
    return " ".join(why(app_of(dock.jobqueue, dock.clock), str(dock.inbox / path)).sentences)


def test_why_names_what_a_set_still_lacks(dock: Dock) -> None:
    dock.drop("scans/1.png")
    assert "nothing says yet to which others this one belongs" in _said(dock, "scans/1.png")
    announce(dock, *PAGES)

    assert "belongs to the set of scan.manifest.json. The set waits: 2.png is missing" in _said(dock, "scans/1.png")
    assert "rejected when that does not come within 600 seconds" in _said(dock, "scans/scan.manifest.json")
    dock.drop("scans/2.png")
    assert "The set is there, for queue scans" in _said(dock, "scans/2.png")
    announce(dock, "..", name="bad")
    assert "It will be rejected: the manifest is invalid" in _said(dock, "scans/bad.manifest.json")


def test_with_the_policy_wait_why_says_so(docking: Docking) -> None:  # noqa: F811
    dock = docking({"scans": QueueSettings(sets="manifest", set_policy="wait")})
    dock.drop("scans/1.png")

    assert "as long as it takes" in _said(dock, "scans/1.png")


def test_producers_of_a_set_get_one_receipt(dock: Dock) -> None:
    announce(dock, *PAGES)
    deliver(dock)
    dock.sweep()
    announce(dock, "3.png", name="late")
    dock.drop("scans/4.png")
    dock.sweep()
    dock.clock.pass_by(601.0)
    dock.sweep()
    dock.jobqueue.settings = replace(dock.jobqueue.settings, keep=KeepSettings(receipts="forever"))
    courier = Courier(dock.jobqueue, dock.clock, dock.root)
    while courier.turn() < 1.0:
        pass

    receipts = dock.root / "receipts/scans"
    told = {path.name: json.loads(path.read_bytes())["state"] for path in receipts.iterdir()}
    assert told == {"scan.tar.json": "accepted", "late.tar.json": "rejected", "4.png.json": "rejected"}


@pytest.mark.parametrize("name", ["a.png", "Seite 1.png", "\u00e4" * 60, "n" * 255, "a.tmp", "../a", ".a", "", "a\n"])
def test_what_the_schema_of_a_manifest_accepts_is_accepted(tmp_path: Path, name: str) -> None:
    asked = {"members": [{"name": name}]}
    if SCHEMA.is_valid(asked):
        assert read(tmp_path, json.dumps(asked).encode()).members[0].name == name
    else:
        assert name in ("a.tmp", "../a", ".a", "", "a\n")


def test_a_queue_that_takes_sets_has_no_sidecars() -> None:
    with pytest.raises(ValueError, match="stands in the manifest"):
        QueueSettings(sets="manifest", sidecar="required")
