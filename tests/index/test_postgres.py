"""What is PostgreSQL's own: connections that are lost, commits whose answer is, databases that are not ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pqfs.errors import IndexBusy, IndexGone, Misconfigured, Refused, SchemaTooNew, Unavailable
from pqfs.index import Index, catalogue, led_by
from pqfs.index.audit import Audit
from pqfs.index.recording import Recording, forget_changes
from pqfs.model import Arrival
from tests.index.test_contract import SCHEMATIC, arrive, claim, known
from tests.world import EPOCH, eventually, new_id

if TYPE_CHECKING:
    from pqfs.index.postgres import PostgresEngine
    from tests.server import Server

pytestmark = pytest.mark.parametrize("place", ["postgres"], indirect=True)


def engine_of(index: Index) -> PostgresEngine:
    from pqfs.index.postgres import PostgresEngine

    assert isinstance(index.engine, PostgresEngine)
    return index.engine


def end_sessions(server: Server) -> None:
    """End every session as an administrator does, and wait until they are gone."""
    server.run("SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE application_name = 'pqfs'")


@pytest.fixture
def database(server: Server) -> Iterator[str]:
    """A database of a test's own, empty."""
    name = f"own_{new_id()[-12:]}"
    server.run(f"CREATE DATABASE {name} STRATEGY file_copy")
    yield name
    server.run(f"DROP DATABASE {name} WITH (FORCE)")


# -------------------------------------------------------------------- the connection


def test_a_session_that_was_ended_between_two_questions_is_not_noticed(index: Index, server: Server) -> None:
    job = arrive(index)

    end_sessions(server)
    assert known(index, job.id) == job
    end_sessions(server)
    assert [each.id for each in claim(index)] == [job.id]


def test_a_transaction_whose_session_ends_has_changed_nothing_and_says_so(index: Index, server: Server) -> None:
    arrival = Arrival(new_id(), "default", b"n", 1)

    with pytest.raises(Unavailable, match="was lost"), index.transaction():
        index.insert([arrival], "arriver", EPOCH)
        end_sessions(server)
        index.counts()

    assert index.job(arrival.id) is None
    with index.transaction():
        index.insert([arrival], "arriver", EPOCH)
    assert index.job(arrival.id) is not None


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_commit_whose_answer_is_lost_is_told_as_what_became_of_it(index: Index, server: Server, when: str) -> None:
    session, arrival = engine_of(index)._session, Arrival(new_id(), "default", b"n", 1)
    session._connection = Faltering(session._connection, lambda: end_sessions(server), when)

    def insert() -> None:
        with index.transaction():
            index.insert([arrival], "arriver", EPOCH)

    if when == "before":
        with pytest.raises(Unavailable, match="was lost"):
            insert()
    else:
        insert()

    assert (index.job(arrival.id) is not None) is (when == "after")


class Faltering:
    """A connection that is lost right before, or right after, the server has got a COMMIT."""

    def __init__(self, connection: Any, lose: Callable[[], None], when: str) -> None:
        self._connection, self._lose, self._when = connection, lose, when

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *more: Any) -> Any:
        if not sql.endswith("COMMIT"):
            return self._connection.execute(sql, *more)
        if self._when == "before":
            self._lose()
            return self._connection.execute(sql)
        self._connection.execute(sql)
        self._lose()
        return self._connection.execute("SELECT 1")


