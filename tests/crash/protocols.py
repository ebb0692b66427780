"""Every protocol of spool/README.md, arranged: the act that is to be stopped, what it promises, what always holds."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest

from pqfs.clock import Clock
from pqfs.courier import Courier
from pqfs.dequeuer import Dequeuer
from pqfs.duplicates import ONCE, SCHEDULE
from pqfs.firing import Acts, Firing, Mark
from pqfs.index.schedulerows import ScheduleRows
from pqfs.jobqueue import JobQueue
from pqfs.model import Arrival, Job, Kind, Place, State
from pqfs.queueing import Queueing
from pqfs.schedules import Plan as Wanted
from pqfs.schedules import Schedules
from pqfs.settings import KeepSettings, QueueSettings, Settings
from pqfs.terms import wishes_of
from tests.crash.harness import Crash, World, output_of
from tests.world import new_id, submitted

EAGER = Settings(defaults=QueueSettings(backoff=1.0))
KEEP_NOTHING = replace(EAGER, keep=KeepSettings(done=0.0))
TOLD = replace(EAGER, defaults=QueueSettings(backoff=1.0, receipts=True), keep=KeepSettings(receipts="forever"))
SCANS = replace(EAGER, queues={"scans": QueueSettings(backoff=1.0, sets="manifest")})
SHORT = replace(EAGER, keep=KeepSettings(done=10.0, cancelled=10.0, dead=10.0, rows="forever"))


@dataclass(frozen=True)
class Plan:
    """An arranged protocol: the act that is stopped, what holds once it has returned, and what holds at the end."""

    act: Callable[[], object]
    promise: Callable[[World], None] = lambda world: None
    always: Callable[[World], None] = lambda world: None
    mend: Callable[[World], None] | None = None
    survives_power: bool = True  # whether `always` holds after a loss of power, across which nobody is charged


@dataclass(frozen=True)
class Protocol:
    """A way to arrange a world, and the least number of effects that its act has."""

    arrange: Callable[[World], Plan]
    effects: int
    settings: Settings

    @property
    def name(self) -> str:
        return self.arrange.__name__


PROTOCOLS: list[Protocol] = []


def protocol(
    effects: int, settings: Settings = EAGER
) -> Callable[[Callable[[World], Plan]], Callable[[World], Plan]]:
    def add(arrange: Callable[[World], Plan]) -> Callable[[World], Plan]:
        PROTOCOLS.append(Protocol(arrange, effects, settings))
        return arrange

    return add


# -------------------------------------------------------------------- receipts


def receipt(world: World, name: str) -> dict[str, Any]:
    """What a producer reads, once a courier has told all that is to be told."""
    world.clock.pass_by(61.0)
    courier = Courier(world.jobqueue, world.clock, world.root)
    while courier.turn() < 1.0:
        pass
    found: dict[str, Any] = json.loads(world.spool.path(f"receipts/{name}.json").read_bytes())
    return found


@protocol(effects=6, settings=TOLD)
def write_a_receipt(world: World) -> Plan:
    job = submitted(world.jobqueue, world.clock.now(), data=b"payload of a.txt")
    world.sent[b"a.txt"] = b"payload of a.txt"

    def told(world: World) -> None:
        found = receipt(world, "a.txt")
        assert (found["job"], found["state"]) in ((job.id, "accepted"), (job.id, "completed"))

    courier = Courier(world.jobqueue, world.clock, world.root)
    return Plan(courier.turn, told, told)


@protocol(effects=4, settings=TOLD)
def reject_where_receipts_are_kept(world: World) -> Plan:
    world.drop_link("link", "/etc/passwd")

    def told(world: World) -> None:
        found = receipt(world, "link")
        assert found["state"] == "rejected"
        assert os.path.lexists(world.spool.path(found["path"])) or world.boots > 1

    return Plan(world.ingester().sweep, always=told)


# -------------------------------------------------------------------- arrival


def all_taken(number: int) -> Callable[[World], None]:
    def check(world: World) -> None:
        assert not [path for path in (world.root / "inbox").rglob("*") if path.is_file()]
        assert len(world.jobs()) == number

    return check


@protocol(effects=4)
def ingest_one_file(world: World) -> Plan:
    world.drop(b"a.txt")
    return Plan(world.ingester().sweep, all_taken(1), all_taken(1))


@protocol(effects=6)
def ingest_a_batch_of_two_queues(world: World) -> Plan:
    with world.index.transaction():
        world.index.create_queue("slow", world.clock.now())
    for name in (b"a.txt", b"b.txt", b"-c \n\xff.txt"):
        world.drop(name)
    world.drop(b"d.txt", queue="slow")
    return Plan(world.ingester().sweep, all_taken(4), all_taken(4))


@protocol(effects=9)
def ingest_with_a_sidecar(world: World) -> Plan:
    world.drop(b"a.txt")
    world.drop(b"a.txt.job.json", b'{"priority": 7, "metadata": {"who": "me"}}')

    def counted(world: World) -> None:
        all_taken(1)(world)
        job = world.job(b"a.txt")
        assert (job.priority, (job.options or {})["metadata"]) == (7, {"who": "me"})
        assert not world.spool.entries("rejected")

    return Plan(world.ingester().sweep, counted, counted)


@protocol(effects=9)
def ingest_what_has_the_checksum_that_it_should(world: World) -> Plan:
    world.drop(b"a.txt.job.json", b'{"sha256": "%s"}' % hashlib.sha256(b"payload").hexdigest().encode())
    world.drop(b"a.txt", b"payload")
    return Plan(world.ingester().sweep, all_taken(1), all_taken(1))


@protocol(effects=7)
def refuse_what_has_another_checksum(world: World) -> Plan:
    world.drop(b"a.txt.job.json", b'{"sha256": "%s"}' % hashlib.sha256(b"whole").hexdigest().encode())
    world.drop(b"a.txt", b"half")

    def refused(world: World) -> None:
        assert not world.jobs()
        assert [name for name in world.spool.entries("rejected") if name.endswith(".a.txt")]

    return Plan(world.ingester().sweep, refused, refused)


# -------------------------------------------------------------------- sets of files

PAGES = {b"1.png": b"first page", b"2.png": b"second page"}


def deliver_a_set(world: World, wrong: bool = False) -> None:
    """Two files and a manifest; `wrong`: the second is not what that says."""
    with world.index.transaction():
        world.index.create_queue("scans", world.clock.now())
    for name, data in PAGES.items():
        world.drop(name, data, queue="scans")
        del world.sent[name]  # it is to be a part of something, and nothing of its own
    digest = hashlib.sha256(b"another" if wrong else PAGES[b"2.png"]).hexdigest()
    members = [{"name": "1.png"}, {"name": "2.png", "sha256": digest}]
    world.drop(b"scan.manifest.json", json.dumps({"members": members}).encode(), queue="scans")
    del world.sent[b"scan.manifest.json"]


def pages(world: World, job: Job) -> dict[bytes, bytes]:
    """What is in the payload of a set."""
    with tarfile.open(world.spool.path(world.spool.find(job.id)[0])) as tar:
        return {os.fsencode(each.name): tar.extractfile(each).read() for each in tar}  # type: ignore[union-attr]


def one_set(world: World) -> None:
    (job,) = world.jobs().values()
    assert job.name == b"scan.tar"
    assert pages(world, job) == PAGES
    assert not [path for path in (world.root / "inbox").rglob("*") if path.is_file()]
    assert not world.spool.entries("rejected")


@protocol(effects=16, settings=SCANS)
def take_a_set(world: World) -> Plan:
    deliver_a_set(world)
    return Plan(world.ingester().sweep, one_set, one_set)


@protocol(effects=7, settings=SCANS)
def take_a_set_out_of_the_inbox_after_its_index_was_lost(world: World) -> Plan:
    """The ingester died between its commit and the removal; the index is made anew of the tree."""
    deliver_a_set(world)
    stop_at_the_commit(world, world.ingester().sweep)
    world.die()
    world.lose_index()
    world.recovery().rebuild()
    return Plan(world.ingester().sweep, one_set, one_set)


@protocol(effects=9, settings=SCANS)
def refuse_a_set(world: World) -> Plan:
    deliver_a_set(world, wrong=True)

    def refused(world: World) -> None:
        assert not world.jobs()
        objects = {name.partition(".")[2]: name for name in world.spool.entries("rejected")}
        objects.pop("reason.json", None)
        assert set(objects) == {"1.png", "2.png", "scan.manifest.json"}

    def in_time(world: World) -> None:
        """What a crash has left of it is no set any more, and is refused for that."""
        ingester = world.ingester()
        ingester.sweep()
        world.clock.pass_by(601.0)
        ingester.sweep()
        refused(world)

    def promised(world: World) -> None:
        if world.boots == 1:
            refused(world)  # a move to rejected/ waits for no flush: power may bring a file back

    return Plan(world.ingester().sweep, promised, in_time)


@protocol(effects=8)
def ingest_a_name_that_must_be_cut(world: World) -> Plan:
    world.drop(b"n" * 251 + b".txt")
    return Plan(world.ingester().sweep, all_taken(1), all_taken(1))


@protocol(effects=2)
def reject_a_link(world: World) -> Plan:
    world.drop_link("link", "/etc/passwd")

    def refused(world: World) -> None:
        assert not os.path.lexists(world.root / "inbox" / "link")
        objects = [name for name in world.spool.entries("rejected") if name.endswith(".link")]
        assert len(objects) == 1 or world.boots > 1  # a second time where power left both names

    return Plan(world.ingester().sweep, refused, refused)


@protocol(effects=5)
def submit_one_file(world: World) -> Plan:
    return submission(world, priority=0)


@protocol(effects=9)
def submit_with_a_priority(world: World) -> Plan:
    return submission(world, priority=5)


def submission(world: World, priority: int) -> Plan:
    submitter = world.owner("submit")
    data = b"staged"

    def act() -> None:
        submitted(world.jobqueue, world.clock.now(), b"s.txt", data, submitter, priority=priority)
        world.sent[b"s.txt"] = data

    def promised(world: World) -> None:
        assert world.job(b"s.txt").priority == priority

    def whole(world: World) -> None:
        """Told or not: what is a job has all bytes of it."""
        for job in world.jobs().values():
            assert world.spool.path(world.spool.find(job.id)[0]).read_bytes() == data

    return Plan(act, promised, whole)


@protocol(effects=12)
def submit_one_more_of_a_key(world: World) -> Plan:
    submitter = world.owner("submit")
    twin = {"key": "k", ONCE: True}
    first = submitted(world.jobqueue, world.clock.now(), b"s.txt", b"staged", submitter, options=twin)

    def act() -> None:
        submitted_again(world, submitter, twin)

    def one(world: World) -> None:
        assert list(world.jobs()) == [first.id]

    return Plan(act, one, one)


def submitted_again(world: World, submitter: str, options: dict[str, Any]) -> None:
    """What is one more of an earlier job, and becomes none."""
    now, spool = world.clock.now(), world.spool
    arrival = Arrival(new_id(now), "default", b"s.txt", 6, options=options)
    path = spool.scratch_path(submitter, arrival.id, 1, "part")
    spool.path(path).write_bytes(b"staged")
    (found,) = world.jobqueue.submit(submitter, [(arrival, path)], now)
    assert found.is_turned_away


# -------------------------------------------------------------------- attempts


def ready(world: World, count: int, **more: Any) -> list[Job]:
    """Jobs that wait, made by a submitter that has left."""
    submitter = world.owner("submit")
    jobs = []
    for number in range(count):
        name = f"{number}.txt".encode()
        world.sent[name] = b"payload of " + name
        jobs.append(submitted(world.jobqueue, world.clock.now(), name, world.sent[name], submitter, **more))
    world.spool.remove_directory(f"work/{submitter}")
    world.leave(submitter)
    return jobs


def ran_once_more_at_most(world: World) -> None:
    """Everything is completed, and nothing but the attempt in the slot was charged."""
    for job in world.jobs().values():
        assert job.state is State.COMPLETED, job
        assert job.failures == 0
        assert job.crashes <= 1


@protocol(effects=3)
def claim_and_start(world: World) -> Plan:
    ready(world, 2)
    consumer = world.consumer()

    def act() -> None:
        for job in consumer.claim():
            consumer.start(job)

    return Plan(act, always=ran_once_more_at_most)


@protocol(effects=15)
def run_two_jobs_from_claim_to_confirmation(world: World) -> Plan:
    ready(world, 2)
    return Plan(world.consumer().work, completed_at(1), ran_once_more_at_most)


def dequeuing(world: World) -> Dequeuer:
    dequeuer = Dequeuer(world.jobqueue, world.clock, threading.RLock(), "dequeue", outlived=True)
    world.keep(dequeuer._owner_lock)
    return dequeuer


@protocol(effects=9)
def lease_to_somebody_and_publish_what_he_brings(world: World) -> Plan:
    ready(world, 1)
    dequeuer = dequeuing(world)

    def act() -> None:
        held = dequeuer.lease("default", 30.0)
        assert held
        staged = dequeuer.scratch(new_id())
        world.fuse.effect("the output is written")
        world.spool.path(staged).write_bytes(output_of(held.job, world.spool))
        dequeuer.complete(held, staged)

    return Plan(act, completed_at(1), ran_once_more_at_most)


@protocol(effects=4)
def give_back_a_lease_that_has_run_out(world: World) -> Plan:
    ready(world, 2)
    dequeuer = dequeuing(world)
    assert all([dequeuer.lease("default", seconds) for seconds in (5.0, 60.0)])
    world.clock.pass_by(6.0)

    def given(world: World) -> None:
        assert sorted(job.losses for job in world.jobs().values()) in ([0, 1], [1, 1])

    return Plan(dequeuer.tend, given)


def completed_at(attempt: int) -> Callable[[World], None]:
    def check(world: World) -> None:
        for job in world.jobs().values():
            assert (job.state, job.attempt) == (State.COMPLETED, attempt)

    return check


def finishing(world: World, count: int) -> Plan:
    """Every job is run and only to be finished; one more is leased and waits."""
    ready(world, count)
    consumer = world.consumer()
    ended = [(job, consumer.run(job)) for job in consumer.claim() if consumer.start(job)]

    def finished(world: World) -> None:
        completed_at(1)(world)
        assert len(world.spool.entries("outbox")) == count

    return Plan(partial(consumer.finish, ended), finished, never_charged)


def never_charged(world: World) -> None:
    for job in world.jobs().values():
        assert (job.state, job.failures, job.crashes) == (State.COMPLETED, 0, 0)


@protocol(effects=6)
def finish_one(world: World) -> Plan:
    return finishing(world, 1)


@protocol(effects=6, settings=TOLD)
def finish_where_receipts_are_kept(world: World) -> Plan:
    plan = finishing(world, 1)

    def told(world: World) -> None:
        plan.always(world)
        (job,) = world.jobs().values()
        found = receipt(world, job.name.decode())
        assert (found["state"], found["output"]) == ("completed", job.output)

    return replace(plan, always=told)


@protocol(effects=12)
def finish_four(world: World) -> Plan:
    return finishing(world, 4)


@protocol(effects=6, settings=KEEP_NOTHING)
def finish_two_and_keep_nothing(world: World) -> Plan:
    return finishing(world, 2)


@protocol(effects=6)
def finish_confirm_the_last_and_start_the_next(world: World) -> Plan:
    ready(world, 3)
    consumer = world.consumer()
    first, second = consumer.claim(2)
    ended = [[(job, consumer.run(job))] for job in (first, second) if consumer.start(job)]
    moved = world.jobqueue.finish(ended[0], world.clock.now())

    def act() -> None:
        consumer.go_on(ended[1], moved, 1)

    return Plan(act, always=ran_once_more_at_most)


def ended_by(world: World, kind: Kind, times: int, after: State) -> Plan:
    """A job whose handler has said no `times` times and is about to be settled."""
    ready(world, 1)
    consumer = world.consumer()
    for _ in range(times - 1):
        (job,) = consumer.claim()
        assert consumer.start(job)
        consumer.finish([(job, consumer.refuse(job, kind))])
        world.clock.pass_by(1000.0)
    (job,) = consumer.claim()
    assert consumer.start(job)
    outcome = consumer.refuse(job, kind)

    def settled(world: World) -> None:
        found = world.job(b"0.txt")
        if after is State.PENDING:
            assert (found.failures, found.attempt) >= (1, 1)
        else:
            assert found.state is after

    return Plan(partial(consumer.finish, [(job, outcome)]), settled)


@protocol(effects=3)
def fail_and_retry(world: World) -> Plan:
    return ended_by(world, Kind.FAILED, 1, State.PENDING)


@protocol(effects=3)
def fail_for_the_last_time(world: World) -> Plan:
    return ended_by(world, Kind.FAILED, 3, State.FAILED)


@protocol(effects=3)
def fail_for_good(world: World) -> Plan:
    return ended_by(world, Kind.PERMANENT, 1, State.FAILED)


@protocol(effects=3)
def crash_for_the_last_time(world: World) -> Plan:
    return ended_by(world, Kind.CRASHED, 3, State.UNPROCESSABLE)


@protocol(effects=9)
def finish_a_batch_of_all_kinds(world: World) -> Plan:
    ready(world, 4)
    consumer = world.consumer()
    done, retried, dead, leased = consumer.claim()
    ended = []
    for job, kind in ((done, None), (retried, Kind.FAILED), (dead, Kind.PERMANENT)):
        assert consumer.start(job)
        ended.append((job, consumer.refuse(job, kind) if kind else consumer.run(job)))

    def finished(world: World) -> None:
        states = {job.id: job.state for job in world.jobs().values()}
        assert states[done.id] is State.COMPLETED
        assert states[dead.id] is State.FAILED
        assert states[leased.id] in (State.PENDING, State.PROCESSING, State.COMPLETED)

    return Plan(partial(consumer.finish, ended), finished)


@protocol(effects=8)
def give_two_back(world: World) -> Plan:
    ready(world, 3)
    consumer = world.consumer()
    first, *rest = consumer.claim()
    assert consumer.start(first)

    def act() -> None:
        world.jobqueue.give_back(rest, "it drains", world.clock.now())

    def given(world: World) -> None:
        assert {world.jobs()[job.id].state for job in rest} <= {State.PENDING, State.COMPLETED}

    def free_of_charge(world: World) -> None:
        for job in rest:
            found = world.jobs()[job.id]
            assert (found.failures, found.crashes) == (0, 0)

    return Plan(act, given, free_of_charge)


@protocol(effects=9)
def take_over_from_the_dead(world: World) -> Plan:
    """One job was running, one had ended and was not recorded, one was leased, one was committed."""
    ready(world, 4)
    consumer = world.consumer()
    committed, ended, running, leased = consumer.claim()
    outcomes = {}
    for job in (committed, ended):
        assert consumer.start(job)
        outcomes[job.id] = consumer.run(job)
    assert consumer.start(running)
    stop_at_the_commit(world, partial(consumer.finish, [(committed, outcomes[committed.id])]))
    world.die()

    def charged(world: World) -> None:
        found = world.jobs()
        assert [found[job.id].crashes for job in (committed, ended, running, leased)] == [0, 0, 1, 0]
        assert [found[job.id].attempt for job in (committed, ended, running, leased)] == [1, 2, 2, 2]

    return Plan(world.recover, always=charged, survives_power=False)


@protocol(effects=4)
def bring_back_a_payload_whose_claim_power_took(world: World) -> Plan:
    """It lies under an attempt that its row does not know, and a person has held its job before anybody looked."""
    (job,) = ready(world, 1)
    claimed = world.spool.payload_path(replace(job, attempt=job.attempt + 1), Place.CLAIMED)
    assert world.spool.move(world.spool.payload_path(job), claimed)
    stop_at_the_commit(world, partial(world.jobqueue.hold, job, "ann", None, world.clock.now()))
    world.die()

    def held(world: World) -> None:
        found = world.job(b"0.txt")
        assert (found.state, found.error) == (State.HELD, None)

    return Plan(world.recover, held, held)


def stop_at_the_commit(world: World, act: Callable[[], object]) -> None:
    """Run an act and crash right after its first commit."""
    world.fuse.arm(None)
    committed, connection = False, world.index.engine._connection  # type: ignore[attr-defined]

    def watch(effect: str) -> None:
        nonlocal committed
        if committed and not connection.in_transaction:  # in simulation a transaction is one effect, at its beginning
            world.fuse.at = 0
            raise Crash(effect)
        committed = committed or effect == "C"

    world.fuse.before = watch
    with pytest.raises(Crash):
        act()
    world.fuse.arm(None)


# -------------------------------------------------------------------- people's verbs


def steered(world: World, verb: str, before: str | None, after: State, **more: Any) -> Plan:
    """A person's verb on a job that another verb (`before`) has brought into its state."""
    (job,) = ready(world, 1, **more)
    queue, now = world.jobqueue, world.clock.now()
    for earlier in (before or "").split():
        job = getattr(queue, earlier)(job, "ann", "to begin with", now)

    def acted(world: World) -> None:
        found = world.job(b"0.txt")
        assert found.state in ((State.PENDING, State.COMPLETED) if after is State.PENDING else (after,))
        if after is State.PENDING:
            assert (found.failures, found.crashes) == (0, 0)

    return Plan(lambda: getattr(queue, verb)(job, "ann", "because", now), acted)


