"""Queues as people steer them: durable in the spool before the row says it, kept through a rebuild, never stuck."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pqfs.errors import Misconfigured, QueueNotFound, Refused
from pqfs.fsck import check
from pqfs.index import Index, Queue
from pqfs.janitor import Janitor
from pqfs.jobqueue import JobQueue
from pqfs.model import State
from pqfs.naming import note_path
from pqfs.owners import Owners
from pqfs.queueing import Queueing, purge
from pqfs.rebuild import Rebuild
from pqfs.recovery import Recovery
from pqfs.settings import Loaded, QueueSettings, Settings
from pqfs.terms import Terms, wishes_of
from pqfs.wiring import open_app
from tests.opened import app_of
from tests.world import SettableClock, invariants, submitted

ANN = "cli:ann"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, queues={"scans": QueueSettings(timeout=60.0)})


@pytest.fixture
def queueing(jobqueue: JobQueue) -> Queueing:
    return Queueing(jobqueue)


@pytest.fixture
def act(queueing: Queueing, clock: SettableClock) -> Callable[..., Any]:
    """`act("pause", "mail", None)`: an act of Ann's, just now."""

    def perform(verb: str, *arguments: Any) -> Any:
        return getattr(queueing, verb)(*arguments, ANN, "because", clock.now())

    return perform


Act = Callable[..., Any]


def row(index: Index, name: str) -> Queue:
    return next(each for each in index.queues() if each.name == name)


def events(jobqueue: JobQueue) -> list[tuple[str, str, str | None]]:
    """Verb, who and what for of what was done to queues."""
    from pqfs.index.audit import Audit, Question

    found = Audit(jobqueue.index.engine).records(Question(queue="mail"), None, 100)
    return [(each.verb, each.actor, each.reason) for each in reversed(found)]


# -------------------------------------------------------------------- acts


def test_what_is_set_stands_over_the_file_and_is_told_durably(jobqueue: JobQueue, act: Act) -> None:
    act("create", "mail", {"timeout": "5m", "max_failures": "7"})

    assert jobqueue.spool.path("inbox/mail").is_dir()
    note = json.loads(jobqueue.spool.path(note_path("mail")).read_text())
    assert note == {"schema": "pqfs.queue/1", "settings": {"timeout": "5m", "max_failures": "7"}}
    terms = jobqueue.terms.queue("mail")
    assert (terms.timeout, terms.max_failures, terms.max_crashes) == (300.0, 7, QueueSettings().max_crashes)
    assert events(jobqueue) == [("create", ANN, "because")]


@pytest.mark.sqlite  # others open it as the settings say
def test_producers_may_drop_into_a_queue_that_was_made_by_command(
    jobqueue: JobQueue, act: Act, settings: Settings
) -> None:
    """As into the inbox itself; and its directory is made again where it is missing."""
    jobqueue.spool.path("inbox").chmod(0o3730)

    act("create", "mail", {})
    assert jobqueue.spool.path("inbox/mail").stat().st_mode & 0o7777 == 0o3730
    jobqueue.spool.path("inbox/mail").rmdir()
    open_app(Loaded(settings, {}, None)).close()

    assert jobqueue.spool.path("inbox/mail").stat().st_mode & 0o7777 == 0o3730


def test_what_is_taken_back_is_as_the_file_says(jobqueue: JobQueue, act: Act) -> None:
    act("create", "mail", {"timeout": "5m", "max_failures": 7})

    act("set", "mail", {"aging": "1h"}, ["timeout"])

    assert wishes_of(row(jobqueue.index, "mail")) == {"max_failures": 7, "aging": "1h"}
    assert [verb for verb, _, _ in events(jobqueue)] == ["create", "set"]


@pytest.mark.parametrize(
    "wishes",
    [
        {"handler": "timestamp"}, {"limits": {"memory": 1}}, {"limits.memory": "1GiB"}, {"nonsense": 1},
        {"max_failures": 0}, {"timeout": "soon"}, {"rate": "fast"}, {"sidecar": "perhaps"}, {"claim_rate": "5/s"},
        {"concurrency": 0}, {"priority": 5000}, {"max_failures": None},
    ],
)  # fmt: skip
def test_what_can_not_be_set_changes_nothing(jobqueue: JobQueue, act: Act, wishes: dict[str, Any]) -> None:
    act("create", "mail", {"timeout": "5m"})
    before = row(jobqueue.index, "mail"), jobqueue.spool.path(note_path("mail")).read_bytes()

    with pytest.raises(Misconfigured):
        act("set", "mail", wishes, [])
    with pytest.raises(Misconfigured):
        act("create", "post", wishes)

    assert (row(jobqueue.index, "mail"), jobqueue.spool.path(note_path("mail")).read_bytes()) == before
    assert {each.name for each in jobqueue.index.queues()} == {"default", "mail"}
    assert not jobqueue.spool.exists("inbox/post")


