"""One connection to a PostgreSQL server, which comes back by itself when it was lost.

A connection may be lost at any moment: the server is started anew, somebody ends its session, the network fails.
Between transactions it is opened again and the question asked again. Within a transaction nothing has been committed,
and the caller hears that the index is unavailable. At COMMIT nobody knows: then the server is asked, by the number of
the transaction, what became of it, so that no caller is told a failure of what has happened, nor the other way round.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any, TypeVar

from pqfs.clock import SystemClock
from pqfs.errors import Misconfigured, PqfsError, Refused, Unavailable
from pqfs.index import wire
from pqfs.index.wire import adapt, complete, first_line, ours
from pqfs.naming import harmless

Row = Sequence[Any]
_Answer = TypeVar("_Answer")

_WAITS = {
    "lock_timeout": "30s",  # for the write lock, before IndexBusy: far above any transaction of ours
    "idle_in_transaction_session_timeout": "10s",  # its process is stopped or cut off, and others wait for it
}
_ALONE = f"SELECT pg_advisory_xact_lock({0x70716673}, hashtext(current_schema()))"  # "pqfs"
_WHO = """
SELECT pg_backend_pid(), current_schema(), current_setting('synchronous_commit'),
       CAST(extract(epoch FROM clock_timestamp()) AS double precision)
"""
_FACTS = "SELECT pg_current_xact_id(), CAST(extract(epoch FROM clock_timestamp()) AS double precision)"
_STATEMENT = "120s"
# A machine that is gone says no word. Its sessions end, and give their locks back, once the server's kernel has asked
# it in vain: after 5 s of silence, every 2 s, until nothing was acknowledged for 10 s. Source: tcp(7), TCP_KEEPIDLE
# and TCP_USER_TIMEOUT, of which the latter ends it; measured between two network namespaces: 11.3 s after the cut. A
# socket that is no TCP ignores all four.
_DEATH = (
    "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3; "
    "SET tcp_user_timeout = 10000"
)
_WHILE_ASKED = "SET client_connection_check_interval = '2s'"  # who waits for a lock is asked whether he still does
_HOLD = "SELECT pg_try_advisory_lock_shared(%s)"
_HELD = """
SELECT (CAST(classid AS bigint) << 32) | CAST(objid AS bigint) FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 1 AND granted
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_PATIENCE = 30.0  # seconds for a server that was there to come back
_FIRST_STEP, _LONGEST_STEP = 0.02, 1.0  # seconds between two tries to connect, growing
# Ended by an administrator, by a crash, while starting, by a time-out of a silent transaction.
_SILENT = "57P05"  # it said nothing for longer than was wished: it is the server's doing, and there was no failure
_LOST = frozenset({"57P01", "57P02", "57P03", _SILENT, "25P03", "25P04"})


class Lost(Exception):
    """The connection is gone; whether anything had reached the server is not known here."""