@protocol(effects=6)
def hold(world: World) -> Plan:
    return steered(world, "hold", None, State.HELD)


@protocol(effects=6)
def release(world: World) -> Plan:
    return steered(world, "release", "hold", State.PENDING)


def assigned(world: World, programs: Sequence[str | None]) -> Plan:
    """A job that is assigned to one consumer after the other (None: to all); the last of these acts is stopped."""
    (job,) = ready(world, 1)
    queue, now = world.jobqueue, world.clock.now()
    for program in programs[:-1]:
        job = queue.assign(job, program, "ann", "to begin with", now)

    def kept(world: World) -> None:
        assert world.job(b"0.txt").assigned_to == programs[-1]

    return Plan(lambda: queue.assign(job, programs[-1], "ann", "because", now), kept)


@protocol(effects=4)
def assign(world: World) -> Plan:
    return assigned(world, ["consumer"])


@protocol(effects=4)
def take_an_assignment_back(world: World) -> Plan:
    return assigned(world, ["consumer", None])


@protocol(effects=3)
def cancel_a_waiting_job(world: World) -> Plan:
    return steered(world, "cancel", None, State.CANCELLED)


@protocol(effects=3)
def cancel_a_held_job(world: World) -> Plan:
    return steered(world, "cancel", "hold", State.CANCELLED)


