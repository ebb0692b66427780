"""The verbs of people on many jobs: what a filter means, what a verb promises, what changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from pqfs.cli import selection
from pqfs.errors import DiskFull, IllegalTransition, Refused
from pqfs.index import Index, filters
from pqfs.index.filters import Filter, Filters
from pqfs.jobqueue import JobQueue
from pqfs.model import Job, Place, State
from pqfs.verbs import Tally
from tests.opened import app_of
from tests.shell import Shell
from tests.world import SettableClock, invariants, submitted


@pytest.fixture(autouse=True)
def chunks_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a handful of jobs are several chunks."""
    monkeypatch.setattr(filters, "CHUNK", 3)


@pytest.fixture
def checked(shell: Shell) -> Iterator[Shell]:
    """A shell whose spool is whole at the end."""
    yield shell
    app = shell.app()
    app.janitor("none").look()
    invariants(app.spool, app.index)
    app.close()
    assert shell("fsck") == 0, shell.out


def ids(shell: Shell, *names: str) -> list[str]:
    return [shell.submit(name) for name in names]


# -------------------------------------------------------------------- filters


def test_a_filter_meets_every_job_that_fits_once(jobqueue: JobQueue, clock: SettableClock) -> None:
    made = []
    for number in range(10):
        made.append(submitted(jobqueue, clock.now(), f"{number}.{'pdf' if number % 2 else 'txt'}".encode()))
        clock.pass_by(10.0)
    begin, source = made[0].created_at, Filters(jobqueue.index)

    def found(**asked: object) -> list[int]:
        wanted = Filter((State.PENDING,), **asked)  # type: ignore[arg-type]
        return [made.index(job) for job in source.jobs(wanted)]

    assert found() == list(range(10))
    assert found(name="*.pdf") == [1, 3, 5, 7, 9]
    assert found(arrived_since=begin + 50, arrived_until=begin + 80) == [5, 6, 7]
    assert found(changed_until=begin + 15) == [0, 1]
    assert found(queue="other") == []
    assert found(name="[3-5].*", changed_since=begin + 40) == [4, 5]


def test_jobs_that_leave_a_filter_while_it_is_gone_through_are_met_once(
    jobqueue: JobQueue, clock: SettableClock
) -> None:
    made = {submitted(jobqueue, clock.now()).id for _ in range(8)}
    wanted = Filter((State.PENDING, State.HELD))

    met = [jobqueue.hold(job, "ann", None, 0.0).id for job in Filters(jobqueue.index).jobs(wanted) if job.state is
           State.PENDING]  # fmt: skip

    assert sorted(met) == sorted(made)


def test_the_number_of_a_plain_filter_is_known_and_of_others_up_to_a_bound(
    jobqueue: JobQueue, clock: SettableClock
) -> None:
    for _ in range(5):
        submitted(jobqueue, clock.now())
    source = Filters(jobqueue.index)

    assert source.count(Filter((State.PENDING, State.HELD)), 2) == (5, True)
    assert source.count(Filter((State.PENDING,), name="*"), 2) == (2, False)
    assert source.count(Filter((State.PENDING,), name="*"), 9) == (5, True)


def test_a_filter_of_the_command_line_means_what_it_says(checked: Shell) -> None:
    one, two, three = ids(checked, "a.pdf", "b.pdf", "c.txt")

    assert checked("jobs", "hold", "--name", "*.pdf", "-y") == 0
    assert [checked.state(job) for job in (one, two, three)] == ["held", "held", "pending"]
    assert checked("jobs", "release", "--since", "1h", "--queue", "default", "-y") == 0
    assert checked("jobs", "fail", "--until", "1h", "-y") == 0  # nothing is that old
    assert checked("jobs", "fail", "--older-than", "1h", "-y") == 0
    assert {checked.state(job) for job in (one, two, three)} == {"pending"}
    assert checked("jobs", "fail", "--older-than", "0s", "-y") == 0
    assert {checked.state(job) for job in (one, two, three)} == {"failed"}


