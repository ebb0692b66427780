"""Two hosts on one spool and one PostgreSQL: what one leaves, the other ends; who was cut off publishes nothing.

A host is a UTS and a mount namespace here: it has a name of its own, a run/ of its own, and a way of its own to the
server. The long run:
`PQFS_TEST_BLOWS=200 pytest -m slow tests/process/test_hosts.py -k storm`.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pqfs import hosts as hosts_of
from pqfs.model import State
from pqfs.pulse import Beat, read_beat
from pqfs.runner import descendants
from pqfs.settings import load
from tests.process.stage import Stage, eventually
from tests.relay import Relay

if TYPE_CHECKING:
    from tests.server import Server

pytestmark = [pytest.mark.slow, pytest.mark.root]
BLOWS = int(os.environ.get("PQFS_TEST_BLOWS", "4"))
KINDS = (
    "host",
    "parted",
    "crash",
    "process",
    "sessions",
    "torn",
    "sleep",
    "outage",
    "process",
    "sessions",
    "restart",
)
LEASE = 4  # seconds
END = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'pqfs' AND random() < 0.5"
)
SLOW = """
import time

def work(context):
    while not (context.input.parents[2] / "go").exists():
        time.sleep(0.01)
    return b"out " + context.input.read_bytes()
"""
SETTINGS = """
index = "{address}"
[consume]
lease = "{lease}"
poll_every = "1s"
[defaults]
handler = {{python = "own_handlers:work"}}
max_crashes = 1000
"""


PROGRAMS = JANITOR, INGESTER, CONSUMER = ("janitor", "janitor"), ("ingest", "ingester"), ("consume", "consumer-00")


class Host:
    """One host: the processes in it, each in namespaces alike. `spool`: where it has mounted the spool for itself."""

    def __init__(self, stage: Stage, name: str, spool: Path | None = None) -> None:
        self._stage = stage
        self._spool = spool or stage.spool
        self.name = name
        self._run = stage.root / f"run-{name}"
        self._run.mkdir()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, *commands: tuple[str, str]) -> None:
        """Start processes of this host, all at once, and wait until each has an owner's lock, or has ended."""
        for command, program in commands:
            self._begin(command, program)
        for _, program in commands:
            eventually(partial(self._has_begun, program), f"{program} on {self.name} has its lock", 60)

    def _has_begun(self, program: str) -> bool:
        process = self.processes[program]
        return process.poll() is not None or bool(list(self._run.glob(f"{program}.{process.pid}.*.lock")))

    def _begin(self, command: str, program: str) -> None:
        mounts = 'mount --bind "$0" "$1" && mount --bind "$2" "$1/run"'
        inner = f'{mounts} && hostname {self.name} && exec "$3" -m pqfs {command}'
        arguments = [str(self._spool), str(self._stage.spool), str(self._run), sys.executable]
        environment = {**self.environment(), "SUPERVISOR_PROCESS_NAME": program}
        with (self._stage.root / "logs" / f"{self.name}-{program}.log").open("ab") as log:
            self.processes[program] = subprocess.Popen(
                ["unshare", "--mount", "--uts", "sh", "-c", inner, *arguments],
                env=environment,
                stdout=log,
                stderr=log,
            )

    def environment(self) -> dict[str, str]:
        """What its processes are started with."""
        return {**os.environ, "PQFS_CONFIG": str(self._stage.root / "pqfs.toml")}

    def stack(self) -> None:
        """Start one of each."""
        self.start(*PROGRAMS)

    def supervise(self) -> None:
        """Start again what has ended."""
        self.start(*(each for each in PROGRAMS if self.processes[each[1]].poll() is not None))

    def send(self, number: int) -> None:
        """A signal for all of it, runners included."""
        for process in self.processes.values():
            for pid in [*descendants(process.pid), process.pid]:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    continue

    def looks_again(self) -> None:
        """Wait until a look of its janitor has ended: who had a name before is known to have had it."""
        before = self._beat()
        since = before.at if before else 0.0
        eventually(
            lambda: (beat := self._beat()) and beat.at > since and not beat.doing, f"the janitor of {self.name} looks"
        )

    def _beat(self) -> Beat | None:
        return read_beat(self._run / "janitor.pulse")

    def wait(self) -> None:
        """Wait for the end of all of it."""
        for process in self.processes.values():
            process.wait(30)


