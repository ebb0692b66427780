"""An index is moved while others write to it: step by step, with changes between any two of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pqfs.errors import Unavailable
from pqfs.index import Engine, Index
from pqfs.index.moving import Move, bring_level, moving, rows
from pqfs.index.recording import Recording, whose_changes
from pqfs.index.sqlite import SqliteEngine
from pqfs.index.tables import ROWS, Table
from pqfs.model import State
from tests.index.test_contract import NOW, arrive, claim, complete, known, settlement
from tests.index.test_moving import made_up

there = pytest.mark.parametrize("sides", ["there"], indirect=True)


@dataclass
class Writer:
    """Who works with the source meanwhile: each call adds, changes and removes rows of some kind."""

    index: Index
    calls: int = 0
    made: list[str] = field(default_factory=list)

    def __call__(self, *_: object) -> None:
        self.calls += 1
        self._arrives_with_a_key()
        self._runs_one()
        self._deletes_one()
        with self.index.transaction():
            self.index.add_event(NOW, "ann", "look", reason=f"{self.calls}")
            self.index.create_queue(f"queue-{self.calls}", NOW)

    def _arrives_with_a_key(self) -> None:
        job = arrive(self.index, name=f"{self.calls}".encode())
        self.made.append(job.id)
        with self.index.transaction():
            row = {"queue": "default", "kind": "key", "digest": f"{self.calls % 3}", "job": job.id}
            self.index.engine.run_many("put_keys", [row])  # an older job's key may become this one's

    def _runs_one(self) -> None:
        for job in claim(self.index):
            complete(self.index, job, f"output of {job.id}")

    def _deletes_one(self) -> None:
        old = self.made.pop(0) if len(self.made) > 2 else None
        if old:
            with self.index.transaction():
                self.index.engine.run("drop_jobs", {"id": old})  # its keys go with it


@pytest.fixture(params=["there", "back"])
def sides(request: pytest.FixtureRequest, index: Index, tmp_path: Path) -> Iterator[tuple[Index, Engine]]:
    """The source with some jobs in it, and an empty target: a file and the engine of this test, and the other way."""
    other = Index(SqliteEngine(tmp_path / "other.db", durable=False))
    source, target = (index, other) if request.param == "back" else (other, index)
    writer = Writer(source)
    for _ in range(4):
        writer()
    with source.transaction():
        source.identify("a spool", 7)
    yield source, target.engine
    other.close()


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that there is something between them."""
    monkeypatch.setattr("pqfs.index.moving._CHUNK", 3)
    monkeypatch.setattr("pqfs.index.moving._SMALL", 2)
    monkeypatch.setattr("pqfs.index.recording._BATCH", 5)


