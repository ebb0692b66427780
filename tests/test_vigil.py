"""Whether the index is still one's own: of this pqfs's schema, of this spool, and not older than the tree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import apsw
import pytest

from pqfs import custody
from pqfs.custody import Relation, begin_era, read_identity, relation
from pqfs.errors import IndexGone, Unavailable
from pqfs.index import Index
from pqfs.spool import Spool
from pqfs.vigil import EVERY, Vigil
from pqfs.wiring import App
from tests.shell import Shell
from tests.world import SettableClock, invariants


@pytest.fixture
def app(shell: Shell) -> Iterator[App]:
    """A spool that is open."""
    with closing(shell.app()) as opened:
        yield opened


def put_back(index: Index, era: int) -> None:
    """What a dump of that era makes of the index that it replaces, as far as it is marked."""
    marked = index.identity()
    assert marked
    with index.transaction():
        index.identify(marked[0], era)


def era(app: App) -> int:
    marked = app.index.identity()
    assert marked
    return marked[1]


def test_who_slept_through_an_upgrade_knows_it_as_soon_as_he_wakes(
    spool: Spool, index: Index, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    vigil = Vigil(spool, index, clock)
    monkeypatch.setattr(index.engine, "schema_version", lambda: 9999)
    vigil.look()

    clock.pass_by(EVERY)

    with pytest.raises(IndexGone, match="this pqfs knows up to"):
        vigil.look()
    with pytest.raises(IndexGone):
        vigil.look()


def test_an_older_index_under_a_running_pqfs_is_noticed_never_marked_anew_and_brought_up_to_date_at_the_next_start(
    shell: Shell, clock: SettableClock
) -> None:
    shell.submit()
    app = shell.app()
    vigil, before = Vigil(app.spool, app.index, clock), era(app)
    begin_era(app.spool, app.index)
    clock.pass_by(EVERY)
    vigil.look()

    put_back(app.index, before)

    clock.pass_by(EVERY)
    with pytest.raises(IndexGone, match="exchanged while it was open: the index is older"):
        vigil.look()
    with pytest.raises(IndexGone, match="older"):
        begin_era(app.spool, app.index)
    assert shell("status") == 0, "who only asks is answered"
    assert shell("janitor", "--once") == 6, "nobody begins beside those who have not noticed yet"
    app.close()
    assert shell("janitor", "--once") == 0
    assert "older than the tree" in shell.err
    with closing(shell.app()) as app:
        invariants(app.spool, app.index)


def test_an_era_that_was_begun_in_the_index_alone_makes_nothing_older(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        with monkeypatch.context() as killed, pytest.raises(InterruptedError):
            killed.setattr(custody, "_tell_era", lambda *_, **__: (_ for _ in ()).throw(InterruptedError))
            begin_era(app.spool, app.index)

    mark = read_identity(app.spool)
    assert mark and mark.era == era(app) - 1
    assert relation(mark, app.index.identity(), has_log=True) is Relation.SAME
    begin_era(app.spool, app.index)
    mark = read_identity(app.spool)
    assert mark and mark.era == era(app)


class Locked:
    """A connection on a disk that refuses every lock."""

    system_errno = 0

    def pragma(self, name: str) -> Any:
        """What SQLite says then."""
        raise apsw.ProtocolError("locking protocol")


@pytest.mark.sqlite
def test_who_can_not_ask_hears_so_in_a_sentence_and_asks_again(
    spool: Spool, index: Index, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by the system calls: a lock of the index that was refused ended a consumer in a traceback."""
    vigil = Vigil(spool, index, clock)
    clock.pass_by(EVERY)

    with monkeypatch.context() as patched:
        patched.setattr(index.engine, "_connection", Locked())
        with pytest.raises(Unavailable, match="locking protocol"):
            vigil.look()

    vigil.look()
