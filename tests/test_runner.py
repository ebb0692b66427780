"""The runner: a real one, in a process of its own, spoken to through the link that a consumer uses."""

from __future__ import annotations

import hashlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pqfs import kernel
from pqfs.files import Files
from pqfs.handlersettings import CommandHandler, PythonHandler
from pqfs.jobqueue import JobQueue
from pqfs.model import Kind, Place
from pqfs.outputs import measure
from pqfs.owners import Owners
from pqfs.runner import LOG_BYTES, begin, descendants
from pqfs.runnerlink import RunnerLink
from pqfs.settings import QueueSettings, Settings
from pqfs.slot import Slot, read_slot
from pqfs.spool import Spool
from tests.desk import Desk
from tests.world import SettableClock, eventually, submitted

HANDLERS = """
import os, signal, subprocess, sys, time
from pathlib import Path
from pqfs.errors import Permanent, RetryLater

def upper(context):
    return context.input.read_bytes().upper()

def text(context):
    return f"{context.name} {context.queue} {context.attempt} {context.metadata}"

def writes(context):
    context.output.write_bytes(b"written")

def directory(context):
    (context.output_dir / "b").write_bytes(b"bb")
    (context.output_dir / "deep").mkdir()
    (context.output_dir / "deep" / "a").write_bytes(b"a")

def both(context):
    (context.output_dir / "scratch").write_bytes(b"not published")
    context.output.write_bytes(b"published")

def nothing(context):
    context.output_dir

def links(context):
    (context.output_dir / "passwd").symlink_to("/etc/passwd")

def raises(context):
    print("on stdout"); print("on stderr", file=sys.stderr)
    raise ValueError("what went wrong")

def later(context):
    raise RetryLater("busy", delay=12.5)

def permanent(context):
    raise Permanent("hopeless")

def exits(context):
    sys.exit(3)

def no_space(context):
    raise OSError(28, "No space left on device")

def bad_disk(context):
    raise OSError(5, "Input/output error")

def segfault(context):
    os.kill(os.getpid(), signal.SIGSEGV)

def chatty(context):
    subprocess.run(["sh", "-c", "head -c 1000000 /dev/zero | tr '\\\\0' x"], check=True)
    print("the end")
    return b""

def quiet(context):
    return b""

def escapes(context):
    code = "import os, sys, time\\nos.setsid()\\nif os.fork(): os._exit(0)\\n" \\
           "f = open(sys.argv[1], 'ab', 0)\\nopen(sys.argv[2], 'w').write(str(os.getpid()))\\n" \\
           "while True: f.write(b'more'); time.sleep(0.001)\\n"
    note = str(context.output) + ".pid"
    subprocess.Popen([sys.executable, "-c", code, str(context.output), note])
    while not os.path.exists(note) or not Path(note).read_text():
        time.sleep(0.001)
    os.rename(note, os.environ["PQFS_TEST_NOTE"])

def patient(context):
    context.progress(0.5)
    Path(os.environ["PQFS_TEST_NOTE"]).touch()
    while not context.cancelled():
        time.sleep(0.001)
    raise RetryLater("ended early")

def stubborn(context):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen(["setsid", "sleep", "60"])
    Path(os.environ["PQFS_TEST_NOTE"]).touch()
    time.sleep(60)

def held(context):
    context.output.write_bytes(b"x")
    Path(os.environ["PQFS_TEST_NOTE"]).touch()
    while not os.path.exists(os.environ["PQFS_TEST_NOTE"] + ".go"):
        time.sleep(0.001)

def broken_import(context):
    import no_such_module_at_all
"""