def _all(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    return {table.name: list(rows(engine, table)) for table in ROWS}


def _nothing(_: object) -> None:
    pass


def test_what_changes_beside_any_step_comes_over_as_it_is_at_the_end(sides: tuple[Index, Engine]) -> None:
    source, target = sides
    writer = Writer(source)

    def sometimes(_: int) -> None:
        if writer.calls < 12:
            writer()

    with moving(source.engine, target) as move:
        writer()
        move.copy(sometimes)
        writer()
        move.compare(lambda _: writer() if writer.calls < 20 else None)
        move.catch_up(lambda _: writer() if writer.calls < 25 else None)
        writer()
        move.finish(_nothing)
        move.end()

    assert writer.calls > 20  # beside each of the steps
    assert _all(target) == _all(source.engine)
    assert sorted(Index(target).counts()) == sorted(source.counts())
    assert Index(target).identity() is None, "half a move could be taken for the whole"


def test_the_key_of_a_job_that_came_after_the_jobs_were_copied_waits_for_it(sides: tuple[Index, Engine]) -> None:
    source, target = sides
    move, writer = Move(source.engine, target), Writer(source)
    bring_level(source.engine, target, _nothing, [each for each in ROWS if each.name == "jobs"])
    writer()

    bring_level(source.engine, target, _nothing, [each for each in ROWS if each.name == "keys"])

    assert _all(target)["keys"] != _all(source.engine)["keys"]
    move.copy(_nothing)
    move.compare(_nothing)
    move.finish(_nothing)
    assert _all(target) == _all(source.engine)
    move.end()


def test_who_changes_a_row_after_it_was_read_is_not_forgotten(
    sides: tuple[Index, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = sides
    job = arrive(source)
    with moving(source.engine, target) as move:
        move.copy(_nothing)
        with source.transaction():
            source.steer(settlement(job, State.HELD), NOW)
        held, real = known(source, job.id), Move._write

        def changed_meanwhile(self: Move, table: Table, found: object) -> None:
            if table.name == "jobs" and known(source, job.id).state is State.HELD:
                with source.transaction():
                    source.steer(settlement(held, State.CANCELLED), NOW)
            real(self, table, found)  # type: ignore[arg-type]

        monkeypatch.setattr(Move, "_write", changed_meanwhile)
        move.finish(_nothing)
        move.end()

    assert known(Index(target), job.id).state is State.CANCELLED


@there
@pytest.mark.parametrize("harm", ["a row is other", "a row is missing", "a row is too much"])
def test_a_difference_that_no_change_explains_is_refused(sides: tuple[Index, Engine], harm: str) -> None:
    source, target = sides
    job = arrive(source)
    with pytest.raises(Unavailable, match="1 rows"), moving(source.engine, target) as move:
        move.copy(_nothing)
        with target.transaction():
            if harm == "a row is missing":
                target.run("drop_jobs", {"id": job.id})
            elif harm == "a row is other":
                Index(target).steer(settlement(job, State.HELD), NOW)
        if harm == "a row is too much":
            arrive(Index(target))
        move.compare(_nothing)

    assert whose_changes(source.engine) is None


@there
def test_a_row_that_the_target_does_not_keep_is_noticed_at_once(
    sides: tuple[Index, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = sides
    with pytest.raises(Unavailable, match="not what they should be"), moving(source.engine, target) as move:
        move.copy(_nothing)
        arrive(source)
        monkeypatch.setattr(Move, "_write", lambda *_: None)
        move.finish(_nothing)


@there
def test_a_row_too_few_at_the_end_is_noticed(sides: tuple[Index, Engine]) -> None:
    source, target = sides
    job = arrive(source)
    with pytest.raises(Unavailable, match="1 rows"), moving(source.engine, target) as move:
        move.copy(_nothing)
        with target.transaction():
            target.run("drop_jobs", {"id": job.id})
        move.finish(_nothing)


def _left(engine: Engine) -> list[object]:
    """What the database holds beside rows."""
    if isinstance(engine, SqliteEngine):
        return list(engine._connection.execute("SELECT type, name FROM sqlite_schema ORDER BY 1, 2"))
    asked = (
        "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1",
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1",
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
    )
    return [engine._session.run(each) for each in asked]  # type: ignore[attr-defined]


@pytest.mark.parametrize("how", ["done", "given up", "killed, and begun again"])
def test_nothing_of_a_move_is_left(sides: tuple[Index, Engine], how: str) -> None:
    source, target = sides
    before = _left(source.engine), _left(target)
    if how == "killed, and begun again":
        Move(source.engine, target).copy(_nothing)
    try:
        with moving(source.engine, target) as move:
            assert _left(source.engine) != before[0]
            move.copy(_nothing)
            if how == "given up":
                raise KeyboardInterrupt
            move.finish(_nothing)
            move.end()
    except KeyboardInterrupt:
        pass

    assert (_left(source.engine), _left(target)) == before


@there
@pytest.mark.parametrize("how", ["by another move", "by hand"])
def test_a_move_that_somebody_has_ended_says_so(sides: tuple[Index, Engine], how: str) -> None:
    source, target = sides
    with pytest.raises(Unavailable, match="ended this move"), moving(source.engine, target) as move:
        move.copy(_nothing)
        other = Move(source.engine, target)
        if how == "by hand":
            other.end()
        move.finish(_nothing)


def test_every_change_of_every_table_makes_an_entry(index: Index) -> None:
    engine, old, job = index.engine, arrive(index), arrive(index).id
    recording = Recording(engine)
    try:
        for table in ROWS:
            told = engine.run("get_jobs", {"id": old.id})[0] if table.name == "jobs" else ()
            row = table.named(tuple(told)) or made_up(table, job, 1)
            key = table.key(tuple(row[column] for column in table.columns))
            for act in (_put, _put, _drop):
                act(engine, table, row)
                assert recording.has(table, key), f"{act.__name__} {table.name}"
                found = _taken(recording)[table.name]
                assert (found[key] is None) == (act is _drop)
    finally:
        with index.transaction():
            engine.run("forget_changes", {})


def _put(engine: Engine, table: Table, row: dict[str, object]) -> None:
    with engine.transaction():
        engine.run(f"put_{table.name}", row)


def _drop(engine: Engine, table: Table, row: dict[str, object]) -> None:
    with engine.transaction():
        engine.run(f"drop_{table.name}", {key: row[key] for key in table.keys})


def _taken(recording: Recording) -> dict[str, dict[tuple[object, ...], object]]:
    found: dict[str, dict[tuple[object, ...], object]] = {}
    while more := recording.take():
        for name, told in more.items():
            found.setdefault(name, {}).update(told)
    return found


@there
def test_who_writes_faster_than_rows_are_carried_over_does_not_keep_a_move_for_ever(
    sides: tuple[Index, Engine],
) -> None:
    source, target = sides
    writer = Writer(source)
    with moving(source.engine, target) as move:
        move.copy(_nothing)
        writer()
        move.catch_up(writer)
        move.finish(_nothing)
        move.end()

    assert _all(target) == _all(source.engine)
