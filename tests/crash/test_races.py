"""Interleavings of two actors that matter, each as a fixed order of steps in one process.

Where a step of one actor must fall between two effects of another, the fuse's `before` runs it there.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from pqfs.errors import IllegalTransition, Unavailable
from pqfs.model import Job, Kind, Outcome, Place, State
from pqfs.settings import KeepSettings, Settings
from pqfs.submission import Submitter, Wish
from tests.crash.conftest import NewWorld
from tests.crash.harness import Crash, World, finish_all
from tests.world import new_id, submitted


@pytest.fixture
def world(new_world: NewWorld) -> World:
    return new_world()


def waiting(world: World, *names: bytes) -> list[Job]:
    submitter = world.owner("submit")
    jobs = []
    for name in names or (b"a.txt",):
        world.sent[name] = b"payload of " + name
        jobs.append(submitted(world.jobqueue, world.clock.now(), name, world.sent[name], submitter))
    world.spool.remove_directory(f"work/{submitter}")
    world.leave(submitter)
    return jobs


def just_before(world: World, effect: str, act: Callable[[], object]) -> list[str]:
    """Run an act of somebody else just before the next effect of this name; the effects it waited for."""
    done: list[str] = []

    def watch(name: str) -> None:
        if name == effect and not done:
            done.append(name)
            act()

    world.fuse.before = watch
    return done


def put_everything_right(world: World) -> None:
    world.fuse.before = None
    world.clock.pass_by(3.0)
    world.recover()
    world.invariants()
    finish_all(world)


# -------------------------------------------------------------------- a lost lease


Finish = Callable[[list[tuple[Job, Outcome]]], None]


def stalled_after(world: World, steps: int) -> tuple[Job, Outcome | None, Job, Finish]:
    """A consumer that stopped after claim (1), start (2) or run (3), was declared dead, and whose job runs anew."""
    waiting(world)
    zombie = world.consumer()
    (old,) = zombie.claim()
    if steps > 1:
        assert zombie.start(old)
    outcome = zombie.run(old) if steps > 2 else None
    if outcome:
        keep = world.root / "run" / "output"
        os.link(world.spool.path(world.spool.scratch_path(zombie.owner, old.id, old.attempt, "out")), keep)
    world.kill(zombie.owner)
    world.recover()
    if outcome:  # it wakes up and finds its file again, as one on which it still had a descriptor
        world.spool.make_directory(f"work/{zombie.owner}")
        os.rename(keep, world.spool.path(world.spool.scratch_path(zombie.owner, old.id, old.attempt, "out")))
    heir = world.consumer()
    world.clock.pass_by(10.0)
    (new,) = heir.claim()
    assert new.attempt == old.attempt + 1
    return old, outcome, new, zombie.finish


def test_a_consumer_that_lost_its_lease_before_it_started_finds_nothing_to_move(world: World) -> None:
    old, _, new, _ = stalled_after(world, 1)
    assert world.spool.start(new)

    assert not world.spool.start(old)

    assert world.spool.exists(world.spool.payload_path(new, Place.CLAIMED))


def test_a_consumer_that_lost_its_lease_publishes_nothing_and_moves_nothing(world: World) -> None:
    old, outcome, new, finish = stalled_after(world, 3)
    assert outcome is not None
    assert world.spool.start(new)

    finish([(old, outcome)])

    found = world.index.job(new.id)
    assert found is not None and (found.state, found.attempt, found.owner) == (State.PROCESSING, 2, new.owner)
    assert world.spool.entries("outbox") == []
    assert world.spool.find(new.id) == [world.spool.payload_path(new, Place.CLAIMED)]
    assert not world.spool.exists(world.spool.scratch_path(str(old.owner), old.id, old.attempt, "out"))


@pytest.mark.parametrize("kind", [Kind.FAILED, Kind.PERMANENT, Kind.CRASHED, Kind.RELEASED, Kind.CANCELLED])
def test_a_consumer_that_lost_its_lease_can_not_end_the_new_attempt(world: World, kind: Kind) -> None:
    old, _, new, finish = stalled_after(world, 2)
    assert world.spool.start(new)

    finish([(old, Outcome(kind, "too late", started_at=1.0))])

    found = world.index.job(new.id)
    assert found is not None and (found.state, found.attempt, found.failures) == (State.PROCESSING, 2, 0)
    assert world.spool.exists(world.spool.payload_path(new, Place.CLAIMED))


def test_a_late_rename_of_a_zombie_is_brought_back(world: World) -> None:
    (job,) = waiting(world)
    zombie = world.consumer()
    (old,) = zombie.claim()
    world.kill(zombie.owner)
    world.recover()

    assert world.spool.start(old)  # it wakes up between the revoker's move back and the next claim
    repairs = world.recover()

    assert repairs.moved == 1
    assert world.spool.find(job.id) == [world.spool.payload_path(job, Place.READY)]
    put_everything_right(world)


def test_a_late_rename_of_a_zombie_costs_the_next_attempt_a_loss_and_nobody_the_payload(world: World) -> None:
    (job,) = waiting(world)
    zombie = world.consumer()
    (old,) = zombie.claim()
    world.kill(zombie.owner)
    world.recover()
    heir = world.consumer()
    (new,) = heir.claim()

    assert world.spool.start(old)
    assert not heir.start(new)
    heir.finish([(new, Outcome(Kind.LOST, "its payload was moved by a consumer that had lost its lease"))])

    found = world.index.job(job.id)
    assert found is not None and (found.state, found.losses, found.failures) == (State.PENDING, 1, 0)
    put_everything_right(world)


# -------------------------------------------------------------------- who wins the rename decides


def test_a_job_that_starts_while_it_is_given_back_stays(world: World) -> None:
    waiting(world)
    consumer = world.consumer()
    (job,) = consumer.claim()
    reached = just_before(world, "R ready claimed", lambda: world.spool.start(job))

    assert world.jobqueue.give_back([job], "it drains", world.clock.now()) == []

    assert reached
    found = world.index.job(job.id)
    assert found is not None and (found.state, found.attempt) == (State.PROCESSING, 1)
    assert world.spool.exists(world.spool.payload_path(job, Place.CLAIMED))


def test_a_runner_that_starts_a_job_halfway_through_its_give_back_does_not_run_it(world: World) -> None:
    """The revoker has won the rename and has not committed yet: *the target is there* is not *I have it*."""
    waiting(world)
    consumer = world.consumer()
    (job,) = consumer.claim()
    started: list[bool] = []
    just_before(world, "C", lambda: started.append(world.spool.start(job)))

    world.jobqueue.give_back([job], "it drains", world.clock.now())

    assert started == [False]
    put_everything_right(world)


def test_a_job_on_its_way_back_is_not_claimed_before_it_is_there(world: World) -> None:
    waiting(world)
    consumer, other = world.consumer(), world.consumer()
    (job,) = consumer.claim()
    early: list[Job] = []
    just_before(world, "R claimed ready", lambda: early.extend(other.claim()))

    world.jobqueue.give_back([job], "it drains", world.clock.now())

    assert early == []
    assert [each.id for each in other.claim()] == [job.id]


# -------------------------------------------------------------------- janitor and consumer


def test_a_job_that_is_held_after_a_redrive_whose_move_failed_is_moved_for_good(world: World) -> None:
    """A loss of power would bring the payload back into dead/, where recovery does not look."""
    waiting(world, b"a.txt")
    failed = world.jobqueue.fail(world.job(b"a.txt"), "ann", None, world.clock.now())

    def refuse(effect: str) -> None:
        if effect == "R dead ready":
            world.fuse.before = None
            raise OSError(30, "Read-only file system")

    world.fuse.before = refuse
    with pytest.raises(OSError, match="Read-only"):
        world.jobqueue.redrive(failed, "ann", None, world.clock.now())

    world.fuse.arm(None)
    world.jobqueue.hold(world.job(b"a.txt"), "ann", None, world.clock.now())

    after = world.fuse.trace[world.fuse.trace.index("R dead ready") :]
    assert after.index("F dead") < after.index("C")
    put_everything_right(world)


def test_a_janitor_that_rolls_forward_while_the_consumer_publishes_doubles_nothing(world: World) -> None:
    waiting(world, b"a.txt", b"b.txt")
    consumer = world.consumer()
    ended = [(job, consumer.run(job)) for job in consumer.claim() if consumer.start(job)]
    world.clock.pass_by(10.0)

    def janitor() -> None:
        world.fuse.before = None
        world.clock.pass_by(10.0)  # the consumer is slow: nobody waits for it any more
        world.recover()

    reached = just_before(world, "R work outbox", janitor)
    consumer.finish(ended)

    assert reached
    assert len(world.spool.entries("outbox")) == 2
    put_everything_right(world)
    assert {job.attempt for job in world.jobs().values()} == {1}


def test_a_consumer_that_was_declared_dead_and_goes_on_keeps_what_it_writes_for_a_new_lease(world: World) -> None:
    """It claims anew after the janitor has taken its old jobs over, and before its name is forgotten."""
    consumer = world.consumer()
    world.spool.path(f"work/{consumer.owner}/{new_id()}.1.part").write_bytes(b"of long ago")
    waiting(world, b"a.txt")
    ended: list[tuple[Job, Outcome]] = []

    def goes_on() -> None:
        ended.extend((job, consumer.run(job)) for job in consumer.claim() if consumer.start(job))

    reached = just_before(world, "U work", goes_on)
    world.recovery().reap(consumer.owner)
    assert reached

    consumer.finish(ended)

    assert len(world.spool.entries("outbox")) == 1
    put_everything_right(world)


def test_a_file_in_the_place_of_a_dead_owners_scratch_holds_up_nothing(world: World) -> None:
    """A handler had replaced the folder that its runner wrote to."""
    consumer = world.consumer()
    scratch = world.spool.path(f"work/{consumer.owner}")
    scratch.rmdir()
    scratch.write_bytes(b"in its place")
    world.kill(consumer.owner)

    assert world.recovery().reap(consumer.owner).stuck == 0

    assert not scratch.exists()
    assert world.index.consumers() == []
    put_everything_right(world)


def test_a_janitor_between_the_moves_of_a_finish_doubles_nothing(world: World) -> None:
    waiting(world, b"a.txt", b"b.txt")
    consumer = world.consumer()
    ended = [(job, consumer.run(job)) for job in consumer.claim() if consumer.start(job)]

    def janitor() -> None:
        world.fuse.before = None
        world.clock.pass_by(10.0)
        world.recover()

    just_before(world, "R claimed done", janitor)
    consumer.finish(ended)

    put_everything_right(world)
    assert len(world.spool.entries("outbox")) == 2


def test_a_janitor_with_an_old_row_in_hand_does_not_take_a_running_payload_away(world: World) -> None:
    waiting(world)
    consumer, other = world.consumer(), world.consumer()
    (job,) = consumer.claim()
    assert consumer.start(job)
    settled = world.jobqueue.finish([(job, consumer.refuse(job, Kind.RELEASED))], world.clock.now())
    (stale,) = world.index.unconfirmed(10)
    world.jobqueue.confirm(settled)
    (again,) = other.claim()
    assert other.start(again)

    world.recovery()._put_in_place(stale)
    assert not world.spool.settle(stale)

    assert world.spool.exists(world.spool.payload_path(again, Place.CLAIMED))


def test_a_dead_letter_that_is_redriven_before_it_has_moved_ends_up_ready(world: World) -> None:
    """Commit failed; redrive and its move; then the late move to dead/: the confirmation notices."""
    waiting(world)
    consumer = world.consumer()
    (job,) = consumer.claim()
    assert consumer.start(job)
    outcome = consumer.refuse(job, Kind.PERMANENT)

    def redrive() -> None:
        failed = world.jobqueue.job(job.id)
        assert failed.state is State.FAILED
        world.jobqueue.redrive(failed, "ann", None, world.clock.now())

    reached = just_before(world, "R claimed dead", redrive)
    consumer.finish([(job, outcome)])

    assert reached
    found = world.jobqueue.job(job.id)
    assert found.state is State.PENDING
    assert world.spool.find(job.id) == [world.spool.payload_path(found)]


def test_a_dead_letter_that_is_redriven_while_it_is_deleted_is_one_of_the_two(world: World) -> None:
    (job,) = waiting(world)
    failed = world.jobqueue.fail(job, "ann", None, world.clock.now())
    failed = world.jobqueue.job(failed.id)
    refused: list[bool] = []

    def redrive() -> None:
        try:
            world.jobqueue.redrive(failed, "bob", None, world.clock.now())
        except IllegalTransition:
            refused.append(True)

    just_before(world, "U dead", redrive)
    assert world.jobqueue.delete(failed, "ann", None, world.clock.now())

    assert refused
    assert world.index.job(job.id) is None
    assert world.spool.find(job.id) == []


def test_a_cancel_that_arrives_while_the_attempt_fails_is_kept(world: World) -> None:
    waiting(world)
    consumer = world.consumer()
    (job,) = consumer.claim()
    assert consumer.start(job)
    outcome = consumer.refuse(job, Kind.FAILED)
    world.jobqueue.cancel(job, "ann", "not needed", world.clock.now())

    consumer.finish([(job, outcome)])

    found = world.jobqueue.job(job.id)
    assert (found.state, found.failures) == (State.CANCELLED, 1)


# -------------------------------------------------------------------- commit outcome unknown


def test_a_finish_whose_answer_got_lost_and_that_is_tried_again_keeps_its_output(world: World) -> None:
    waiting(world, b"a.txt", b"b.txt", b"c.txt")
    consumer = world.consumer()
    ended = []
    for job in consumer.claim():
        assert consumer.start(job)
        ended.append((job, consumer.refuse(job, Kind.PERMANENT) if job.name == b"c.txt" else consumer.run(job)))
    world.fuse.unknown_at = 1
    with pytest.raises(Unavailable):
        consumer.finish(ended)
    world.clock.pass_by(5.0)

    consumer.finish(ended)  # under a later name, had the first not been committed

    put_everything_right(world)
    states = {job.name: (job.state, job.attempt) for job in world.jobs().values()}
    assert states == {
        b"a.txt": (State.COMPLETED, 1), b"b.txt": (State.COMPLETED, 1), b"c.txt": (State.FAILED, 1),
    }  # fmt: skip
    assert len(world.spool.entries("outbox")) == 2


def test_a_finish_whose_answer_got_lost_keeps_its_output_when_the_consumer_ends(world: World) -> None:
    """Found by the simulation: the consumer's last act removed an output that was committed and not published."""
    waiting(world)
    consumer = world.consumer()
    ended = [(job, consumer.run(job)) for job in consumer.claim() if consumer.start(job)]
    world.fuse.unknown_at = 1
    with pytest.raises(Unavailable):
        consumer.finish(ended)
    consumer.finish(ended)

    consumer.leave()

    put_everything_right(world)
    assert world.job(b"a.txt").state is State.COMPLETED
    assert len(world.spool.entries("outbox")) == 1