def _queues() -> dict[str, QueueSettings]:
    names = re.findall(r"^def (\w+)\(context\)", HANDLERS, re.MULTILINE)
    found = {name: QueueSettings(handler=PythonHandler(python=f"work_of_test:{name}")) for name in names}
    commands = {
        "copy": ("cp", "{input}", "{output}"),
        "many": ("sh", "-c", "echo 1 > {output_dir}/one; echo 2 > {output_dir}/two"),
        "code75": ("sh", "-c", "exit 75"),
        "code65": ("sh", "-c", "exit 65"),
        "code9": ("sh", "-c", "echo said >&2; exit 9"),
        "missing": ("no-such-program",),
        "silent": ("true",),
        "background": ("sh", "-c", "setsid sleep 60 & echo done > {output}"),
    }
    found |= {name: QueueSettings(handler=CommandHandler(command=arguments)) for name, arguments in commands.items()}
    return found | {"absent": QueueSettings(handler=PythonHandler(python="no_such_module:x"))}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A queue for each way a handler can behave."""
    (tmp_path / "work_of_test.py").write_text(HANDLERS)
    return Settings(spool=tmp_path / "spool", logs=tmp_path / "logs", queues=_queues())


@pytest.fixture
def note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where handlers tell the test that they run."""
    monkeypatch.setenv("PQFS_TEST_NOTE", str(tmp_path / "note"))
    return tmp_path / "note"


@pytest.fixture
def link(jobqueue: JobQueue, settings: Settings, tmp_path: Path, note: Path) -> Iterator[RunnerLink]:
    """A started runner. This process is a subreaper meanwhile, as a consumer is."""
    kernel.become_subreaper()
    made = RunnerLink(jobqueue.spool, settings, "owner", str(tmp_path))
    made.start()
    yield made
    made.close()
    kernel._libc.prctl(36, 0, 0, 0, 0)
    assert descendants(os.getpid()) == []


@pytest.fixture
def desk(jobqueue: JobQueue, link: RunnerLink, clock: SettableClock) -> Desk:
    """A consumer's side."""
    return Desk(jobqueue, link, clock)


# -------------------------------------------------------------------- outputs


@pytest.mark.parametrize("data", [b"", b"payload\n", b"\0\xff" * 2_000_000])
def test_the_default_output_is_exact_and_hashed(desk: Desk, data: bytes) -> None:
    before = time.time()

    job, answer = desk.run("default", data)

    output = desk.staged(job).read_bytes()
    assert re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", output[:27])
    assert output[27:28] == b"\n"
    assert output[28:] == data
    assert (answer["kind"], answer["job"], answer["attempt"]) == ("done", job.id, 1)
    assert answer["output_size"] == len(output)
    assert answer["output_sha256"] == hashlib.sha256(output).hexdigest()
    assert before <= answer["started_at"] <= time.time()
    assert answer["run_seconds"] >= 0
    assert "log" not in answer


@pytest.mark.parametrize(
    ("queue", "output"),
    [("upper", b"PAYLOAD"), ("writes", b"written"), ("copy", b"payload"), ("both", b"published"),
     ("text", b"name text 1 {'who': 'me'}")],
)  # fmt: skip
def test_one_file_is_one_output(desk: Desk, queue: str, output: bytes) -> None:
    job, answer = desk.run(queue, options={"metadata": {"who": "me"}})

    assert answer["kind"] == "done", answer
    assert desk.staged(job).read_bytes() == output
    assert (answer["output_size"], answer["output_sha256"]) == (len(output), hashlib.sha256(output).hexdigest())
    assert desk.scratch() == [desk.staged(job).name]


def test_several_files_are_one_output_directory_with_a_hash_that_sha256sum_prints(desk: Desk) -> None:
    job, answer = desk.run("directory")

    staged = desk.staged(job)
    assert answer["kind"] == "done"
    assert {str(path.relative_to(staged)) for path in staged.rglob("*")} == {"b", "deep", "deep/a"}
    listing = f"{hashlib.sha256(b'bb').hexdigest()}  b\n{hashlib.sha256(b'a').hexdigest()}  deep/a\n"
    assert answer["output_size"] == 3
    assert answer["output_sha256"] == hashlib.sha256(listing.encode()).hexdigest()
    assert measure(staged) == (3, answer["output_sha256"])


def test_a_command_may_leave_several_files_too(desk: Desk) -> None:
    job, answer = desk.run("many")

    assert answer["kind"] == "done"
    assert (desk.staged(job) / "two").read_bytes() == b"2\n"


def test_an_input_of_any_name_is_processed(desk: Desk) -> None:
    for name in (b"new\nline", b"-rf", b"\xff\xfe", b"x" * 255, b"a b"):
        job, answer = desk.run("copy", name=name)

        assert answer["kind"] == "done"
        assert desk.staged(job).read_bytes() == b"payload"


