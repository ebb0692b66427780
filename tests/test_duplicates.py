"""Duplicates: of two arrivals that are the same one is a job, and the other is told which; never are both refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pqfs.duplicates import Twin
from pqfs.inbox import Inbox
from pqfs.index import Index, walk
from pqfs.ingester import Ingester
from pqfs.jobqueue import JobQueue
from pqfs.model import Arrival, Job, Kind, Outcome, State
from pqfs.owners import Owners
from pqfs.queueing import Queueing
from pqfs.rebuild import Rebuild
from pqfs.recovery import Recovery
from pqfs.settings import QueueSettings, Settings
from pqfs.why import why
from tests.opened import app_of
from tests.shell import Shell
from tests.world import SettableClock, invariants, new_id, write_output

NAMES = ("off", "warn", "link", "reject")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    queues = {name: QueueSettings(duplicates=name) for name in NAMES}  # type: ignore[arg-type]
    return replace(settings, queues=queues)


class House:
    """A spool with a queue for each policy; files come by submit and through the inbox."""

    def __init__(self, jobqueue: JobQueue, clock: SettableClock) -> None:
        self.jobqueue, self.clock, self.spool, self.index = jobqueue, clock, jobqueue.spool, jobqueue.index
        for name in NAMES:
            Queueing(jobqueue).create(name, {}, "ann", None, clock.now())
        inbox = Inbox(self.spool.root, jobqueue.settings, jobqueue.terms)
        self.ingester = Ingester(jobqueue, inbox, "ingester.1.0123abcd", clock)

    def submit(self, queue: str, data: bytes = b"same", **options: Any) -> tuple[str, list[Twin]]:
        """Submit a file; its job's id and the duplicates that were found."""
        self.spool.make_directory("ready/me")
        self.spool.make_directory("work/me")
        arrival = Arrival(new_id(self.clock.now()), queue, b"a.txt", len(data), options=options or None)
        staged = f"work/me/{arrival.id}.staged"
        self.spool.path(staged).write_bytes(data)
        return arrival.id, self.jobqueue.submit("me", [(arrival, staged)], self.clock.now())

    def drop(self, queue: str, name: str, data: bytes = b"same", sidecar: dict[str, Any] | None = None) -> None:
        if sidecar:
            self.spool.path(f"inbox/{queue}/{name}.job.json").write_text(json.dumps(sidecar))
        self.spool.path(f"inbox/{queue}/{name}").write_bytes(data)

    def jobs(self, queue: str) -> list[Job]:
        return [job for job in walk(self.index) if job.queue == queue]

    def complete(self, job: str) -> Job:
        (leased,) = [each for each in self.jobqueue.claim("one", None, 99, self.clock.now()) if each.id == job]
        assert self.spool.start(leased)
        size, digest = write_output(self.spool, leased)
        self.jobqueue.end(leased, Outcome(Kind.DONE, output_size=size, output_sha256=digest), self.clock.now())
        return self.jobqueue.job(job)

    def refusals(self) -> list[dict[str, Any]]:
        names = [name for name in self.spool.entries("rejected") if name.endswith(".reason.json")]
        return [json.loads(self.spool.path(f"rejected/{name}").read_text()) for name in names]

    def check(self) -> None:
        self.spool.remove_directory("work/me")
        invariants(self.spool, self.index)


@pytest.fixture
def house(jobqueue: JobQueue, clock: SettableClock) -> Iterator[House]:
    found = House(jobqueue, clock)
    yield found
    found.check()


def test_where_nobody_looks_the_payload_is_not_read_and_both_are_jobs(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pqfs.duplicates.hashlib.file_digest", lambda *_: pytest.fail("it was read"))

    for _ in range(2):
        assert house.submit("off", key="K")[1] == []

    assert len(house.jobs("off")) == 2


def test_a_warning_is_told_of_the_job_and_by_why(house: House) -> None:
    first, none = house.submit("warn")
    second, (twin,) = house.submit("warn")

    assert none == [] and (twin.earlier, twin.kind, twin.is_turned_away) == (first, "content", False)
    assert len(house.jobs("warn")) == 2
    sentence = f"it is a duplicate: its content is that of job {first}, which is pending"
    assert [(event.verb, event.reason) for event in house.index.events(second)] == [("duplicate", sentence)]
    said = why(app_of(house.jobqueue, house.clock), second).sentences
    assert f"When it came, {sentence}." in said


@pytest.mark.parametrize("policy", ["link", "reject"])
@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        (b"same", b"same", "content"),
        (b"one", b"other", "key"),
    ],
)
def test_a_second_submission_makes_no_job_and_names_the_first(
    house: House, policy: str, one: bytes, other: bytes, kind: str
) -> None:
    options = {"key": "K"} if kind == "key" else {}
    first, _ = house.submit(policy, one, **options)
    _, (twin,) = house.submit(policy, other, **options)

    assert (twin.earlier, twin.kind, twin.policy, twin.is_turned_away) == (first, kind, policy, True)
    assert [job.id for job in house.jobs(policy)] == [first]
    assert house.spool.entries("meta") == [
        *sorted([f"{first}.json", *(f"queue.{name}.json" for name in NAMES)]),
    ]