def test_an_ingest_whose_answer_got_lost_makes_one_job(world: World) -> None:
    world.drop(b"a.txt")
    ingester = world.ingester()
    world.fuse.unknown_at = 1
    with pytest.raises(Unavailable):
        ingester.sweep()

    ingester.sweep()

    put_everything_right(world)
    assert len(world.jobs()) == 1


def test_who_submits_and_hears_no_answer_is_told_that_it_is_kept_and_it_becomes_one_job(world: World) -> None:
    with (
        pytest.raises(Unavailable) as told,
        Submitter(world.jobqueue, "submit", world.clock) as submitter,
    ):
        submitter.stage(io.BytesIO(b"payload of a.txt"), b"a.txt", Wish())
        world.fuse.unknown_at = 1
        submitter.commit()
    world.sent[b"a.txt"] = b"payload of a.txt"

    assert "do not submit it again" in told.value.hint
    put_everything_right(world)
    assert len(world.jobs()) == 1


def test_a_claim_whose_answer_got_lost_is_given_back_when_its_owner_ends(world: World) -> None:
    waiting(world)
    consumer = world.consumer()
    world.fuse.unknown_at = 1
    with pytest.raises(Unavailable):
        consumer.claim()
    world.kill(consumer.owner)

    put_everything_right(world)

    (job,) = world.jobs().values()
    assert (job.state, job.attempt, job.losses, job.crashes) == (State.COMPLETED, 2, 0, 0)