def test_the_payload_stands_in_claimed_while_it_runs_and_the_slot_names_it(desk: Desk, note: Path) -> None:
    job = desk.send("patient")
    eventually(note.exists, "the handler runs")

    running = desk.link.running()

    assert running is not None
    assert (running.job, running.attempt, running.progress) == (job.id, 1, 0.5)
    assert desk.spool.entries("claimed") == [f"{job.id}.1.patient.name"]
    desk.link.ask_to_end()
    assert desk.answer()["kind"] == "retry later"
    eventually(lambda: desk.link.running() is None, "the slot is empty again")


# -------------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("queue", "kind", "error"),
    [
        ("raises", "failed", "ValueError: what went wrong"),
        ("later", "retry later", "busy"),
        ("permanent", "permanent", "hopeless"),
        ("exits", "failed", "the handler called sys.exit(3)"),
        ("nothing", "failed", "the handler ended without writing an output"),
        ("silent", "failed", "the handler ended without writing an output"),
        ("links", "failed", "the output contains passwd, which is a symbolic link"),
        ("no_space", "released", "the environment failed: No space left on device"),
        ("bad_disk", "environment", "the environment failed: Input/output error"),
        ("code75", "retry later", "sh asked to be tried later (exit code 75)"),
        ("code65", "permanent", "sh says that this input can not succeed (exit code 65)"),
        ("code9", "failed", "sh failed with exit code 9"),
        ("missing", "released", "The command 'no-such-program' was not found"),
        ("absent", "released", "The handler no_such_module:x can not be imported"),
        ("broken_import", "failed", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
    ],
)
def test_an_attempt_that_fails_says_why_and_leaves_nothing(desk: Desk, queue: str, kind: str, error: str) -> None:
    job, answer = desk.run(queue)

    assert answer["kind"] == kind
    assert answer["error"].startswith(error)
    assert desk.scratch() == []
    assert not desk.staged(job).exists()
    assert desk.run("upper")[1]["kind"] == "done"


def test_a_handler_may_name_the_delay(desk: Desk) -> None:
    assert desk.run("later")[1]["delay"] == 12.5


def test_the_exit_code_of_a_command_is_reported(desk: Desk) -> None:
    assert desk.run("code9")[1]["exit_code"] == 9


def test_a_payload_that_is_not_there_is_missing_and_nothing_runs(desk: Desk) -> None:
    submitted(desk.jobqueue, desk.clock.now(), queue="upper")
    (job,) = desk.jobqueue.claim("owner", ["upper"], 1, desk.clock.now())
    (path,) = desk.spool.find(job.id)
    desk.spool.path(path).unlink()

    desk.link.send([job])

    assert desk.answer() == {"job": job.id, "attempt": 1, "kind": "missing"}


def test_scratch_that_can_not_be_made_is_nobodys_crash(desk: Desk) -> None:
    work = desk.spool.path("work")
    submitted(desk.jobqueue, desk.clock.now(), queue="upper")
    (job,) = desk.jobqueue.claim("owner", ["upper"], 1, desk.clock.now())
    elsewhere = work.rename(desk.spool.path("elsewhere"))
    work.write_bytes(b"in the way")

    desk.link.send([job])

    assert desk.answer()["kind"] == "environment"
    work.unlink()
    elsewhere.rename(work)
    assert desk.run("upper")[1]["kind"] == "done"


def test_what_was_given_back_between_the_question_and_the_rename_does_not_begin(
    jobqueue: JobQueue, clock: SettableClock, tmp_path: Path
) -> None:
    """The consumer voids it and puts it back into ready/, all of it just before our rename: which then succeeds."""
    slot, descriptor = Slot.create(tmp_path / "slot")

    class Between(Files):
        def rename(self, source_dir: int, source: bytes, target_dir: int, target: bytes) -> None:
            slot.next_generation()
            super().rename(source_dir, source, target_dir, target)

    submitted(jobqueue, clock.now())
    (job,) = jobqueue.claim("owner", ["default"], 1, clock.now())
    spool = jobqueue.spool
    ready, claimed = spool.payload_path(job, Place.READY), spool.payload_path(job, Place.CLAIMED)
    assignment = {"job": job.id, "attempt": 1, "ready": ready, "claimed": claimed, "generation": slot.generation}
    ours = Spool(spool.root, Between())

    assert begin(ours, slot, assignment, 1.0) == {"kind": Kind.RELEASED}

    assert spool.find(job.id) == [ready]
    assert slot.read() is None
    ours.close()
    os.close(descriptor)