@protocol(effects=3)
def fail_by_a_person(world: World) -> Plan:
    return steered(world, "fail", None, State.FAILED)


@protocol(effects=3)
def redrive_a_dead_letter(world: World) -> Plan:
    return steered(world, "redrive", "fail", State.PENDING)


@protocol(effects=3)
def redrive_a_cancelled_job(world: World) -> Plan:
    return steered(world, "redrive", "cancel", State.PENDING)


@protocol(effects=7)
def redrive_a_job_that_was_held(world: World) -> Plan:
    return steered(world, "redrive", "hold cancel", State.PENDING)


@protocol(effects=1)
def cancel_a_running_job(world: World) -> Plan:
    ready(world, 1)
    consumer = world.consumer()
    (job,) = consumer.claim()
    assert consumer.start(job)

    def cancelled(world: World) -> None:
        assert world.job(b"0.txt").state in (State.PROCESSING, State.CANCELLED)

    return Plan(lambda: world.jobqueue.cancel(job, "ann", None, world.clock.now()), cancelled)


@protocol(effects=3)
def cancel_a_job_that_then_fails(world: World) -> Plan:
    """The request is acknowledged; the attempt fails before its consumer has heard of it."""
    ready(world, 1)
    consumer = world.consumer()
    (job,) = consumer.claim()
    assert consumer.start(job)
    world.jobqueue.cancel(job, "ann", None, world.clock.now())
    outcome = consumer.refuse(job, Kind.FAILED)

    def cancelled(world: World) -> None:
        assert world.job(b"0.txt").state in (State.PROCESSING, State.CANCELLED)

    return Plan(partial(consumer.finish, [(job, outcome)]), cancelled, cancelled)


