"""Who is alive is what the kernel says: real processes, real locks, real signals."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pqfs.owners import Facts, Life, OwnerLock, Owners, ProgramLock
from tests.world import EPOCH, eventually

HOLDER = """
import signal, sys
from pathlib import Path
from pqfs.owners import OwnerLock, ProgramLock
lock = OwnerLock(Path(sys.argv[1]), "consumer-00", "this boot", 5.0)
program = ProgramLock(Path(sys.argv[1]), "consumer-00")
assert program.acquire(0)
print(lock.name, flush=True)
sys.stdin.read()
lock.release()
program.release()
"""

Holder = tuple[subprocess.Popen[str], str]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory."""
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


@pytest.fixture
def holding(run: Path) -> Iterator[Callable[[], Holder]]:
    """Start a process that holds an owner's lock: the process and the owner's name."""
    started: list[subprocess.Popen[str]] = []

    def start() -> Holder:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()


def test_a_lock_is_held_while_its_process_lives_and_free_however_it_dies(
    run: Path, holding: Callable[[], Holder]
) -> None:
    owners = Owners(run)
    process, name = holding()
    assert owners.life(name) is Life.ALIVE
    assert not owners.is_dead(name)

    process.kill()
    process.wait()

    assert owners.life(name) is Life.DEAD
    assert owners.names() == [name]
    assert owners.living() == []


def test_a_stopped_process_is_not_dead(run: Path, holding: Callable[[], Holder]) -> None:
    process, name = holding()

    process.send_signal(signal.SIGSTOP)

    assert Owners(run).life(name) is Life.ALIVE


def test_an_owner_that_ends_in_order_is_never_seen_free(run: Path, holding: Callable[[], Holder]) -> None:
    owners = Owners(run)
    process, _ = holding()
    assert process.stdin is not None

    process.stdin.close()
    process.wait(timeout=20)

    assert owners.names() == []


def test_asking_does_not_take_the_lock(run: Path, holding: Callable[[], Holder]) -> None:
    owners = Owners(run)
    process, name = holding()
    process.kill()
    process.wait()

    assert [owners.life(name) for _ in range(3)] == [Life.DEAD] * 3


def test_a_lock_file_tells_who_held_it(run: Path, holding: Callable[[], Holder]) -> None:
    process, name = holding()

    facts = Owners(run).facts(name)

    assert facts == Facts(name, "consumer-00", process.pid, "this boot", 5.0)
    assert name.startswith(f"consumer-00.{process.pid}.")
    assert Owners(run).living() == [facts]


@pytest.mark.parametrize("said", [b"", b"{}", b"[]", b"\xff", b'{"program": 1}'])
def test_a_lock_file_that_can_not_be_read_tells_nothing(run: Path, said: bytes) -> None:
    (run / "x.1.abc.lock").write_bytes(said)

    assert Owners(run).facts("x.1.abc") is None


def test_every_start_has_a_name_of_its_own(run: Path) -> None:
    locks = [OwnerLock(run, "consumer-00", "boot", EPOCH) for _ in range(3)]

    assert len({lock.name for lock in locks}) == 3
    assert sorted(path.suffix for path in run.iterdir()) == [".lock"] * 3
    for lock in locks:
        lock.release()


# -------------------------------------------------------------------- missing is not free


def test_a_missing_lock_of_a_living_pqfs_process_proves_nothing(run: Path, holding: Callable[[], Holder]) -> None:
    """Somebody cleaned run/. The process goes on, and its job must not be given to another."""
    _, name = holding()

    (run / f"{name}.lock").unlink()

    assert Owners(run).life(name) is Life.UNKNOWN
    assert not Owners(run).is_dead(name)


def test_a_missing_lock_of_a_process_that_is_gone_is_a_death(run: Path, holding: Callable[[], Holder]) -> None:
    process, name = holding()
    (run / f"{name}.lock").unlink()
    process.kill()
    process.wait()

    assert Owners(run).is_dead(name)


@pytest.mark.parametrize("name", ["", "x", "rebuilt", "consumer", "a.b.c"])
def test_a_name_that_tells_no_process_proves_nothing(run: Path, name: str) -> None:
    assert Owners(run).life(name) is Life.UNKNOWN