# -------------------------------------------------------------------- the inbox


def test_two_ingesters_sweeping_one_inbox_take_each_file_once(world: World) -> None:
    names = [f"{number}.txt".encode() for number in range(6)]
    for name in names:
        world.drop(name)
    first, second = world.ingester(), world.ingester()

    def other_sweep() -> None:
        world.fuse.before = None
        second.sweep()

    reached = just_before(world, "R inbox ready", other_sweep)  # all are judged by the first, none is moved
    first.sweep()

    assert reached
    assert sorted(job.name for job in world.jobs().values()) == names
    put_everything_right(world)


def test_two_ingesters_taking_turns_at_every_effect_take_each_file_once(world: World) -> None:
    names = [f"{number}.txt".encode() for number in range(4)]
    for name in names:
        world.drop(name)
    first, second = world.ingester(), world.ingester()
    seen = 0

    def watch(name: str) -> None:
        nonlocal seen
        seen += name == "R inbox ready"
        if seen == 2:
            world.fuse.before = None
            second.sweep()

    world.fuse.before = watch
    first.sweep()

    assert sorted(job.name for job in world.jobs().values()) == names
    put_everything_right(world)


def test_a_file_that_is_exchanged_between_judgement_and_rename_is_asked_for_again(world: World) -> None:
    world.drop(b"a.txt", b"old")
    ingester = world.ingester()

    def exchange() -> None:
        os.rename(world.root / "inbox" / "a.txt", world.root / "old")
        world.drop(b"a.txt", b"new and longer")

    just_before(world, "R inbox ready", exchange)
    assert ingester.sweep().taken == 0
    assert world.jobs() == {}

    assert ingester.sweep().taken == 1

    (job,) = world.jobs().values()
    assert job.size == len(b"new and longer")
    (world.root / "old").unlink()
    put_everything_right(world)


