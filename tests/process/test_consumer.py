"""Real consumers with real runners: what becomes of a job when something dies, hangs, fails or is stopped."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

from pqfs.model import State
from pqfs.runner import descendants
from tests.process.conftest import MakeStage
from tests.process.stage import Stage, eventually

pytestmark = pytest.mark.slow

HANDLERS = """
import ctypes, os, shutil, signal, subprocess, sys, time
from pathlib import Path
from pqfs import Permanent, RetryLater

def by_name(context):
    what = context.name.split(".")[0]
    if what.startswith("raise"):
        raise ValueError("this payload is wrong")
    if what.startswith("permanent"):
        raise Permanent("never")
    if what.startswith("later") and context.attempt == 1:
        raise RetryLater("not yet", delay=0.01)
    if what.startswith("segfault"):
        ctypes.string_at(0)
    if what.startswith("first") and context.attempt == 1:
        time.sleep(60)
    if what.startswith("sleep"):
        time.sleep(60)
    if what.startswith("gate"):
        gate = Path(os.environ["PQFS_CONFIG"]).parent / "gate"
        while not gate.exists():
            time.sleep(0.002)
    if what.startswith("stop"):
        os.kill(os.getpid(), signal.SIGSTOP)
    if what.startswith("group"):
        os.killpg(0, signal.SIGKILL)
    if what.startswith("close"):
        os.closerange(3, 100)
        time.sleep(60)
    if what.startswith("vandal"):
        shutil.rmtree(context.output.parent)
    if what.startswith("escape"):
        script = "import os,sys,time; os.setsid(); os.fork() and os._exit(0); time.sleep(60)"
        subprocess.Popen([sys.executable, "-c", script]).wait()
    if what.startswith("haunt"):
        script = "import os,time; os.setsid(); os.fork() and os._exit(0); os.write(1, b'%d' % os.getpid())"
        script += "; os.close(1); time.sleep(60)"
        ghost = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        (Path(os.environ["PQFS_CONFIG"]).parent / "ghost").write_bytes(ghost.stdout)
        time.sleep(60)
    print("handled", context.name)
    return b"out " + context.input.read_bytes()
"""
QUICK = "[consume]\nlease = 6\npoll_every = 0.2\ndrain = 5\nkill_after = 0.3\nprefetch = 0.2\n"
SETTINGS = QUICK + '[defaults]\nhandler = {python = "own_handlers:by_name"}\nbackoff = "10ms"\ntimeout = "30s"\n'


def _ingest(stage: Stage, *names: str) -> None:
    for name in names:
        stage.drop(name, name.encode())
    assert stage.start("ingest", None, "--drain").wait(20) == 0


def _state(stage: Stage, name: str) -> State | None:
    """A job's state, once its payload is where that state says."""
    found = (job for job in stage.jobs() if job.name == name.encode())
    return next((job.state for job in found if job.confirmed or job.state is State.PROCESSING), None)


def test_a_handler_that_raises_is_retried_and_ends_failed_after_three(make_stage: MakeStage) -> None:
    stage = make_stage(SETTINGS, HANDLERS)
    _ingest(stage, "raise.txt")

    stage.consumer()

    eventually(lambda: _state(stage, "raise.txt") is State.FAILED, "the job fails")
    job = stage.jobs()[0]
    assert (job.failures, job.attempt, job.crashes) == (3, 3, 0)
    assert job.error == "ValueError: this payload is wrong"
    assert "Traceback" in str(stage.index.attempts(job.id)[0].log)
    assert len(list((stage.spool / "dead").iterdir())) == 1


def test_a_permanent_error_ends_a_job_at_once_and_retry_later_costs_no_failure(make_stage: MakeStage) -> None:
    stage = make_stage(SETTINGS, HANDLERS)
    _ingest(stage, "permanent.txt", "later.txt")

    stage.consumer()

    eventually(lambda: _state(stage, "later.txt") is State.COMPLETED, "the job that asked for time completes")
    eventually(lambda: _state(stage, "permanent.txt") is State.FAILED, "the hopeless job fails")
    by_name = {job.name: job for job in stage.jobs()}
    assert by_name[b"permanent.txt"].attempt == 1
    assert (by_name[b"later.txt"].failures, by_name[b"later.txt"].attempt) == (0, 2)