def test_a_writer_that_waits_in_vain_says_that_the_index_is_busy(
    index: Index, second_index: Callable[[], Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pqfs.index import session

    monkeypatch.setitem(session._WAITS, "lock_timeout", "50ms")
    other = second_index()

    with index.transaction(), pytest.raises(IndexBusy), other.transaction():
        pass

    with other.transaction():
        pass


def test_a_server_that_is_not_there_is_told_with_no_password(index: Index, server: Server) -> None:
    from pqfs.index.postgres import PostgresEngine

    with pytest.raises(Unavailable, match="does not answer") as told:
        PostgresEngine(f"postgresql://ann:geheim@/db?host={server.top}/nowhere")
    with pytest.raises(Misconfigured, match="can not be read") as read:
        PostgresEngine("postgresql://ann:geheim@host/db?nonsense=1")

    assert "geheim" not in f"{told.value} {read.value} {read.value.__cause__}"


# -------------------------------------------------------------------- whose database it is


def test_a_strangers_database_is_refused_and_not_touched(index: Index, server: Server, database: str) -> None:
    from pqfs.index.postgres import PostgresEngine

    server.run("CREATE TABLE theirs (x int)", database)

    with pytest.raises(Misconfigured, match=r"other tables \(theirs"):
        PostgresEngine(server.address(database))

    assert server.run("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database) == [("theirs",)]
    server.run("CREATE SCHEMA ours", database)
    PostgresEngine(f"{server.address(database)}&options=-csearch_path%3Dours").close()


def test_a_newer_schema_is_refused_and_an_empty_database_is_no_index_to_read(
    index: Index, server: Server, database: str
) -> None:
    from pqfs.index.postgres import PostgresEngine

    with pytest.raises(Unavailable, match="being made"):
        PostgresEngine(server.address(database), read_only=True)
    PostgresEngine(server.address(database)).close()
    server.run("UPDATE pqfs_schema SET number = 9999", database)

    for read_only in (True, False):
        with pytest.raises(SchemaTooNew, match="has schema 9999"):
            PostgresEngine(server.address(database), read_only=read_only)


def test_a_reader_can_not_write(index: Index, place: str) -> None:
    from pqfs.index.postgres import PostgresEngine

    reader = Index(PostgresEngine(place, read_only=True))
    job = arrive(index)

    with pytest.raises(Unavailable, match="can not be written"):
        claim(reader)

    assert reader.job(job.id) == job
    reader.close()


def test_tables_that_are_gone_are_told(index: Index, server: Server, database: str) -> None:
    from pqfs.index.postgres import PostgresEngine

    opened = Index(PostgresEngine(server.address(database)))
    server.run("DROP TABLE jobs CASCADE", database)

    with pytest.raises(IndexGone, match="not what it was"):
        opened.job("any")
    opened.close()


# -------------------------------------------------------------------- the catalogue


def test_every_statement_can_be_planned(index: Index) -> None:
    from pqfs.index.postgres import _TOKENS, named

    session = engine_of(index)._session
    Recording(index.engine)  # which makes what some of them ask
    for statements in (catalogue.statements(_TOKENS), catalogue.batches(_TOKENS)):
        for sql in (sql for name, sql in statements.items() if name not in SCHEMATIC):
            names = {part.split(")")[0]: None for part in named(sql).split("%(")[1:]}
            assert session.run(f"EXPLAIN {named(sql)}", names)
    with index.transaction():
        forget_changes(index.engine)


def test_text_may_hold_what_no_text_of_the_server_can(index: Index) -> None:
    with index.transaction():
        index.add_event(EPOCH, "cli:ann", "hold", job="job", reason="a\0b%s :x")

    assert [event.reason for event in index.events("job")] == ["a\0b%s :x"]
    assert Audit(index.engine).verify().wrong is None


def test_a_copy_is_the_servers_to_make(index: Index) -> None:
    with pytest.raises(Refused, match="own tools"):
        index.engine.backup("copy")


# -------------------------------------------------------------------- signs of life


def test_a_duty_is_one_connections_until_it_ends(index: Index, second_index: Callable[[], Index]) -> None:
    first, second = second_index(), second_index()

    assert first.engine.leads("courier", "alpha")
    assert first.engine.leads("courier", "alpha")
    assert not second.engine.leads("courier", "beta")
    assert second.engine.leads("another duty", "beta")
    is_held = index.engine.held()
    assert is_held(led_by("courier", "alpha"))
    assert not is_held(led_by("courier", "beta"))
    first.close()
    assert eventually(lambda: second.engine.leads("courier", "beta"), "the duty is taken over")


def test_who_leads_and_says_nothing_has_led(
    index: Index, second_index: Callable[[], Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pqfs.index import postgres

    monkeypatch.setattr(postgres, "_SILENCE", "50ms")
    stopped, other = second_index(), second_index()
    assert stopped.engine.leads("duty", "alpha")
    monkeypatch.undo()

    assert eventually(lambda: other.engine.leads("duty", "beta"), "the duty is taken over")
    assert not stopped.engine.leads("duty", "alpha")
    assert stopped.engine.connections() == 1, "nothing has failed, and what it has seen of others is still true"


def test_a_name_is_held_as_long_as_its_connection_lives(index: Index, second_index: Callable[[], Index]) -> None:
    bearer, twin = second_index(), second_index()
    bearer.engine.hold("ann")
    twin.engine.hold("ann")  # its next session, of which the server has not yet heard that it is the next

    assert index.engine.held()("ann")
    assert not index.engine.held()("bob")
    bearer.close()
    assert index.engine.held()("ann")
    twin.close()
    assert eventually(lambda: not index.engine.held()("ann"), "its name is free")


def test_who_has_lost_a_connection_gets_another_and_has_its_name_again(
    second_index: Callable[[], Index], server: Server
) -> None:
    engine = second_index().engine
    engine.hold("cleo")
    assert not engine.keep()
    made = engine.connections()

    end_sessions(server)

    assert engine.keep()
    assert not engine.keep()
    assert engine.connections() == made + 1
    assert engine.held()("cleo")


def test_many_loose_commits_are_there_after_the_block(index: Index, second_index: Callable[[], Index]) -> None:
    with index.engine.bulk():
        jobs = [arrive(index) for _ in range(3)]

    assert [known(second_index(), job.id) for job in jobs] == jobs
    assert index.engine.integrity() == []
    assert index.engine.checkpoint() == (0, 0)
