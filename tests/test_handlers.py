"""What runs on a payload: the three kinds of handlers, each in this process, with a context of its own."""

from __future__ import annotations

import hashlib
import io
import os
import re
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pqfs import clock
from pqfs.errors import Misconfigured, Permanent, RetryLater
from pqfs.handlers import JobContext, Written, resolve
from pqfs.handlers.command import CommandFailed
from tests.world import eventually, new_id

_STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\n")


@pytest.fixture
def context(tmp_path: Path) -> JobContext:
    """An attempt on a payload of a few bytes."""
    (tmp_path / "in put").write_bytes(b"payload")
    return JobContext(
        job=new_id(), attempt=1, queue="default", name="name", raw_name=b"name", input=tmp_path / "in put",
        output=tmp_path / "x.part", scratch_dir=tmp_path / "x.parts", metadata={},
        environment={"PATH": os.environ["PATH"], "PQFS_OWNER": "test"},
    )  # fmt: skip


def command(*arguments: str, **more: Any) -> Callable[[JobContext], object]:
    return resolve({"kind": "command", "command": arguments, "retry_later": (75,), "permanent": (65,), **more})


# -------------------------------------------------------------------- timestamp


@pytest.mark.parametrize("data", [b"", b"payload", b"\0\xff\n" * 1000, b"x" * (1 << 20), b"y" * ((1 << 20) + 1)])
def test_the_default_output_is_the_time_a_newline_and_the_input(context: JobContext, data: bytes) -> None:
    context.input.write_bytes(data)
    before = time.time()

    written = resolve({"kind": "timestamp"})(context)

    output = context.output.read_bytes()
    stamp = _STAMP.match(output)
    assert stamp is not None
    assert output[stamp.end() :] == data
    assert before - 0.001 <= clock.parse_iso(stamp[0].decode().strip()) <= time.time() + 0.001
    assert written == Written(len(output), hashlib.sha256(output).hexdigest())


def test_the_default_handler_never_writes_over_something(context: JobContext) -> None:
    context.output.write_bytes(b"there")

    with pytest.raises(FileExistsError):
        resolve({"kind": "timestamp"})(context)


# -------------------------------------------------------------------- command


def test_a_command_is_given_its_paths_without_a_shell(context: JobContext) -> None:
    code = "import sys, json; open(sys.argv[2], 'w').write(json.dumps(sys.argv[1:]))"

    command(sys.executable, "-c", code, "{input}", "{output}", "{output_dir}", "$(id) *", "--x={input}")(context)

    said = context.output.read_text()
    paths = [str(context.input), str(context.output), str(context.output_dir), "$(id) *", f"--x={context.input}"]
    assert said == str(paths).replace("'", '"')


def test_a_command_runs_in_its_scratch_directory_with_few_variables_and_no_input(context: JobContext) -> None:
    code = (
        "import os, sys; print(os.getcwd(), sorted(os.environ), repr(sys.stdin.read()), file=open(sys.argv[1], 'w'))"
    )

    command(sys.executable, "-c", code, "{output}", environment={"MINE": "1"})(context)

    expected = {"PATH", "PQFS_OWNER", "MINE"}
    where, names = context.output.read_text().split(" ", 1)
    assert Path(where) == context.scratch_dir
    assert set(re.findall(r"'(\w+)'", names)) - {"LC_CTYPE"} == expected
    assert names.rstrip().endswith("''")


@pytest.mark.parametrize(
    ("code", "error", "says"),
    [
        (0, None, ""),
        (75, RetryLater, "asked to be tried later (exit code 75)"),
        (65, Permanent, "can not succeed (exit code 65)"),
        (1, CommandFailed, "failed with exit code 1"),
        (127, CommandFailed, "failed with exit code 127"),
    ],
)
def test_an_exit_code_says_how_it_went(
    context: JobContext, code: int, error: type[Exception] | None, says: str
) -> None:
    run = command("sh", "-c", f"exit {code}")

    if error is None:
        run(context)
        return
    with pytest.raises(error) as caught:
        run(context)
    assert says in str(caught.value)


def test_codes_may_be_given_other_meanings(context: JobContext) -> None:
    command("sh", "-c", "exit 3", done=(0, 3))(context)
    with pytest.raises(Permanent):
        command("sh", "-c", "exit 4", permanent=(4,))(context)
    with pytest.raises(CommandFailed):
        command("sh", "-c", "exit 0", done=(3,))(context)


def test_a_signal_is_named(context: JobContext) -> None:
    with pytest.raises(CommandFailed, match="sh was ended by SIGSEGV") as caught:
        command("sh", "-c", "kill -SEGV $$")(context)

    assert caught.value.exit_status == -11


def test_a_command_that_is_not_there_is_told_in_a_sentence_that_says_where_to_look(context: JobContext) -> None:
    with pytest.raises(Misconfigured) as caught:
        command("no-such-program", "{input}")(context)

    assert str(caught.value).startswith(
        "The command 'no-such-program' was not found; check `handler.command` of queue"
    )


def test_a_command_that_may_not_be_executed_is_told_apart_from_one_that_is_not_there(context: JobContext) -> None:
    program = context.input.with_name("program")
    program.write_text("#!/bin/sh\n")
    program.chmod(0o644)

    with pytest.raises(Misconfigured, match="can not be executed"):
        command(str(program), "{input}")(context)