class Session:
    """A connection with a memory of how to be made again. Not for two threads at once."""

    def __init__(self, address: str, durable: bool, read_only: bool) -> None:
        self._address = complete(address)
        self._durable = durable
        self._read_only = read_only
        self._connection: Any = None
        self._number: str | None = None  # the transaction under way
        self._at_boot = 0.0
        self._begin = ""
        self._schema = ""
        self._names: list[str] = []  # whose locks each session of ours takes
        self.is_pooled = False
        self.made = 0  # how many sessions there have been, but for those that followed one dismissed for its silence
        self._was_dismissed = False
        self._connect()
        self._seen = self.made

    # ---------------------------------------------------------------- transactions

    @property
    def in_transaction(self) -> bool:
        """Whether one has begun and has not ended."""
        return self._number is not None

    def begin(self) -> None:
        """Wait for the right to write, which one transaction has at a time, and begin one.

        READ COMMITTED is enough: what was read holds until the end, since nobody else writes.
        """
        try:
            row = self._insist(lambda: self._last_row(self._begin))
        except PqfsError:
            raise
        except BaseException:
            self._drop()  # interrupted: nobody knows whether it has begun
            raise
        self._number = str(row[0])
        self._at_boot = row[1] - SystemClock().boottime()

    def commit(self, first: str = "") -> None:
        """End a transaction for good; `first`: what belongs to its end.

        Raises:
            Unavailable: it was not carried out; or, when the server does not come back, nobody knows.
        """
        number, self._number = self._number, None
        try:
            done = self._try(lambda: self._connection.execute(f"{first}COMMIT"))
            while done.nextset():
                pass
            if done.statusmessage != "COMMIT":
                raise Unavailable("The last change of the index was not carried out: one of its steps had failed.")
        except Lost as error:
            if not self._was_committed(str(number)):
                raise _unavailable(error) from error

    def roll_back(self) -> None:
        """Undo a transaction, if there is one. A server that is not there has undone it, or will."""
        number, self._number = self._number, None
        if number is None or self._connection is None:
            return
        try:
            self._connection.execute("ROLLBACK")
        except wire.Error:
            self._drop()

    @contextmanager
    def loosely(self) -> Iterator[None]:
        """Commits of this block wait for no flush."""
        strict = self._begin
        self._begin = strict.replace(_ALONE, f"SET LOCAL synchronous_commit = 'off'; {_ALONE}")
        try:
            yield
        finally:
            self._begin = strict

    def _was_committed(self, number: str) -> bool:
        """Ask the server what became of a transaction whose end it was not heard to answer."""
        for pause in _pauses(_PATIENCE):
            try:
                self._reconnect()
                told = self._connection.execute("SELECT pg_xact_status(CAST(%s AS xid8))", [number]).fetchone()[0]
            except (wire.Error, Lost, Unavailable):
                told = None
            if told in ("committed", "aborted"):
                return bool(told == "committed")
            time.sleep(pause)
        raise Unavailable(
            "The index's server was lost in the midst of a change, and it is not known whether that was carried out.",
            "Look before you do it again: pqfs status",
        )

    # ---------------------------------------------------------------- questions

    def run(self, sql: str, parameters: Mapping[str, Any] | Sequence[Any] | None = None) -> list[Row]:
        """Run one statement and return its rows."""
        return self._asked(lambda: _rows(self._connection.execute(sql, parameters)))

    def run_many(self, sql: str, parameters: list[Mapping[str, Any]]) -> list[Row]:
        """Run one statement for each set of parameters, all of them under way at once, and return all rows."""
        if len(parameters) == 1:
            return self.run(sql, parameters[0])
        return self._asked(lambda: self._all_rows(sql, parameters)) if parameters else []

    def _asked(self, question: Callable[[], list[Row]]) -> list[Row]:
        if not self.in_transaction:
            return self._insist(question)
        try:
            return self._try(question)
        except Lost as error:
            raise _unavailable(error) from error

    def _all_rows(self, sql: str, parameters: list[Mapping[str, Any]]) -> list[Row]:
        cursor = self._connection.cursor()
        cursor.executemany(sql, parameters, returning=True)
        found: list[Row] = []
        while True:
            found += _rows(cursor)
            if not cursor.nextset():
                return found

    def _last_row(self, sql: str) -> Row:
        cursor = self._connection.execute(sql)
        while cursor.nextset():
            pass
        row: Row = cursor.fetchone()
        return row

    def server_at_boot(self) -> float:
        """What the server's clock showed when this host was started, as the last transaction has told."""
        return self._at_boot

    def close(self) -> None:
        """Give the connection up."""
        self._drop()

    # ---------------------------------------------------------------- signs of life

    def hold(self, name: str) -> None:
        """Have the lock of a name for as long as a session of ours lives; each next one takes it again.

        It is a shared one: the next session has it before the server may have noticed that the last is lost. Behind
        a proxy that shares sessions there is none.
        """
        self._names.append(name)
        if not self.is_pooled:
            self.run(_HOLD, [self.key(name)])

    def held(self) -> Callable[[str], bool]:
        """Whose locks are held just now, by any session: to be asked of names."""
        keys = {row[0] for row in self.run(_HELD)}
        return lambda name: self.key(name) in keys

    def key(self, name: str) -> int:
        """A name's lock: its own in this schema."""
        return int.from_bytes(blake2b(f"{self._schema} {name}".encode(), digest_size=8).digest(), signed=True)

    def keep(self) -> bool:
        """Ask for a sign of life, and make the session anew if it was lost; whether it was, since the last time."""
        try:
            self._try(lambda: self._connection.execute("SELECT 1"))
        except Lost:
            try:
                self._reconnect()
            except Unavailable:
                return False
        is_new, self._seen = self._seen != self.made, self.made
        return is_new

    # ---------------------------------------------------------------- the connection

    def _insist(self, question: Callable[[], _Answer]) -> _Answer:
        """Ask outside of a transaction: again over a new connection when this one was lost."""
        for pause in _pauses(0.0 if self._read_only else _PATIENCE):
            try:
                return self._try(question)
            except Lost as error:
                lost = error
            try:
                self._reconnect()
            except Unavailable as error:
                lost = Lost(error.message.rstrip("."))
                time.sleep(pause)
        raise _unavailable(lost)

    def _try(self, question: Callable[[], _Answer]) -> _Answer:
        """Ask once; the library's errors come out as ours, or as Lost."""
        if self._connection is None:
            raise Lost("the connection was lost")
        try:
            return question()
        except wire.Error as error:
            if self._connection.closed or error.sqlstate in _LOST or str(error.sqlstate).startswith("08"):
                self._drop()
                self._was_dismissed = error.sqlstate == _SILENT
                raise Lost(first_line(error)) from error
            if self._number is None:
                self._connection.execute("ROLLBACK")  # a BEGIN that did not get the lock
            raise ours(error) from error
        except UnicodeEncodeError as error:
            shown = harmless(str(error.object))
            raise Refused(f"The index keeps text in UTF-8, which {shown!r} is not.") from error

    def _reconnect(self) -> None:
        if self._connection is None:
            self._connect()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> None:
        try:
            self._connection = wire.connect(self._address, autocommit=True)
            adapt(self._connection)
            self._introduce()
            self.made += not self._was_dismissed
            self._was_dismissed = False
        except BaseException as error:
            self._drop()
            if not isinstance(error, wire.Error):
                raise
            raise Unavailable(f"The index's server does not answer: {first_line(error)}.", _HINT) from error

    def _introduce(self) -> None:
        """Ask what the server is like, and tell it how long we wait.

        Behind a proxy that gives each transaction another session, what a session keeps would be somebody else's:
        there settings are told anew in each transaction, and no statement is prepared for the next one.
        """
        pid, schema, commits, now = self._connection.execute(_WHO).fetchone()
        self._at_boot = now - SystemClock().boottime()
        if schema is None:
            raise Misconfigured("The index's address names a schema that is not there.", "Make it: CREATE SCHEMA …")
        self._schema = schema
        self.is_pooled = wire.is_pooled(self._connection, pid)
        flush = "off" if not self._durable else "on" if commits == "off" else commits
        settings = {**_WAITS, "statement_timeout": _STATEMENT, "synchronous_commit": flush}
        told = list[str]()
        if self.is_pooled:
            self._connection.prepare_threshold = None
            settings |= {"transaction_read_only": "on"} if self._read_only else {}
            told = [f"SET LOCAL {name} = '{value}'" for name, value in settings.items()]
        else:
            self._settle_down(settings)
        self._begin = "; ".join(["BEGIN", *told, _ALONE, _FACTS])

    def _settle_down(self, settings: Mapping[str, str]) -> None:
        """What holds as long as this session: its settings, and the locks of its names."""
        told = [f"SET {name} = '{value}'" for name, value in settings.items()]
        self._connection.execute("; ".join([*told, _DEATH]))
        if self._read_only:
            self._connection.execute("SET default_transaction_read_only = on")
        try:
            self._connection.execute(_WHILE_ASKED)
        except wire.Error:
            pass  # the server's system can not ask that
        for name in self._names:
            self._connection.execute(_HOLD, [self.key(name)])


_HINT = "Is it running, and is the address right? See: pqfs doctor"


def _pauses(patience: float) -> Iterable[float]:
    """The waits between tries, growing, with jitter, until patience is over; two tries at least."""
    deadline, step = time.monotonic() + patience, _FIRST_STEP
    yield 0.0
    yield step
    while time.monotonic() < deadline:
        yield step * random.uniform(0.5, 1.0)
        step = min(_LONGEST_STEP, step * 1.5)


def _rows(cursor: Any) -> list[Row]:
    return list(cursor.fetchall()) if cursor.description else []


def _unavailable(lost: Lost) -> Unavailable:
    return Unavailable(f"The index's server was lost: {lost}.", _HINT)
