"""The Python API: our own backend passes the contract; what is its own (owners, addresses, settings) is here."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import pqfs
from pqfs import JobContext, Permanent, RetryLater, State, cli, get_queue, handler
from pqfs.backends import open_queue
from pqfs.duplicates import SET
from pqfs.errors import Misconfigured, QueueNotFound, Refused
from pqfs.interface import LeasedJob, Queue
from pqfs.outputs import NoOutput
from pqfs.settings import load
from pqfs.spool import Spool
from pqfs.submission import Submitter, Wish
from pqfs.testing import SettableClock, run, temporary_queue
from pqfs.testing.contract import QueueContract
from pqfs.wiring import open_app
from tests.world import eventually, invariants

ROOT = Path(__file__).parent.parent


class TestSpoolQueue(QueueContract):
    """Our own backend."""

    def open(self, folder: Path, clock: SettableClock) -> Queue:
        if not (folder / "spool").exists():
            Spool.create(folder / "spool")
        return open_queue(folder / "spool", clock=clock, flags={"durability": "relaxed"})


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    """Not closed by the fixture: tests close it and look at what is left."""
    Spool.create(tmp_path / "spool")
    (tmp_path / "pqfs.toml").write_text("durability = 'relaxed'\n")
    return get_queue(str(tmp_path / "spool"))


def at_rest(root: Path) -> None:
    """Nobody works: what must always be true holds, and nothing is left of who has worked."""
    app = open_app(load({"spool": str(root / "spool")}, {}))
    app.janitor("none").look()
    invariants(app.spool, app.index)
    assert app.spool.entries("work") == []
    assert [name for name in app.spool.entries("run") if "dequeue" in name] == []
    assert list(app.index.consumers()) == []
    app.close()


FORKS = """
import os, sys
from pqfs import get_queue

queue = get_queue(sys.argv[1])
queue.enqueue("the parent's")
queue._lock.acquire()  # as a thread may hold it in that moment
if child := os.fork():
    queue._lock.release()
    os.waitpid(child, 0)
    queue.enqueue("the parent's again")
    queue.close()
else:
    for act in (lambda: queue.enqueue("the child's"), queue.dequeue, queue.stats, lambda: queue.wait("x")):
        try:
            act()
        except Exception as error:
            print(type(error).__name__, error)
    queue.close()
"""


def test_a_queue_is_not_used_by_a_forked_child_whose_locks_and_index_are_its_parents(tmp_path: Path) -> None:
    """SQLite's locks do not come with a fork: two who believe to hold them break the index."""
    Spool.create(tmp_path / "spool")

    done = subprocess.run(
        [sys.executable, "-c", FORKS, str(tmp_path / "spool")], capture_output=True, text=True, timeout=60, check=True
    )

    said = "Refused This queue was opened by process"
    assert [line[: len(said)] for line in done.stdout.splitlines()] == [said] * 4, done.stdout + done.stderr
    with get_queue(str(tmp_path / "spool")) as queue:
        assert queue.stats().jobs[State.PENDING] == 2
    at_rest(tmp_path)


def test_a_queue_that_was_closed_says_so(queue: Queue) -> None:
    queue.close()

    for act in (lambda: queue.enqueue("x"), queue.dequeue, queue.stats, lambda: queue.get("x")):
        with pytest.raises(Refused, match="was closed"):
            act()


def test_what_is_no_payload_is_named(queue: Queue) -> None:
    with queue, pytest.raises(TypeError, match="bytes, text, a path or an open file, not int"):
        queue.enqueue(12)  # type: ignore[arg-type]


def take(queue: Queue) -> LeasedJob:
    leased = queue.dequeue()
    assert leased is not None
    return leased


def test_a_queue_that_is_closed_leaves_nothing_behind(queue: Queue, tmp_path: Path) -> None:
    for number in range(3):
        queue.enqueue(f"payload {number}", name=f"{number}.txt")
    queue.acknowledge(take(queue), "output")
    queue.fail(take(queue), "no")
    take(queue)

    queue.close()

    at_rest(tmp_path)
    outputs = list((tmp_path / "spool/outbox").iterdir())
    assert [path.read_text() for path in outputs] == ["output"]
    with pytest.raises(Refused):
        queue.dequeue()