def test_a_job_that_kills_its_runner_is_quarantined_and_its_batch_is_not_charged(make_stage: MakeStage) -> None:
    stage = make_stage(SETTINGS, HANDLERS)
    _ingest(stage, "a.txt", "segfault.txt", "b.txt", "c.txt")

    stage.consumer()

    eventually(lambda: _state(stage, "segfault.txt") is State.UNPROCESSABLE, "the killer is quarantined")
    eventually(lambda: len(stage.jobs(State.COMPLETED)) == 3, "its batch completes")
    by_name = {job.name: job for job in stage.jobs()}
    assert by_name[b"segfault.txt"].crashes == 3
    assert "SIGSEGV" in str(by_name[b"segfault.txt"].error)
    assert {job.crashes + job.failures + job.losses for job in stage.jobs(State.COMPLETED)} == {0}


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("stop.txt", "its handler took the runner down (it was stopped)"),
        ("group.txt", "its handler took the runner down (SIGKILL)"),
        ("close.txt", "its handler took the runner down (it closed its channel and went on)"),
    ],
)
def test_a_handler_that_attacks_its_runner_is_charged_alone(make_stage: MakeStage, name: str, cause: str) -> None:
    stage = make_stage(SETTINGS, HANDLERS)
    _ingest(stage, "a.txt", name, "b.txt", "c.txt")

    consumer = stage.consumer()

    eventually(lambda: _state(stage, name) is State.UNPROCESSABLE, "the attacker is quarantined")
    eventually(lambda: len(stage.jobs(State.COMPLETED)) == 3, "its batch completes")
    (attacker,) = stage.jobs(State.UNPROCESSABLE)
    assert (attacker.crashes, attacker.failures, attacker.losses, attacker.error) == (3, 0, 0, cause)
    assert {job.crashes + job.failures + job.losses for job in stage.jobs(State.COMPLETED)} == {0}
    assert consumer.poll() is None


COMMANDS = (
    QUICK
    + """[defaults]
max_failures = 1
max_crashes = 1
timeout = "500ms"
[queues.stops]
handler = {command = ["sh", "-c", "kill -STOP $PPID; sleep 60"]}
timeout = "30s"
[queues.stubborn]
handler = {command = ["sh", "-c", "trap '' TERM; setsid sleep 61 & sleep 62; sleep 63"]}
[queues.daemon]
handler = {command = ["sh", "-c", "(setsid sleep 64 &) & echo done > {output}"]}
timeout = "30s"
[queues.bomb]
handler = {command = ["python3", "-c", '''
import os
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
while True:
    try:
        os.fork()
    except OSError:
        pass
''']}
limits = { processes = 60 }
"""
)


def _below(process: subprocess.Popen[bytes], stage: Stage) -> list[int]:
    """What runs below a consumer beside its runner."""
    return [pid for pid in descendants(process.pid) if pid != stage.runner(process)]


@pytest.mark.parametrize(
    ("queue", "state", "said"),
    [
        ("stops", State.UNPROCESSABLE, "its handler took the runner down (it was stopped)"),
        ("stubborn", State.FAILED, "it ran longer than its timeout of 0.5 seconds"),
        ("bomb", State.FAILED, "it ran longer than its timeout of 0.5 seconds"),
        ("daemon", State.COMPLETED, None),
    ],
)
def test_nothing_that_a_command_started_outlives_its_attempt(
    make_stage: MakeStage, queue: str, state: State, said: str | None
) -> None:
    stage = make_stage(COMMANDS)
    _ingest(stage, f"{queue}/x.txt")

    consumer = stage.consumer()

    eventually(lambda: _state(stage, "x.txt") is state, "the attempt ends")
    assert stage.jobs()[0].error == said
    assert _below(consumer, stage) == []


def test_a_handler_that_sleeps_past_its_timeout_is_ended_and_retried(make_stage: MakeStage) -> None:
    stage = make_stage(SETTINGS.replace('"30s"', '"500ms"'), HANDLERS)
    _ingest(stage, "first.txt")

    stage.consumer()

    eventually(lambda: _state(stage, "first.txt") is State.COMPLETED, "the second attempt completes")
    job = stage.jobs()[0]
    assert (job.failures, job.attempt) == (1, 2)
    assert [each.outcome for each in stage.index.attempts(job.id)] == ["timeout", "done"]