def test_what_was_taken_back_before_it_started_is_not_started_late(desk: Desk, note: Path) -> None:
    """Race: the payload is in ready/ again when the runner comes to an assignment of long ago."""
    running = desk.send("patient")
    behind = desk.send("upper")
    eventually(note.exists, "the first runs")

    desk.link.void()
    desk.link.ask_to_end()

    assert (desk.answer()["job"], desk.answer()) == (
        running.id,
        {"job": behind.id, "attempt": 1, "kind": "released"},
    )
    assert desk.spool.exists(desk.spool.payload_path(behind, Place.READY))
    assert desk.run("upper")[1]["kind"] == "done"


# -------------------------------------------------------------------- what is printed


def test_what_a_handler_prints_is_kept_with_its_traceback(desk: Desk) -> None:
    log = desk.run("raises")[1]["log"]

    assert "on stdout\n" in log
    assert "on stderr\n" in log
    assert "ValueError: what went wrong" in log
    assert desk.run("code9")[1]["log"] == "said\n"
    assert "log" not in desk.run("quiet")[1]


def test_what_is_printed_is_bounded_and_says_how_much_was_left_out(desk: Desk) -> None:
    log = desk.run("chatty")[1]["log"]

    left_out = re.match(r"\[(\d+) bytes before this were left out\]\n", log)
    assert left_out is not None
    assert int(left_out[1]) + LOG_BYTES == 1_000_000 + len("the end\n")
    assert len(log) == left_out.end() + LOG_BYTES
    assert log.endswith("xthe end\n")


# -------------------------------------------------------------------- descendants


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_grandchild_that_left_its_session_is_ended_before_the_result_is_told(desk: Desk, note: Path) -> None:
    """It would go on writing into what is published."""
    job, answer = desk.run("escapes")

    pid = int(note.read_text())
    assert not _is_alive(pid)
    assert answer["kind"] == "done"
    assert desk.staged(job).stat().st_size == answer["output_size"]
    assert measure(desk.staged(job)) == (answer["output_size"], answer["output_sha256"])


def test_an_output_that_a_stranger_still_writes_is_not_published(desk: Desk, note: Path) -> None:
    """Not a descendant, so nobody ends it: but what it writes would change after the hash was taken."""
    job = desk.send("held")
    eventually(note.exists, "the output is there")
    part = desk.spool.path(desk.spool.scratch_path("owner", job.id, 1, "part"))

    with part.open("ab"):
        note.with_name("note.go").touch()
        answer = desk.answer()

    assert answer["kind"] == "failed"
    assert answer["error"].endswith("is still open for writing by another process")
    assert desk.scratch() == []


def test_a_command_that_leaves_something_in_the_background_does_not_keep_its_slot(desk: Desk) -> None:
    before = time.monotonic()

    _, answer = desk.run("background")

    assert answer["kind"] == "done"
    assert time.monotonic() - before < 10.0
    assert all(b"sleep" not in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in descendants(os.getpid()))


def test_a_stubborn_attempt_is_killed_with_its_whole_tree(desk: Desk, note: Path) -> None:
    desk.send("stubborn")
    eventually(note.exists, "the handler runs")
    eventually(lambda: len(descendants(os.getpid())) >= 2, "the runner has a child")

    desk.link.ask_to_end()
    desk.link.kill()

    assert descendants(os.getpid()) == []


# -------------------------------------------------------------------- deaths


