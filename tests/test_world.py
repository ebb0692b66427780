"""The oracle itself must be able to say no."""

from __future__ import annotations

from pathlib import Path

import pytest

from pqfs.jobqueue import JobQueue
from pqfs.model import Kind, Outcome
from tests.world import SettableClock, invariants, submitted, violations, write_output


def test_a_world_after_a_whole_life_is_in_order(jobqueue: JobQueue, clock: SettableClock) -> None:
    sent = {b"one": b"1", b"two": b"22"}
    for name, data in sent.items():
        submitted(jobqueue, clock.now(), name, data)

    claimed = jobqueue.claim("owner", ["default"], 1, clock.now())
    assert jobqueue.spool.start(claimed[0])
    invariants(jobqueue.spool, jobqueue.index, sent=sent)
    size, digest = write_output(jobqueue.spool, claimed[0])
    jobqueue.end(claimed[0], Outcome(Kind.DONE, output_size=size, output_sha256=digest), clock.now())

    invariants(jobqueue.spool, jobqueue.index, sent=sent)


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("claimed/litter", "not named as a claimed payload"),
        ("outbox/20270115T080000.000000Z_0123456789ab_x", "without a completed row"),
        ("dead/01890a5d-ac96-774b-bcce-b302099a8057.default.x", "no row explains"),
        ("litter", "no business there"),
        ("rejected/0123456789ab.x", "no reason"),
    ],
)
def test_what_nobody_put_there_is_found(jobqueue: JobQueue, path: str, complaint: str) -> None:
    jobqueue.spool.path(path).write_bytes(b"")

    found = list(violations(jobqueue.spool, jobqueue.index))

    assert any(complaint in each for each in found), found


def test_a_payload_that_is_missing_moved_doubled_or_changed_is_found(
    jobqueue: JobQueue, clock: SettableClock
) -> None:
    job = submitted(jobqueue, clock.now(), b"name", b"data")
    home = jobqueue.spool.path(jobqueue.spool.payload_path(job))

    def found() -> str:
        return "\n".join(violations(jobqueue.spool, jobqueue.index, sent={b"name": b"data"}))

    assert found() == ""
    home.write_bytes(b"DATA")
    assert "has changed on its way" in found()
    twin = Path(jobqueue.spool.root, "dead", home.name)
    twin.hardlink_to(home)
    assert "in 2 places" in found()
    assert "are one file" in found()
    home.unlink()
    assert "has no payload in ready/" in found()
    twin.unlink()
    assert "found: nowhere" in found()