def test_a_file_that_is_exchanged_for_a_link_is_refused_and_never_followed(world: World) -> None:
    world.drop(b"a.txt")
    ingester = world.ingester()

    def exchange() -> None:
        del world.sent[b"a.txt"]
        os.unlink(world.root / "inbox" / "a.txt")
        os.symlink("/etc/passwd", world.root / "inbox" / "a.txt")

    just_before(world, "R inbox ready", exchange)
    ingester.sweep()
    ingester.sweep()

    assert world.jobs() == {}
    assert [name[13:] for name in world.spool.entries("rejected")] == ["a.txt", "reason.json"]
    put_everything_right(world)


def test_a_link_that_a_dead_ingester_took_is_refused(world: World) -> None:
    world.drop(b"a.txt")
    ingester = world.ingester()

    def exchange() -> None:
        del world.sent[b"a.txt"]
        os.unlink(world.root / "inbox" / "a.txt")
        os.symlink("/etc/passwd", world.root / "inbox" / "a.txt")

    just_before(world, "R inbox ready", exchange)
    ingester.sweep()
    world.die()

    put_everything_right(world)
    assert [name[13:] for name in world.spool.entries("rejected")] == ["a.txt", "reason.json"]


@pytest.mark.parametrize("dies", [False, True], ids=["the ingester lives", "the ingester dies"])
def test_a_file_that_is_opened_for_writing_between_waits_until_it_is_closed(world: World, dies: bool) -> None:
    world.drop(b"a.txt", b"begin")
    ingester = world.ingester()
    writers = []

    def open_for_writing() -> None:
        writers.append(open(world.root / "inbox" / "a.txt", "ab"))  # noqa: SIM115 -- held across steps

    just_before(world, "R inbox ready", open_for_writing)
    ingester.sweep()
    if dies:
        world.die()
        world.recover()
    else:
        ingester.sweep()
    assert world.jobs() == {}

    (writer,) = writers
    writer.write(b", middle, end")
    writer.close()
    world.sent[b"a.txt"] = b"begin, middle, end"
    if dies:
        world.recover()
    else:
        assert ingester.sweep().taken == 1

    (job,) = world.jobs().values()
    assert job.size == len(world.sent[b"a.txt"])
    put_everything_right(world)


