"""Two actors at once: every way in which one can be overtaken by the other once, and one of them go on or die.

A duel is two acts on one world. The first stops before its effect n, the second before its effect m, then the first
goes to its end and the second after it: for every n and m, in both orders. The same once more with the first killed
where it stands. What either is told is refused or done; what must hold at the end is what always must.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from shutil import rmtree

from pqfs.errors import PqfsError
from pqfs.model import Job, Kind, Outcome, State
from pqfs.settings import KeepSettings, QueueSettings, Settings
from tests.crash.harness import Scene, StandIn, after_crash
from tests.crash.protocols import ready
from tests.simulation.engine import SimulatedIndex
from tests.simulation.gate import Actor, Fate, Told
from tests.simulation.history import determined, swallowed
from tests.simulation.universe import Universe, Worker
from tests.world import submitted

Act = Callable[[], object]
Arrange = Callable[[Universe], Act]
EAGER = Settings(defaults=QueueSettings(backoff=1.0, max_crashes=2))
SHORT = replace(EAGER, keep=KeepSettings(done=10.0, cancelled=10.0, dead=10.0, rows="forever"))
NEVER = 10_000  # an effect that no act has
LONGEST = 80  # more effects than any act has


@dataclass(frozen=True, slots=True)
class Duel:
    """How the world is arranged, and the two acts on it, each made when all that comes before it has happened."""

    name: str
    before: Arrange
    first: Arrange
    second: Arrange
    settings: Settings = EAGER


@dataclass(frozen=True, slots=True)
class Round:
    """One interleaving: the first stops before effect n (and is killed there, if so), the second before m."""

    duel: Duel
    n: int
    m: int
    is_reversed: bool
    dies: bool

    def __str__(self) -> str:
        """For a report: enough to see it again."""
        turned = " reversed" if self.is_reversed else ""
        killed = " and dies" if self.dies else ""
        return f"{self.duel.name}{turned}: the first stops before {self.n}{killed}, the second before {self.m}"


# -------------------------------------------------------------------- acts


def nothing(universe: Universe) -> Act:
    """Nothing to arrange."""
    return lambda: None


def waiting(count: int, *verbs: str) -> Arrange:
    """Jobs that wait, the first of them steered."""

    def arrange(universe: Universe) -> Act:
        job = ready(universe, count)[0]
        for verb in verbs:
            job = getattr(universe.jobqueue, verb)(job, "ann", "to begin with", universe.clock.now())
        return lambda: None

    return arrange


def dropped(universe: Universe) -> Act:
    """Files in the inbox, one with a sidecar."""
    for name in (b"a.txt", b"b.txt", b"c.txt"):
        universe.drop(name)
    universe.drop(b"b.txt.job.json", b'{"priority": 7}')
    return lambda: None


def sweep(universe: Universe) -> Act:
    """An ingester sweeps."""
    return universe.ingester().sweep


def look(universe: Universe) -> Act:
    """A janitor looks after everything."""
    return universe.janitor().look


def purge(universe: Universe) -> Act:
    """A janitor removes what is no longer kept."""
    return universe.janitor().purge


def work(universe: Universe) -> Act:
    """A consumer claims and completes what there is."""
    return Worker(universe).work


def ending(kind: Kind | None, is_declared_dead: bool = False) -> Arrange:
    """A consumer ends an attempt that it has run; perhaps others believe it dead."""

    def arrange(universe: Universe) -> Act:
        worker = Worker(universe)
        ended: list[tuple[Job, Outcome]] = [
            (job, worker.refuse(job, kind) if kind else worker.run(job))
            for job in worker.claim(2)
            if worker.start(job)
        ]
        if is_declared_dead:
            universe.kill(worker.owner)
        return partial(worker.finish, ended)

    return arrange


def starting(is_declared_dead: bool = False) -> Arrange:
    """A consumer starts and completes what it has leased."""

    def arrange(universe: Universe) -> Act:
        worker = Worker(universe)
        leased = worker.claim(2)
        if is_declared_dead:
            universe.kill(worker.owner)
        return lambda: _work_off(worker, leased)

    return arrange


def _work_off(worker: StandIn, leased: list[Job]) -> None:
    ended = []
    for job in leased:
        if worker.start(job):
            ended.append((job, worker.run(job)))
        else:
            kind = Kind.LOST if worker.world.spool.find(job.id) else Kind.MISSING
            ended.append((job, Outcome(kind, "its payload is not where it was")))
    worker.finish(ended)


def giving_back(universe: Universe) -> Act:
    """A consumer gives back what it has leased."""
    leased = Worker(universe).claim(2)
    return lambda: universe.jobqueue.give_back(leased, "it drains", universe.clock.now())


def verb(name: str) -> Arrange:
    """A person steers the first job, as it was when the person looked."""

    def arrange(universe: Universe) -> Act:
        job = min(universe.jobs().values(), key=lambda job: job.id)
        if name == "delete" and job.output:
            universe.spool.remove(universe.spool.output_path(job.queue, job.output))
            universe.taken.add(job.output)
        if name == "delete":
            universe.deleted.add(job.name)
        wanted = _WANTED.get(name, ())
        return lambda: getattr(universe.jobqueue, name)(job, *wanted, "ann", "because", universe.clock.now())

    return arrange


def anew(name: str) -> Arrange:
    """A person looks and steers the first job at once, as it is when their turn comes."""
    return lambda universe: lambda: verb(name)(universe)()


def assigning(universe: Universe) -> Act:
    """A person assigns the first job, as it was when the person looked, to the consumers of this world."""
    job = min(universe.jobs().values(), key=lambda job: job.id)
    return lambda: universe.jobqueue.assign(job, "consumer", "ann", "because", universe.clock.now())


_WANTED = {"prioritise": (7,), "reschedule": (0.5,)}


def submitting(universe: Universe) -> Act:
    """A job is submitted."""
    submitter = universe.owner("submit")

    def act() -> None:
        submitted(universe.jobqueue, universe.clock.now(), b"s.txt", b"data", submitter, priority=3)
        universe.sent[b"s.txt"] = b"data"

    return act


# -------------------------------------------------------------------- who meets whom


def _consumers() -> Iterator[Duel]:
    acts = {
        "works": work, "completes": ending(None), "fails": ending(Kind.FAILED),
        "fails for good": ending(Kind.PERMANENT), "starts": starting(), "gives back": giving_back,
    }  # fmt: skip
    for name, act in acts.items():
        yield Duel(f"consumer {name} / consumer works", waiting(3), act, work)
        yield Duel(f"consumer {name} / janitor looks", waiting(3), act, look)
        for person in ("hold", "cancel", "fail", "delete"):
            yield Duel(f"consumer {name} / person {person}", waiting(2), act, verb(person))
        yield Duel(f"consumer {name} / person assigns", waiting(2), act, assigning)
    late = {"completes": ending(None, True), "fails": ending(Kind.FAILED, True), "starts": starting(True)}
    for name, act in late.items():
        yield Duel(f"consumer declared dead {name} / janitor looks", waiting(2), act, look)


def _ingesters() -> Iterator[Duel]:
    yield Duel("ingester / ingester", dropped, sweep, sweep)
    yield Duel("ingester / janitor looks", dropped, sweep, look)
    yield Duel("ingester / consumer works", dropped, sweep, work)
    yield Duel("submitter / janitor looks", nothing, submitting, look)


_VERBS: dict[tuple[str, ...], tuple[str, ...]] = {
    (): ("hold", "cancel", "fail", "prioritise"),
    ("hold",): ("release", "cancel", "fail", "prioritise"),
    ("fail",): ("redrive", "delete", "discard"),
    ("cancel",): ("redrive", "delete", "discard"),
}


def _people() -> Iterator[Duel]:
    for before, verbs in _VERBS.items():
        told = " ".join((*before, "then"))
        for name in verbs:
            yield Duel(f"{told} {name} / janitor looks", waiting(1, *before), verb(name), look)
            yield Duel(f"{told} {name} / consumer works", waiting(2, *before), verb(name), work)
            for other in verbs:
                yield Duel(f"{told} {name} / {other}", waiting(1, *before), verb(name), verb(other))
    for steered, one, other in ((["hold"], "release", "hold"), ([], "hold", "release"), ([], "reschedule", "hold")):
        yield Duel(f"{one} / {other} at once", waiting(1, *steered), anew(one), anew(other))
    yield Duel("assign / janitor looks", waiting(1), assigning, look)
    for name in ("hold", "cancel", "fail"):
        yield Duel(f"assign / {name}", waiting(1), assigning, verb(name))
        yield Duel(f"{name} / assign", waiting(1), verb(name), assigning)
    for name in ("redrive", "delete"):
        yield Duel(f"fail then {name} / retention", _old_dead_letter, verb(name), purge, SHORT)


def _old_dead_letter(universe: Universe) -> Act:
    waiting(1, "fail")(universe)
    universe.clock.pass_by(2 * 86400.0)
    universe.deleted.update(job.name for job in universe.jobs().values())
    return lambda: None


def duels() -> list[Duel]:
    """Every pair that matters."""
    return [*_consumers(), *_ingesters(), *_people()]


# -------------------------------------------------------------------- rounds


class Ring:
    """Plays rounds, each in a fresh universe."""

    def __init__(self, root: Path, engine: SimulatedIndex) -> None:
        self._root = root
        self._engine = engine

    def play(self, played: Round) -> tuple[bool, bool]:
        """Play one; whether the first, and the second, had an effect to stop before.

        Raises:
            AssertionError: something that must hold does not.
        """
        rmtree(self._root, ignore_errors=True)
        with determined(1), swallowed() as errors:
            universe = Universe(self._root / "spool", played.duel.settings, self._engine, lambda below: 0)
            try:
                stopped = self._fight(universe, played)
                universe.die()
                after_crash(universe, Scene.of(universe))
            finally:
                universe.close()
            assert not errors, f"an error of the program was swallowed: {errors[0]!r}"
        return stopped

    def _fight(self, universe: Universe, played: Round) -> tuple[bool, bool]:
        duel = played.duel
        duel.before(universe)
        acts = [duel.first(universe), duel.second(universe)]
        universe.clock.pass_by(3.0)
        actors = [Actor(name, _once(act)) for name, act in zip(("first", "second"), acts, strict=True)]
        for actor in actors:
            universe.gate.admit(actor)
        one, other = reversed(actors) if played.is_reversed else actors
        stopped = _up_to(one, played.n), _up_to(other, played.m)
        if played.dies and not one.has_ended:
            one.go_on(Told(Fate.KILL))
        for actor in (one, other):
            _up_to(actor, NEVER)
            if actor.error is not None and not isinstance(actor.error, PqfsError | OSError):
                raise actor.error
            universe.gate.dismiss(actor)
        if not played.dies:
            _is_kept(universe)
        return stopped


def _is_kept(universe: Universe) -> None:
    """What a rebuild would be told of waiting jobs is what their rows say, when nobody died."""
    for job in universe.jobs().values():
        if job.state in (State.PENDING, State.HELD) and (meta := universe.spool.read_meta(job.id)):
            held = job.state is State.HELD
            assert bool(meta.get("held")) == held, f"a job that is {job.state} would come back otherwise"
            assert not held or meta["ready_at"] == job.ready_at, "a held job would come back for another time"


def _once(act: Act) -> Callable[[Actor], None]:
    def live(me: Actor) -> None:
        act()

    return live


def _up_to(actor: Actor, n: int) -> bool:
    """Let it go until it waits before its effect n; whether it does."""
    while not actor.has_ended:
        if actor.count >= n:
            return True
        actor.go_on(Told())
    return False


def fight_out(ring: Ring, duel: Duel, every: int = 1, turn: int = 0) -> Iterator[tuple[Round, Exception | None]]:
    """Play every round of a duel (one in `every` of the crossed ones), and tell what broke in each.

    `turn`: which ones are played of them.
    """
    for is_reversed in (False, True):
        for n in range(1, LONGEST):
            alone = Round(duel, n, NEVER, is_reversed, dies=False)
            stopped, error = _tried(ring, alone)
            yield alone, error
            if not stopped[0]:
                break
            dying = Round(duel, n, NEVER, is_reversed, dies=True)
            yield dying, _tried(ring, dying)[1]
            for m in range(1 + (n + turn) % every, LONGEST, every):
                crossed = Round(duel, n, m, is_reversed, dies=False)
                stopped, error = _tried(ring, crossed)
                yield crossed, error
                if not stopped[1]:
                    break


def _tried(ring: Ring, played: Round) -> tuple[tuple[bool, bool], Exception | None]:
    try:
        return ring.play(played), None
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is reported with its round
        return (True, True), error