def test_a_command_that_does_not_exist_says_so_in_words(make_stage: MakeStage) -> None:
    stage = make_stage(QUICK + '[defaults]\nhandler = {command = ["no-such-program", "{input}"]}\nbackoff = 0\n')
    _ingest(stage, "x.txt")

    stage.consumer()

    eventually(lambda: "can not be run" in stage.log("consumer-00"), "the consumer says so")
    eventually(lambda: _state(stage, "x.txt") is State.PENDING, "the job waits again")
    job = stage.jobs()[0]
    assert "The command 'no-such-program' was not found" in str(job.error)
    assert (job.attempt, job.failures, job.crashes) == (1, 0, 0)


def test_the_job_of_a_killed_consumer_runs_again_within_a_second_while_another_is_idle(make_stage: MakeStage) -> None:
    stage = make_stage(SETTINGS, HANDLERS)
    stage.start("janitor")
    first, second = stage.consumer("consumer-00"), stage.consumer("consumer-01")
    _ingest(stage, "first.txt")
    eventually(lambda: stage.running(first) or stage.running(second), "the job runs")
    victim = first if stage.running(first) else second

    victim.kill()
    died = time.monotonic()

    eventually(lambda: _state(stage, "first.txt") is State.COMPLETED, "the job runs again", within=5)
    assert time.monotonic() - died < 1.0
    job = stage.jobs()[0]
    assert (job.crashes, job.attempt) == (1, 2)


def test_a_consumer_that_was_stopped_past_its_lease_publishes_nothing(make_stage: MakeStage) -> None:
    short = SETTINGS.replace("lease = 6", "lease = 1").replace("kill_after = 0.3", "kill_after = 0.2")
    stage = make_stage(short, HANDLERS)
    first, second = stage.consumer("consumer-00"), stage.consumer("consumer-01")
    _ingest(stage, "gate.txt")
    eventually(lambda: stage.running(first) or stage.running(second), "the job runs")
    victim, other = (first, second) if stage.running(first) else (second, first)

    victim.send_signal(signal.SIGSTOP)
    stage.start("janitor")
    eventually(lambda: stage.running(other), "the other consumer has the job")
    victim.send_signal(signal.SIGCONT)
    (stage.root / "gate").touch()

    eventually(lambda: _state(stage, "gate.txt") is State.COMPLETED, "the job completes")
    assert stage.outputs() == [b"out gate.txt"]
    assert stage.jobs()[0].attempt == 2


def test_a_runner_that_is_killed_costs_its_job_one_crash_and_nothing_else(make_stage: MakeStage) -> None:
    stage = make_stage(SETTINGS, HANDLERS)
    consumer = stage.consumer()
    _ingest(stage, "first.txt", "b.txt")
    eventually(lambda: stage.running(consumer), "the job runs")

    os.kill(stage.runner(consumer), signal.SIGKILL)

    eventually(lambda: len(stage.jobs(State.COMPLETED)) == 2, "both complete")
    by_name = {job.name: job for job in stage.jobs()}
    assert (by_name[b"first.txt"].crashes, by_name[b"b.txt"].crashes) == (1, 0)


def test_a_grandchild_that_left_its_session_ends_with_the_attempt(make_stage: MakeStage, tmp_path: Path) -> None:
    stage = make_stage(SETTINGS, HANDLERS)
    consumer = stage.consumer()
    _ingest(stage, "escape.txt")

    eventually(lambda: _state(stage, "escape.txt") is State.COMPLETED, "the job completes")

    assert descendants(consumer.pid) == [stage.runner(consumer)]


def test_what_the_handler_of_a_killed_consumer_left_running_is_ended(make_stage: MakeStage) -> None:
    """It left its session, so that no signal to a group or to children reaches it; and it might still be writing."""
    stage = make_stage(SETTINGS, HANDLERS)
    consumer = stage.consumer()
    _ingest(stage, "haunt.txt")
    note = stage.root / "ghost"
    eventually(lambda: note.exists() and note.read_text().strip(), "the handler has left its ghost")
    ghost = os.pidfd_open(int(note.read_text()))

    consumer.kill()
    stage.start("janitor")

    assert select.select([ghost], [], [], 20)[0], "the ghost ends"
    os.close(ghost)