def test_nobody_may_create_steer_or_delete_what_is_not_there(act: Act) -> None:
    act("create", "mail", {})

    with pytest.raises(Refused, match="already"):
        act("create", "mail", {})
    arguments: dict[str, list[Any]] = {"set": [{}, []], "pause": [None], "resume": [], "close": [], "delete": []}
    for verb, more in arguments.items():
        with pytest.raises(QueueNotFound, match="There is no queue post"):
            act(verb, "post", *more)
    with pytest.raises(Refused, match="neither paused nor closed"):
        act("resume", "mail")
    with pytest.raises(Refused, match="is not set"):
        act("set", "mail", {}, ["timeout"])
    with pytest.raises(Refused):
        act("create", "No Name", {})


def test_a_pause_says_who_since_when_why_and_until_when(jobqueue: JobQueue, act: Act, clock: SettableClock) -> None:
    act("create", "mail", {})

    act("pause", "mail", clock.now() + 60.0)

    found = row(jobqueue.index, "mail")
    assert (found.paused_at, found.paused_by, found.paused_reason) == (clock.now(), ANN, "because")
    assert found.paused_until == clock.now() + 60.0
    act("resume", "mail")
    assert not row(jobqueue.index, "mail").is_paused(clock.now())
    assert [verb for verb, _, _ in events(jobqueue)] == ["create", "pause", "resume"]


def test_a_closed_queue_takes_nothing_in_until_it_is_resumed(jobqueue: JobQueue, act: Act) -> None:
    act("create", "mail", {"timeout": "5m"})

    act("close", "mail")
    assert not jobqueue.terms.queue("mail").accepts
    act("resume", "mail")
    jobqueue.terms.look()

    assert jobqueue.terms.queue("mail").accepts
    assert wishes_of(row(jobqueue.index, "mail")) == {"timeout": "5m"}


def test_of_two_people_at_once_neither_loses_what_the_other_did(
    jobqueue: JobQueue, second_index: Callable[[], Index], act: Act, clock: SettableClock
) -> None:
    act("create", "mail", {})
    other = Queueing(JobQueue(jobqueue.spool, second_index(), jobqueue.settings))

    act("set", "mail", {"timeout": "5m"}, [])
    other.set("mail", {"aging": "1h"}, [], "cli:bob", None, clock.now())
    act("pause", "mail", None)

    found = row(jobqueue.index, "mail")
    assert wishes_of(found) == {"timeout": "5m", "aging": "1h"}
    assert found.paused_by == ANN


# -------------------------------------------------------------------- delete, purge


def test_an_empty_queue_goes_with_its_note_and_its_directory(jobqueue: JobQueue, act: Act) -> None:
    act("create", "mail", {"timeout": "5m"})

    act("delete", "mail")

    assert [each.name for each in jobqueue.index.queues()] == ["default"]
    assert jobqueue.spool.entries("meta") == []
    assert not jobqueue.spool.exists("inbox/mail")
    assert list(check(app_of(jobqueue, SettableClock()))) == []


@pytest.mark.parametrize("verb", [None, "hold", "fail", "cancel"])
def test_a_queue_with_jobs_that_could_run_is_not_deleted(
    jobqueue: JobQueue, act: Act, clock: SettableClock, verb: str | None
) -> None:
    act("create", "mail", {})
    job = submitted(jobqueue, clock.now(), queue="mail")
    if verb:
        getattr(jobqueue, verb)(job, ANN, None, clock.now())

    with pytest.raises(Refused, match="not empty"):
        act("delete", "mail")

    assert "mail" in {each.name for each in jobqueue.index.queues()}


def test_the_default_queue_those_of_the_file_and_those_with_files_stay(jobqueue: JobQueue, act: Act) -> None:
    with jobqueue.index.transaction():
        jobqueue.index.create_queue("scans", 0.0)
    act("create", "mail", {})
    jobqueue.spool.path("inbox/mail/a.txt").write_text("here")

    for name, why in (("default", "default queue"), ("scans", "pqfs.toml"), ("mail", "Files wait in inbox/mail")):
        with pytest.raises(Refused, match=why):
            act("delete", name)


def test_a_queue_that_was_deleted_too_early_comes_back(
    jobqueue: JobQueue, queueing: Queueing, act: Act, clock: SettableClock
) -> None:
    """Race: the ingester knew the queue, took a file of it, and committed after the queue's row was gone."""
    act("create", "mail", {})
    act("delete", "mail")
    job = submitted(jobqueue, clock.now(), queue="mail")

    queueing.look(clock.now())

    assert [each.id for each in jobqueue.claim("one", None, 9, clock.now())] == [job.id]


