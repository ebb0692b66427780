"""Dead letters as a person meets them: grouped, let wait again with care, copied out, removed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pqfs.errors import Refused
from pqfs.export import LINES, Export
from pqfs.fingerprint import fingerprint
from pqfs.index.filters import Filters
from pqfs.jobqueue import JobQueue
from pqfs.model import Job, Kind, Outcome
from tests.opened import app_of
from tests.shell import Shell
from tests.world import SettableClock, invariants, submitted

FUSSY = """
from pqfs import JobContext, Permanent


def fussy(context: JobContext) -> bytes:
    text = context.input.read_text()
    if text.startswith("bad"):
        raise Permanent(f"page {len(text)} of {context.name!r} can not be read")
    if text.startswith("worse"):
        raise Permanent("the pages are burnt")
    return b"read"
"""


@pytest.fixture
def checked(shell: Shell) -> Iterator[Shell]:
    """A shell with a handler that says no to some files; its spool is whole at the end."""
    (shell.root / "fussy.py").write_text(FUSSY)
    (shell.root / "pqfs.toml").write_text(
        '[defaults]\nhandler = { python = "fussy:fussy" }\nbackoff = "0s"\n[queues.mail]\n'
    )
    yield shell
    app = shell.app()
    app.janitor("none").look()
    invariants(app.spool, app.index)
    app.close()
    assert shell("audit", "verify") == 0
    assert shell("fsck") == 0, shell.out


def feed(shell: Shell, *texts: str, queue: str = "default") -> list[str]:
    """A job for each text, run to its end."""
    made = []
    for number, text in enumerate(texts):
        (shell.root / f"{queue}-{number}").write_text(text)
        assert shell("submit", shell.root / f"{queue}-{number}", "-q", queue) == 0, shell.err
        made.append(shell.out.strip())
    consume(shell)
    return made


def consume(shell: Shell) -> None:
    done = shell.process("consume", "--drain")
    assert done.returncode == 0, done.stderr


def states(shell: Shell) -> dict[str, str]:
    return {each["id"]: each["state"] for each in shell.items("jobs", "list")}


# -------------------------------------------------------------------- groups


def test_dead_letters_are_grouped_by_what_went_wrong(checked: Shell) -> None:
    feed(checked, "bad", "bad indeed", "worse", "good")
    feed(checked, "bad in mail", queue="mail")

    answer = checked.json("dead", "list")

    assert answer["schema"] == "pqfs.dead/1"
    groups = answer["items"]
    assert set(groups[0]) == {"group", "queue", "count", "first_at", "last_at", "error"}
    assert (groups[0]["queue"], groups[0]["count"]) == ("default", 2)
    assert sorted((each["queue"], each["count"]) for each in groups) == [("default", 1), ("default", 2), ("mail", 1)]
    assert groups[0]["first_at"] <= groups[0]["last_at"]
    assert "can not be read" in groups[0]["error"]
    assert len({each["group"] for each in groups}) == 2
    assert checked("dead", "list", "--queue", "mail") == 0
    assert "default" not in checked.out


def test_a_group_shows_its_jobs_the_last_that_died_first_and_in_pages(checked: Shell) -> None:
    made = feed(checked, *["bad" + "!" * n for n in range(3)])
    group = checked.items("dead", "list")[0]["group"]

    first = checked.json("dead", "show", group, "--limit", 2)
    second = checked.json("dead", "show", group, "--limit", 2, "--before", first["next"])

    assert [each["id"] for each in first["items"] + second["items"]] == made[::-1]
    assert second["next"] is None
    assert checked("dead", "show", "0" * 12) == 4
    assert checked("dead", "show", "everything") == 1


def test_why_names_the_others(checked: Shell) -> None:
    made = feed(checked, "bad", "bad!", "worse")

    assert checked("why", made[0]) == 0
    assert "1 other dead letters of its queue have such an error: pqfs dead show" in checked.out


def test_a_job_is_in_a_group_as_long_as_it_is_dead(jobqueue: JobQueue, clock: SettableClock) -> None:
    jobs = [jobqueue.fail(submitted(jobqueue, clock.now()), "ann", f"page {n}", clock.now()) for n in range(3)]

    assert {jobqueue.job(job.id).fingerprint for job in jobs} == {fingerprint("page 7")}
    back = jobqueue.redrive(jobqueue.job(jobs[0].id), "ann", None, clock.now())
    assert back.fingerprint is None
    assert [group.count for group in Filters(jobqueue.index).groups(None, 10)] == [2]


def test_an_attempt_that_fails_for_good_is_grouped(jobqueue: JobQueue, clock: SettableClock) -> None:
    submitted(jobqueue, clock.now())
    (job,) = jobqueue.claim("me.1.aa", ["default"], 1, clock.now())
    jobqueue.spool.start(job)

    jobqueue.end(job, Outcome(Kind.PERMANENT, "no"), clock.now())

    assert jobqueue.job(job.id).fingerprint == fingerprint("no")


# -------------------------------------------------------------------- redrive


def test_a_group_waits_again_and_nothing_else(checked: Shell) -> None:
    bad, worse, good = feed(checked, "bad", "worse", "good")
    group = checked.items("dead", "list", "--json")[0]["group"]
    of = {checked.items("jobs", "show", job)[0]["group"]: job for job in (bad, worse)}

    assert checked("dead", "redrive", "--group", group, "-y") == 0

    assert checked.out.split() == [of[group]]
    found = states(checked)
    assert found.pop(of[group]) == "pending"
    assert sorted(found.values()) == ["completed", "failed"]
    assert checked("dead", "redrive", good) == 1
    assert "is completed: redrive is not possible" in checked.err


def test_those_that_died_in_a_time_wait_again(checked: Shell) -> None:
    made = feed(checked, "bad", "worse")

    assert checked("dead", "redrive", "--until", "1h", "-y") == 0
    assert set(states(checked).values()) == {"failed"}
    assert checked("dead", "redrive", "--since", "1h", "--queue", "mail", "-y") == 0
    assert set(states(checked).values()) == {"failed"}
    assert checked("dead", "resubmit", "--since", "1h", "-y") == 0
    assert states(checked) == dict.fromkeys(made, "pending")


def test_a_rate_spreads_them_over_time_and_is_kept_through_a_rebuild(checked: Shell) -> None:
    feed(checked, *["bad"] * 3)

    assert checked("dead", "redrive", "--all", "--rate", "1/h", "-y") == 0
    before = sorted(each["ready_at"] for each in checked.items("jobs", "list"))
    assert checked("index", "rebuild", "--fresh", "-y") == 0

    after = sorted(each["ready_at"] for each in checked.items("jobs", "list"))
    assert after[1:] == before[1:]
    assert before[0] < before[1] < before[2]
    assert [each[11:13] for each in before] != [before[0][11:13]] * 3  # hours apart


@pytest.mark.parametrize("rate", ["0/s", "fast", "5", "5/x", "-1/s"])
def test_a_rate_that_is_none_is_one_sentence(checked: Shell, rate: str) -> None:
    feed(checked, "bad")

    assert checked("dead", "redrive", "--all", f"--rate={rate}", "-y") == 2
    assert "is no rate" in checked.err


def with_a_consumer(shell: Shell, *words: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command while a consumer works."""
    consumer = subprocess.Popen([sys.executable, "-m", "pqfs", "consume"], cwd=shell.root, stderr=subprocess.DEVNULL)
    try:
        return shell.process(*words)
    finally:
        consumer.terminate()
        consumer.wait(30)