def test_a_file_that_its_producer_takes_away_again_is_no_job(world: World) -> None:
    world.drop(b"a.txt")
    del world.sent[b"a.txt"]
    just_before(world, "R inbox ready", lambda: os.unlink(world.root / "inbox" / "a.txt"))

    assert world.ingester().sweep().taken == 0

    assert world.jobs() == {}
    put_everything_right(world)


def test_a_file_that_left_the_inbox_is_not_forgotten_when_a_later_one_fails(world: World) -> None:
    """The ingester lives on after an error in mid-sweep; what it had moved must become jobs."""
    world.drop(b"a.txt")
    world.drop(b"b.txt")
    for number, name in enumerate(("a.txt", "b.txt")):
        os.utime(world.root / "inbox" / name, (number, number))
    ingester = world.ingester()
    moves = 0

    def fail(name: str) -> None:
        nonlocal moves
        moves += name == "R inbox ready"
        if moves == 2:
            world.fuse.before = None
            raise OSError(5, "Input/output error")

    world.fuse.before = fail
    with pytest.raises(OSError, match="Input/output"):
        ingester.sweep()

    ingester.sweep()

    assert sorted(job.name for job in world.jobs().values()) == [b"a.txt", b"b.txt"]
    put_everything_right(world)


def test_a_ghost_of_an_interrupted_move_is_not_taken_a_second_time(world: World) -> None:
    """Link and unlink in place of a rename, killed in between; btrfs after a loss of power looks the same."""
    world.drop(b"a.txt")
    ingester = world.ingester()
    ingester.sweep()
    (job,) = world.jobs().values()
    os.link(world.spool.path(world.spool.payload_path(job)), world.root / "inbox" / "a.txt")

    ingester.sweep()

    assert len(world.jobs()) == 1
    assert not (world.root / "inbox" / "a.txt").exists()
    put_everything_right(world)