# -------------------------------------------------------------------- duplicates


@protocol(effects=12, settings=replace(EAGER, defaults=QueueSettings(backoff=1.0, duplicates="link")))
def ingest_duplicates(world: World) -> Plan:
    """Two of the same come in one sweep, and one that is like nothing else."""
    for name in (b"a.txt", b"b.txt"):
        world.drop(name, b"the same")
    world.drop(b"c.txt")

    def one_of_each(world: World) -> None:
        """Never both refused, and never both jobs."""
        names = {job.name for job in world.jobs().values()}
        assert len(names) == 2 and b"c.txt" in names
        refused = [name for name in world.spool.entries("rejected") if not name.endswith(".json")]
        assert len(refused) == 1

    return Plan(world.ingester().sweep, one_of_each, one_of_each)


# -------------------------------------------------------------------- queues


def _of_mail(world: World) -> tuple[bool, dict[str, Any]]:
    """Whether there is a queue `mail`, and what people want of it: as its row says."""
    rows = [row for row in world.index.queues() if row.name == "mail"]
    return bool(rows), {"timeout": wishes_of(rows[0]).get("timeout"), "by": rows[0].paused_by} if rows else {}


def queue_act(world: World, verb: str, *arguments: Any, after: tuple[bool, dict[str, Any]]) -> Plan:
    """An act on queue `mail`, which was made before but for `create`."""
    now = world.clock.now()
    if verb != "create":
        Queueing(world.jobqueue).create("mail", {"timeout": "5m"}, "ann", None, now)
    before = _of_mail(world)

    def acted(world: World) -> None:
        assert _of_mail(world) == after

    def told_first(world: World) -> None:
        """What the row says the note has said before; but for a queue that goes."""
        assert _of_mail(world) in (before, after)
        if _of_mail(world) == after and after[0]:
            note = world.spool.read_note("mail")
            assert note["settings"].get("timeout") == after[1]["timeout"]
            assert note.get("paused", {}).get("by") == after[1]["by"]

    return Plan(
        lambda: getattr(Queueing(world.jobqueue), verb)("mail", *arguments, "ann", "because", now), acted, told_first
    )