def test_a_canary_that_fails_again_leaves_the_rest_as_they_are(checked: Shell) -> None:
    made = feed(checked, "bad", "bad!", "bad!!")

    done = with_a_consumer(checked, "dead", "redrive", "--all", "--canary", "-y")

    assert done.returncode == 7, done.stderr
    assert b"the rest were left as they are" in done.stderr
    assert set(states(checked).values()) == {"failed"}
    verbs = [checked.items("jobs", "show", job)[0]["events"] for job in made]
    assert sorted(len(events) for events in verbs) == [1, 1, 2]


def test_a_canary_that_is_completed_is_followed_by_the_rest(checked: Shell) -> None:
    made = feed(checked, "bad", "bad!", "bad!!")
    (checked.root / "fussy.py").write_text(FUSSY.replace('"bad"', '"nothing"'))

    done = with_a_consumer(checked, "dead", "redrive", "--all", "--canary", "-y")
    consume(checked)

    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.decode().split()) == sorted(made)
    assert set(states(checked).values()) == {"completed"}


def test_a_canary_that_nobody_runs_is_not_waited_for_for_ever(checked: Shell) -> None:
    feed(checked, "bad", "bad!")

    assert checked("dead", "redrive", "--all", "--canary", "--timeout", "0.2s", "-y") == 3

    assert sorted(states(checked).values()) == ["failed", "pending"]


def test_a_dry_run_changes_nothing(checked: Shell) -> None:
    made = feed(checked, "bad", "worse")

    for verb in ("redrive", "purge"):
        assert checked("dead", verb, "--all", "--dry-run") == 0
        assert sorted(checked.out.split()) == sorted(made)
    assert checked("dead", "export", checked.root / "out", "--all", "--dry-run") == 0
    assert not (checked.root / "out").exists()
    assert set(states(checked).values()) == {"failed"}


