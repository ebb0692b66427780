"""How much lies where, and whether that fits what the index says."""

from __future__ import annotations

from pqfs.jobqueue import JobQueue
from pqfs.model import State
from pqfs.spool import Spool
from pqfs.weighing import Weight, compare, weigh
from tests.world import EPOCH, submitted


def _of(spool: Spool, path: str) -> Weight:
    return {each.path: each for each in weigh(spool.root)}[path]


def test_a_directory_weighs_what_is_in_it_and_below(spool: Spool) -> None:
    spool.path("inbox/a").write_bytes(b"12")
    spool.path("inbox/mail").mkdir()
    spool.path("inbox/mail/b").write_bytes(b"345")
    output = spool.path("outbox/20261122T043126.123456Z_0123456789ab_x")
    output.mkdir()
    (output / "part").write_bytes(b"6789")

    assert (_of(spool, "inbox").files, _of(spool, "inbox").bytes) == (2, 5)
    assert (_of(spool, "inbox/mail").files, _of(spool, "inbox/mail").bytes) == (1, 3)
    assert (_of(spool, "outbox").files, _of(spool, "outbox").bytes) == (1, 4)
    assert [each.path for each in weigh(spool.root) if each.path.startswith("outbox")] == ["outbox"]


def test_an_empty_spool_weighs_nothing_and_a_link_leads_nowhere(spool: Spool) -> None:
    spool.path("inbox/etc").symlink_to("/etc")

    assert {each.files for each in weigh(spool.root) if each.path != "inbox"} == {0}
    assert _of(spool, "inbox").files == 1


def test_a_walk_that_is_given_up_says_that_there_is_more(spool: Spool) -> None:
    spool.path("inbox/a").write_bytes(b"12")

    found = {each.path: each for each in weigh(spool.root, lambda: True)}
    assert found["inbox"].is_capped


def test_index_and_tree_fit_until_somebody_touches_the_tree(jobqueue: JobQueue) -> None:
    spool = jobqueue.spool
    job = submitted(jobqueue, EPOCH)
    told = {state: jobs for _, state, jobs in jobqueue.index.counts()}
    assert all(each.fits for each in compare(told, weigh(spool.root)))

    spool.path(spool.payload_path(job)).unlink()
    spool.path("dead/stranger").write_bytes(b"")

    wrong = [each.place for each in compare({State.PENDING: 1}, weigh(spool.root)) if not each.fits]
    assert wrong == ["ready", "dead"]