def test_a_command_that_is_asked_to_end_gets_a_sigterm_with_its_whole_group(context: JobContext) -> None:
    code = "sleep 60 & trap 'kill %1; exit 75' TERM; : > {output}; wait"
    failed: list[BaseException] = []

    def run() -> None:
        try:
            command("sh", "-c", code)(context)
        except RetryLater as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    eventually(context.output.exists, "the command runs")
    context.end()
    thread.join(20.0)

    assert len(failed) == 1
    assert context.cancelled()


# -------------------------------------------------------------------- python


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module beside pqfs.toml."""
    (tmp_path / "handlers_of_test.py").write_text(
        "def upper(context):\n    return context.input.read_bytes().upper()\n"
        "class Shop:\n    @staticmethod\n    def sell(context):\n        return 'sold'\n"
        "number = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "handlers_of_test", raising=False)
    return "handlers_of_test"


def test_a_function_is_found_by_module_and_name(context: JobContext, module: str) -> None:
    assert resolve({"kind": "python", "python": f"{module}:upper"})(context) == b"PAYLOAD"
    assert resolve({"kind": "python", "python": f"{module}:Shop.sell"})(context) == "sold"


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("no_such_module:x", "can not be imported"),
        ("{module}:nothing", "is not a function in"),
        ("{module}:number", "is not a function in"),
        ("{module}:Shop.nothing", "is not a function in"),
    ],
)
def test_a_function_that_is_not_there_is_told(module: str, target: str, says: str) -> None:
    with pytest.raises(Misconfigured, match=says):
        resolve({"kind": "python", "python": target.replace("{module}", module)})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def upper(:\n", "SyntaxError: invalid syntax"),
        ("raise KeyError('HOME')\n", "KeyError: 'HOME'"),
        ("import sys\nsys.exit('no')\n", "SystemExit: no"),
    ],
)
def test_a_module_that_breaks_while_it_is_imported_is_told(module: str, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / f"{module}.py").write_text(text)

    with pytest.raises(Misconfigured, match=f"can not be imported: {says}"):
        resolve({"kind": "python", "python": f"{module}:upper"})


def test_a_kind_that_nobody_knows_is_told() -> None:
    with pytest.raises(Misconfigured, match="no handler of kind 'shell'"):
        resolve({"kind": "shell"})


# -------------------------------------------------------------------- context


def test_progress_stays_between_0_and_1(context: JobContext) -> None:
    told: list[float] = []
    context.report_progress = told.append

    for fraction in (-1.0, 0.0, 0.5, 1.0, 7.0):
        context.progress(fraction)

    assert told == [0.0, 0.0, 0.5, 1.0, 1.0]


def test_the_output_directory_is_made_when_it_is_asked_for(context: JobContext) -> None:
    assert not context.scratch_dir.exists()
    assert context.output_dir.is_dir()
    assert context.output_dir == context.scratch_dir


def test_an_attempt_learns_that_it_is_to_end(context: JobContext) -> None:
    called: list[str] = []
    context.on_end(lambda: called.append("ended"))
    assert not context.cancelled()

    context.end()

    assert context.cancelled()
    assert called == ["ended"]


# -------------------------------------------------------------------- sets of files


def a_set(context: JobContext, *names: str, kind: bytes = tarfile.REGTYPE) -> JobContext:
    """The same attempt on a set of small files."""
    with tarfile.open(context.input, "w") as tar:
        for name in names:
            head = tarfile.TarInfo(name)
            head.type, head.size, head.linkname = kind, 4, "/etc/passwd"
            tar.addfile(head, io.BytesIO(b"page"))
    context.is_set = True
    return context


def test_a_handler_unpacks_a_set_once(context: JobContext) -> None:
    folder = a_set(context, "1.png", "2.png").unpack()

    assert {each.name: each.read_bytes() for each in folder.iterdir()} == {"1.png": b"page", "2.png": b"page"}
    assert context.unpack() == folder


def test_a_command_is_given_the_folder_of_a_set_where_it_is_to_be_unpacked(context: JobContext) -> None:
    code = "import os, sys; open(sys.argv[2], 'w').write(' '.join(sorted(os.listdir(sys.argv[1]))))"
    command(sys.executable, "-c", code, "{input}", "{output}", unpack=True)(a_set(context, "1.png", "2.png"))

    assert context.output.read_text() == "1.png 2.png"


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["../out"], tarfile.REGTYPE), (["/tmp/out"], tarfile.REGTYPE), (["in/side"], tarfile.REGTYPE),
        ([".."], tarfile.REGTYPE), (["link"], tarfile.SYMTYPE), (["link"], tarfile.LNKTYPE),
        (["pipe"], tarfile.FIFOTYPE), (["folder"], tarfile.DIRTYPE),
    ],
)  # fmt: skip
def test_what_no_set_is_made_of_is_not_unpacked(context: JobContext, names: list[str], kind: bytes) -> None:
    with pytest.raises(Permanent, match="no regular file"):
        a_set(context, *names, kind=kind).unpack()

    assert not (context.output.parent / "set").exists()


@pytest.mark.parametrize("is_set", [True, False])
def test_what_is_no_set_can_not_be_unpacked(context: JobContext, is_set: bool) -> None:
    context.is_set = is_set

    with pytest.raises(Permanent, match="not a set"):
        context.unpack()