def test_a_segfault_names_exactly_the_job_that_ran(desk: Desk) -> None:
    good, bad, next_one = desk.send("upper"), desk.send("segfault"), desk.send("upper")

    def said() -> bool:
        select.select([desk.link.channel], [], [], 1.0)
        heard.extend(desk.link.results())
        return desk.link.is_dead

    heard: list[dict[str, Any]] = []
    eventually(said, "the runner dies")
    running = desk.link.running()
    last, cause = desk.link.bury()

    assert [answer["job"] for answer in heard + last] == [good.id]
    assert cause == "SIGSEGV"
    assert running is not None
    assert (running.job, running.attempt) == (bad.id, 1)
    assert read_slot(desk.spool.path("run/owner.slot")) == running

    desk.link.start()
    desk.link.send([next_one])
    assert desk.answer()["job"] == next_one.id
    assert desk.link.running() is None or desk.link.running() != running


DOOMED = """
import json, sys, time
from pathlib import Path
from pqfs.runnerlink import RunnerLink
from pqfs.handlersettings import PythonHandler
from pqfs.settings import QueueSettings, Settings
from pqfs.spool import Spool
root, assignment = Path(sys.argv[1]), json.loads(sys.argv[2])
handler = QueueSettings(handler=PythonHandler(python="work_of_test:stubborn"))
link = RunnerLink(Spool(root), Settings(spool=root, defaults=handler), "doomed", str(root.parent))
link.start()
link.channel.send({"run": [{**assignment, "generation": link._slot.generation}]})
print(link._process.pid, flush=True)
time.sleep(60)
"""


def test_a_runner_dies_with_its_consumer_whatever_its_handler_does(
    jobqueue: JobQueue, clock: SettableClock, note: Path
) -> None:
    """The consumer is killed: nothing that it started goes on for another minute."""
    submitted(jobqueue, clock.now())
    (job,) = jobqueue.claim("doomed", ["default"], 1, clock.now())
    spool = jobqueue.spool
    assignment = {
        "job": job.id, "attempt": 1, "queue": "default", "name": "x", "metadata": {},
        "ready": spool.payload_path(job, Place.READY), "claimed": spool.payload_path(job, Place.CLAIMED),
    }  # fmt: skip
    command = [sys.executable, "-c", DOOMED, str(spool.root), json.dumps(assignment)]

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as consumer:
        assert consumer.stdout is not None
        try:
            runner = int(consumer.stdout.readline())
            eventually(note.exists, "the handler runs")
        finally:
            consumer.kill()

    eventually(lambda: not _is_alive(runner), "the runner has died")
    running = read_slot(spool.path("run/doomed.slot"))
    assert running is not None
    assert running.job == job.id
    Owners(spool.path("run")).end_leftovers("doomed")


def test_what_a_runner_is_told_contains_no_secret_of_the_environment(
    jobqueue: JobQueue, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")

    link = RunnerLink(jobqueue.spool, settings, "owner", "/")

    assert "secret" not in json.dumps(link._hello)
    environment = link._hello["environment"]
    assert isinstance(environment, dict)
    assert environment["LC_ALL"] == "C.UTF-8"
    assert environment["PQFS_OWNER"] == "owner"


def test_a_runner_that_is_closed_leaves_complete_outputs_and_no_scratch_and_no_process(desk: Desk) -> None:
    """An output may be committed and not published: its consumer must not remove it."""
    desk.run("upper")
    pid = desk.link._process.pid
    desk.spool.path("work/owner/half.part").write_bytes(b"half")

    desk.link.close()

    (left,) = desk.spool.entries("work/owner", hidden=True)
    assert left.endswith(".out")
    assert not _is_alive(pid)
    desk.link.start()  # for the fixture to close


def test_the_runner_ignores_an_interrupt_of_the_terminal(desk: Desk) -> None:
    desk.run("upper")

    os.kill(desk.link._process.pid, signal.SIGINT)

    assert desk.run("upper")[1]["kind"] == "done"


def test_a_runner_that_can_not_enter_the_spool_ends_with_one_sentence(
    jobqueue: JobQueue, link: RunnerLink, capfd: pytest.CaptureFixture[str]
) -> None:
    root = jobqueue.spool.root
    link.kill("it is to start anew")
    link.bury()
    root.rename(root.with_name("elsewhere"))
    try:
        link.start()
        eventually(lambda: not list(link.results()) and link.is_dead, "the runner has ended")
        assert link._process.wait(10) == 1
    finally:
        root.with_name("elsewhere").rename(root)

    said = capfd.readouterr().err
    assert said.startswith("pqfs.runner: ")
    assert said.count("\n") == 1