# -------------------------------------------------------------------- loss of power undoes unsynced moves


def test_power_lost_after_the_confirmation_undoes_the_moves_and_recovery_makes_them_again(world: World) -> None:
    (job,) = waiting(world)
    consumer = world.consumer()
    consumer.work()
    done = world.jobqueue.job(job.id)
    assert done.output is not None and done.confirmed
    staged = world.spool.path(world.spool.scratch_path(consumer.owner, done.id, done.attempt, "out"))
    os.rename(world.spool.path(world.spool.output_path(done.queue, done.output)), staged)
    ready = world.spool.path(world.spool.payload_path(done, Place.READY))
    ready.parent.mkdir(exist_ok=True)
    os.rename(world.spool.path(world.spool.payload_path(done)), ready)
    world.die()

    put_everything_right(world)

    assert world.spool.entries("outbox") == [done.output]


def test_power_lost_after_the_confirmation_may_leave_both_names_and_recovery_drops_the_old(world: World) -> None:
    """What btrfs showed: the new name is durable, and the old one as well."""
    (job,) = waiting(world)
    consumer = world.consumer()
    consumer.work()
    done = world.jobqueue.job(job.id)
    assert done.output is not None
    staged = world.spool.path(world.spool.scratch_path(consumer.owner, done.id, done.attempt, "out"))
    os.link(world.spool.path(world.spool.output_path(done.queue, done.output)), staged)
    for place in (Place.READY, Place.CLAIMED):
        old = world.spool.path(world.spool.payload_path(done, place))
        old.parent.mkdir(exist_ok=True)
        os.link(world.spool.path(world.spool.payload_path(done)), old)
    world.die()

    put_everything_right(world)

    assert world.spool.entries("outbox") == [done.output]


