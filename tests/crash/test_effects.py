"""Each protocol is stopped before its effect n, for n = 1, 2, 3 … until it completes; then recovery is, too.

A protocol is arranged, its act runs with an armed fuse, everybody dies, others recover and finish the work. What
must hold then: nothing lost, nothing twice, no budget charged but to what ran, and whatever was acknowledged
(the act had returned) is still true. A failing point is named in the failure's last note.

On PostgreSQL: `PQFS_TEST_INDEX=postgres pytest tests/crash`.
"""

from __future__ import annotations

import itertools
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.crash.conftest import NewWorld
from tests.crash.harness import Crash, Picture, Scene, World, after_crash
from tests.crash.protocols import PROTOCOLS, Plan, Protocol, finishing
from tests.world import new_id


@dataclass
class Stopped:
    """A world whose act was stopped before effect n, its people dead; `acknowledged` when it completed."""

    world: World
    plan: Plan
    acknowledged: bool
    last: str


def stop(new_world: NewWorld, protocol: Protocol, n: int) -> Stopped:
    world = new_world(protocol.settings)
    plan = protocol.arrange(world)
    world.fuse.arm(n)
    last, acknowledged = "", False
    try:
        plan.act()
        acknowledged = True
    except Crash as crash:
        last = str(crash)
    if acknowledged:
        plan.promise(world)
        assert len(world.fuse.trace) >= protocol.effects, world.fuse.trace
    world.die()
    return Stopped(world, plan, acknowledged, last)


def check(stopped: Stopped, scene: Scene | None = None) -> None:
    world, plan = stopped.world, stopped.plan
    if stopped.acknowledged:
        after_crash(world, scene, plan.mend)
        plan.promise(world)
    else:
        after_crash(world, scene, plan.mend)
    plan.always(world)


def drop(world: World) -> None:
    world.close()
    shutil.rmtree(world.root.parent)


def each(protocol: Protocol) -> str:
    return protocol.name


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=each)
def test_a_crash_before_any_effect_loses_nothing_and_doubles_nothing(protocol: Protocol, new_world: NewWorld) -> None:
    for n in itertools.count(1):
        stopped = stop(new_world, protocol, n)
        try:
            check(stopped)
        except BaseException as error:
            error.add_note(f"{protocol.name}, crash before effect {n}: {stopped.last or 'after the last'}")
            raise
        drop(stopped.world)
        if stopped.acknowledged:
            print(f"{protocol.name}: {n} crash points")
            return


def recover_until(picture: Picture, plan: Plan, m: int | None, to: Path) -> tuple[World, str]:
    """Recover what the first crash left, and crash again before effect `m` of that."""
    again = picture.again(to / "spool")
    again.fuse.arm(m)
    last = ""
    try:
        if plan.mend:
            plan.mend(again)
        again.recover()
    except Crash as crash:
        last = str(crash)
    return again, last


def crash_twice(protocol: Protocol, new_world: NewWorld, tmp_path: Path, every: int) -> tuple[int, int]:
    """Crash before each effect n of the act, then before each m-th of the recovery; how many of both."""
    points = 0
    for n in itertools.count(1):
        stopped = stop(new_world, protocol, n)
        scene = Scene.of(stopped.world)
        stopped.world.close()
        picture = stopped.world.photograph()
        whole, _ = recover_until(picture, stopped.plan, None, tmp_path / f"{n}")
        effects = len(whole.fuse.trace)
        drop(whole)
        for m in range(1 + n % every, effects + 1, every):
            again, last = recover_until(picture, stopped.plan, m, tmp_path / f"{n}-{m}")
            again.die()
            points += 1
            try:
                check(Stopped(again, stopped.plan, stopped.acknowledged, last), scene)
            except BaseException as error:
                error.add_note(
                    f"{protocol.name}, crash before effect {n} ({stopped.last or 'after the last'}), "
                    f"recovery crashed before its effect {m} ({last})"
                )
                raise
            drop(again)
        shutil.rmtree(stopped.world.root.parent)
        if stopped.acknowledged:
            return n, points
    raise AssertionError("an act has an end")


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS, ids=each)
def test_a_second_crash_inside_recovery_changes_nothing(
    protocol: Protocol, new_world: NewWorld, tmp_path: Path
) -> None:
    """One in seven of the pairs; `python -m tests.crash` has them all, and other second faults."""
    crash_twice(protocol, new_world, tmp_path, every=7)


# -------------------------------------------------------------------- what a crash can not show


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=each)
def test_a_rename_that_happened_and_says_that_it_did_not_breaks_nothing(
    protocol: Protocol, new_world: NewWorld
) -> None:
    """NFS, when the answer got lost: look before you judge."""
    effects = lied(protocol, new_world, None)
    for n in [n for n, effect in enumerate(effects, 1) if effect.startswith("R ")]:
        lied(protocol, new_world, n)