class Severable(Host):
    """A host with a way of its own to the server, which can be taken away."""

    def __init__(self, stage: Stage, name: str, server: Server) -> None:
        super().__init__(stage, name)
        self.relay = Relay(server.top / ".s.PGSQL.5432")
        self._address = f"postgresql://{server.user}@127.0.0.1:{self.relay.port}/hosts"

    def environment(self) -> dict[str, str]:
        """What its processes are started with, and the address at which they find the server."""
        return {**super().environment(), "PQFS_INDEX": self._address}

    def cut_off(self, how: str) -> None:
        """Part it from the server, or tear its connections as well."""
        if how == "parted":
            self.relay.part()
        else:
            self.relay.tear()


Hosts = tuple[Severable, Severable]


@pytest.fixture
def stage(request: pytest.FixtureRequest, tmp_path: Path, safe_server: Server) -> Iterator[Stage]:
    """A spool whose index is a new database."""
    if os.getuid() != 0 or not shutil.which("unshare"):
        pytest.skip("namespaces need root and unshare")
    lease = getattr(request, "param", f"{LEASE}s")
    made = Stage(tmp_path, SETTINGS.format(address=safe_server.fresh("hosts"), lease=lease), SLOW)
    yield made
    made.abandon()


@pytest.fixture
def hosts(stage: Stage, safe_server: Server) -> Iterator[Hosts]:
    """Two hosts, nothing running on them yet."""
    both = Severable(stage, "alpha", safe_server), Severable(stage, "beta", safe_server)
    yield both
    for host in both:
        host.relay.close()
        host.send(signal.SIGCONT)
        host.send(signal.SIGKILL)
        host.wait()


def processing(stage: Stage, host: str) -> list[str]:
    return [job.id for job in stage.jobs(State.PROCESSING) if str(job.owner).endswith(f".{host}")]


def begun(stage: Stage, host: Host, files: int) -> None:
    """Have a host that is alone take so many files and begin to run one."""
    host.stack()
    for number in range(files):
        stage.drop(f"file-{number}")
    eventually(lambda: processing(stage, host.name), f"{host.name} has begun")


def leader(stage: Stage) -> str | None:
    """The host whose janitor leads."""
    settings = load({"config": str(stage.root / "pqfs.toml")}, {}).settings
    return hosts_of.leader(settings, stage.index)


def finish(stage: Stage, hosts: Hosts, wanted: int) -> None:
    eventually(lambda: len(stage.jobs(State.COMPLETED)) == wanted, "all jobs are completed", within=40)
    eventually(lambda: len(stage.outputs()) == wanted, "all outputs are published")
    assert len(stage.jobs()) == wanted
    for host in hosts:
        host.send(signal.SIGTERM)
    for host in hosts:
        host.wait()
    stage.close()


@pytest.mark.parametrize("stage", ["10m"], indirect=True)
def test_the_jobs_of_a_killed_host_finish_on_the_other_long_before_its_lease_is_over(
    stage: Stage, hosts: Hosts
) -> None:
    alpha, beta = hosts
    begun(stage, alpha, 10)
    beta.stack()
    beta.looks_again()
    assert leader(stage) == "alpha"
    alpha.send(signal.SIGKILL)
    (stage.root / "go").touch()

    eventually(lambda: leader(stage) == "beta", "beta leads")
    finish(stage, hosts, 10)


def test_a_host_that_slept_beyond_its_lease_publishes_nothing(stage: Stage, hosts: Hosts) -> None:
    alpha, beta = hosts
    begun(stage, alpha, 10)
    alpha.send(signal.SIGSTOP)
    beta.stack()
    attempts = done_by_beta(stage, 10)

    alpha.send(signal.SIGCONT)
    ends_by_itself(alpha)

    assert {job.id: job.attempt for job in stage.jobs()} == attempts
    finish(stage, hosts, 10)


def done_by_beta(stage: Stage, wanted: int) -> dict[str, int]:
    """Let all handlers end, and wait for their outputs; the attempt that each job is at."""
    (stage.root / "go").touch()
    eventually(lambda: len(stage.jobs(State.COMPLETED)) == wanted, "beta has done all of it", within=40)
    assert all(str(job.owner).endswith(".beta") for job in stage.jobs())
    return {job.id: job.attempt for job in stage.jobs()}


def ends_by_itself(host: Host) -> None:
    consumer = host.processes["consumer-00"]
    eventually(lambda: consumer.poll() is not None, f"the consumer on {host.name} knows and ends", within=30)