def test_power_lost_with_the_lock_file_and_not_the_slot_charges_nobody(world: World) -> None:
    """Found by the simulation: nothing tells any more of which boot the slot is."""
    waiting(world)
    consumer = world.consumer()
    (job,) = consumer.claim()
    assert consumer.start(job)
    world.die()
    (world.root / "run" / f"{consumer.owner}.lock").unlink()

    world.recover()

    assert world.jobqueue.job(job.id).crashes == 0
    put_everything_right(world)


def test_power_lost_between_the_two_names_of_a_refused_object_leaves_a_ghost(world: World) -> None:
    """Found by the simulation: it waited in the inbox for its other name to go, and was refused once more."""
    world.drop(b"a.txt")
    world.drop(b"a.txt.job.json", b"not JSON")
    world.ingester().sweep()
    (refused,) = (name for name in world.spool.entries("rejected") if name.endswith(".a.txt"))
    os.link(world.spool.path(f"rejected/{refused}"), world.root / "inbox" / "a.txt")
    world.die()

    world.ingester().sweep()

    assert world.spool.entries("inbox") == []
    put_everything_right(world)


def test_power_lost_between_the_two_names_of_an_arrival_makes_one_job_of_it(new_world: NewWorld) -> None:
    """Found by the simulation: adopted, run and let go, its ghost was no ghost any more and was taken, too."""
    world = new_world(Settings(keep=KeepSettings(done=0.0)))
    world.drop(b"a.txt")
    world.fuse.arm(3)
    with pytest.raises(Crash):
        world.ingester().sweep()
    world.die()
    (taken,) = world.spool.payloads()
    os.link(world.spool.path(taken[0]), world.root / "inbox" / "a.txt")
    world.recover()

    world.consumer().work()
    world.ingester().sweep()

    assert len(world.jobs()) == 1
    put_everything_right(world)


def test_an_old_name_of_a_cancelled_payload_goes(world: World) -> None:
    """Found by the enumeration: power was lost before the confirmation, and left both names."""
    (job,) = waiting(world)
    world.fuse.arm(4)
    with pytest.raises(Crash):
        world.jobqueue.cancel(job, "ann", None, world.clock.now())
    cancelled = world.jobqueue.job(job.id)
    assert not cancelled.confirmed
    for place in (Place.CLAIMED, Place.READY):
        old = world.spool.path(world.spool.payload_path(cancelled, place))
        os.link(world.spool.path(world.spool.payload_path(cancelled)), old)
    world.die()

    put_everything_right(world)


def test_several_old_names_of_a_redriven_payload_go(world: World) -> None:
    """Found by the simulation: power was lost after the commit of a redrive, and before anything had lasted."""
    (job,) = waiting(world)
    dead = world.jobqueue.fail(job, "ann", None, world.clock.now())
    with pytest.raises(Crash):
        just_after_commit(world, lambda: world.jobqueue.redrive(dead, "ann", None, world.clock.now()))
    old = world.spool.path(world.spool.payload_path(dead))
    for place in (Place.CLAIMED, Place.READY):
        os.link(old, world.spool.path(world.spool.payload_path(dead, place)))
    world.die()

    put_everything_right(world)


