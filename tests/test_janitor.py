"""The janitor removes what is no longer kept, ends who hangs, hears of deaths at once. Real processes and locks."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from pqfs import janitor as module
from pqfs.doorbell import Bell, ring
from pqfs.errors import DiskFull
from pqfs.index import Index
from pqfs.janitor import Janitor
from pqfs.jobqueue import JobQueue
from pqfs.model import Job, Kind, Outcome, Place, State
from pqfs.recovery import Repairs
from pqfs.runtime import Stop
from pqfs.settings import KeepSettings, Settings
from pqfs.slot import Slot
from pqfs.spool import Spool
from pqfs.wiring import App
from tests.opened import Unexamined, app_of, consumer, die
from tests.world import SettableClock, eventually, invariants, submitted, write_output

DAY = 86400.0
HOLDER = """
import sys, time
from pathlib import Path
from pqfs.clock import boot_id
from pqfs.owners import OwnerLock
lock = OwnerLock(Path(sys.argv[1]), "consumer-00", boot_id(), time.time())
print(lock.name, flush=True)
sys.stdin.read()
"""


class House:
    """A spool, its janitor, and jobs that have come to an end."""

    def __init__(self, app: App) -> None:
        self.app, self.clock = app, app.clock
        self.spool, self.index, self.jobqueue = app.spool, app.index, app.jobqueue
        self.janitor = app.janitor("janitor")

    def completed(self, name: bytes = b"a") -> Job:
        """A job whose output is published."""
        submitted(self.jobqueue, self.clock.now(), name)
        [job] = self.jobqueue.claim("consumer.0.aa", ["default"], 1, self.clock.now())
        assert self.spool.start(job)
        write_output(self.spool, job, b"output")
        self.jobqueue.end(job, Outcome(Kind.DONE, output_size=6), self.clock.now())
        self.spool.remove_tree("work/consumer.0.aa")
        return self.now(job)

    def dead(self) -> Job:
        """A job that a person has marked failed."""
        job = submitted(self.jobqueue, self.clock.now())
        return self.jobqueue.fail(job, "me", None, self.clock.now())

    def cancelled(self) -> Job:
        """A job that a person has withdrawn."""
        job = submitted(self.jobqueue, self.clock.now())
        return self.jobqueue.cancel(job, "me", None, self.clock.now())

    def now(self, job: Job) -> Job:
        """A job as its row stands."""
        found = self.index.job(job.id)
        assert found is not None
        return found

    def purge(self) -> int:
        """Chunk after chunk."""
        return sum(iter(self.janitor.purge, 0))

    def payloads(self) -> list[str]:
        """Every payload in the tree."""
        return [path for path, _ in self.spool.payloads()]


Housing = Callable[..., House]


@pytest.fixture
def housing(spool: Spool, index: Index, settings: Settings, clock: SettableClock) -> Housing:
    """Build a house: `housing(done=60.0)`; the arguments are those of [keep]."""

    def house(**keep: Any) -> House:
        chosen = replace(settings, keep=KeepSettings(**keep))
        return House(app_of(JobQueue(spool, index, chosen, chance=lambda: 0.5), clock))

    return house


@pytest.fixture
def house(housing: Housing) -> House:
    """With the default periods."""
    return housing()


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """Chunks of three."""
    monkeypatch.setattr(module, "_CHUNK", 3)
    return 3


class Listening(Unexamined):
    """Hears what has been done."""

    def make(self, done: Mapping[str, int]) -> None:
        self.done = dict(done)


# -------------------------------------------------------------------- what is kept


def test_an_input_is_let_go_after_its_period_and_its_row_and_output_stay(house: House, clock: SettableClock) -> None:
    job = house.completed()
    clock.pass_by(7 * DAY - 1)
    assert house.purge() == 0
    assert house.payloads() == [house.spool.payload_path(job)]

    clock.pass_by(2)
    assert house.purge() == 1

    assert house.payloads() == []
    assert (house.now(job).place, house.now(job).confirmed) == (Place.GONE, True)
    invariants(house.spool, house.index)


def test_a_day_that_holds_nothing_any_more_goes(house: House, clock: SettableClock) -> None:
    house.completed()
    clock.pass_by(8 * DAY)

    house.purge()
    house.purge()

    assert house.spool.entries("done") == []


def test_a_row_is_forgotten_after_its_period_and_the_output_stays(house: House, clock: SettableClock) -> None:
    job = house.completed()
    clock.pass_by(90 * DAY - 1)
    house.purge()
    assert house.now(job).state is State.COMPLETED

    clock.pass_by(61)
    house.purge()

    assert house.index.job(job.id) is None
    assert house.index.attempts(job.id) == []
    assert house.index.stats(0) == []
    assert house.spool.entries("outbox") == [job.output]


@pytest.mark.parametrize("end", [House.dead, House.cancelled])
def test_a_job_that_was_given_up_goes_whole_after_its_period(
    housing: Housing, clock: SettableClock, end: Callable[[House], Job]
) -> None:
    house = housing(dead=60.0, cancelled=60.0)
    job = end(house)
    clock.pass_by(59)
    assert house.purge() == 0

    clock.pass_by(2)
    assert house.purge() == 1

    assert house.index.job(job.id) is None
    assert house.payloads() == []
    invariants(house.spool, house.index)


def test_dead_letters_are_kept_for_ever_unless_somebody_says_otherwise(house: House, clock: SettableClock) -> None:
    job = house.dead()

    clock.pass_by(3650 * DAY)
    house.purge()

    assert house.now(job).state is State.FAILED
    invariants(house.spool, house.index)


def test_what_waits_is_never_purged(housing: Housing, clock: SettableClock) -> None:
    house = housing(done=0.0, rows=0.0, dead=0.0, cancelled=0.0, rejected=0.0)
    waiting = submitted(house.jobqueue, clock.now())
    held = house.jobqueue.hold(submitted(house.jobqueue, clock.now()), "me", None, clock.now())
    submitted(house.jobqueue, clock.now(), priority=9)
    [running] = house.jobqueue.claim("consumer.0.aa", ["default"], 1, clock.now())

    clock.pass_by(3650 * DAY)
    assert house.purge() == 0

    assert [house.now(job).state for job in (waiting, held, running)] == ["pending", "held", "processing"]
    assert len(house.payloads()) == 3


def _reject(house: House, name: str) -> Path:
    """Something refused; its path."""
    number = f"{name * 12}"
    house.spool.path(f"rejected/{number}.reason.json").write_text("{}")
    path = house.spool.path(f"rejected/{number}.x")
    path.write_text("x")
    return path


def test_refusals_go_with_their_reasons_after_their_period(housing: Housing, clock: SettableClock) -> None:
    house = housing(rejected=60.0)
    clock.wall = _reject(house, "a").stat().st_ctime + 59
    (house.spool.path("rejected") / f"{'b' * 12}.folder").mkdir()
    assert house.purge() == 0

    clock.pass_by(3600)

    assert house.purge() == 3
    assert house.spool.entries("rejected") == []


def test_an_old_refusal_goes_although_many_young_ones_come_before_it(
    housing: Housing, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CHUNK", 1)
    house = housing(rejected=60.0)
    old = _reject(house, "z")
    clock.wall = old.stat().st_ctime + 60.001
    eventually(lambda: _reject(house, "a").stat().st_ctime > old.stat().st_ctime + 0.01, "the system's clock goes on")
    for name in "abc":
        _reject(house, name)

    assert house.purge() == 2

    assert {name[0] for name in house.spool.entries("rejected")} == {"a", "b", "c"}


def test_one_pass_removes_a_bounded_number(housing: Housing, clock: SettableClock, few: int) -> None:
    house = housing(done=60.0)
    for _ in range(5):
        house.completed()
    clock.pass_by(DAY)

    assert [house.janitor.purge() for _ in range(3)] == [3, 2, 0]


def test_one_pass_forgets_a_bounded_number_of_rows(housing: Housing, clock: SettableClock, few: int) -> None:
    house = housing(dead=60.0)
    for _ in range(5):
        house.dead()
    clock.pass_by(61)

    assert [house.janitor.purge() for _ in range(3)] == [3, 2, 0]


def test_what_is_not_a_day_in_done_is_left_alone(house: House, clock: SettableClock) -> None:
    job = house.completed()
    (house.spool.path("done") / "0-mine").mkdir()
    (house.spool.path("done") / "2000").mkdir()
    (house.spool.path("done") / "2000" / "note.txt").write_text("mine")
    (house.spool.path("done") / "1999-01-01").write_text("a file with a day's name")
    clock.pass_by(8 * DAY)

    house.purge()
    house.purge()

    assert house.spool.entries("done") == ["0-mine", "1999-01-01", "2000"]
    assert house.spool.entries("done/2000") == ["note.txt"]
    assert house.now(job).place is Place.GONE


def test_a_strangers_file_keeps_its_day(house: House, clock: SettableClock) -> None:
    job = house.completed()
    folder = house.spool.path(house.spool.payload_path(job)).parent
    (folder / "note.txt").write_text("mine")
    clock.pass_by(8 * DAY)

    house.purge()
    house.purge()

    assert [path.name for path in folder.iterdir()] == ["note.txt"]


# -------------------------------------------------------------------- the hung and the dead


class Holder:
    """A process that holds an owner's lock until it is ended."""

    def __init__(self, run: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.owner = self.process.stdout.readline().strip()

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


@pytest.fixture
def holder(spool: Spool) -> Iterator[Holder]:
    """A living owner in another process."""
    made = Holder(spool.path("run"))
    yield made
    made.close()


def test_a_consumer_that_is_stopped_past_its_lease_is_ended_and_its_job_goes_on(
    house: House, holder: Holder, clock: SettableClock
) -> None:
    consumer(house.app, holder.owner, lease=30.0)
    submitted(house.jobqueue, clock.now())
    [job] = house.jobqueue.claim(holder.owner, ["default"], 1, clock.now())
    holder.process.send_signal(signal.SIGSTOP)

    clock.pass_by(29)
    house.janitor.look()
    assert holder.process.poll() is None
    assert house.now(job).state is State.PROCESSING

    clock.pass_by(2)
    house.janitor.look()
    clock.pass_by(1)
    repairs = house.janitor.look()

    assert holder.process.wait(20) == -signal.SIGKILL
    assert repairs.released == 1
    assert (house.now(job).state, house.now(job).losses, house.now(job).crashes) == (State.PENDING, 0, 0)
    assert house.index.consumers() == []
    assert house.app.owners.names() == []
    invariants(house.spool, house.index)


def test_a_consumer_that_can_not_write_the_index_but_beats_in_its_slot_is_not_ended(
    house: House, holder: Holder, clock: SettableClock
) -> None:
    """On a full disk nobody's beat reaches the index: when there is room again, nobody is to be ended for that."""
    consumer(house.app, holder.owner, lease=30.0)
    slot, descriptor = Slot.create(house.spool.path(f"run/{holder.owner}.slot"))
    os.close(descriptor)

    clock.pass_by(40)
    slot.beat(clock.boottime())
    house.janitor.look()
    clock.pass_by(2)
    house.janitor.look()

    assert holder.process.poll() is None


def test_a_step_of_the_wall_clock_ends_nobody(house: House, holder: Holder, clock: SettableClock) -> None:
    consumer(house.app, holder.owner, lease=30.0)

    clock.step(DAY)
    house.janitor.look()
    clock.pass_by(2)
    house.janitor.look()

    assert holder.process.poll() is None
    assert [row.owner for row in house.index.consumers()] == [holder.owner]


def test_a_consumer_that_slept_with_the_whole_machine_is_not_ended(
    house: House, holder: Holder, clock: SettableClock
) -> None:
    """The janitor may be the first to wake up: then nobody has renewed a lease for as long as the sleep was."""
    consumer(house.app, holder.owner, lease=30.0)
    house.janitor.look()

    clock.pass_by(3600)
    house.janitor.look()
    with house.index.transaction():
        house.index.beat(holder.owner, clock.now(), clock.boottime(), 0)
    clock.pass_by(2)
    house.janitor.look()

    assert holder.process.poll() is None
    assert [row.owner for row in house.index.consumers()] == [holder.owner]


class Watching:
    """A janitor at work in a thread. The clock stands still, so that no periodic look is ever due."""

    def __init__(self, janitor: Janitor, bell: Bell) -> None:
        self.looks = 0
        self.bell = bell
        self.stop = Stop()
        self._look = janitor.look
        janitor.look = self._counted  # type: ignore[method-assign]
        self._thread = threading.Thread(target=janitor.run, args=(self.stop, bell, Unexamined()))
        self._thread.start()

    def _counted(self) -> Repairs:
        self.looks += 1
        return self._look()

    def hears(self) -> bool:
        """Whether every ring so far was heard."""
        return not select.select([self.bell], [], [], 0)[0]

    def close(self) -> None:
        """End the janitor."""
        self.stop.request()
        self._thread.join()
        self.bell.close()


@pytest.fixture
def watching(
    house: House, second_index: Callable[[], Index], settings: Settings, clock: SettableClock
) -> Iterator[Callable[[], Watching]]:
    """Start the janitor with an index of its own: `watching()`."""
    started: list[Watching] = []

    def start() -> Watching:
        app = app_of(JobQueue(house.spool, second_index(), settings), clock)
        started.append(Watching(app.janitor("janitor"), Bell(house.spool.path("run"), "janitor")))
        return started[-1]

    yield start
    for each in started:
        each.close()


def test_a_killed_owners_job_is_given_back_at_once(
    house: House, holder: Holder, watching: Callable[[], Watching], clock: SettableClock
) -> None:
    consumer(house.app, holder.owner)
    submitted(house.jobqueue, clock.now())
    [job] = house.jobqueue.claim(holder.owner, ["default"], 1, clock.now())
    janitor = watching()
    eventually(lambda: janitor.looks, "the first look")
    ring(house.spool.path("run"))
    eventually(janitor.hears, "it waits, and not for the clock")

    holder.process.kill()

    eventually(lambda: house.now(job).state is State.PENDING, "its job waits again", within=4.0)
    eventually(lambda: house.app.owners.names() == [], "its name is forgotten")
    assert janitor.looks == 2


def test_an_owner_that_comes_later_is_watched_from_the_next_ring(
    house: House, watching: Callable[[], Watching], clock: SettableClock
) -> None:
    janitor = watching()
    eventually(lambda: janitor.looks, "the first look")
    late = Holder(house.spool.path("run"))
    try:
        ring(house.spool.path("run"), "janitor")
        submitted(house.jobqueue, clock.now())
        [job] = house.jobqueue.claim(late.owner, ["default"], 1, clock.now())
        eventually(janitor.hears, "the bell was heard")
        late.process.kill()

        eventually(lambda: house.now(job).state is State.PENDING, "its job waits again", within=4.0)
    finally:
        late.close()


def test_a_ring_of_the_bell_is_no_reason_to_look(
    house: House, holder: Holder, watching: Callable[[], Watching], clock: SettableClock
) -> None:
    janitor = watching()
    eventually(lambda: janitor.looks, "the first look")

    for _ in range(20):
        ring(house.spool.path("run"))
        eventually(janitor.hears, "the bell was heard")

    assert janitor.looks == 1


# -------------------------------------------------------------------- upkeep


class Once(Stop):
    """Ends a loop when it begins to wait."""

    def wait(self, *_: Any, **__: Any) -> list[int]:
        self.requested = True
        return []


def _round(house: House) -> None:
    """One round of the janitor's loop."""
    bell = Bell(house.spool.path("run"), "janitor")
    house.janitor.run(Once(), bell, Unexamined())
    bell.close()


def test_ballast_is_kept_and_made_again_when_there_is_room(
    house: House, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _round(house)
    assert house.spool.path("run/ballast").stat().st_size == int(house.app.settings.low_water) // 4

    assert house.spool.give_up_ballast()
    clock.pass_by(61)
    with monkeypatch.context() as patch:
        patch.setattr(Spool, "is_below", lambda spool, low_water: True)
        _round(house)
        assert not house.spool.exists("run/ballast")

    clock.pass_by(61)
    _round(house)
    assert house.spool.exists("run/ballast")


def test_on_a_full_disk_the_ballast_goes_so_that_what_is_no_longer_kept_can_go(
    housing: Housing, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No consumer has anything to do, so none gives it up."""
    house = housing(dead=60.0)
    house.dead()
    _round(house)
    clock.pass_by(100)
    real = Index.let_go

    def on_a_full_disk(index: Index, job: str) -> bool:
        if house.spool.exists("run/ballast"):
            raise DiskFull("There is no room left for the index.")
        return real(index, job)

    monkeypatch.setattr(Index, "let_go", on_a_full_disk)

    assert house.janitor.purge() == 1
    assert house.payloads() == []


def test_upkeep_is_done_once_a_minute_and_goes_on_at_once_while_there_is_more(
    housing: Housing, clock: SettableClock, few: int
) -> None:
    house = housing(dead=60.0)
    _round(house)
    for _ in range(5):
        house.dead()

    clock.pass_by(59)
    _round(house)
    assert len(house.payloads()) == 5
    clock.pass_by(2)
    _round(house)
    assert len(house.payloads()) == 2
    _round(house)
    assert len(house.payloads()) == 0


def test_a_look_that_fails_is_not_the_last(
    house: House, clock: SettableClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Repairs:
        raise OSError("the test says so")

    with monkeypatch.context() as patch:
        patch.setattr(house.janitor, "look", broken)
        _round(house)

    house.completed()
    clock.pass_by(61)
    _round(house)
    assert house.spool.exists("run/ballast")


def test_what_was_done_since_the_start_is_told_at_every_look(house: House, clock: SettableClock) -> None:
    """It is what metrics count: recoveries, what was removed, rounds of upkeep."""
    heard = Listening()
    house.completed()
    dead = submitted(house.jobqueue, clock.now(), b"b")
    house.jobqueue.claim(die(house.app, "consumer"), None, 1, clock.now())
    clock.pass_by(7 * DAY + 1)
    bell = Bell(house.spool.path("run"), "janitor")
    turn = Stop()
    turn.wake()

    house.janitor._turn(turn, bell, heard)
    assert heard.done == {**asdict(Repairs(released=1)), "reaped": 1, "purged": 1, "upkeep": 1, "scheduled": 0}
    assert house.now(dead).state is State.PENDING
    clock.pass_by(60)
    turn.wake()
    house.janitor._turn(turn, bell, heard)
    assert heard.done == {**asdict(Repairs(released=1)), "reaped": 1, "purged": 1, "upkeep": 2, "scheduled": 0}
    bell.close()
    invariants(house.spool, house.index)