def test_a_dry_run_of_a_filter_tells_each_job_and_changes_nothing(checked: Shell) -> None:
    made = ids(checked, *"abcd")

    found = checked.json("jobs", "cancel", "--name", "[a-c]", "--dry-run")

    assert (found["schema"], found["verb"], found["dry_run"]) == ("pqfs.acts/1", "cancel", True)
    assert [(each["id"], each["done"], each["why"]) for each in found["items"]] == [
        (job, True, None) for job in made[:3]
    ]
    assert {checked.state(job) for job in made} == {"pending"}
    assert {each["verb"] for each in checked.items("audit", "list")} == {"submit"}


def test_on_a_full_disk_a_person_can_make_room(checked: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index can not even be told what goes: the ballast is given up for that, and for nothing else."""
    one, two = ids(checked, "a.pdf", "b.pdf")
    assert checked("jobs", "fail", one, two, "-y") == 0
    (checked.spool / "run" / "ballast").write_bytes(b"x")
    real = Index.add_event

    def add_event(index: Index, *words: Any, **more: Any) -> Any:
        if (checked.spool / "run" / "ballast").exists():
            raise DiskFull("There is no room left for the index.")
        return real(index, *words, **more)

    monkeypatch.setattr(Index, "add_event", add_event)

    assert checked("jobs", "retry", one) == 1
    assert (checked.spool / "run" / "ballast").exists()
    assert checked("jobs", "delete", "--files-only", one) == 0, checked.err
    assert not (checked.spool / "run" / "ballast").exists()
    assert [path.name[:36] for path in (checked.spool / "dead").iterdir()] == [two]


def test_what_fits_a_filter_and_is_left_alone_is_told(checked: Shell) -> None:
    """Nobody who cancels `--all` is to believe that what runs has been ended."""
    one, two = ids(checked, "a.pdf", "b.pdf")
    assert checked("jobs", "cancel", one) == 0

    assert checked("jobs", "retry", "--name", "*.pdf", "-y") == 0
    assert "0 jobs wait again" in checked.err
    assert "left alone: 1 job cancelled; they are meant with --state cancelled" in checked.err
    assert checked("jobs", "retry", "--state", "cancelled", "-y") == 0
    assert "left alone" not in checked.err
    assert {checked.state(job) for job in (one, two)} == {"pending"}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("jobs", "retry", "--group", "xyz"), 1),
        (("jobs", "hold", "--since", "yesterday"), 2),
        (("jobs", "hold", "--older-than", "old"), 2),
        (("jobs", "priority", "5"), 1),
        (("jobs", "priority", "5000", "--all", "-y"), 2),
        (("jobs", "priority", "much", "--all", "-y"), 2),
        (("jobs", "reschedule", "--all"), 2),
        (("jobs", "reschedule", "--at", "now", "--delay", "5m", "--all"), 2),
        (("jobs", "reschedule", "--at", "tomorrow", "--all"), 2),
        (("jobs", "reschedule", "--delay", "99999d", "--all"), 2),
        (("jobs", "delete", "--files-only", "--rows-only", "--all"), 1),
        (("jobs", "wait", "ffffffff"), 4),
        (("jobs", "wait"), 2),
    ],
)
def test_what_makes_no_sense_is_one_sentence_and_changes_nothing(
    checked: Shell, words: tuple[str, ...], code: int
) -> None:
    job = checked.submit()

    assert checked(*words) == code, checked.err
    assert "Traceback" not in checked.err
    assert checked.err
    assert checked.state(job) == "pending"


# -------------------------------------------------------------------- priority, reschedule


def test_a_priority_is_changed_and_kept_through_a_rebuild(checked: Shell) -> None:
    waits, held, gone = ids(checked, *"abc")
    assert checked("jobs", "hold", held) == 0
    assert checked("jobs", "cancel", gone) == 0

    assert checked("jobs", "priority", "-5", waits, held, gone, "-y") == 7
    assert "is cancelled: priority is not possible" in checked.err
    assert checked("jobs", "priority", "9", held) == 0
    assert checked("index", "rebuild", "--fresh", "-y") == 0

    found = {each["id"]: (each["priority"], each["state"]) for each in checked.items("jobs", "list")}
    assert found == {waits: (-5, "pending"), held: (9, "held"), gone: (0, "cancelled")}


def test_a_change_that_changes_nothing_is_no_event(jobqueue: JobQueue, clock: SettableClock) -> None:
    job = jobqueue.prioritise(submitted(jobqueue, clock.now()), 3, "ann", None, clock.now())

    jobqueue.prioritise(job, 3, "ann", None, clock.now())

    assert [(event.verb, event.before, event.after) for event in jobqueue.index.events(job.id)] == [
        ("priority", "0", "3")
    ]


def test_a_job_is_rescheduled_and_runs_when_its_new_time_has_come(jobqueue: JobQueue, clock: SettableClock) -> None:
    job = submitted(jobqueue, clock.now())

    later = jobqueue.reschedule(job, clock.now() + 60, "ann", None, clock.now())
    assert jobqueue.claim("me", ["default"], 1, clock.now()) == []
    jobqueue.reschedule(later, clock.now(), "ann", None, clock.now())

    assert [each.id for each in jobqueue.claim("me", ["default"], 1, clock.now())] == [job.id]
    assert [event.verb for event in jobqueue.index.events(job.id)] == ["reschedule"] * 2


def test_a_plan_for_a_job_that_has_changed_meanwhile_changes_nothing(
    jobqueue: JobQueue, clock: SettableClock
) -> None:
    job = jobqueue.hold(submitted(jobqueue, clock.now()), "ann", None, clock.now())
    jobqueue.release(job, "bob", None, clock.now())

    with pytest.raises(IllegalTransition):
        jobqueue.prioritise(job, 5, "ann", None, clock.now())

    assert jobqueue.spool.read_meta(job.id).get("held") is None
    assert jobqueue.spool.read_meta(job.id).get("priority") is None
    invariants(jobqueue.spool, jobqueue.index)


@pytest.mark.parametrize("verb", ["hold", "prioritise"])
def test_what_somebody_else_wanted_of_a_job_since_it_was_looked_at_stays(
    jobqueue: JobQueue, clock: SettableClock, verb: str
) -> None:
    seen = submitted(jobqueue, clock.now())
    jobqueue.reschedule(seen, clock.now() + 60, "bob", None, clock.now())
    wanted = (5,) if verb == "prioritise" else ()

    steered = getattr(jobqueue, verb)(seen, *wanted, "ann", None, clock.now())

    assert steered.ready_at == clock.now() + 60 == jobqueue.spool.read_meta(seen.id)["ready_at"]
    assert jobqueue.claim("me", ["default"], 1, clock.now()) == []
    invariants(jobqueue.spool, jobqueue.index)


def test_the_command_reschedules_what_fits(checked: Shell) -> None:
    one, two = ids(checked, "a.pdf", "b.txt")

    assert checked("jobs", "reschedule", "--delay", "2h", "--name", "*.pdf", "-y") == 0
    assert checked.out.split() == [one]
    ready = {each["id"]: each["ready_at"] > each["created_at"] for each in checked.items("jobs", "list")}
    assert ready == {one: True, two: False}
    assert checked("jobs", "reschedule", "--at", "now", one) == 0
    assert checked("consume", "--drain") == 0
    assert {checked.state(one), checked.state(two)} == {"completed"}


# -------------------------------------------------------------------- wait


def test_wait_returns_when_all_have_ended_and_says_how(checked: Shell) -> None:
    good, bad = ids(checked, *"ab")
    assert checked("jobs", "wait", good, bad, "--timeout", "0s") == 3
    assert "2 of 2 jobs have not ended" in checked.err
    assert checked("jobs", "fail", bad) == 0
    assert checked("consume", "--drain") == 0

    assert checked("jobs", "wait", good[:30], "--json") == 0
    assert json.loads(checked.out)["items"][0]["state"] == "completed"
    assert checked("jobs", "wait", good, bad) == 1


def test_wait_follows_a_job_that_runs_meanwhile(checked: Shell) -> None:
    job = checked.submit()
    waiting = subprocess.Popen([sys.executable, "-m", "pqfs", "jobs", "wait", job], cwd=checked.root)

    assert checked("consume", "--drain") == 0

    assert waiting.wait(30) == 0


# -------------------------------------------------------------------- delete, by halves


def dead(jobqueue: JobQueue, clock: SettableClock) -> Job:
    return jobqueue.job(jobqueue.fail(submitted(jobqueue, clock.now()), "ann", None, clock.now()).id)


def test_an_input_alone_is_deleted_and_the_job_can_not_wait_again(checked: Shell) -> None:
    job = checked.submit()
    assert checked("jobs", "fail", job) == 0

    assert checked("jobs", "delete", "--files-only", job) == 0
    assert checked("jobs", "delete", "--files-only", job) == 0  # a second time there is nothing to do

    assert checked.items("jobs", "show", job)[0]["place"] == "gone"
    assert checked("jobs", "retry", job) == 1
    assert checked("why", job) == 0
    assert "no longer kept" in checked.out
    assert list((checked.spool / "dead").iterdir()) == []


def test_a_row_goes_alone_only_when_its_input_is_gone(checked: Shell) -> None:
    kept, gone = ids(checked, *"ab")
    assert checked("jobs", "cancel", kept, gone, "-y") == 0
    assert checked("jobs", "delete", "--files-only", gone) == 0

    assert checked("jobs", "delete", "--rows-only", "--state", "cancelled", "-y") == 7
    assert "is still kept" in checked.err

    assert [each["id"] for each in checked.items("jobs", "list")] == [kept]


def test_what_is_forgotten_must_have_ended_and_be_gone(jobqueue: JobQueue, clock: SettableClock) -> None:
    waiting, ended = submitted(jobqueue, clock.now()), dead(jobqueue, clock)

    for verb in (jobqueue.discard, jobqueue.forget):
        with pytest.raises(IllegalTransition):
            verb(waiting, "ann", None, clock.now())
    with pytest.raises(Refused, match="still kept"):
        jobqueue.forget(ended, "ann", None, clock.now())
    invariants(jobqueue.spool, jobqueue.index)


def test_a_dead_letter_without_its_input_stays_dead(jobqueue: JobQueue, clock: SettableClock) -> None:
    job = dead(jobqueue, clock)
    assert jobqueue.discard(job, "ann", None, clock.now())

    app_of(jobqueue, clock).janitor("janitor").look()

    found = jobqueue.index.job(job.id)
    assert found is not None
    assert (found.state, found.place, found.confirmed) == (State.FAILED, Place.GONE, True)
    invariants(jobqueue.spool, jobqueue.index)


# -------------------------------------------------------------------- interruption


@pytest.mark.parametrize("after", [0, 1, 4, 7])
def test_an_act_that_is_interrupted_goes_on_where_it_was(
    checked: Shell, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    made = ids(checked, *"abcdefg")
    hold, left = JobQueue.hold, iter([True] * after + [False])

    def interrupted(*how: Any) -> Job:
        if not next(left, True):
            raise KeyboardInterrupt
        return hold(*how)

    with monkeypatch.context() as patched:
        patched.setattr(JobQueue, "hold", interrupted)
        assert checked("jobs", "hold", "--all", "-y") == (130 if after < len(made) else 0)

    assert [checked.state(job) for job in made] == ["held"] * after + ["pending"] * (len(made) - after)
    assert checked("fsck") == 0
    assert checked("jobs", "hold", "--all", "-y") == 0
    assert {checked.state(job) for job in made} == {"held"}


def test_many_jobs_are_not_held_in_memory(jobqueue: JobQueue, clock: SettableClock) -> None:
    """What is asked for is read chunk by chunk, as it is done."""
    for _ in range(8):
        submitted(jobqueue, clock.now())
    app, told = app_of(jobqueue, clock), list[str]()
    wanted = selection.filtered(app, Filter((State.PENDING,), name="*"))
    reads = iter(wanted.ids())

    next(reads)
    for job in Filters(jobqueue.index).jobs(Filter((State.PENDING,))):
        jobqueue.hold(job, "ann", None, clock.now())
    told += reads

    assert len(told) == 2  # the rest of the first chunk: all later ones had left by then
    assert Tally(lambda job, error: None).first == []