@protocol(effects=6)
def create_a_queue(world: World) -> Plan:
    return queue_act(world, "create", {"timeout": "9m"}, after=(True, {"timeout": "9m", "by": None}))


@protocol(effects=5)
def set_what_is_wanted_of_a_queue(world: World) -> Plan:
    return queue_act(world, "set", {"timeout": "9m"}, [], after=(True, {"timeout": "9m", "by": None}))


@protocol(effects=5)
def pause_a_queue(world: World) -> Plan:
    return queue_act(world, "pause", None, after=(True, {"timeout": "5m", "by": "ann"}))


@protocol(effects=3)
def delete_a_queue(world: World) -> Plan:
    return queue_act(world, "delete", after=(False, {}))


# -------------------------------------------------------------------- schedules


def submitting(world: World) -> Firing:
    """Whoever sees to schedules, submitting under an owner name that dies with the world."""

    def submit(jobqueue: JobQueue, _: Clock, plan: Wanted, mark: Mark, ready_at: float, acts: Acts) -> list[Arrival]:
        now, owner = world.clock.now(), world.owner("schedule")
        arrival = Arrival(new_id(now), plan.queue, b"tick.txt", 3, 0, ready_at, options={SCHEDULE: dict(mark)})
        staged = world.spool.scratch_path(owner, arrival.id, 1, "part")
        for directory in ("work", "ready"):
            world.spool.make_directory(f"{directory}/{owner}")
        world.spool.path(staged).write_bytes(b"now")
        twins = jobqueue.submit(owner, [(arrival, staged)], now, acts(arrival))
        return [] if twins else [arrival]

    return Firing(world.jobqueue, world.clock, submit)