def test_what_needs_a_yes_asks_for_it(checked: Shell) -> None:
    feed(checked, "bad", "worse")

    assert checked("dead", "purge", "--all") == 2
    assert checked("dead", "redrive", "--all") == 2
    assert checked("dead", "redrive") == 1
    assert set(states(checked).values()) == {"failed"}


# -------------------------------------------------------------------- purge


def test_a_purge_removes_dead_letters_and_their_files_and_nothing_else(checked: Shell) -> None:
    bad, _, good = feed(checked, "bad", "worse", "good")
    cancelled = checked.submit("cancelled")
    assert checked("jobs", "cancel", cancelled) == 0
    group = checked.items("jobs", "show", bad)[0]["group"]

    assert checked("dead", "purge", "--group", group, "-y") == 0
    assert bad not in states(checked)
    assert checked("dead", "purge", "--all", "-y") == 0

    assert states(checked) == {good: "completed", cancelled: "cancelled"}
    assert list((checked.spool / "dead").iterdir()) == []
    assert [each["verb"] for each in checked.items("audit", "list", "--job", bad)] == ["delete", "submit"]


# -------------------------------------------------------------------- export


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / LINES).read_text().splitlines()]


def test_an_export_has_each_payload_and_its_story(checked: Shell) -> None:
    made = feed(checked, "bad", "worse", "good")
    folder = checked.root / "out" / "letters"

    assert checked("dead", "export", folder, "--all") == 0

    told = {each["id"]: each for each in lines(folder)}
    assert sorted(told) == sorted(made[:2])
    for each, text in ((told[made[0]], b"bad"), (told[made[1]], b"worse")):
        assert (folder / each["file"]).read_bytes() == text
        assert each["sha256"] == hashlib.sha256(text).hexdigest()
        assert each["schema"] == "pqfs.dead-letter/1"
        assert each["attempts"][0]["outcome"] == "permanent"
        assert each["error"] and each["group"]
    assert set(states(checked).values()) == {"failed", "completed"}


def test_an_export_goes_on_where_it_was_and_never_overwrites(checked: Shell) -> None:
    made = feed(checked, "bad", "worse", "bad!")
    folder = checked.root / "out"
    assert checked("dead", "export", folder, made[0]) == 0
    half = (folder / LINES).read_bytes()[:20]
    with (folder / LINES).open("ab") as file:
        file.write(half)  # a line that was being written at the end
    (folder / f".{made[1]}.part").write_bytes(b"wo")
    foreign = folder / os.path.basename(next((checked.spool / "dead").glob(f"{made[2]}*")))
    foreign.write_bytes(b"mine")

    assert checked("dead", "export", folder, "--all") == 7
    assert "is there already, and is another file" in checked.err
    assert "1 of them before" in checked.err

    assert sorted(each["id"] for each in lines(folder)) == sorted(made[:2])
    assert foreign.read_bytes() == b"mine"
    assert not list(folder.glob(".*"))


def test_a_folder_of_somebody_else_is_not_touched(checked: Shell) -> None:
    feed(checked, "bad")
    folder = checked.root / "out"
    folder.mkdir()
    (folder / LINES).write_text('{"mine": true}\n')

    assert checked("dead", "export", folder, "--all") == 1
    assert "is not of an export" in checked.err
    assert (folder / LINES).read_text() == '{"mine": true}\n'
    (checked.root / "file").write_text("")
    assert checked("dead", "export", checked.root / "file", "--all") == 1


def test_what_was_lost_is_copied_again(jobqueue: JobQueue, clock: SettableClock, tmp_path: Path) -> None:
    job = dead(jobqueue, clock)
    app, folder = app_of(jobqueue, clock), tmp_path / "out"
    first = Export(app, folder)
    assert first.add(job)
    first.close()
    (copy,) = folder.glob(f"{job.id}*")
    copy.unlink()  # its directory was not synced when the power went

    second = Export(app, folder)
    assert second.add(job)
    assert not second.add(job)
    second.close()
    assert copy.read_bytes() == b"payload"


def test_an_input_that_is_no_longer_kept_is_told(jobqueue: JobQueue, clock: SettableClock, tmp_path: Path) -> None:
    job = dead(jobqueue, clock)
    jobqueue.discard(job, "ann", None, clock.now())
    export = Export(app_of(jobqueue, clock), tmp_path / "out")

    with pytest.raises(Refused, match="no longer kept"):
        export.add(jobqueue.job(job.id))

    export.close()
    assert [path.name for path in (tmp_path / "out").iterdir()] == [LINES]


def dead(jobqueue: JobQueue, clock: SettableClock) -> Job:
    return jobqueue.job(jobqueue.fail(submitted(jobqueue, clock.now()), "ann", None, clock.now()).id)
