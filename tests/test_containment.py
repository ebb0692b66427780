"""Handlers contained: a real runner, real programs, and each limit reached."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pqfs import kernel
from pqfs.handlers.confinement import trouble
from pqfs.handlersettings import CommandHandler, LimitSettings, PythonHandler
from pqfs.jobqueue import JobQueue
from pqfs.runner import descendants
from pqfs.runnerlink import RunnerLink
from pqfs.settings import QueueSettings, Settings
from pqfs.validation import validated
from tests.desk import Desk
from tests.world import SettableClock

FUNCTIONS = """
def spins(context):
    while True:
        pass

def hoards(context):
    bytearray(1 << 30)

def writes(context):
    context.output.write_bytes(bytes(1 << 20))

def opens(context):
    files = [open("/dev/null") for _ in range(100)]

def fine(context):
    return b"fine " + bytes(bytearray(1 << 20)[:1])
"""
SURROUNDINGS = """
import ctypes, json, os, resource, sys
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
number = ctypes.c_int()
ctypes.CDLL(None).prctl(2, ctypes.byref(number))
print(json.dumps({
    "no new privileges": status["NoNewPrivs"].strip(), "umask": status["Umask"].strip(),
    "leads its session": os.getsid(0) == os.getpid(), "leads its group": os.getpgid(0) == os.getpid(),
    "dies with": number.value, "core": resource.getrlimit(resource.RLIMIT_CORE), "nice": os.nice(0),
    "open": sorted(fd for fd in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + fd)),
    "input": sys.stdin.read(), "where": os.getcwd(), "oom": open("/proc/self/oom_score_adj").read().strip(),
    "names": sorted(name for name in os.environ if name.startswith("PQFS_")),
}))
"""
MakeDesk = Callable[[QueueSettings], Desk]


@pytest.fixture
def make_desk(jobqueue: JobQueue, clock: SettableClock, settings: Settings, tmp_path: Path) -> Iterator[MakeDesk]:
    """Start a runner whose default queue is set so. This process is a subreaper meanwhile, as a consumer is."""
    kernel.become_subreaper()
    (tmp_path / "functions_of_test.py").write_text(FUNCTIONS)
    links: list[RunnerLink] = []

    def make(queue: QueueSettings) -> Desk:
        links.append(RunnerLink(jobqueue.spool, replace(settings, defaults=queue), "owner", str(tmp_path)))
        links[-1].start()
        return Desk(jobqueue, links[-1], clock)

    yield make
    for link in links:
        link.close()
    kernel._libc.prctl(36, 0, 0, 0, 0)
    assert descendants(os.getpid()) == []


def program(*command: str, limits: dict[str, Any] | None = None, **more: Any) -> QueueSettings:
    handler = validated(CommandHandler, {"command": command, **more}, {})
    return QueueSettings(handler=handler, limits=validated(LimitSettings, limits or {}, {}))


def function(name: str, **limits: Any) -> QueueSettings:
    handler = PythonHandler(python=f"functions_of_test:{name}")
    return QueueSettings(handler=handler, limits=validated(LimitSettings, limits, {}))


# -------------------------------------------------------------------- surroundings


def test_a_program_has_nothing_of_its_runner_and_dies_with_it(make_desk: MakeDesk) -> None:
    desk = make_desk(program(sys.executable, "-c", SURROUNDINGS, stdout="output", limits={"nice": 3}))

    job, answer = desk.run("default")

    assert answer["kind"] == "done", str(answer)
    assert json.loads(desk.staged(job).read_text()) == {
        "no new privileges": "1", "umask": "0027", "leads its session": True, "leads its group": True, "dies with": 9,
        "core": [0, 0], "nice": min(19, os.nice(0) + 3), "open": ["0", "1", "2"], "input": "", "oom": "500",
        "where": str(desk.spool.path(desk.spool.scratch_path("owner", job.id, 1, "parts"))),
        "names": ["PQFS_ATTEMPT", "PQFS_JOB", "PQFS_NAME", "PQFS_OWNER", "PQFS_QUEUE"],
    }  # fmt: skip


def test_a_program_with_a_path_is_looked_for_beside_pqfs_toml(make_desk: MakeDesk, tmp_path: Path) -> None:
    (tmp_path / "convert.sh").write_text("#!/bin/sh\ncp $1 $2\n")
    (tmp_path / "convert.sh").chmod(0o755)

    job, answer = (desk := make_desk(program("./convert.sh", "{input}", "{output}"))).run("default")

    assert answer["kind"] == "done", str(answer)
    assert desk.staged(job).read_bytes() == b"payload"


def test_doubled_braces_are_a_programs_own(make_desk: MakeDesk) -> None:
    job, answer = (desk := make_desk(program("echo", "{{input}} {x y}", stdout="output"))).run("default")

    assert answer["kind"] == "done", str(answer)
    assert desk.staged(job).read_bytes() == b"{input} {x y}\n"


# -------------------------------------------------------------------- limits of programs


def python(code: str, **limits: Any) -> QueueSettings:
    return program(sys.executable, "-c", code, "{output}", limits=limits)


@pytest.mark.parametrize(
    ("queue", "error"),
    [
        (program("sh", "-c", "while :; do :; done", limits={"cpu": 1}), "sh was ended by its limit of 1 CPU seconds"),
        (program("sh", "-c", "sh -c 'while :; do :; done'; exit $?", limits={"cpu": 1}),
         "sh was ended by its limit of 1 CPU seconds"),
        (program("head", "-c", "1000000", "/dev/zero", stdout="output", limits={"file_size": "64KiB"}),
         "head was ended by its limit of 64 KiB for one file"),
        (program("sh", "-c", "head -c 1000000 /dev/zero > {output}; exit $?", limits={"file_size": 65537}),
         "sh was ended by its limit of 65537 bytes for one file"),
        (python("import sys; open(sys.argv[1], 'wb').write(bytes(1 << 20))", file_size="64KiB"),
         "failed with exit code 1; as it says itself, it met its limit of 64 KiB for one file"),
        (python("bytearray(1 << 30)", memory="256MiB"),
         "failed with exit code 1; as it says itself, it met its limit of 256 MiB of memory"),
        (python("files = [open('/dev/null') for _ in range(100)]", open_files=32),
         "failed with exit code 1; as it says itself, it met its limit of 32 open files"),
    ],
)  # fmt: skip
def test_a_program_that_meets_a_limit_has_failed_and_its_error_names_the_limit(
    make_desk: MakeDesk, queue: QueueSettings, error: str
) -> None:
    desk = make_desk(queue)

    _, answer = desk.run("default")

    assert answer["kind"] == "failed"
    assert answer["error"].endswith(error), answer
    assert desk.scratch() == []


def test_a_limit_of_processes_binds_who_is_not_root(make_desk: MakeDesk) -> None:
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    bomb = "for i in 1 2 3 4 5 6 7 8; do sleep 60 & done; wait"

    _, answer = make_desk(program(*as_nobody, "sh", "-c", bomb, limits={"processes": 4})).run("default")

    assert answer["kind"] == "failed"
    assert answer["error"].endswith("as it says itself, it met its limit of 4 processes"), answer


def test_limits_that_are_not_met_do_not_matter(make_desk: MakeDesk) -> None:
    limits = {"memory": "512MiB", "cpu": "10s", "file_size": "1MiB", "open_files": 64, "nice": 1}

    _, answer = make_desk(program("cp", "{input}", "{output}", limits=limits)).run("default")

    assert answer["kind"] == "done", str(answer)


# -------------------------------------------------------------------- limits of functions


@pytest.mark.parametrize(
    ("name", "limits", "error"),
    [
        ("spins", {"cpu": 1}, "the handler met its limit of 1 CPU seconds"),
        ("hoards", {"memory": "512MiB"}, "the handler met its limit of 512 MiB of memory"),
        ("writes", {"file_size": "1KiB"}, "the handler met its limit of 1 KiB for one file"),
        ("opens", {"open_files": 32}, "the handler met its limit of 32 open files"),
    ],
)
def test_a_function_that_meets_a_limit_has_failed_and_its_runner_lives(
    make_desk: MakeDesk, name: str, limits: dict[str, Any], error: str
) -> None:
    desk = make_desk(function(name, **limits))
    runners = descendants(os.getpid())

    answers = [desk.run("default")[1], desk.run("default")[1]]

    assert [(answer["kind"], answer["error"]) for answer in answers] == [("failed", error)] * 2
    assert descendants(os.getpid()) == runners


def test_the_limits_of_a_function_are_taken_back_after_it(make_desk: MakeDesk) -> None:
    desk = make_desk(function("fine", cpu=1, memory="64MiB", file_size="1MiB", open_files=64))

    for _ in range(3):
        assert desk.run("default")[1]["kind"] == "done"

    runner = descendants(os.getpid())[0]
    limits = Path(f"/proc/{runner}/limits").read_text()
    assert Path("/proc/self/limits").read_text().splitlines()[1:] == limits.splitlines()[1:]


# -------------------------------------------------------------------- outputs


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("mkfifo {output}", "the output is a FIFO"),
        ("ln -s /etc/passwd {output}", "the output is a symbolic link"),
        ("ln -s /nowhere {output}", "the output is a symbolic link"),
        ("mkdir d && mkfifo d/pipe", "the output contains pipe, which is a FIFO"),
        ("mkdir {output} && mkfifo {output}/pipe", "the output contains pipe, which is a FIFO"),
        ("touch $(seq 101)", "the output has more files than its limit of 100"),
        ("mkdir -p $(seq -s / 70)", "the output has directories 64 deep"),
        ("python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"s\")'",
         "the output contains s, which is a socket"),
    ],
)  # fmt: skip
def test_an_output_that_no_reader_could_want_is_refused_at_once(make_desk: MakeDesk, script: str, error: str) -> None:
    desk = make_desk(program("sh", "-c", script, limits={"files": 100}))

    _, answer = desk.run("default")

    assert (answer["kind"], answer["error"]) == ("failed", error)
    assert desk.scratch() == []


def test_an_output_that_is_a_link_to_another_file_is_published_as_a_copy(make_desk: MakeDesk) -> None:
    desk = make_desk(program("sh", "-c", "ln {input} kept && echo new > two && ln two three"))

    job, answer = desk.run("default")

    assert answer["kind"] == "done", str(answer)
    staged = desk.staged(job)
    assert (staged / "kept").read_bytes() == desk.claimed(job).read_bytes() == b"payload"
    assert {path.stat().st_nlink for path in (*staged.iterdir(), desk.claimed(job))} == {1}


# -------------------------------------------------------------------- inputs


@pytest.mark.parametrize(
    ("script", "output"),
    [
        ("mv {input} {output}", b"payload"),
        ("mv {input} elsewhere", None),
        ("cp {input} {output}; rm {input}", b"payload"),
        ("sed -i s/pay/up/ {input}; cp {input} {output}", b"upload"),
        ("rm {input}; mkdir {input}; touch {input}/x; echo x > {output}", b"x\n"),
    ],
)
def test_an_input_that_a_handler_takes_away_is_put_back(
    make_desk: MakeDesk, script: str, output: bytes | None
) -> None:
    desk = make_desk(program("sh", "-c", script))

    job, answer = desk.run("default")

    assert answer["kind"] == "done", str(answer)
    assert desk.claimed(job).read_bytes() == b"payload"
    assert desk.claimed(job).stat().st_nlink == 1
    assert output is None or desk.staged(job).read_bytes() == output
    assert "pqfs has put it back" in answer["log"]
    assert desk.spool.entries("claimed", hidden=True) == [desk.claimed(job).name]


def test_an_input_that_is_put_back_after_a_failure_waits_for_the_next_attempt(make_desk: MakeDesk) -> None:
    desk = make_desk(program("sh", "-c", "rm {input}; exit 9"))

    job, answer = desk.run("default")

    assert (answer["kind"], answer["error"]) == ("failed", "sh failed with exit code 9")
    assert desk.claimed(job).read_bytes() == b"payload"


def test_an_input_that_is_written_to_is_a_failure_that_says_so(make_desk: MakeDesk) -> None:
    desk = make_desk(program("sh", "-c", "echo more >> {input}; cp {input} {output}"))

    _, answer = desk.run("default")

    assert answer["kind"] == "failed"
    assert answer["error"] == "its input changed while it was processed: a handler may read it, not write it"


# -------------------------------------------------------------------- confinement

PROBE = """
import json, os, socket, sys, tempfile
spool, output, payload, elsewhere, runner = sys.argv[1:6]