def scheduled(world: World, passed: float, missed: str = "once") -> None:
    """A schedule that is due every minute, and so much time."""
    plan = Wanted("* * * * *", text="now", missed=missed)
    Schedules(world.jobqueue).add("tick", plan, "ann", None, world.clock.now())
    world.clock.pass_by(passed)


def dues_of(world: World) -> list[float]:
    return sorted((job.options or {})[SCHEDULE]["due"] for job in world.jobs().values())


@protocol(effects=13)
def see_to_a_due_time(world: World) -> Plan:
    """The next one looks at once, before recovery has found what the first has left."""
    scheduled(world, 60.0)

    def once(world: World) -> None:
        assert len(dues_of(world)) == 1

    def look(world: World) -> None:
        submitting(world).look()

    return Plan(lambda: look(world), once, once, mend=look)


def schedule_act(world: World, verb: str, is_there: bool, is_paused: bool = False) -> Plan:
    """An act on schedule `tick`, which was made before but for `add`."""
    now = world.clock.now()
    if verb != "add":
        scheduled(world, 0.0)
    arguments = (Wanted("* * * * *", text="now"),) if verb == "add" else ()

    def row(world: World) -> tuple[bool, bool]:
        found = ScheduleRows(world.index.engine).find("tick")
        return found is not None, found is not None and found.paused_at is not None

    before = row(world)

    def acted(world: World) -> None:
        assert row(world) == (is_there, is_paused)

    def told_first(world: World) -> None:
        """What the row says the note has said before; but for one that goes."""
        assert row(world) in (before, (is_there, is_paused))
        if row(world)[0]:
            note = world.spool.read_schedule("tick")
            assert not row(world)[1] or note["paused_at"] is not None

    return Plan(
        lambda: getattr(Schedules(world.jobqueue), verb)("tick", *arguments, "ann", "because", now), acted, told_first
    )