def test_purge_forgets_what_waits_and_nothing_else(jobqueue: JobQueue, clock: SettableClock) -> None:
    waiting, held, running = (submitted(jobqueue, clock.now(), name=name) for name in (b"a", b"b", b"c"))
    jobqueue.hold(held, ANN, None, clock.now())
    (leased,) = [job for job in jobqueue.claim("one", None, 9, clock.now()) if job.id == running.id]
    jobqueue.give_back([jobqueue.job(waiting.id)], "not now", clock.now())

    done = {job.id: purge(jobqueue, job.id, ANN, None, clock.now()) for job in (waiting, held, leased)}

    assert done == {waiting.id: True, held.id: True, leased.id: False}
    assert [job.id for job in jobqueue.index.jobs(None, None, "~", 9)] == [leased.id]
    invariants(jobqueue.spool, jobqueue.index)


# -------------------------------------------------------------------- by itself


def test_the_janitor_ends_a_pause_whose_time_is_over(
    jobqueue: JobQueue, queueing: Queueing, act: Act, clock: SettableClock
) -> None:
    act("create", "mail", {"timeout": "5m"})
    act("pause", "mail", clock.now() + 60.0)
    queueing.look(clock.now())
    assert row(jobqueue.index, "mail").paused_at is not None

    clock.pass_by(60.0)
    owners = Owners(jobqueue.spool.path("run"))
    Janitor(jobqueue, Recovery(jobqueue, owners, clock, "boot"), owners, clock, "janitor.1.aa", "boot").look()

    assert row(jobqueue.index, "mail").paused_at is None
    assert "paused" not in jobqueue.spool.read_note("mail")
    assert events(jobqueue)[-1] == ("resume", "janitor", "its time is over")


def test_a_rebuild_keeps_what_people_want_of_queues(
    jobqueue: JobQueue, act: Act, clock: SettableClock, settings: Settings
) -> None:
    act("create", "mail", {"timeout": "5m", "concurrency": 2})
    act("create", "post", {})
    act("pause", "mail", clock.now() + 60.0)
    before = [replace(each, created_at=0.0) for each in jobqueue.index.queues()]
    with jobqueue.index.transaction():
        for name in ("mail", "post"):
            jobqueue.index.engine.run("delete_queue", {"name": name})

    Rebuild(jobqueue, Owners(jobqueue.spool.path("run")), clock).run()

    assert [replace(each, created_at=0.0) for each in jobqueue.index.queues()] == before
    assert Terms(jobqueue.index, settings).queue("mail").concurrency == 2


def test_an_older_index_believes_the_notes_and_a_younger_one_itself(
    jobqueue: JobQueue, queueing: Queueing, act: Act, clock: SettableClock
) -> None:
    act("create", "mail", {"timeout": "5m"})
    jobqueue.spool.write_note("mail", {"settings": {"timeout": "9m"}})

    queueing.restore(clock.now())
    assert wishes_of(row(jobqueue.index, "mail")) == {"timeout": "5m"}
    queueing.restore(clock.now(), believe=True)

    assert wishes_of(row(jobqueue.index, "mail")) == {"timeout": "9m"}


def test_a_note_that_makes_no_sense_breaks_nothing(
    jobqueue: JobQueue, queueing: Queueing, clock: SettableClock
) -> None:
    jobqueue.spool.write_note("mail", {"settings": [1], "paused": {"at": "noon"}})
    jobqueue.spool.path(note_path("post")).write_text("{")

    queueing.restore(clock.now())

    assert not any(each.is_paused(clock.now()) for each in jobqueue.index.queues())
    assert jobqueue.terms.queue("mail") == jobqueue.settings.queue("mail")


def test_notes_are_explained_and_orphans_among_them_removed(
    jobqueue: JobQueue, act: Act, clock: SettableClock
) -> None:
    act("create", "mail", {})
    jobqueue.spool.write_note("gone", {"settings": {}})
    os.utime(jobqueue.spool.path(note_path("gone")), (clock.now() - 7200, clock.now() - 7200))

    found = [finding.path for finding in check(app_of(jobqueue, clock))]
    Recovery(jobqueue, Owners(jobqueue.spool.path("run")), clock, "boot").reconcile()

    assert found == [note_path("gone")]
    assert jobqueue.spool.entries("meta") == ["queue.mail.json"]


def test_what_is_left_of_a_queue_is_told_by_state(
    jobqueue: JobQueue, queueing: Queueing, clock: SettableClock
) -> None:
    held = submitted(jobqueue, clock.now())
    jobqueue.hold(held, ANN, None, clock.now())

    assert queueing.left("default") == {State.HELD: 1}
