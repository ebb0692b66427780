"""On a share: files of other hosts come out once each, whatever the server denies, and a stale handle is let go."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pqfs.footing import footing
from pqfs.model import State
from tests.process.stage import Stage, eventually
from tests.share.share import Share, compile_share, missing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]
CONFIG = """\
index = "sqlite:///{root}/index.db"
low_water = 0
[ingest]
settle = "300ms"
poll_every = "50ms"
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The share's program."""
    return compile_share(tmp_path_factory.mktemp("share"))


@pytest.fixture
def share(program: Path) -> Iterator[Share]:
    """A share at <root>/spool, of the directory <root>/server; run/ leads to a directory of this host."""
    with tempfile.TemporaryDirectory(prefix="pqfs-share-") as folder:
        root = Path(folder)
        for name in ("server", "spool"):
            (root / name).mkdir()
        (root / "server" / "run").symlink_to(root / "run")
        mounted = Share(program, root / "server", root / "spool")
        try:
            yield mounted
        finally:
            mounted.close()


@pytest.fixture
def stage(share: Share) -> Iterator[Stage]:
    """A spool on the share, its index on a disk of this host."""
    root = share.server.parent
    made = Stage(root, CONFIG.format(root=root))
    yield made
    share.deny(0)
    made.abandon()


def drop_from_afar(share: Share, count: int) -> list[bytes]:
    """Another host writes so many files into the inbox, slowly enough to be seen half written; their bytes."""
    sent = []
    for number in range(count):
        with (share.server / "inbox" / f"{number}.txt").open("wb") as file:
            file.write(b"the first half, ")
            file.flush()
            file.write(b"and the rest of %d" % number)
        sent.append(b"the first half, and the rest of %d" % number)
    return sent


def bodies(stage: Stage) -> list[bytes]:
    """What the outputs hold below the time of their making."""
    return sorted(output.partition(b"\n")[2] for output in stage.outputs())


def done(stage: Stage, count: int) -> bool:
    """Whether so many jobs are completed, and lie in their place."""
    return len(stage.jobs(State.COMPLETED)) >= count


def test_what_other_hosts_drop_is_seen_without_any_event_and_comes_out_once(stage: Stage, share: Share) -> None:
    assert footing(stage.spool / "inbox").watch == "polling"
    stage.start("ingest")
    stage.start("janitor")
    stage.consumer()

    sent = drop_from_afar(share, 20)
    eventually(lambda: done(stage, 20), "all come out")

    assert bodies(stage) == sorted(sent)
    stage.close()


@pytest.mark.parametrize("every", [3, 8])
def test_what_the_server_has_done_and_denies_is_believed_to_be_done(stage: Stage, share: Share, every: int) -> None:
    """A lost reply makes a rename that happened look failed; of a claim it costs a loss, and nothing else."""
    stage.start("ingest")
    stage.start("janitor")
    consumer = stage.consumer()
    share.deny(every)

    sent = drop_from_afar(share, 20)
    eventually(lambda: stage.jobs(State.COMPLETED), "the first come out", 60)
    consumer.send_signal(signal.SIGKILL)
    stage.consumer("consumer-01")
    eventually(lambda: done(stage, 20), "all come out", 60)

    assert share.denied >= 10
    assert bodies(stage) == sorted(sent)
    assert {job.failures for job in stage.jobs()} == {0}
    stage.close()


def test_processes_whose_handle_has_gone_stale_end_and_the_next_ones_go_on(stage: Stage, share: Share) -> None:
    stage.start("janitor")
    stage.consumer()
    ingester = stage.start("ingest")
    drop_from_afar(share, 1)
    eventually(lambda: done(stage, 1), "one comes out")

    share.go_stale()
    assert eventually(lambda: ingester.poll() is not None, "the ingester ends")
    share.go_stale(False)
    (share.server / "inbox" / "another.txt").write_bytes(b"later")
    stage.start("ingest", "ingester-01")

    eventually(lambda: done(stage, 2), "the other comes out", 60)
    stage.close()