@pytest.mark.parametrize("policy", ["link", "reject"])
def test_a_second_file_of_the_inbox_is_refused_with_the_job_and_its_output(house: House, policy: str) -> None:
    house.drop(policy, "a.txt")
    house.ingester.sweep()
    (first,) = house.jobs(policy)
    done = house.complete(first.id)

    house.drop(policy, "b.txt", sidecar={"metadata": {"from": "lab 3"}})
    house.ingester.sweep()

    assert [job.id for job in house.jobs(policy)] == [first.id]
    (refused,) = house.refusals()
    assert refused["name"] == "b.txt" and refused["job"] == first.id
    assert refused["options"]["metadata"] == {"from": "lab 3"}
    assert f"its content is that of job {first.id}, whose output is {done.output}" in refused["reason"]
    assert "b.txt" in " ".join(house.spool.entries("rejected"))
    assert "duplicate" in " ".join(why(app_of(house.jobqueue, house.clock), "b.txt").sentences)


def test_two_of_one_sweep_are_one_job(house: House) -> None:
    for number in range(3):
        house.drop("link", f"{number}.txt")

    house.ingester.sweep()

    assert len(house.jobs("link")) == 1
    assert len(house.refusals()) == 2


def test_a_sidecar_names_the_key(house: House) -> None:
    house.drop("reject", "a.txt", b"one", {"key": "order 7"})
    house.drop("reject", "b.txt", b"two", {"key": "order 7"})

    house.ingester.sweep()

    assert len(house.jobs("reject")) == 1
    assert "its idempotency key is that of job" in house.refusals()[0]["reason"]


def test_queues_know_nothing_of_each_other(house: House) -> None:
    house.submit("link")
    house.submit("reject")

    assert len(house.jobs("link")) == len(house.jobs("reject")) == 1


@pytest.mark.parametrize(
    ("verb", "counts"),
    [(None, True), ("hold", True), ("fail", False), ("cancel", False)],
)
def test_only_a_job_that_may_yet_answer_or_has_is_an_earlier_one(
    house: House, verb: str | None, counts: bool
) -> None:
    first, _ = house.submit("link")
    if verb:
        getattr(house.jobqueue, verb)(house.jobqueue.job(first), "ann", None, house.clock.now())

    second, twins = house.submit("link")
    third, (later,) = house.submit("link")

    assert [twin.earlier for twin in twins] == ([first] if counts else [])
    assert later.earlier == (first if counts else second)
    assert third not in {job.id for job in house.jobs("link")}


def test_a_key_lives_as_long_as_the_row_of_its_job(house: House) -> None:
    first, _ = house.submit("link")
    assert house.jobqueue.delete(house.complete(first), "ann", None, house.clock.now())
    for name in house.spool.entries("outbox/link"):
        house.spool.remove(f"outbox/link/{name}")

    second, twins = house.submit("link")

    assert twins == []
    assert [job.id for job in house.jobs("link")] == [second]


def test_a_replay_is_no_duplicate_of_what_it_repeats(house: House) -> None:
    first, _ = house.submit("reject")

    again, twins = house.submit("reject", origin=first)

    assert twins == []
    assert {job.id for job in house.jobs("reject")} == {first, again}


def test_of_two_that_race_one_is_the_job(house: House, second_index: Callable[[], Index]) -> None:
    """Race: both have read their payloads before either has committed; the second meets the first one's key."""
    other = House.__new__(House)
    other.jobqueue = JobQueue(house.spool, second_index(), house.jobqueue.settings)
    other.clock, other.spool, other.index = house.clock, house.spool, other.jobqueue.index
    sift = house.jobqueue.duplicates.mark
    came: list[tuple[str, list[Twin]]] = []

    def late(arrivals: Any, path: Any) -> list[Arrival]:
        marked = sift(arrivals, path)
        came.append(other.submit("link"))
        return marked

    house.jobqueue.duplicates.mark = late  # type: ignore[method-assign]

    mine, (twin,) = house.submit("link")

    ((theirs, none),) = came
    assert none == [] and twin.earlier == theirs
    assert [job.id for job in house.jobs("link")] == [theirs]
    assert mine not in " ".join(house.spool.entries("ready/me"))