def may(act, *arguments):
    try:
        act(*arguments)
    except OSError as error:
        return type(error).__name__
    return True

def write(path):
    with open(path, "w") as file:
        file.write("x")

def connect():
    socket.create_connection(("127.0.0.1", int(sys.argv[6])), 5).close()

found = {
    "read the input": may(open, payload), "write the input": may(open, payload, "r+b"),
    "remove the input": may(os.unlink, payload), "write to the spool": may(write, spool + "/inbox/forged"),
    "write to the outbox": may(write, spool + "/outbox/forged"), "read the index": may(open, spool + "/index.db"),
    "list ready": may(os.listdir, spool + "/ready"), "write elsewhere": may(write, elsewhere + "/x"),
    "write beside its folder": may(write, os.path.dirname(os.path.dirname(output)) + "/x"),
    "stop its runner": may(os.kill, int(runner), 0), "connect": may(connect),
    "write in tmp": may(write, tempfile.gettempdir() + "/x"), "write here": may(write, "here"),
    "read what all may": may(open, "/etc/passwd"), "use /dev/null": may(write, "/dev/null"),
}
os.unlink("here")
write(output)
print(json.dumps(found))
"""
FREE = {"read the input", "write in tmp", "write here", "read what all may", "use /dev/null"}
WALLS = [
    pytest.param(how, marks=pytest.mark.skipif(trouble(how) is not None, reason=str(trouble(how))))
    for how in ("landlock", "bubblewrap")
]


@pytest.fixture
def port() -> Iterator[int]:
    """A port of this machine on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("how", WALLS)
