"""A random walk over everything that can happen: verbs, crashes before any effect, clock jumps, two consumers.

The walk is the same each time (derandomized). After every step what holds at any instant is checked, and what was
acknowledged must still be true; at its end everybody dies, others recover and finish, and all invariants hold.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from pqfs.errors import PqfsError
from pqfs.ingester import Ingester
from pqfs.model import DEAD, FINAL, Job, Kind, Outcome, State
from pqfs.settings import QueueSettings, Settings
from tests.crash.conftest import NewWorld
from tests.crash.harness import Crash, Scene, StandIn, World, check_recovered, finish_all
from tests.world import submitted

CRASHES = st.one_of(st.none(), st.none(), st.integers(1, 12))
KINDS = st.sampled_from([Kind.FAILED, Kind.PERMANENT, Kind.CRASHED, Kind.RELEASED, Kind.RETRY_LATER, Kind.TIMEOUT])
CHOICE = st.integers(0, 1000)


class Hand:
    """A consumer of the walk and what it has in hand."""

    def __init__(self, world: World) -> None:
        self.consumer = StandIn(world)
        self.leased: list[Job] = []
        self.started: list[Job] = []
        self.ended: list[tuple[Job, Outcome]] = []


class Walk(RuleBasedStateMachine):
    def __init__(self, new_world: NewWorld) -> None:
        super().__init__()
        self.world = new_world(Settings(defaults=QueueSettings(backoff=1.0, max_crashes=2)))
        self.hands = [Hand(self.world), Hand(self.world)]
        self.zombies: list[Hand] = []
        self.ingester: Ingester = self.world.ingester()
        self.names = 0
        self.completed: dict[str, str] = {}
        self.attempts: dict[str, int] = {}
        self.held: set[str] = set()
        self.strays: set[str] = set()  # moved by a zombie; brought back by recovery, or by the next attempt

    def attempt(self, act: Callable[[], object], crash: int | None) -> bool:
        """Do something, perhaps crash before its n-th effect; whether it completed."""
        self.world.fuse.arm(crash)
        try:
            act()
        except Crash:
            return False
        except PqfsError:
            pass  # refused: the state does not allow it
        finally:
            self.world.fuse.arm(None)
        return True

    # ---------------------------------------------------------------- arrival

    @rule(crash=CRASHES)
    def a_file_is_dropped_and_ingested(self, crash: int | None) -> None:
        self.names += 1
        self.world.drop(f"{self.names}.txt".encode())
        if not self.attempt(self.ingester.sweep, crash):
            self.world.kill(self.ingester._owner)
            self.ingester = self.world.ingester()

    @rule(crash=CRASHES, priority=st.integers(-1, 1))
    def a_file_is_submitted(self, crash: int | None, priority: int) -> None:
        self.names += 1
        name = f"{self.names}.txt".encode()
        submitter = self.world.owner("submit")

        def submit() -> None:
            submitted(self.world.jobqueue, self.world.clock.now(), name, b"data", submitter, priority=priority)

        if self.attempt(submit, crash):
            self.world.sent[name] = b"data"
        self.world.kill(submitter)

    # ---------------------------------------------------------------- attempts

    @rule(which=CHOICE, limit=st.integers(1, 3), crash=CRASHES)
    def a_consumer_claims(self, which: int, limit: int, crash: int | None) -> None:
        hand = self.hands[which % 2]
        if not self.attempt(lambda: hand.leased.extend(hand.consumer.claim(limit)), crash):
            self.die(hand)

    @rule(which=CHOICE, crash=CRASHES)
    def a_job_starts(self, which: int, crash: int | None) -> None:
        hand = self.hands[which % 2]
        if not hand.leased or hand.started:
            return
        job = hand.leased.pop(0)

        def start() -> None:
            if hand.consumer.start(job):
                hand.started.append(job)
            else:
                hand.ended.append((job, Outcome(Kind.LOST, "not where it was")))

        if not self.attempt(start, crash):
            self.die(hand)

    @rule(which=CHOICE, kind=st.one_of(st.none(), st.none(), KINDS), crash=CRASHES)
    def a_job_ends(self, which: int, kind: Kind | None, crash: int | None) -> None:
        hand = self.hands[which % 2]
        if not hand.started:
            return
        job = hand.started.pop()

        def end() -> None:
            outcome = hand.consumer.refuse(job, kind) if kind else hand.consumer.run(job)
            hand.ended.append((job, outcome))

        if not self.attempt(end, crash):
            self.die(hand)

    @rule(which=CHOICE, crash=CRASHES)
    def attempts_are_finished(self, which: int, crash: int | None) -> None:
        hand = self.hands[which % 2]
        ended, hand.ended = hand.ended, []
        if not self.attempt(lambda: hand.consumer.finish(ended), crash):
            self.die(hand)

    @rule(which=CHOICE, crash=CRASHES)
    def leased_jobs_are_given_back(self, which: int, crash: int | None) -> None:
        hand = self.hands[which % 2]
        given: list[str] = []

        def give_back() -> None:
            given.extend(self.world.jobqueue.give_back(hand.leased, "it drains", self.world.clock.now()))

        if not self.attempt(give_back, crash):
            self.die(hand)
        hand.leased = [job for job in hand.leased if job.id not in given]

    # ---------------------------------------------------------------- deaths

    def die(self, hand: Hand) -> None:
        self.world.kill(hand.consumer.owner)
        self.hands[self.hands.index(hand)] = Hand(self.world)

    @rule(which=CHOICE)
    def a_consumer_is_declared_dead_and_goes_on(self, which: int) -> None:
        hand = self.hands[which % 2]
        self.die(hand)
        self.zombies.append(hand)

    @rule(crash=CRASHES)
    def a_zombie_wakes_up(self, crash: int | None) -> None:
        if not self.zombies:
            return
        zombie = self.zombies.pop()
        world = self.world
        world.recover()  # its lock is free, so it was reaped: only then another may hold its jobs

        def wake() -> None:
            for job in zombie.leased:
                if world.spool.start(job):
                    self.strays.add(job.id)
            ended = [*zombie.ended, *((job, Outcome(Kind.FAILED, "late", started_at=1.0)) for job in zombie.started)]
            zombie.consumer.finish(ended)

        self.attempt(wake, crash)

    @rule(crash=CRASHES)
    def the_janitor_looks(self, crash: int | None) -> None:
        before = Scene.of(self.world)
        whole = self.attempt(self.world.recover, crash)
        if whole:
            living = {hand.consumer.owner for hand in self.hands}
            jobs = {key: job for key, job in before.jobs.items() if job.owner not in living}
            check_recovered(jobs, self.world.jobs(), before.running)

    # ---------------------------------------------------------------- people

    @rule(which=CHOICE, verb=st.sampled_from(["hold", "release", "cancel", "fail", "redrive"]), crash=CRASHES)
    def a_person_steers(self, which: int, verb: str, crash: int | None) -> None:
        job = self.some_job(which)
        if job is None:
            return
        act = getattr(self.world.jobqueue, verb)
        self.held.discard(job.id)
        whole = self.attempt(lambda: act(job, "ann", "because", self.world.clock.now()), crash)
        found = self.world.index.job(job.id)
        if whole and verb == "hold" and found and found.state is State.HELD:
            self.held.add(job.id)

    @rule(which=CHOICE, verb=st.sampled_from(["prioritise", "reschedule"]), value=st.integers(-3, 3), crash=CRASHES)
    def a_person_plans(self, which: int, verb: str, value: int, crash: int | None) -> None:
        job = self.some_job(which)
        if job is not None:
            now = self.world.clock.now()
            wanted = now + value * 20.0 if verb == "reschedule" else value
            act = getattr(self.world.jobqueue, verb)
            self.attempt(lambda: act(job, wanted, "ann", "because", now), crash)

    @rule(which=CHOICE, crash=CRASHES)
    def a_person_lets_an_input_go(self, which: int, crash: int | None) -> None:
        job = self.some_job(which)
        if job is not None:
            self.attempt(lambda: self.world.jobqueue.discard(job, "ann", None, self.world.clock.now()), crash)

    @rule(which=CHOICE, crash=CRASHES)
    def a_person_deletes(self, which: int, crash: int | None) -> None:
        job = self.some_job(which)
        if job is None or job.state not in FINAL or not job.confirmed:
            return
        if job.output:  # a reader has taken it, so that nothing is left to explain
            output = self.world.spool.path(self.world.spool.output_path(job.queue, job.output))
            output.unlink(missing_ok=True)
            self.world.taken.add(job.output)
        self.world.deleted.add(job.name)
        self.attempt(lambda: self.world.jobqueue.delete(job, "ann", None, self.world.clock.now()), crash)
        self.completed.pop(job.id, None)

    def some_job(self, which: int) -> Job | None:
        jobs = sorted(self.world.jobs().values(), key=lambda job: job.id)
        return jobs[which % len(jobs)] if jobs else None

    # ---------------------------------------------------------------- time

    @rule(seconds=st.floats(0.1, 100.0))
    def time_passes(self, seconds: float) -> None:
        self.world.clock.pass_by(seconds)

    @rule(seconds=st.sampled_from([-3600.0, -1.0, 3600.0, 86400.0]))
    def the_clock_is_set(self, seconds: float) -> None:
        self.world.clock.step(seconds)

    # ---------------------------------------------------------------- what holds

    @invariant()
    def whatever_was_acknowledged_is_still_true(self) -> None:
        self.world.invariants(at_rest=False, astray=self.strays)
        jobs = self.world.jobs()
        for job_id, job in jobs.items():
            assert job.attempt >= self.attempts.get(job_id, 0)
            self.attempts[job_id] = job.attempt
            if job.state is State.COMPLETED and job.output and job.name not in self.world.deleted:
                assert self.completed.setdefault(job_id, job.output) == job.output
            if job.state in DEAD:
                assert job.error
        for job_id in self.completed:
            assert jobs[job_id].state is State.COMPLETED
        for job_id in self.held:
            assert jobs[job_id].state is State.HELD

    def teardown(self) -> None:
        world = self.world
        try:
            world.die()
            scene = Scene.of(world)
            world.recover()
            check_recovered(scene.jobs, world.jobs(), scene.running)
            world.invariants()
            again = world.recover()
            assert again.is_empty, again
            finish_all(world)
        finally:
            world.close()
            shutil.rmtree(world.root.parent, ignore_errors=True)


def profile(examples: int, steps: int) -> settings:
    return settings(
        max_examples=examples, stateful_step_count=steps, derandomize=True, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink), print_blob=False,
    )  # fmt: skip


def walk(new_world: NewWorld, examples: int, steps: int) -> None:
    machine: Any = partial(Walk, new_world)  # hypothesis takes any callable that makes a machine; its types do not
    run_state_machine_as_test(machine, settings=profile(examples, steps))


def test_whatever_happens_nothing_is_lost_or_doubled(new_world: NewWorld) -> None:
    walk(new_world, 15, 30)


@pytest.mark.slow
def test_whatever_happens_for_long_nothing_is_lost_or_doubled(new_world: NewWorld) -> None:
    walk(new_world, 125, 60)