def test_term_finishes_what_runs_and_gives_the_rest_back_at_no_cost(make_stage: MakeStage) -> None:
    stage = make_stage(SETTINGS, HANDLERS)
    consumer = stage.consumer()
    _ingest(stage, "gate.txt", "b.txt", "c.txt")
    eventually(lambda: stage.running(consumer), "the first job runs")

    consumer.send_signal(signal.SIGTERM)
    eventually(lambda: len(stage.jobs(State.PENDING)) == 2, "the others are given back")
    (stage.root / "gate").touch()

    assert consumer.wait(20) == 0
    assert _state(stage, "gate.txt") is State.COMPLETED
    assert {(job.failures, job.crashes, job.losses) for job in stage.jobs()} == {(0, 0, 0)}


def test_a_drain_that_lasts_too_long_releases_the_running_job_at_no_cost(make_stage: MakeStage) -> None:
    stage = make_stage(SETTINGS.replace("drain = 5", "drain = 0.5"), HANDLERS)
    consumer = stage.consumer()
    _ingest(stage, "sleep.txt")
    eventually(lambda: stage.running(consumer), "the job runs")

    assert stage.stop(consumer) == 0

    job = stage.jobs()[0]
    assert (job.state, job.failures, job.crashes, job.losses) == (State.PENDING, 0, 0, 0)


def test_cancel_ends_a_running_job_and_its_processes(make_stage: MakeStage) -> None:
    stage = make_stage(SETTINGS, HANDLERS)
    consumer = stage.consumer()
    _ingest(stage, "sleep.txt")
    eventually(lambda: stage.running(consumer), "the job runs")

    with stage.app() as app:
        app.jobqueue.cancel(stage.jobs()[0], "tester", "no longer wanted", app.clock.now())

    eventually(lambda: _state(stage, "sleep.txt") is State.CANCELLED, "the job is cancelled")
    assert stage.outputs() == []
    assert len(list((stage.spool / "cancelled").iterdir())) == 1


def test_jobs_leased_behind_a_long_one_are_given_to_an_idle_consumer(make_stage: MakeStage) -> None:
    stage = make_stage(SETTINGS, HANDLERS)
    _ingest(stage, "gate.txt", "b.txt", "c.txt")
    first = stage.consumer("consumer-00")
    eventually(lambda: stage.running(first), "the long job runs")

    stage.consumer("consumer-01")

    eventually(lambda: len(stage.jobs(State.COMPLETED)) == 2, "the others complete meanwhile")
    assert _state(stage, "gate.txt") is State.PROCESSING
    (stage.root / "gate").touch()
    eventually(lambda: len(stage.jobs(State.COMPLETED)) == 3, "the long job completes")


def test_what_a_handler_prints_is_kept_with_its_attempt(make_stage: MakeStage) -> None:
    stage = make_stage(SETTINGS, HANDLERS)
    _ingest(stage, "a.txt")

    stage.consumer()

    eventually(lambda: _state(stage, "a.txt") is State.COMPLETED, "the job completes")
    assert stage.index.attempts(stage.jobs()[0].id)[0].log == "handled a.txt\n"


def test_a_handler_that_removes_its_work_folder_harms_only_itself(make_stage: MakeStage) -> None:
    stage = make_stage(SETTINGS, HANDLERS)
    _ingest(stage, "vandal.txt", "b.txt", "c.txt")

    stage.consumer()

    eventually(lambda: len(stage.jobs(State.COMPLETED)) == 2, "the others complete")
    eventually(lambda: _state(stage, "vandal.txt") is State.FAILED, "the vandal fails")
    assert {job.attempt for job in stage.jobs(State.COMPLETED)} == {1}


def test_a_consumer_whose_index_was_removed_ends_and_says_why(make_stage: MakeStage) -> None:
    stage = make_stage(SETTINGS, HANDLERS)
    consumer = stage.consumer()
    for path in stage.spool.glob("index.db*"):
        path.unlink()

    assert consumer.wait(20) == 6

    assert "was removed or exchanged while it was open" in stage.log("consumer-00")