def test_an_input_that_was_not_kept_and_comes_back_after_a_loss_of_power_goes_again(new_world: NewWorld) -> None:
    world = new_world(Settings(keep=KeepSettings(done=0.0)))
    (job,) = waiting(world)
    consumer = world.consumer()
    consumer.work()
    done = world.jobqueue.job(job.id)
    assert done.place is Place.GONE
    for place in (Place.READY, Place.CLAIMED):
        old = world.spool.path(world.spool.payload_path(done, place))
        old.parent.mkdir(exist_ok=True)
        old.write_bytes(world.sent[b"a.txt"])
        world.die()
        put_everything_right(world)


def test_a_deleted_job_leaves_no_name_of_an_earlier_attempt_that_power_brought_back(world: World) -> None:
    """Without a row that name would tell of a job that the index has never seen, and it would come back held."""
    (job,) = waiting(world)
    consumer = world.consumer()
    for kind in (Kind.LOST, Kind.PERMANENT):
        (leased,) = consumer.claim()
        assert consumer.start(leased)
        consumer.finish([(leased, consumer.refuse(leased, kind))])
    dead = world.jobqueue.job(job.id)
    first = world.spool.path(world.spool.payload_path(replace(dead, attempt=1), Place.CLAIMED))
    os.link(world.spool.path(world.spool.payload_path(dead)), first)
    world.deleted.add(job.name)

    world.jobqueue.delete(dead, "ann", None, world.clock.now())

    assert world.spool.find(job.id) == []
    world.die()
    put_everything_right(world)
    assert world.jobs() == {}


# -------------------------------------------------------------------- one job that can not be repaired


def test_a_stranger_in_one_jobs_place_holds_up_no_other_job(world: World) -> None:
    first, second = waiting(world, b"a.txt", b"b.txt")
    consumer = world.consumer()
    leased = consumer.claim()
    ended = []
    for job in leased:
        assert consumer.start(job)
        ended.append((job, consumer.refuse(job, Kind.PERMANENT)))
    with pytest.raises(Crash):
        just_after_commit(world, lambda: consumer.finish(ended))
    world.die()
    stranger = world.spool.path(world.spool.payload_path(world.jobqueue.job(first.id)))
    stranger.write_bytes(b"put here by hand")

    assert world.recover().stuck == 2  # once as its dead owner's, once as a row that is not confirmed
    assert world.jobqueue.job(second.id).confirmed
    assert stranger.read_bytes() == b"put here by hand"

    stranger.unlink()
    put_everything_right(world)


# -------------------------------------------------------------------- clocks


def test_a_clock_set_back_an_hour_does_not_keep_a_job_from_being_put_away(world: World) -> None:
    (job,) = waiting(world)
    consumer = world.consumer()
    (leased,) = consumer.claim()
    assert consumer.start(leased)
    outcome = consumer.refuse(leased, Kind.RELEASED)
    world.fuse.arm(None)
    world.fuse.before = None
    with pytest.raises(Crash):
        just_after_commit(world, lambda: consumer.finish([(leased, outcome)]))
    world.clock.step(-3600.0)

    world.recover()  # its consumer lives, but has forgotten it

    found = world.jobqueue.job(job.id)
    assert found.confirmed
    assert world.spool.find(job.id) == [world.spool.payload_path(found)]


def just_after_commit(world: World, act: Callable[[], object]) -> None:
    """Run an act and stop it right after its first commit; the process lives."""
    seen: list[str] = []

    def watch(name: str) -> None:
        if seen:
            world.fuse.before = None
            raise Crash(name)
        if name == "C":
            seen.append(name)

    world.fuse.before = watch
    act()