@protocol(effects=5)
def add_a_schedule(world: World) -> Plan:
    return schedule_act(world, "add", is_there=True)


@protocol(effects=5)
def pause_a_schedule(world: World) -> Plan:
    return schedule_act(world, "pause", is_there=True, is_paused=True)


@protocol(effects=2)
def remove_a_schedule(world: World) -> Plan:
    return schedule_act(world, "remove", is_there=False)


def planned(world: World, verb: str, value: float, key: str, before: str | None = None) -> Plan:
    """What a person changes of a job that waits stands in its row, and beside its payload for a rebuild."""
    (job,) = ready(world, 1)
    now = world.clock.now()
    for earlier in (before or "").split():
        job = getattr(world.jobqueue, earlier)(job, "ann", "to begin with", now)

    def acted(world: World) -> None:
        assert getattr(world.job(b"0.txt"), key) == value
        assert world.spool.read_meta(job.id)[key] == value
        assert bool(world.spool.read_meta(job.id).get("held")) == (before == "hold")

    return Plan(lambda: getattr(world.jobqueue, verb)(job, value, "ann", "because", now), acted)


@protocol(effects=4)
def change_a_priority(world: World) -> Plan:
    return planned(world, "prioritise", 7, "priority")


@protocol(effects=4)
def change_the_priority_of_a_held_job(world: World) -> Plan:
    return planned(world, "prioritise", 7, "priority", before="hold")


@protocol(effects=4)
def reschedule(world: World) -> Plan:
    return planned(world, "reschedule", world.clock.now() + 0.25, "ready_at")


@protocol(effects=7)
def redrive_for_later(world: World) -> Plan:
    (job,) = ready(world, 1)
    now = world.clock.now()
    job = world.jobqueue.fail(job, "ann", None, now)

    def waits(world: World) -> None:
        found = world.job(b"0.txt")
        assert found.state in (State.PENDING, State.COMPLETED)
        assert found.ready_at == now + 0.25 == world.spool.read_meta(job.id)["ready_at"]

    return Plan(lambda: world.jobqueue.redrive(job, "ann", None, now, now + 0.25), waits)


# -------------------------------------------------------------------- purge