def test_a_confined_program_reads_its_input_writes_its_folder_and_nothing_else(
    make_desk: MakeDesk, settings: Settings, tmp_path: Path, port: int, how: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    arguments = (str(settings.spool), "{output}", "{input}", str(tmp_path / "elsewhere"), str(os.getpid()), str(port))
    desk = make_desk(program(sys.executable, "-c", PROBE, *arguments, confine=how))

    job, answer = desk.run("default")

    assert answer["kind"] == "done", str(answer)
    found = json.loads(answer["log"])
    assert {what for what, answered in found.items() if answered is True} == FREE, found
    assert desk.staged(job).read_bytes() == b"x"
    assert desk.scratch() == [desk.staged(job).name]
    assert desk.claimed(job).read_bytes() == b"payload"


@pytest.mark.parametrize("how", WALLS)
def test_a_confined_program_may_be_given_more(make_desk: MakeDesk, tmp_path: Path, port: int, how: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    code = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1]))); open(sys.argv[2], 'w')"
    more: dict[str, Any] = {
        "confine": how,
        "write": [str(tmp_path / "elsewhere")],
        "network": True,
        "stdout": "output",
    }
    desk = make_desk(program(sys.executable, "-c", code, str(port), str(tmp_path / "elsewhere" / "x"), **more))

    _, answer = desk.run("default")

    assert answer["kind"] == "done", str(answer)
    assert (tmp_path / "elsewhere" / "x").exists()


