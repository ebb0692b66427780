"""Whatever is refused, ignored, waiting or lost is explained in words."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pqfs.inbox import Inbox
from pqfs.index import Completion, Settlement
from pqfs.ingester import Ingester
from pqfs.jobqueue import JobQueue
from pqfs.model import Job, Kind, Outcome, Place, State
from pqfs.retry import Budget
from pqfs.settings import IngestSettings, QueueSettings
from pqfs.why import why
from pqfs.wiring import App
from tests.opened import app_of, consumer, die, live, run
from tests.world import SettableClock, new_id, submitted, write_output


@pytest.fixture
def app(jobqueue: JobQueue, clock: SettableClock) -> App:
    return app_of(jobqueue, clock)


def _drop(app: App, name: str = "a.txt", data: bytes = b"x") -> Path:
    path = app.spool.path(f"inbox/{name}")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def _said(app: App, target: object) -> str:
    return " ".join(why(app, str(target)).sentences)


def _with(app: App, clock: SettableClock, **update: Any) -> App:
    return app_of(JobQueue(app.spool, app.index, replace(app.settings, **update)), clock)


def _claimed(app: App, owner: str, name: bytes = b"a.txt") -> Job:
    submitted(app.jobqueue, app.clock.now(), name)
    [job] = app.jobqueue.claim(owner, ["default"], 1, app.clock.now())
    assert app.spool.start(job)
    return job


def test_a_file_that_is_being_written_names_its_writer(app: App) -> None:
    path = _drop(app)
    with path.open("ab"):
        assert f"still being written, by process {os.getpid()} (" in _said(app, path)

    assert "complete and can be taken" in _said(app, path)


def test_an_ignored_name_names_its_pattern(app: App, clock: SettableClock) -> None:
    assert "b.tmp matches *.tmp" in _said(app, _drop(app, "b.tmp"))
    own = _with(app, clock, ingest=IngestSettings(ignore=("*.bak",)))
    assert "c.bak matches *.bak" in _said(own, _drop(app, "c.bak"))


def test_a_file_that_must_settle_says_for_how_long(app: App, clock: SettableClock) -> None:
    own = _with(app, clock, defaults=QueueSettings(settle=7.0))

    assert "must stay unchanged for 7 seconds" in _said(own, _drop(app))


def test_a_second_hard_link_is_told(app: App) -> None:
    path = _drop(app)
    os.link(path, app.spool.root.parent / "other")

    assert "another hard link" in _said(app, path)


def test_a_file_that_waits_for_its_sidecar_names_it(app: App, clock: SettableClock) -> None:
    own = _with(app, clock, defaults=QueueSettings(sidecar="required"))
    path = _drop(app)
    assert "waits for a.txt.job.json" in _said(own, path)

    sidecar = _drop(app, "a.txt.job.json", b"{}")

    assert "waits for" not in _said(own, path)
    assert "sidecar of a file that is still in the inbox" in _said(own, sidecar)


def test_what_can_never_be_a_job_says_so(app: App) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(app.spool.path("inbox/s")))
        assert "will be rejected: it is a socket" in _said(app, app.spool.path("inbox/s"))
    link = app.spool.path("inbox/link")
    link.symlink_to("/etc/passwd")
    assert "will be rejected: it is a symbolic link" in _said(app, link)


def test_a_missing_ingester_and_a_full_disk_are_told(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _drop(app)
    assert "No ingester is alive" in _said(app, path)

    lock = live(app, "ingester")
    assert "No ingester" not in _said(app, path)
    monkeypatch.setattr(type(app.spool), "is_below", lambda self, low: True)
    assert "below low water" in _said(app, path)
    lock.release()


def test_a_scheduled_job_says_when(app: App, clock: SettableClock) -> None:
    job = submitted(app.jobqueue, clock.now(), ready_at=clock.now() + 60)

    assert "scheduled and may run at 2027-01-15T08:01:00" in _said(app, job.id)


def test_a_retrying_job_says_what_went_wrong_and_when_it_is_tried_again(app: App, clock: SettableClock) -> None:
    job = _claimed(app, "consumer.1.aa")
    app.jobqueue.end(job, Outcome(Kind.FAILED, "the printer is on fire"), clock.now())

    said = _said(app, job.id)

    assert "the printer is on fire" in said
    assert "tried again at" in said


def test_a_waiting_job_counts_those_before_it(app: App, clock: SettableClock) -> None:
    lock = live(app, "consumer-00")
    consumer(app, lock.name)
    submitted(app.jobqueue, clock.now())
    submitted(app.jobqueue, clock.now(), priority=5)
    last = submitted(app.jobqueue, clock.now())

    assert "come before it: 2." in _said(app, last.id)
    assert "No consumer" not in _said(app, last.id)
    lock.release()


def test_a_queue_that_nobody_serves_is_told(app: App, clock: SettableClock) -> None:
    job = submitted(app.jobqueue, clock.now())
    assert "No consumer is alive" in _said(app, job.id)

    lock = live(app, "consumer-00")
    consumer(app, lock.name, queues=("mail",))

    assert "No living consumer takes queue default" in _said(app, job.id)
    lock.release()


def test_a_held_job_names_who_and_why(app: App, clock: SettableClock) -> None:
    job = submitted(app.jobqueue, clock.now())
    app.jobqueue.hold(job, "cli:ann", "wait for Bob", clock.now())

    assert "put aside by cli:ann at 2027-01-15T08:00:00.000000Z: wait for Bob" in _said(app, job.id)


def test_a_running_job_names_its_consumer_and_since_when(app: App, clock: SettableClock) -> None:
    lock = live(app, "consumer-00")
    consumer(app, lock.name)
    job = _claimed(app, lock.name)
    assert "has not started it yet" in _said(app, job.id)

    run(app, lock.name, job.id, job.attempt)
    clock.pass_by(4)

    assert f"{lock.name} has been running attempt 1 for 4.0 seconds" in _said(app, job.id)
    lock.release()


def test_a_job_of_a_dead_consumer_says_who_takes_care(app: App) -> None:
    owner = die(app, "consumer-00")
    job = _claimed(app, owner)

    assert f"{owner} is dead: the janitor gives the job to another" in _said(app, job.id)


def test_a_completed_job_is_found_by_id_output_name_and_name(app: App, clock: SettableClock) -> None:
    job = _claimed(app, "consumer.1.aa", b"report.pdf")
    write_output(app.spool, job)
    app.jobqueue.end(job, Outcome(Kind.DONE), clock.now())
    done = app.index.job(job.id)
    assert done is not None
    assert done.output is not None

    for target in (job.id, job.id[:20], done.output, app.spool.path(f"outbox/{done.output}"), "report.pdf",
                   app.spool.path("inbox/report.pdf"), app.spool.path(app.spool.payload_path(done))):  # fmt: skip
        assert f"Its output is {app.spool.path('outbox')}/{done.output}" in _said(app, target)


def test_an_output_that_a_reader_took_is_told(app: App, clock: SettableClock) -> None:
    job = _claimed(app, "consumer.1.aa")
    write_output(app.spool, job)
    app.jobqueue.end(job, Outcome(Kind.DONE), clock.now())
    for output in app.spool.entries("outbox"):
        app.spool.remove(f"outbox/{output}")

    assert "somebody has taken it" in _said(app, job.id)


def test_an_output_that_is_not_published_yet_is_told(app: App, clock: SettableClock) -> None:
    job = _claimed(app, "consumer.1.aa")
    with app.index.transaction():
        app.index.complete([Completion(job, Place.DONE, "a.out", Outcome(Kind.DONE))], clock.now())

    said = _said(app, job.id)

    assert "is completed" in said
    assert f"not published yet; the janitor moves it to {app.spool.path('outbox/a.out')}" in said
    assert "somebody has taken it" not in said


def test_a_bare_name_is_a_jobs_before_it_is_a_file_of_the_spool(app: App, clock: SettableClock) -> None:
    page = app.spool.path("README.md")
    page.write_text("This page is a contract")
    assert "the spool's own README.md" in _said(app, "README.md")

    job = submitted(app.jobqueue, clock.now(), b"README.md")

    assert f"The newest job of this name is {job.id}." in _said(app, "README.md")
    assert "the spool's own README.md" in _said(app, page)

    _drop(app, "README.md")
    assert why(app, "README.md").kind == "inbox"


def test_a_dead_letter_tells_its_error_and_the_way_back(app: App, clock: SettableClock) -> None:
    job = _claimed(app, "consumer.1.aa")
    app.jobqueue.end(job, Outcome(Kind.PERMANENT, "not a PDF", log="line 1 is odd"), clock.now())

    said = _said(app, job.id)

    assert "not a PDF" in said
    assert f"pqfs jobs retry {job.id}" in said


def test_a_cancelled_job_names_who(app: App, clock: SettableClock) -> None:
    job = submitted(app.jobqueue, clock.now())
    app.jobqueue.cancel(job, "cli:ann", "wrong file", clock.now())

    assert "cancelled by cli:ann" in _said(app, job.id)
    assert "wrong file" in _said(app, job.id)


def test_a_refusal_is_found_by_number_path_and_original_name(app: App) -> None:
    app.spool.path("inbox/link").symlink_to("/etc/passwd")
    ingester = Ingester(app.jobqueue, Inbox(app.spool.root, app.settings), "ingester.1.aa", app.clock)
    ingester.sweep()
    [refused] = [name for name in app.spool.entries("rejected") if name.endswith(".link")]

    for target in ("link", refused, refused[:12], app.spool.path(f"rejected/{refused}")):
        answer = why(app, str(target))
        assert answer.kind == "rejected"
        assert "it is a symbolic link" in answer.sentences[0]


def test_what_pqfs_never_saw_is_unknown(app: App, tmp_path: Path) -> None:
    assert why(app, "nosuch").kind == "unknown"
    (tmp_path / "elsewhere").write_bytes(b"")
    assert why(app, str(tmp_path / "elsewhere")).kind == "outside"


def test_a_payload_on_its_way_is_told(app: App, clock: SettableClock) -> None:
    job = _claimed(app, "consumer.1.aa")
    with app.index.transaction():
        app.index.settle(Settlement(job, State.FAILED, Budget(1), clock.now(), "no"), clock.now())

    assert "on its way to dead/" in _said(app, job.id)


def test_a_job_that_was_rescheduled_names_who_and_from_when_to_when(app: App, clock: SettableClock) -> None:
    job = submitted(app.jobqueue, clock.now())
    later = app.jobqueue.reschedule(job, clock.now() + 60, "ann", "the night is cheap", clock.now())
    app.jobqueue.prioritise(later, 7, "bob", None, clock.now())

    said = " ".join(why(app, job.id).sentences)

    assert "in 60 seconds" in said
    assert "by ann" in said and "the night is cheap" in said
    assert "Its priority was changed from 0 to 7 by bob" in said


def test_what_was_planned_before_a_redrive_is_not_told(app: App, clock: SettableClock) -> None:
    job = app.jobqueue.prioritise(submitted(app.jobqueue, clock.now()), 7, "bob", None, clock.now())
    dead = app.jobqueue.job(app.jobqueue.fail(job, "ann", None, clock.now()).id)
    app.jobqueue.redrive(dead, "ann", None, clock.now())

    assert "bob" not in " ".join(why(app, job.id).sentences)


def test_a_deleted_job_tells_who_deleted_it(app: App, clock: SettableClock) -> None:
    job = app.jobqueue.job(app.jobqueue.cancel(submitted(app.jobqueue, clock.now()), "ann", None, clock.now()).id)
    assert app.jobqueue.delete(job, "bob", "it was a test", clock.now())

    answer = why(app, job.id)

    assert answer.is_known and answer.job is None
    assert "was deleted by bob" in " ".join(answer.sentences)
    assert "it was a test" in " ".join(answer.sentences)
    assert not why(app, new_id()).is_known


def test_a_name_is_looked_for_a_few_times_however_many_queues_there_are(
    app: App, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with app.index.transaction():
        for number in range(20):
            app.index.create_queue(f"queue{number}", clock.now())
    old = submitted(app.jobqueue, clock.now(), b"report.pdf", queue="queue7")
    asked: list[bytes] = []
    ask = app.index.job_by_name

    def counted(queue: str | None, name: bytes, since: float) -> Job | None:
        asked.append(name)
        return ask(queue, name, since)

    monkeypatch.setattr(app.index, "job_by_name", counted)

    assert why(app, "queue7/report.pdf").job == old
    assert why(app, "report.pdf").job == old
    assert why(app, "queue8/report.pdf").job == old  # the newest of this name, wherever it was dropped
    assert not why(app, "queue7/nothing.pdf").is_known
    assert len(asked) <= 12


# -------------------------------------------------------------------- what is pqfs' own


def test_the_folder_of_a_queue_is_not_taken_for_one_that_somebody_dropped(app: App, clock: SettableClock) -> None:
    app.index.create_queue("mail", clock.now())
    app.spool.make_directory("inbox/mail")
    app.spool.make_directory("inbox/other")

    assert _said(app, app.spool.path("inbox/mail")) == (
        "It is the folder of queue mail: what is dropped there is for it. "
        "No ingester is alive, so nothing is taken in. Start pqfs (pqfs up), or: pqfs ingest"
    )
    assert "the files in it are taken, and it is removed" in _said(app, app.spool.path("inbox/other"))


def test_what_lies_beside_the_payloads_is_told_for_what_it_is(app: App, clock: SettableClock) -> None:
    job = submitted(app.jobqueue, clock.now())
    app.spool.make_directory("receipts/mail")
    for name, text in {
        "receipts/a.txt.json": f'{{"name": "a.txt", "state": "accepted", "at": "now", "job": "{job.id}"}}',
        "receipts/mail/b.txt.json": '{"name": "b.txt", "state": "rejected", "at": "now"}',
        "receipts/c.txt.json": "[]",
        "run/ingester.pulse": "",
        "meta/queue.mail.json": "{}",
    }.items():
        app.spool.path(name).write_text(text)

    assert f"It is the receipt of a.txt: accepted at now. Job {job.id}" in _said(app, "receipts/a.txt.json")
    assert _said(app, "receipts/mail/b.txt.json") == "It is the receipt of b.txt: rejected at now."
    assert "can not be read as one" in _said(app, "receipts/c.txt.json")
    assert "the spool's own run/ingester.pulse" in _said(app, "run/ingester.pulse")
    assert "the spool's own ready/" in _said(app, f"ready/{job.arriver}")
    assert "what people set of a queue" in _said(app, "meta/queue.mail.json")