def test_where_there_is_no_run_directory_nobody_is_known(tmp_path: Path) -> None:
    assert Owners(tmp_path / "nowhere").names() == []


# -------------------------------------------------------------------- pidfds


def test_a_pidfd_is_readable_at_death_and_not_before(run: Path, holding: Callable[[], Holder]) -> None:
    process, name = holding()
    descriptor = Owners(run).open_pidfd(name)
    assert descriptor is not None
    assert select.select([descriptor], [], [], 0)[0] == []

    process.kill()

    assert select.select([descriptor], [], [], 20.0)[0] == [descriptor]
    os.close(descriptor)


def test_a_dead_owners_pid_is_never_opened_even_if_another_process_has_it(
    run: Path, holding: Callable[[], Holder]
) -> None:
    process, name = holding()
    process.kill()
    process.wait()
    said = (run / f"{name}.lock").read_text().replace(str(process.pid), str(os.getpid()))
    (run / f"{name}.lock").write_text(said)

    assert Owners(run).open_pidfd(name) is None
    assert Owners(run).kill(name)  # it is dead, and we still live


@pytest.mark.parametrize("stopped", [False, True])
def test_a_hung_owner_can_be_ended_stopped_or_not(run: Path, holding: Callable[[], Holder], stopped: bool) -> None:
    process, name = holding()
    if stopped:
        process.send_signal(signal.SIGSTOP)

    assert Owners(run).kill(name)

    assert Owners(run).is_dead(name)
    assert process.wait(timeout=20) == -signal.SIGKILL


# -------------------------------------------------------------------- leftovers


def test_what_an_owners_handlers_left_behind_is_ended_and_nothing_else(run: Path) -> None:
    mine = {**os.environ, "PQFS_OWNER": "consumer.1.abc"}
    others = {**os.environ, "PQFS_OWNER": "consumer.1.abcd"}
    left = subprocess.Popen(["sleep", "60"], env=mine, start_new_session=True)
    other = subprocess.Popen(["sleep", "60"], env=others, start_new_session=True)
    eventually(lambda: b"sleep" in Path(f"/proc/{left.pid}/cmdline").read_bytes(), "sleep runs")

    try:
        assert Owners(run).end_leftovers("consumer.1.abc") == 1
        assert left.wait(timeout=20) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
    assert Owners(run).end_leftovers("consumer.1.abc") == 0


def test_what_a_dead_owner_left_in_run_is_forgotten(run: Path) -> None:
    for suffix in (".lock", ".bell", ".slot"):
        (run / f"x.1.abc{suffix}").touch()
    (run / "x.1.abcd.lock").touch()

    Owners(run).forget("x.1.abc")
    Owners(run).forget("x.1.abc")

    assert [path.name for path in run.iterdir()] == ["x.1.abcd.lock"]


# -------------------------------------------------------------------- programs


def test_a_program_runs_once_and_its_name_is_free_after_a_kill(run: Path, holding: Callable[[], Holder]) -> None:
    process, _ = holding()
    second = ProgramLock(run, "consumer-00")
    assert not second.acquire(0)

    process.kill()

    assert second.acquire(20.0)
    second.release()
    assert (run / "consumer-00.program").exists()


def test_a_name_made_for_one_start_leaves_no_file(run: Path) -> None:
    lock = ProgramLock(run, f"consumer-{os.getpid()}")
    assert lock.acquire(0)

    lock.release()

    assert list(run.iterdir()) == []


def test_a_grandchild_does_not_keep_a_dead_owner_alive(run: Path) -> None:
    """flock belongs to the open file description: a descriptor that is inherited would hold it."""
    code = HOLDER.replace(
        "sys.stdin.read()", "import subprocess; subprocess.Popen(['sleep', '60'], close_fds=False); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PQFS_OWNER": "leftover.1.test"},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        eventually(lambda: Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(), "it has a child")
        process.kill()
        process.wait()
        try:
            # Race: killed between fork and exec, the child still shares the description until it execs.
            eventually(lambda: Owners(run).is_dead(name), "the dead owner's lock is free")
        finally:
            Owners(run).end_leftovers("leftover.1.test")
