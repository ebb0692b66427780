"""The index on PostgreSQL, 15 or later: many hosts, through psycopg 3.

The same statements and the same promises as on SQLite. Writers come one after the other here, too: each transaction
begins by taking one advisory lock, which its end gives back. So whatever is read in it (limits, counts, keys, the end
of the audit's chain) stays true until its commit, on any number of hosts, and no two of them can be each other's
obstacle. Readers wait for nobody.

They can not go side by side, even for claims of different queues. All of them change the same rows, the counts by
state and the figures of the minute, and hold them until their commit: who completes begins with *processing* and who
claims ends with it, so that two would wait for each other. And what is read before it is written would need a lock of
its own each time: `concurrency` and `claim_rate`, the first of two duplicates, the number of the next notice, the
audit's last hash. The price is that an index has one core of its server and one flush at a time, which batches share;
who needs more gives another spool a database of its own, whose lock is another.

Every commit is lasting, those of claims too: on one machine a loss of power ends with them whoever held them, but the
holders of these live on when the server falls.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from pqfs.clock import Clock, SharedClock
from pqfs.errors import Misconfigured, Refused
from pqfs.index import Parameters, Row, catalogue, led_by
from pqfs.index.heads import Heads
from pqfs.index.schema import Consent, alone, bring_up_to_date, refuse_newer, refuse_older
from pqfs.index.session import Session

_TOKENS = {
    "engine": "postgres",
    "blob": "BYTEA", "real": "DOUBLE PRECISION", "bigint": "BIGINT", "serial": "BIGINT PRIMARY KEY", "strict": "",
    "strict_without_rowid": "", "skip_locked": "FOR UPDATE SKIP LOCKED", "row": "id",
    "listed": "SELECT jsonb_array_elements_text(CAST(:list AS jsonb))",
}  # fmt: skip
CHANNEL = "pqfs"
# What can make a job claimable, or a queue.
_NEWS = frozenset({"insert_job", "restore_job", "settle", "steer", "plan", "assign", "wish_queue"})
_OLDEST = 150_000  # the server that the tests know: PostgreSQL 15
_OPTIONAL = re.compile(r"\(:(\w+) IS NULL OR ([^()]+)\)")
_PARAMETER = re.compile(r"(?<![:\w]):(\w+)")


class PostgresEngine:
    """One connection. Not for use by two threads at once; each thread opens its own."""

    def __init__(self, address: str, durable: bool = True, read_only: bool = False, consent: Consent = alone) -> None:
        self._statements = {name: named(sql) for name, sql in catalogue.statements(_TOKENS).items()}
        self._batches = {name: named(sql) for name, sql in catalogue.batches(_TOKENS).items()}
        self._session = Session(address, durable, read_only)
        self._heads = Heads(self._statements, self._session.run)
        self._has_news = False
        try:
            self._refuse_old_server()
            if read_only:
                self.refuse_other_schema()
            else:
                self._migrate(consent)
        except BaseException:
            self.close()
            raise

    # ---------------------------------------------------------------- engine

    @contextmanager
    def transaction(self, lasting: bool = True) -> Iterator[None]:
        """BEGIN … COMMIT, one writer at a time, rolled back when the block raises. All of them last."""
        self._session.begin()
        self._has_news = False
        try:
            yield
            self._commit()
        except BaseException:
            self._session.roll_back()
            raise

    def _commit(self) -> None:
        """The one place where the index changes for good; tests stop a process before it.

        With what makes jobs claimable goes one word to whoever listens, on any host.
        """
        has_news, self._has_news = self._has_news, False
        self._session.commit(f"NOTIFY {CHANNEL}; " if has_news else "")

    def run(self, name: str, parameters: Parameters) -> list[Row]:
        """Run a named statement and return its rows."""
        self._has_news |= name in _NEWS
        if name == "claimable":
            return self._heads.claimable(**parameters)
        self._heads.heed(name, [parameters])
        return self._session.run(self._statements[name], parameters)

    def run_many(self, name: str, parameters: Iterable[Parameters]) -> list[Row]:
        """Run a named statement for each set of parameters and return all rows."""
        listed = list(parameters)
        self._has_news |= bool(listed) and name in _NEWS
        self._heads.heed(name, listed)
        if len(listed) > 1 and name in self._batches:
            arrays = {key: [each[key] for each in listed] for key in listed[0]}
            return self._session.run(self._batches[name], arrays)
        return self._session.run_many(self._statements[name], listed)

    def checkpoint(self) -> tuple[int, int]:
        """The server sees to its log itself."""
        return 0, 0

    @contextmanager
    def bulk(self) -> Iterator[None]:
        """Commits are durable at the end of the block, not before: for what is begun again when it is cut off.

        Source: a flush of the log takes with it all that was written before (postgresql.org, "Asynchronous Commit").
        """
        with self._session.loosely():
            yield
        with self.transaction():
            self._session.run("UPDATE pqfs_schema SET number = number")

    def bytes(self) -> int:
        """How much room our tables take on the server, their indexes with them."""
        return int(self._session.run(_ROOM)[0][0])

    def backup(self, target: str) -> None:
        """Not offered: the server has tools of its own, which know how.

        Raises:
            Refused: always.
        """
        raise Refused(
            "An index on PostgreSQL is copied with the server's own tools.",
            "For example: pg_dump --format=custom --file index.dump DATABASE",
        )

    def schema_version(self) -> int:
        """The number of the newest migration that was applied; 0 in an empty database."""
        if self._session.run("SELECT to_regclass('pqfs_schema')")[0][0] is None:
            return 0
        return int(self._session.run("SELECT number FROM pqfs_schema")[0][0])

    def integrity(self, is_over: Callable[[], bool] = lambda: False) -> list[str]:
        """What the server itself says is wrong: tables that are gone, indexes left half made, rules not checked."""
        gone = self._session.run(_MISSING, [tables()])
        return [f"The table {row[0]} is gone" for row in gone] + [
            f"{kind} {name} is not valid" for kind, name in self._session.run(_INVALID)
        ]

    def leads(self, duty: str, host: str | None) -> bool:
        """Whether this session has, or gets, a duty's lock, which goes with it. Behind a proxy all of them lead.

        Who leads and is stopped would keep the others from it: so who says nothing for a while has led.
        """
        session = self._session
        return session.is_pooled or bool(session.run(_LEAD, [duty, session.key(led_by(duty, host)), _SILENCE])[0][0])

    def hold(self, name: str) -> None:
        """Show that its bearer lives, as long as this connection does and whenever it is made again."""
        self._session.hold(name)

    def held(self) -> Callable[[str], bool]:
        """Whose names are held just now."""
        return self._session.held()

    def keep(self) -> bool:
        """Make the connection again if it was lost; whether it was, since the last time that this was asked."""
        return self._session.keep()

    def connections(self) -> int:
        """How often it has been made, but for the times that the server has dismissed it for its silence."""
        return self._session.made

    def remarks(self) -> list[str]:
        """What is to be known of this server, in sentences: what it does not keep, or can not do for us."""
        found = []
        if self._session.is_pooled:
            found.append("A proxy stands between that shares sessions: nobody is woken through it, so hosts poll.")
            found.append("It hides whose session lives: a host that is gone is known by its lease, not in seconds.")
        if self._session.run("SELECT current_setting('fsync')")[0][0] == "off":
            found.append("Its fsync is off: a loss of power there takes commits back that were told to last.")
        return found

    def start_over(self) -> None:
        """Remove all of the index from the database, in one transaction. It can not be used any more."""
        with self.transaction():
            self.run("forget_changes", {})
            for name in [*tables(), "pqfs_schema"]:
                self._session.run(f"DROP TABLE IF EXISTS {name} CASCADE")
            self._session.run("DROP FUNCTION IF EXISTS count_jobs")

    def clock(self) -> Clock:
        """The server's, so that no host's step of the clock makes a lease longer or shorter."""
        return SharedClock(self._session.server_at_boot)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    # ---------------------------------------------------------------- schema

    def _migrate(self, consent: Consent) -> None:
        """Apply what is missing, each step in one transaction; refuse a newer schema and a stranger's tables."""
        bring_up_to_date(self, migrations(), self._apply, consent)

    def _apply(self, number: int, text: str, found: int) -> None:
        if found == 0:
            self._refuse_stranger()
            self._session.run("CREATE TABLE pqfs_schema (number BIGINT NOT NULL); INSERT INTO pqfs_schema VALUES (0)")
        self._session.run(text)
        self._session.run("UPDATE pqfs_schema SET number = %s", [number])

    def _refuse_stranger(self) -> None:
        if tables := self._session.run(_TABLES):
            raise Misconfigured(
                f"The database of the index holds other tables ({', '.join(row[0] for row in tables)}).",
                "Give pqfs a database of its own, or a schema of its own: …?options=-csearch_path%3Dpqfs",
            )

    def refuse_other_schema(self) -> None:
        """Refuse a schema that is not ours: newer, or older and not to be changed now."""
        found, newest = self.schema_version(), migrations()[-1][0]
        refuse_newer(found, newest)
        refuse_older(found, newest)

    def _refuse_old_server(self) -> None:
        found = int(self._session.run("SELECT current_setting('server_version_num')")[0][0])
        if found < _OLDEST:
            raise Misconfigured(f"The index's server is PostgreSQL {found // 10_000}.", "It must be 15 or later.")


