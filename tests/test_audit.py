"""The audit as a person meets it: each act stands in it, and stays when its job is deleted."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from dataclasses import replace

from pqfs.index.audit import Audit, Question
from pqfs.jobqueue import JobQueue
from pqfs.settings import KeepSettings
from tests.opened import app_of
from tests.shell import Shell
from tests.world import SettableClock, invariants, submitted

ME = f"cli:{getpass.getuser()}"


def verbs(shell: Shell) -> list[str]:
    """What was done so far, oldest first."""
    return [each["verb"] for each in shell.items("audit", "list", "--limit", 1000)][::-1]


def test_each_act_on_a_job_is_an_event_with_who_what_why_before_and_after(shell: Shell) -> None:
    job = shell.submit()
    for words in (("hold", "--reason", "later"), ("release",), ("fail",), ("retry",), ("cancel",)):
        assert shell("jobs", words[0], job, *words[1:]) == 0, shell.err

    items = shell.items("audit", "list", "--job", job[:30])

    assert [each["verb"] for each in items] == ["cancel", "redrive", "fail", "release", "hold", "submit"]
    assert {each["actor"] for each in items} == {ME}
    assert (items[-2]["before"], items[-2]["after"], items[-2]["reason"]) == ("pending", "held", "later")
    assert shell("audit", "verify") == 0


def test_what_was_done_to_a_deleted_job_stays(shell: Shell) -> None:
    job = shell.submit()
    for verb in ("fail", "delete"):
        assert shell("jobs", verb, job) == 0

    assert [each["verb"] for each in shell.items("audit", "list", "--job", job)] == ["delete", "fail", "submit"]
    assert shell("audit", "verify") == 0
    assert shell("fsck") == 0


def test_acts_on_files_and_on_the_index_are_events(shell: Shell) -> None:
    os.symlink("nowhere", shell.spool / "inbox" / "link")
    assert shell("ingest", "--once") == 0
    (refused,) = shell.items("rejected", "list")

    assert shell("rejected", "purge", refused["number"], "-y") == 0
    assert shell("fsck", "--repair") == 0
    assert shell("index", "backup", shell.root / "copy") == 0
    assert shell("index", "restore", shell.root / "copy", "-y") == 0, shell.err
    found = verbs(shell)
    assert shell("index", "rebuild", "--fresh", "-y") == 0

    assert found == ["purge rejected", "repair", "restore the index"]
    assert verbs(shell) == ["rebuild the index"]
    assert shell("audit", "verify") == 0


def test_events_come_in_pages_and_are_filtered(shell: Shell) -> None:
    for name in "abc":
        shell("jobs", "hold", shell.submit(name))

    first = shell.json("audit", "list", "--verb", "hold", "--limit", 2)
    second = shell.json("audit", "list", "--verb", "hold", "--limit", 2, "--before", first["next"])

    assert first["schema"] == "pqfs.audit/1"
    assert set(first["items"][0]) == {
        "id", "at", "actor", "verb", "job", "queue", "reason", "before", "after", "hash",
    }  # fmt: skip
    assert (len(first["items"]), len(second["items"]), second["next"]) == (2, 1, None)
    assert shell.items("audit", "list", "--by", "nobody") == []
    assert shell.items("audit", "list", "--until", "1h") == []
    assert len(shell.items("audit", "list", "--since", "1h", "--by", getpass.getuser())) == 6


def test_an_instant_that_is_none_is_one_sentence(shell: Shell) -> None:
    assert shell("audit", "list", "--since", "yesterday") == 2
    assert "is no instant" in shell.err


def test_a_changed_event_is_named_and_the_exit_code_is_1(shell: Shell) -> None:
    for name in "abc":
        shell("jobs", "hold", shell.submit(name))
    head = shell.items("audit", "verify")[0]["head"]
    code = "import apsw, sys; apsw.Connection(sys.argv[1]).execute('DELETE FROM events WHERE id = 2')"
    subprocess.run([sys.executable, "-c", code, shell.spool / "index.db"], check=True, timeout=30)

    assert shell("audit", "verify") == 1
    assert "Event 2 is missing" in shell.out
    found = shell.json("audit", "verify")
    assert found["schema"] == "pqfs.verification/1"
    assert set(found["items"][0]) == {"events", "older", "since_at", "head", "wrong", "event", "is_known"}
    assert found["items"][0]["head"] == head


def test_a_hash_that_was_written_down_is_looked_for(shell: Shell) -> None:
    shell("jobs", "hold", shell.submit())
    head = shell.items("audit", "verify")[0]["head"]

    assert shell("audit", "verify", "--head", head) == 0
    assert shell("audit", "verify", "--head", "0" * 64) == 1
    assert "not in the chain" in shell.out


def test_events_are_kept_as_long_as_rows_and_the_rest_still_fits(jobqueue: JobQueue, clock: SettableClock) -> None:
    kept = replace(jobqueue.settings, keep=KeepSettings(done=0.0, rows=86400.0))
    app = app_of(JobQueue(jobqueue.spool, jobqueue.index, kept), clock)
    for _ in range(2):
        app.jobqueue.hold(submitted(app.jobqueue, clock.now()), "ann", None, clock.now())
        clock.pass_by(86400.0 - 60)

    app.janitor("janitor").purge()

    audit = Audit(app.index.engine)
    assert [each.at for each in audit.records(Question(), None, 10)] == [clock.now() - 86340]
    assert audit.verify().wrong is None
    invariants(app.spool, app.index)