def test_an_arrival_whose_commit_was_not_heard_of_is_no_duplicate_of_itself(house: House) -> None:
    first, _ = house.submit("link")
    arrival = Arrival(first, "link", b"a.txt", 4)

    assert house.jobqueue.ingest("me", [arrival], None, house.clock.now()) == []

    assert [job.id for job in house.jobs("link")] == [first]


def test_a_duplicate_that_a_crash_left_behind_is_adopted_and_refused(house: House) -> None:
    """Its submitter died after the commit that made it none, before it had removed its copy."""
    first, _ = house.submit("link")
    house.spool.path("ready/gone.1.00000000").mkdir()
    left = f"ready/gone.1.00000000/{new_id(house.clock.now())}.link.b.txt"
    house.spool.path(left).write_bytes(b"same")
    owners = Owners(house.spool.path("run"))
    (house.spool.path("run") / "gone.1.00000000.lock").write_text("{}")

    recovery = Recovery(house.jobqueue, owners, house.clock, "boot")
    recovery.reap("gone.1.00000000")

    assert [job.id for job in house.jobs("link")] == [first]
    assert house.refusals()[0]["job"] == first


def test_one_that_can_not_be_put_away_now_is_tried_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.submit("link")
    house.drop("link", "b.txt")
    real = house.jobqueue.turn_away
    monkeypatch.setattr(house.jobqueue, "turn_away", lambda *_: (_ for _ in ()).throw(OSError(5, "I/O error")))
    house.ingester.sweep()
    assert house.refusals() == []
    monkeypatch.setattr(house.jobqueue, "turn_away", real)

    house.ingester.sweep()

    assert len(house.refusals()) == 1


def test_a_rebuild_knows_again_what_was_there(house: House, tmp_path: Path) -> None:
    by_content, _ = house.submit("link", b"one")
    by_key, _ = house.submit("reject", b"two", key="K")
    with house.index.transaction():
        for job in (by_content, by_key):
            house.index.delete(house.jobqueue.job(job))
    Rebuild(house.jobqueue, Owners(house.spool.path("run")), house.clock).run()

    _, (content,) = house.submit("link", b"one")
    _, (key,) = house.submit("reject", b"other", key="K")

    assert (content.earlier, key.earlier) == (by_content, by_key)


def test_a_failed_job_that_is_retried_stands_beside_the_one_that_took_its_place(house: House) -> None:
    first, _ = house.submit("reject")
    house.jobqueue.fail(house.jobqueue.job(first), "ann", None, house.clock.now())
    second, _ = house.submit("reject")

    house.jobqueue.redrive(house.jobqueue.job(first), "ann", None, house.clock.now())

    assert {job.state for job in house.jobs("reject")} == {State.PENDING}
    assert house.submit("reject")[1][0].earlier == second


# -------------------------------------------------------------------- through the command line


def test_submit_answers_a_duplicate_as_its_queue_says(shell: Shell) -> None:
    for name in ("warn", "link", "reject"):
        shell("queue", "create", name, f"duplicates={name}")
    first = {name: shell.submit("a.txt", "-q", name) for name in ("warn", "link", "reject")}

    assert shell.submit("a.txt", "-q", "link") == first["link"]
    assert f"a.txt: it is a duplicate: its content is that of job {first['link']}, which is pending" in shell.err
    assert shell.submit("a.txt", "-q", "warn") != first["warn"]
    assert "It is a job all the same." in shell.err
    assert shell("submit", "a.txt", "-q", "reject") == 1
    assert shell.out == "" and "It was rejected." in shell.err
    (shell.root / "b.txt").write_text("another")
    assert shell("submit", "a.txt", "b.txt", "-q", "reject") == 7
    assert len(shell.out.split()) == 1
    assert [each["name"] for each in shell.items("queue", "list")] == ["default", "link", "reject", "warn"]


def test_a_key_makes_of_two_submissions_one(shell: Shell) -> None:
    shell("queue", "create", "mail", "duplicates=link")
    first = shell.submit("a.txt", "-q", "mail", "--key", "order 7")
    (shell.root / "b.txt").write_text("another text")

    assert shell("submit", "b.txt", "-q", "mail", "--key", "order 7", "--wait", "--timeout", "0s") == 3
    assert shell("consume", "--drain") == 0
    assert shell("submit", "b.txt", "-q", "mail", "--key", "order 7", "--wait") == 0

    assert first in shell.out
    assert f"its idempotency key is that of job {first}, whose output is" in shell.err
    assert shell("submit", "b.txt", "--key", "order 7") == 0
    assert "does not look for duplicates" in shell.err
    assert shell("submit", "a.txt", "b.txt", "--key", "x") == 2
    assert shell("submit", "a.txt", "--key", "") == 2
    assert shell("submit", "a.txt", "--key", "x" * 201) == 2
    assert "1 to 200 characters" in shell.err