def named(sql: str) -> str:
    """A statement of the catalogue with its parameters written as psycopg reads them.

    PostgreSQL gives a parameter its type where it stands first, which can not be beside IS NULL.
    """
    sql = _OPTIONAL.sub(r"(\2 OR :\1 IS NULL)", sql)
    return _PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%"))


def migrations() -> list[tuple[int, str]]:
    """Number and text of each migration.

    Whole numbers are as wide and texts in the same order as on SQLite, whatever the database was made with: ids and
    what is said to sort behind them must.
    """
    wide = {"INTEGER": "BIGINT", "TEXT": 'TEXT COLLATE "C"'}
    return [
        (number, re.sub(r"\b(INTEGER|TEXT)\b", lambda found: wide[found[1]], text))
        for number, text in catalogue.migrations("postgres", _TOKENS)
    ]


def tables() -> list[str]:
    """The tables that the migrations make."""
    return [name for _, text in migrations() for name in re.findall(r"CREATE TABLE (\w+)", text)]


_LEAD = """
SELECT CASE WHEN pg_try_advisory_lock(hashtext(current_schema()), hashtext(%s))
THEN pg_try_advisory_lock_shared(%s) AND set_config('idle_session_timeout', %s, false) <> '' ELSE false END
"""
_SILENCE = "10s"  # leaders look every 5 s and more often
_MISSING = "SELECT name FROM unnest(CAST(%s AS text[])) AS wanted (name) WHERE to_regclass(name) IS NULL"
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1 LIMIT 3"
_ROOM = """
SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class
WHERE relnamespace = to_regnamespace(current_schema()) AND relkind = 'r'
"""
_INVALID = """
SELECT 'The index', indexrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE relnamespace = to_regnamespace(current_schema()) AND NOT indisvalid
UNION ALL SELECT 'The rule', conname FROM pg_constraint
WHERE connamespace = to_regnamespace(current_schema()) AND NOT convalidated
"""