def test_a_folder_is_published_as_one_and_what_leads_elsewhere_is_not(queue: Queue, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    (folder / "below").mkdir(parents=True)
    (folder / "below/a.txt").write_text("a")
    (folder / "link").symlink_to("/etc/passwd")
    queue.enqueue(b"")
    leased = take(queue)
    with pytest.raises(NoOutput, match="symbolic link"):
        queue.acknowledge(leased, folder)
    (folder / "link").unlink()

    queue.acknowledge(leased, folder)

    queue.close()
    at_rest(tmp_path)
    (output,) = (tmp_path / "spool/outbox").iterdir()
    assert (output / "below/a.txt").read_text() == "a"


def test_the_key_is_known_after_a_rebuild(queue: Queue, tmp_path: Path) -> None:
    job = queue.enqueue(b"payload", key="k")
    queue.close()
    for path in (tmp_path / "spool").glob("index.db*"):
        path.unlink()
    assert cli.run(["--spool", str(tmp_path / "spool"), "index", "rebuild", "-y"]) == 0

    with get_queue(str(tmp_path / "spool")) as again:
        assert again.enqueue(b"payload", key="k") == job


DIES = """
import os, signal, sys
from pqfs import get_queue
queue = get_queue(sys.argv[1])
leased = queue.dequeue()
print(leased.id, leased.attempt, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_who_dies_with_a_lease_is_reaped_like_any_consumer(queue: Queue, tmp_path: Path) -> None:
    job = queue.enqueue(b"payload")
    command = [sys.executable, "-c", DIES, str(tmp_path / "spool")]
    died = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (died.returncode, died.stdout.split()) == (-signal.SIGKILL, [job, "1"]), died.stderr
    app = open_app(load({"spool": str(tmp_path / "spool")}, {}))

    repairs = app.janitor("none").look()

    app.close()
    assert repairs.released == 1
    leased = take(queue)
    assert (leased.id, leased.attempt, queue.get(job).losses) == (job, 2, 1)
    queue.acknowledge(leased, b"output")
    queue.close()
    at_rest(tmp_path)


@pytest.mark.slow
def test_a_lease_that_runs_out_is_given_back_without_anybody_asking(queue: Queue, tmp_path: Path) -> None:
    job = queue.enqueue(b"payload")
    assert queue.dequeue(lease=0.0)

    eventually(lambda: queue.get(job).state is State.PENDING, "it waits again")

    queue.close()
    at_rest(tmp_path)


def test_a_lease_ends_with_the_timeout_of_its_queue(tmp_path: Path) -> None:
    (tmp_path / "pqfs.toml").write_text("[defaults]\ntimeout = '40s'\n")
    clock = SettableClock()
    with temporary_queue(tmp_path, clock) as queue:
        job = queue.enqueue(b"")
        leased = queue.dequeue(lease=3600.0)
        assert leased
        assert leased.lease_end == pytest.approx(clock.now() + 40.0)
        assert queue.extend(leased, 3600.0).lease_end == pytest.approx(clock.now() + 40.0)
        clock.pass_by(41.0)
        assert queue.dequeue() is None
        found = queue.get(job)
        assert (found.state, found.failures, found.losses) == (State.PENDING, 1, 0)


def test_a_cancelled_job_is_ended_and_its_holder_publishes_nothing(queue: Queue, tmp_path: Path) -> None:
    job = queue.enqueue(b"")
    leased = take(queue)
    app = open_app(load({"spool": str(tmp_path / "spool")}, {}))
    app.jobqueue.cancel(queue.get(job), "test", None, time.time())
    app.close()

    with pytest.raises(pqfs.PqfsError, match="lost its lease"):
        queue.acknowledge(leased, "output")

    assert queue.get(job).state is State.CANCELLED
    queue.close()
    at_rest(tmp_path)


@pytest.mark.parametrize("form", ["sqlite:///{}/spool", "{}/spool"])
def test_an_address_names_a_spool(tmp_path: Path, form: str) -> None:
    Spool.create(tmp_path / "spool")
    (tmp_path / "pqfs.toml").write_text("durability = 'relaxed'\n[queues.scans]\npriority = 5\n")

    with get_queue(form.format(tmp_path), queue="scans") as queue:
        assert queue.get(queue.enqueue(b"")).priority == 5
        assert queue.name == "scans"


def test_without_an_address_it_is_the_spool_of_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Spool.create(tmp_path / "elsewhere")
    monkeypatch.setenv("PQFS_SPOOL", str(tmp_path / "elsewhere"))

    with get_queue() as queue:
        queue.enqueue(b"")

    assert list((tmp_path / "elsewhere/ready").iterdir())


@pytest.mark.parametrize(
    ("address", "words"),
    [("mysql://host/db", "no backend"), ("sqlite:///", "no spool"), ("sqlite:////no/such/spool", "no spool")],
)
def test_an_address_that_names_nothing_is_told(address: str, words: str) -> None:
    with pytest.raises(Misconfigured, match=words):
        get_queue(address)


def test_a_queue_that_is_not_there_is_told(tmp_path: Path) -> None:
    Spool.create(tmp_path / "spool")

    with pytest.raises(QueueNotFound, match="scans"):
        get_queue(str(tmp_path / "spool"), queue="scans")


# -------------------------------------------------------------------- handlers


@handler
def shouts(context: JobContext) -> bytes:
    """Upper case."""
    context.progress(0.5)
    return context.input.read_bytes().upper()


@handler(permanent=(UnicodeDecodeError,), retry_later=(ConnectionError,), delay=5.0)
def reads(context: JobContext) -> str:
    text = context.input.read_bytes().decode()
    if text == "later":
        raise ConnectionError("nobody there")
    if text == "never":
        raise Permanent("never")
    if text == "files":
        (context.output_dir / "a").write_text(context.metadata["from"])
        return None  # type: ignore[return-value]
    raise ValueError(text)


def test_a_handler_is_run_inline() -> None:
    ran = run(shouts, "words", name="a.txt")

    assert (ran.state, ran.output, ran.error, ran.progress) == (State.COMPLETED, b"WORDS", None, (0.5,))
    assert run(reads, "files", metadata={"from": "here"}).files == {"a": b"here"}


def joins(context: JobContext) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(context.unpack().iterdir()))


def test_a_handler_of_sets_is_run_inline() -> None:
    ran = run(joins, {"1.png": b"one", "2.png": "two"})

    assert (ran.state, ran.output) == (State.COMPLETED, b"onetwo")
    assert "not a set" in (run(joins, "no tar file").error or "")


def test_whoever_leases_a_set_is_told(queue: Queue, tmp_path: Path) -> None:
    app = open_app(load({"spool": str(tmp_path / "spool")}, {}))
    with Submitter(app.jobqueue, "submit", app.clock) as submitter:
        submitter.stage(io.BytesIO(b"tar"), b"set.tar", Wish(options={SET: {}}))
        submitter.stage(io.BytesIO(b"text"), b"a.txt", Wish())
        submitter.commit()
    app.close()

    told = [leased.is_set for leased in (queue.dequeue(), queue.dequeue()) if leased]

    queue.close()
    assert told == [True, False]
    at_rest(tmp_path)


@pytest.mark.parametrize(
    ("payload", "state", "error", "delay"),
    [
        ("later", State.PENDING, "ConnectionError: nobody there", 5.0),
        ("never", State.FAILED, "never", 0.0),
        (b"\xff", State.FAILED, "UnicodeDecodeError", 0.0),
        ("what", State.PENDING, "ValueError: what", 0.0),
    ],
)
def test_the_verdict_of_a_handler_is_told(payload: str | bytes, state: State, error: str, delay: float) -> None:
    ran = run(reads, payload)

    assert (ran.state, ran.delay, ran.output) == (state, delay, None)
    assert error in (ran.error or "")


def test_a_function_that_is_no_handler_is_refused_where_it_is_written() -> None:
    with pytest.raises(Misconfigured, match="context alone"):

        @handler  # type: ignore[arg-type]
        def _two(context: JobContext, more: str) -> None: ...

    assert issubclass(RetryLater, pqfs.PqfsError)


def test_what_is_not_there_is_no_attribute() -> None:
    with pytest.raises(AttributeError):
        pqfs.nothing  # noqa: B018
    assert {pqfs.Queue, pqfs.LeasedJob, pqfs.Stats}


# -------------------------------------------------------------------- pytest

PLUGGED = """
import sys

LOADED = {"pqfs.spool", "apsw"} & set(sys.modules)

def test_it_costs_nothing_before_it_is_used():
    assert not LOADED

def test_a_queue_is_there(pqfs_queue):
    assert pqfs_queue.dequeue() is None
    pqfs_queue.enqueue("text")
    assert pqfs_queue.dequeue().path.read_text() == "text"
"""


@pytest.mark.slow
def test_the_plugin_brings_a_queue(tmp_path: Path) -> None:
    (tmp_path / "test_plugged.py").write_text(PLUGGED)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "pqfs.pytest_plugin",
        "-p",
        "no:cacheprovider",
        str(tmp_path),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}

    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_the_plugin_is_what_pytest_is_told_of() -> None:
    told = (ROOT / "pyproject.toml").read_text()

    assert '[project.entry-points.pytest11]\npqfs = "pqfs.pytest_plugin"' in told


def test_the_program_of_the_readme_runs_as_it_stands(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text().partition("## From programs")[2]
    program = readme.partition("```python\n")[2].partition("```")[0]
    Spool.create(tmp_path / "spool")

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "spool/outbox" / done.stdout.strip()).read_text() == "A LINE OF TEXT"
    at_rest(tmp_path)