@pytest.mark.parametrize("how", WALLS)
def test_what_a_confined_program_may_read_can_be_narrowed(make_desk: MakeDesk, tmp_path: Path, how: str) -> None:
    (tmp_path / "secret").write_text("secret")
    system = [path for path in ("/usr", "/lib", "/lib64", "/bin") if Path(path).exists()]
    desk = make_desk(program("cat", "{input}", str(tmp_path / "secret"), confine=how, read=system))

    _, answer = desk.run("default")

    assert answer["kind"] == "failed"
    assert "payload" in answer["log"]
    assert "secret:" in answer["log"]
    assert "secretpayload" not in answer["log"]


@pytest.mark.parametrize("how", WALLS)
def test_several_files_of_a_confined_program_are_one_output(make_desk: MakeDesk, how: str) -> None:
    desk = make_desk(program("sh", "-c", "echo 1 > one; echo 2 > {output_dir}/two", confine=how))

    job, answer = desk.run("default")

    assert answer["kind"] == "done", str(answer)
    assert sorted(path.name for path in desk.staged(job).iterdir()) == ["one", "two"]
    assert desk.scratch() == [desk.staged(job).name]


@pytest.mark.parametrize("how", WALLS)
def test_the_limits_of_a_confined_program_are_told_too(make_desk: MakeDesk, how: str) -> None:
    loop = program("sh", "-c", "while :; do :; done", confine=how, limits={"cpu": 1})

    _, answer = make_desk(loop).run("default")

    assert answer["error"] == "sh was ended by its limit of 1 CPU seconds"