def lied(protocol: Protocol, new_world: NewWorld, n: int | None) -> list[str]:
    """The act with a lie of its effect n, which must be a rename: then everybody dies. Its effects."""
    world = new_world(protocol.settings)
    plan = protocol.arrange(world)
    world.fuse.arm(None)
    world.fuse.lie_at = n
    plan.act()
    effects, world.fuse.lie_at = world.fuse.trace.copy(), None
    if world.deleted:
        plan.promise(world)
    world.die()
    try:
        after_crash(world, None, plan.mend)
        plan.always(world)
    except BaseException as error:
        error.add_note(f"{protocol.name}: effect {n} lied")
        raise
    drop(world)
    return effects


ARRIVALS = [p for p in PROTOCOLS if p.name.startswith(("ingest", "submit"))]


@pytest.mark.parametrize("protocol", ARRIVALS, ids=each)
def test_payloads_and_both_directories_are_synced_between_the_move_and_the_commit(
    protocol: Protocol, new_world: NewWorld
) -> None:
    """A crash test is blind to a missing barrier: only a loss of power would show it."""
    world = new_world(protocol.settings)
    plan = protocol.arrange(world)
    world.fuse.arm(None)
    plan.act()
    trace = world.fuse.trace
    moved = max(n for n, effect in enumerate(trace) if effect in ("R inbox ready", "R work ready"))
    between = [effect for effect in trace[moved + 1 : trace.index("C", moved)] if "meta" not in effect]
    source = "work" if protocol.name.startswith("submit") else "inbox"
    assert between in (["S"], ["F ready", f"F {source}", "F ready", "F ready"])
    drop(world)


def test_what_is_one_more_keeps_its_meta_file_until_it_can_not_come_back(new_world: NewWorld) -> None:
    (protocol,) = (each for each in PROTOCOLS if each.name == "submit_one_more_of_a_key")
    world = new_world(protocol.settings)
    plan = protocol.arrange(world)
    world.fuse.arm(None)
    plan.act()
    trace = world.fuse.trace
    assert trace[trace.index("C") + 1 :] == ["U ready", "F ready", "U meta"]
    drop(world)


def test_a_manifest_goes_last_and_only_when_the_files_of_its_set_can_not_come_back(new_world: NewWorld) -> None:
    (protocol,) = (each for each in PROTOCOLS if each.name == "take_a_set")
    world = new_world(protocol.settings)
    plan = protocol.arrange(world)
    world.fuse.arm(None)
    plan.act()
    removed = ["R inbox rejected", "U rejected"]
    trace = [effect for effect in world.fuse.trace if effect != "X work"]
    assert trace[trace.index("C") + 1 :] == [*removed, *removed, "F inbox", *removed]
    drop(world)


@pytest.mark.parametrize(("count", "barrier"), [(1, ["F work", "F work", "F work"]), (4, ["S"])])
def test_outputs_are_synced_before_the_commit_that_makes_them_known(
    new_world: NewWorld, count: int, barrier: list[str]
) -> None:
    world = new_world()
    plan = finishing(world, count)
    world.fuse.arm(None)
    plan.act()
    assert world.fuse.trace[: world.fuse.trace.index("C")] == barrier
    drop(world)


def test_what_is_adopted_by_a_copy_can_not_come_back_under_its_old_name(new_world: NewWorld) -> None:
    """The copy has another inode: nothing would tell that the old name means the same file."""
    world = new_world()
    world.drop(b"a.txt")
    ingester = world.owner("ingester")
    world.spool.make_directory(f"ready/{ingester}")
    world.spool.move("inbox/a.txt", f"ready/{ingester}/{new_id()}.default.a.txt")
    world.kill(ingester)
    alarm = world.spool.raise_alarm("a sync failed")

    world.fuse.arm(None)
    world.recover()
    alarm.unlink()

    before = world.fuse.trace[: world.fuse.trace.index("R ready ready")]
    assert before.index("F ready") < before.index("F inbox")
    drop(world)


def test_a_removal_is_durable_before_the_row_that_asked_for_it_goes(new_world: NewWorld) -> None:
    """Else power brings the payload back, and no row says that it was to be removed."""
    world = new_world()
    name = world.drop(b"a.txt")
    world.drain()
    job = world.job(name)
    world.fuse.arm(None)
    world.jobqueue.delete(job, "ann", None, world.clock.now())
    trace = world.fuse.trace
    between = trace[trace.index("U done") : trace.index("C", 1)]
    assert {"F ready", "F claimed", "F done", "F outbox"} <= set(between)  # wherever it has been
    drop(world)
