"""An index on PostgreSQL under the commands: what differs from a file, and that its password is shown nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from pqfs import runnerlink
from pqfs.clock import SharedClock, SystemClock
from pqfs.errors import Misconfigured
from pqfs.hosts import DUTY
from pqfs.index import Consumer, catalogue
from pqfs.settings import load, without_secret
from pqfs.spool import Spool
from pqfs.wiring import open_app
from tests import newer
from tests.shell import Shell
from tests.world import invariants, new_id

if TYPE_CHECKING:
    from tests.server import Server

SECRET = "geheim"


@pytest.fixture
def served(shell: Shell, server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """A folder with a spool whose index is a new database."""
    monkeypatch.setenv("PQFS_INDEX", server.fresh("served").replace("@", f":{SECRET}@"))
    (shell.spool / "index.db").unlink()
    (shell.spool / ".identity").unlink()
    assert shell("init") == 0
    yield shell
    server.run("DROP DATABASE served WITH (FORCE)")


def test_the_commands_work_and_show_the_address_without_its_password(served: Shell) -> None:
    (served.root / "a.txt").write_text("a")

    for command in (
        ["submit", "a.txt"], ["jobs", "list"], ["queue", "create", "mail"], ["status"], ["doctor"], ["fsck"],
        ["config", "show"], ["index", "version"], ["audit", "list"], ["audit", "verify"],
    ):  # fmt: skip
        assert served(*command) == 0, (command, served.err)
        assert SECRET not in served.out + served.err
    assert not (served.spool / "index.db").exists()
    with closing(open_app(load({"spool": str(served.spool)}))) as app:
        invariants(app.spool, app.index)
        assert isinstance(app.clock, SharedClock)
        assert abs(app.clock.now() - SystemClock().now()) < 5.0


def test_status_and_doctor_name_the_host_that_leads(served: Shell, server: Server) -> None:
    from pqfs.index.postgres import PostgresEngine

    assert served.json("status")["leader"] is None
    host = load({"spool": str(served.spool)}).settings.host
    with closing(PostgresEngine(server.address("served"))) as janitor:
        assert janitor.leads(DUTY, host)

        served("status")
        assert f"leads      the janitor of {host}" in served.out
        served("doctor")
        assert f"The janitor of {host} leads." in served.out


def test_an_empty_database_beside_a_full_spool_is_no_index(served: Shell, server: Server) -> None:
    (served.root / "a.txt").write_text("a")
    assert served("submit", "a.txt") == 0
    server.fresh("served")

    assert served("submit", "a.txt") == 6
    assert "holds jobs" in served.err
    assert served("index", "rebuild") == 0
    assert served("jobs", "list") == 0
    assert "a.txt" in served.out


@pytest.mark.parametrize("directory", ["inbox", "ready/submit.1.0123abcd"])
def test_a_new_spool_that_holds_files_is_not_taken_for_the_one_of_an_index_with_jobs(
    served: Shell, directory: str
) -> None:
    served.submit()
    Spool.create(served.root / "other")
    folder = served.root / "other" / directory
    folder.mkdir(exist_ok=True)
    (folder / f"{new_id(1.0)}.default.b.txt").write_text("b")

    assert served("--spool", served.root / "other", "submit", "a.txt") == 6
    assert "another spool" in served.err or "there is nothing" in served.err
    assert served("jobs", "list") == 0
    assert served.out.count("pending") == 1


def test_who_opens_an_older_dump_waits_until_the_other_hosts_have_ended(served: Shell, server: Server) -> None:
    served.submit()
    server.run("UPDATE identity SET era = era - 2", "served")
    server.run("INSERT INTO hosts SELECT 'alpha', 'a boot', max(beat_at), 30 FROM hosts", "served")

    assert served("submit", "a.txt") == 6
    assert "and alpha works on it" in " ".join(served.err.split())
    server.run("UPDATE hosts SET beat_at = 0 WHERE name = 'alpha'", "served")
    assert served("submit", "a.txt") == 0
    assert "older than the tree" in served.err


def test_a_rebuild_begins_anew_and_never_in_another_spools_index(served: Shell, server: Server) -> None:
    (served.root / "a.txt").write_text("a")
    assert served("submit", "a.txt") == 0
    assert served("index", "rebuild", "--fresh", "-y") == 0
    assert server.run("SELECT count(*) FROM jobs", "served") == [(1,)]
    server.run("UPDATE identity SET spool = 'another'", "served")

    assert served("index", "rebuild", "--fresh", "-y") == 6
    assert "another spool's" in served.err
    assert server.run("SELECT count(*) FROM jobs", "served") == [(1,)]


def test_an_index_of_an_older_pqfs_stays_as_it_is_while_another_host_works_with_it(
    served: Shell, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    (served.root / "a.txt").write_text("a")
    number = "SELECT number FROM pqfs_schema"
    before = server.run(number, "served")
    server.run("INSERT INTO hosts SELECT 'alpha', 'a boot', max(beat_at), 30 FROM hosts", "served")

    with monkeypatch.context() as upgraded:
        upgraded.setattr(catalogue, "migrations", newer.migrations)
        assert served("submit", "a.txt") == 1
        assert "of the older pqfs that it is of work on it at alpha" in " ".join(served.err.split())
        assert server.run(number, "served") == before
        server.run("UPDATE hosts SET beat_at = 0 WHERE name = 'alpha'", "served")
        assert served("submit", "a.txt") == 0

    assert server.run(number, "served") != before
    assert served("submit", "a.txt") == 6


def test_status_says_on_which_host_a_consumer_is_and_not_that_it_is_idle(served: Shell) -> None:
    with closing(open_app(load({"spool": str(served.spool)}))) as app, app.index.transaction():
        now = app.clock.now()
        far = Consumer(
            "consumer-00.9.aaaaaaaa.alpha", "consumer-00", 9, "alpha", "a boot", None, now, now, 1.0, 30.0, 0
        )
        app.index.register(far)

    assert served("status") == 0
    [line] = [line for line in served.out.splitlines() if line.startswith("consumer ")]
    assert "on alpha" in line
    assert "idle" not in line
    assert "index      0 B" not in served.out


def test_what_the_server_does_better_is_left_to_it(served: Shell) -> None:
    for command in (["index", "backup", "copy"], ["index", "restore", "pqfs.toml", "-y"]):
        assert served(*command) == 1
        assert "own tools" in served.err


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://ann:geheim@host/db", "postgresql://ann:***@host/db"),
        ("postgresql://ann:ge:h@host/db?password=geheim&x=1", "postgresql://ann:***@host/db?password=***&x=1"),
        ("postgresql://ann@host:5432/db", "postgresql://ann@host:5432/db"),
        ("postgresql://host:5432/db", "postgresql://host:5432/db"),
    ],
)
def test_an_address_is_shown_without_its_password(address: str, shown: str) -> None:
    assert without_secret(address) == shown


def test_an_address_that_means_nothing_is_refused_without_its_password() -> None:
    with pytest.raises(Misconfigured, match="none of sqlite") as told:
        load({}, {"PQFS_INDEX": "mysql://ann:geheim@host/db"})

    assert SECRET not in f"{told.value} {told.value.hint}"


def test_no_handler_gets_to_see_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PQFS_INDEX", "postgresql://ann:geheim@host/db")
    monkeypatch.setenv("PGPASSWORD", "geheim")

    assert SECRET not in str(runnerlink._runner_environment("me")) + str(runnerlink._environment("me"))


def test_a_shared_clock_goes_on_by_the_time_since_boot_and_no_step_of_the_hosts_moves_it() -> None:
    clock = SharedClock(lambda: 1000.0)

    assert 0.0 <= clock.now() - 1000.0 - clock.boottime() + 1.0 < 2.0