@pytest.mark.parametrize(("stage", "how"), [("4s", "parted"), ("10m", "torn")], indirect=["stage"])
def test_a_job_that_runs_on_a_host_that_was_cut_off_runs_on_the_other_too_and_is_published_once(
    stage: Stage, hosts: Hosts, how: str
) -> None:
    """Torn: the server has noticed, and the name is free. Parted: it has not, and the lease decides."""
    alpha, beta = hosts
    begun(stage, alpha, 1)
    beta.stack()
    beta.looks_again()
    alpha.cut_off(how)
    eventually(lambda: processing(stage, "beta"), "beta runs what alpha runs", within=40)
    attempts = done_by_beta(stage, 1)

    alpha.relay.mend()
    ends_by_itself(alpha)

    assert {job.id: job.attempt for job in stage.jobs()} == attempts
    finish(stage, hosts, 1)


def test_an_outage_longer_than_all_leases_costs_what_runs_nothing(
    stage: Stage, hosts: Hosts, safe_server: Server
) -> None:
    for number in range(10):
        stage.drop(f"file-{number}")
    for host in hosts:
        host.stack()
    eventually(lambda: all(len(processing(stage, host.name)) == 1 for host in hosts), "each runs one")
    ran = {job.id: (job.owner, job.attempt) for job in stage.jobs(State.PROCESSING)}

    outage(safe_server)
    for host in hosts:
        host.looks_again()
    eventually(lambda: beaten_since(stage), "all leases are renewed")
    for host in hosts:
        host.looks_again()
    (stage.root / "go").touch()
    eventually(lambda: len(stage.jobs(State.COMPLETED)) == 10, "all jobs are completed", within=40)

    ended = {job.id: (job.owner, job.attempt) for job in stage.jobs()}
    assert {job: ended[job] for job in ran} == ran
    assert not any(job.losses or job.failures or job.crashes for job in stage.jobs())
    finish(stage, hosts, 10)


def outage(server: Server) -> None:
    """The server is away for longer than a lease lasts."""
    server.stop("immediate")
    time.sleep(LEASE + 1)
    server.start()


def beaten_since(stage: Stage) -> bool:
    """Whether every consumer has renewed its lease in the last seconds."""
    now = stage.index.engine.clock().now()
    return all(now - row.beat_at < LEASE / 2 for row in stage.index.consumers())


def test_what_one_host_takes_in_the_other_runs_at_once(stage: Stage, hosts: Hosts) -> None:
    alpha, beta = hosts
    (stage.root / "go").touch()
    alpha.start(INGESTER, JANITOR)
    beta.start(JANITOR, CONSUMER)

    for number in range(6):
        stage.drop(f"file-{number}")
        eventually(lambda number=number: len(stage.outputs()) == number + 1, "beta runs it")  # type: ignore[misc]

    finish(stage, hosts, 6)


def test_a_storm_over_two_hosts_loses_nothing_and_doubles_nothing(
    stage: Stage, hosts: Hosts, safe_server: Server
) -> None:
    chance, dropped = random.Random(BLOWS), 0
    (stage.root / "go").touch()
    for host in hosts:
        host.stack()
    blows = list((KINDS * (BLOWS // len(KINDS) + 1))[:BLOWS])
    chance.shuffle(blows)
    for blow in blows:
        for _ in range(20):
            stage.drop(f"file-{dropped}", b"%d" % dropped)
            dropped += 1
        eventually(lambda: stage.jobs(), "work has begun", within=40)
        _strike(blow, chance.choice(hosts), safe_server, chance, stage)
        for host in hosts:
            host.supervise()

    eventually(lambda: len(stage.outputs()) == dropped, "all is published", within=60)
    assert Counter(stage.outputs()) == Counter(b"out %d" % number for number in range(dropped))
    finish(stage, hosts, dropped)


def _strike(blow: str, host: Severable, server: Server, chance: random.Random, stage: Stage) -> None:
    if blow == "process":
        victim = host.processes[chance.choice(sorted(host.processes))]
        victim.kill()
        victim.wait()
    elif blow == "host":
        host.send(signal.SIGKILL)
        host.wait()
    elif blow == "sleep":
        host.send(signal.SIGSTOP)
        _given_up(host, stage)
        host.send(signal.SIGCONT)
    elif blow in ("parted", "torn"):
        host.cut_off(blow)
        _given_up(host, stage)
        host.relay.mend()
    elif blow == "sessions":
        server.run(END)
    elif blow == "outage":
        outage(server)
    else:
        server.stop("immediate" if blow == "crash" else "fast")
        server.start()


def _given_up(host: Host, stage: Stage) -> None:
    """Wait until nobody counts on a host any more."""
    gone = f".{host.name}"
    eventually(
        lambda: not any(row.owner.endswith(gone) for row in stage.index.consumers()), "it is given up", within=60
    )
