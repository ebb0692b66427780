"""Two hosts, each with its own mount of one share, and one PostgreSQL: one is killed, the other ends its work."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pqfs.model import State
from tests.process.conftest import safe_server as safe_server
from tests.process.stage import Stage, eventually
from tests.process.test_hosts import SLOW, Host, processing
from tests.share.share import Share, compile_share, missing
from tests.share.test_share import drop_from_afar

if TYPE_CHECKING:
    from tests.server import Server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
    pytest.mark.skipif(shutil.which("unshare") is None, reason="a host is a namespace, made by unshare"),
]
CONFIG = """\
index = "{address}"
low_water = 0
[ingest]
settle = "300ms"
poll_every = "50ms"
[consume]
lease = "4s"
poll_every = "500ms"
[defaults]
handler = {{python = "own_handlers:work"}}
"""
FILES, EVERY = 20, 8


@pytest.fixture
def shares(tmp_path: Path) -> Iterator[tuple[Share, Share]]:
    """One directory of a server's, mounted twice: two hosts that see of each other what the server tells."""
    with tempfile.TemporaryDirectory(prefix="pqfs-share-") as folder, ExitStack() as mounted:
        root = Path(folder)
        for name in ("server", "spool", "spool-beta", "run"):
            (root / name).mkdir()
        (root / "server" / "run").mkdir()
        program = compile_share(tmp_path)
        first, second = (
            mounted.enter_context(closing(Share(program, root / "server", root / name)))
            for name in ("spool", "spool-beta")
        )
        yield first, second


@pytest.fixture
def stage(shares: tuple[Share, Share], safe_server: Server) -> Iterator[Stage]:
    """A spool on the share whose index is a new database."""
    made = Stage(shares[0].server.parent, CONFIG.format(address=safe_server.fresh("shared")), SLOW)
    yield made
    shares[0].deny(0)
    made.abandon()


@pytest.fixture
def hosts(stage: Stage) -> Iterator[tuple[Host, Host]]:
    """A host for each mount, nothing running on them yet."""
    both = Host(stage, "alpha"), Host(stage, "beta", stage.root / "spool-beta")
    yield both
    for host in both:
        host.send(signal.SIGKILL)
        host.wait()


def test_what_a_killed_host_ran_is_finished_by_the_other_from_its_own_mount(
    stage: Stage, hosts: tuple[Host, Host], shares: tuple[Share, Share]
) -> None:
    alpha, beta = hosts
    shares[0].deny(EVERY)
    alpha.stack()
    beta.stack()
    sent = drop_from_afar(shares[0], FILES)
    eventually(lambda: processing(stage, "alpha") and processing(stage, "beta"), "both have begun", 60)

    alpha.send(signal.SIGKILL)
    (stage.root / "go").touch()
    eventually(lambda: len(stage.jobs(State.COMPLETED)) == FILES, "beta ends all of it", 120)

    assert sorted(stage.outputs()) == sorted(b"out " + each for each in sent)
    assert len(stage.jobs()) == FILES
    assert {job.failures for job in stage.jobs()} == {0}
    beta.send(signal.SIGTERM)
    beta.wait()
    shares[0].deny(0)
    stage.close()