def deletion(world: World, before: str | None) -> Plan:
    (job,) = ready(world, 1, priority=3)
    if before:
        getattr(world.jobqueue, before)(job, "ann", None, world.clock.now())
    else:
        consumer = world.consumer()
        consumer.work()
        consumer.leave()
    for name in world.spool.entries("outbox"):
        world.spool.remove(f"outbox/{name}")  # a reader has taken it; nothing would explain it any more
        world.taken.add(name)
    job = world.job(b"0.txt")
    world.deleted.add(b"0.txt")

    def gone(world: World) -> None:
        assert not world.jobs()
        assert not list(world.spool.payloads())
        if world.boots == 1:
            assert not world.spool.entries("meta")  # else it may be back, until the janitor removes it

    return Plan(lambda: world.jobqueue.delete(job, "ann", None, world.clock.now()), gone)


@protocol(effects=4)
def delete_a_completed_job(world: World) -> Plan:
    return deletion(world, None)


@protocol(effects=4)
def delete_a_dead_letter(world: World) -> Plan:
    return deletion(world, "fail")


@protocol(effects=4)
def delete_a_cancelled_job(world: World) -> Plan:
    return deletion(world, "cancel")


def discarding(world: World, before: str) -> Plan:
    (job,) = ready(world, 1)
    if before == "work":
        consumer = world.consumer()
        consumer.work()
        consumer.leave()
    else:
        getattr(world.jobqueue, before)(job, "ann", None, world.clock.now())
    job = world.job(b"0.txt")
    world.deleted.add(b"0.txt")

    def gone(world: World) -> None:
        found = world.jobs()[job.id]
        assert (found.state, found.place) == (job.state, Place.GONE)
        assert not list(world.spool.payloads())

    def stays(world: World) -> None:
        assert world.jobs()[job.id].state is job.state

    return Plan(lambda: world.jobqueue.discard(job, "ann", None, world.clock.now()), gone, stays)


@protocol(effects=3)
def delete_the_input_of_a_dead_letter(world: World) -> Plan:
    return discarding(world, "fail")


@protocol(effects=3)
def delete_the_input_of_a_cancelled_job(world: World) -> Plan:
    return discarding(world, "cancel")


@protocol(effects=3)
def delete_the_input_of_a_completed_job(world: World) -> Plan:
    return discarding(world, "work")


@protocol(effects=8, settings=SHORT)
def retention_lets_inputs_go(world: World) -> Plan:
    ready(world, 3)
    dead, cancelled = sorted(world.jobs().values(), key=lambda job: job.name)[1:]
    world.jobqueue.fail(dead, "ann", None, world.clock.now())
    world.jobqueue.cancel(cancelled, "ann", None, world.clock.now())
    consumer = world.consumer()
    consumer.work()
    consumer.leave()
    world.deleted.update((dead.name, cancelled.name))
    world.clock.pass_by(2 * 86400.0)
    janitor = world.janitor()

    def gone(world: World) -> None:
        (job,) = world.jobs().values()
        assert (job.state, job.place) == (State.COMPLETED, Place.GONE)
        assert not list(world.spool.payloads())

    return Plan(janitor.purge, gone)


# -------------------------------------------------------------------- rebuild


@protocol(effects=10)
def rebuild(world: World) -> Plan:
    """One payload in every place, one output not yet published; then the index is lost."""
    ready(world, 7, priority=2)
    jobs = sorted(world.jobs().values(), key=lambda job: job.name)
    queue, now = world.jobqueue, world.clock.now()
    consumer = world.consumer()
    consumer.work(limit=1)
    started, committed = consumer.claim(limit=2)
    for job in (started, committed):
        assert consumer.start(job)
    stop_at_the_commit(world, partial(consumer.finish, [(committed, consumer.run(committed))]))
    world.die()
    queue = world.jobqueue
    queue.hold(jobs[3], "ann", None, now)
    queue.fail(jobs[4], "ann", None, now)
    queue.cancel(jobs[5], "ann", None, now)
    queue.release(queue.hold(jobs[6], "ann", None, now), "ann", None, now)
    world.lose_index()

    def rebuilt(world: World) -> None:
        states = [world.jobs()[job.id].state for job in jobs]
        waiting = (State.PENDING, State.COMPLETED)
        assert states[:6] == [
            State.COMPLETED, State.HELD, State.HELD, State.HELD, State.FAILED, State.CANCELLED,
        ]  # fmt: skip
        assert states[6] in waiting
        assert {job.priority for job in world.jobs().values()} == {2}

    def again(world: World) -> None:
        world.recovery().rebuild()

    return Plan(world.recovery().rebuild, rebuilt, rebuilt, mend=again)
