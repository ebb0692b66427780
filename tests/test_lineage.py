"""Where from and into what: explain, replay, edit; what ran an attempt and what it used."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pqfs.model import Place, State
from pqfs.replay import Author, Change, Replay
from tests.shell import Shell
from tests.world import invariants, submitted

HANDLERS = """
from pqfs import JobContext, Permanent


def upper(context: JobContext) -> bytes:
    sum(number * number for number in range(200_000))
    text = context.input.read_bytes()
    if text.startswith(b"bad"):
        raise Permanent("no good")
    print("read", context.name)
    return text.upper()
"""
CONFIG = """
[queues.words]
handler = { python = "handlers:upper" }
[queues.zip]
handler = { command = ["gzip", "--stdout", "{input}"], stdout = "output" }
"""


@pytest.fixture
def checked(shell: Shell) -> Iterator[Shell]:
    (shell.root / "handlers.py").write_text(HANDLERS)
    (shell.root / "pqfs.toml").write_text(CONFIG)
    yield shell
    app = shell.app()
    app.janitor("none").look()
    invariants(app.spool, app.index)
    app.close()
    assert shell("audit", "verify") == 0
    assert shell("fsck") == 0, shell.out


def done(shell: Shell, queue: str = "default", text: str = "payload", name: str = "a.txt", *options: str) -> str:
    (shell.root / name).write_text(text)
    assert shell("submit", shell.root / name, "-q", queue, *options) == 0, shell.err
    job = shell.out.strip()
    consume(shell)
    return job


def consume(shell: Shell) -> None:
    ended = shell.process("consume", "--drain")
    assert ended.returncode == 0, ended.stderr


def explained(shell: Shell, target: str, *options: str) -> dict[str, Any]:
    answer = shell.json("explain", target, *options)
    assert answer["schema"] == "pqfs.explain/1"
    (item,) = answer["items"]
    assert set(item) == {
        "job", "input", "handler", "output", "asked", "origin", "made_into", "attempts", "events",
    }  # fmt: skip
    assert set(item["input"]) == {"name", "size", "path", "sha256"}
    return dict(item)


# -------------------------------------------------------------------- explain


def test_an_output_tells_where_it_comes_from(checked: Shell) -> None:
    job = done(checked, "words", "some words", "w.txt", "--priority", "4")
    output = explained(checked, job)["output"]["name"]

    told = explained(checked, f"spool/outbox/words/{output}", "--check")

    assert told["job"]["id"] == job
    assert told["input"]["name"] == "w.txt"
    assert told["input"]["sha256"] == hashlib.sha256(b"some words").hexdigest()
    assert Path(told["input"]["path"]).read_text() == "some words"
    assert told["output"]["sha256"] == hashlib.sha256(b"SOME WORDS").hexdigest()
    assert told["output"]["is_unchanged"] is True
    assert [event["verb"] for event in told["events"]] == ["submit"]
    (attempt,) = told["attempts"]
    assert (attempt["attempt"], attempt["outcome"], attempt["log"]) == (1, "done", "read w.txt\n")


def test_a_function_tells_its_file_and_version_and_what_it_used(checked: Shell) -> None:
    told = explained(checked, done(checked, "words"))

    digest = hashlib.sha256(HANDLERS.encode()).hexdigest()[:12]
    assert told["handler"] == {
        "kind": "python", "function": "handlers:upper", "file": str(checked.root / "handlers.py"), "sha256": digest,
    }  # fmt: skip
    attempt = told["attempts"][0]
    assert attempt["handler"] == told["handler"]
    assert attempt["user_seconds"] + attempt["system_seconds"] > 0
    assert attempt["peak_bytes"] is None


def test_a_program_tells_its_path_and_version_and_what_it_used(checked: Shell) -> None:
    told = explained(checked, done(checked, "zip"))

    assert told["handler"]["kind"] == "command"
    assert told["handler"]["command"] == ["gzip", "--stdout", "{input}"]
    assert told["handler"]["size"] == os.stat(told["handler"]["program"]).st_size
    assert told["attempts"][0]["peak_bytes"] > 100_000
    assert told["attempts"][0]["user_seconds"] >= 0.0


def test_the_built_in_handler_keeps_its_rows_small(checked: Shell) -> None:
    told = explained(checked, done(checked))

    assert told["handler"] == {"kind": "timestamp"}
    assert told["attempts"][0]["user_seconds"] is None
    app = checked.app()
    assert app.index.attempts(told["job"]["id"])[0].handler is None
    app.close()


def test_a_handler_is_told_once_however_many_jobs_it_runs_and_again_when_it_has_changed(checked: Shell) -> None:
    for number in range(3):
        done(checked, "words", name=f"{number}.txt")
    (checked.root / "handlers.py").write_text(HANDLERS + "\n")
    last = done(checked, "words")

    app = checked.app()
    try:
        told = {
            attempt.handler for job in app.index.jobs(None, None, "~", 9) for attempt in app.index.attempts(job.id)
        }
    finally:
        app.close()
    assert len(told) == 2
    assert explained(checked, last)["handler"]["sha256"] == hashlib.sha256(f"{HANDLERS}\n".encode()).hexdigest()[:12]


def test_an_output_that_was_changed_is_told_by_the_exit_code(checked: Shell) -> None:
    job = done(checked)
    output = Path(explained(checked, job)["output"]["path"])
    original = output.read_bytes()
    output.chmod(0o600)
    output.write_bytes(b"forged")

    assert checked("explain", job) == 0
    assert checked("explain", job, "--check") == 6
    assert "CHANGED" in checked.out
    output.write_bytes(original)


def test_what_is_gone_is_told_as_gone(checked: Shell) -> None:
    job = done(checked)
    output = Path(explained(checked, job)["output"]["path"])
    output.rename(checked.root / "taken")
    assert checked("jobs", "delete", "--files-only", job) == 0

    told = explained(checked, job, "--check")

    assert (told["input"]["path"], told["input"]["sha256"]) == (None, None)
    assert (told["output"]["path"], told["output"]["is_unchanged"]) == (None, None)
    assert checked("explain", job) == 0
    assert "no longer kept" in checked.out
    assert "somebody has taken it" in checked.out
    assert checked("explain", "nothing-of-this-name") == 4
    (checked.root / "taken").rename(output)


def test_the_page_shows_it_all(checked: Shell) -> None:
    job = done(checked, "zip")

    assert checked("explain", job, "--check") == 0

    for word in (
        job,
        "a.txt, 7 bytes",
        "SHA-256",
        "gzip --stdout {input}",
        "USER SECONDS",
        "submit",
        "and so it is now",
    ):
        assert word in checked.out, checked.out


# -------------------------------------------------------------------- replay


def test_what_was_completed_is_made_anew_and_both_name_each_other(checked: Shell) -> None:
    old = done(checked, "words", "some words", "w.txt", "--priority", "4")

    assert checked("replay", old, "--reason", "a new handler") == 0, checked.err
    new = checked.out.strip()
    consume(checked)

    assert checked.state(new) == "completed"
    told, before = explained(checked, new), explained(checked, old)
    assert (told["origin"], before["made_into"]) == (old, [new])
    assert (told["job"]["name"], told["job"]["queue"], told["job"]["priority"]) == ("w.txt", "words", 4)
    event = before["events"][-1]
    assert (event["verb"], event["after"], event["reason"]) == ("replay", new, "a new handler")
    assert checked("why", old) == 0
    assert f"Made of it: {new} (completed)." in checked.out
    assert checked("why", new) == 0
    assert f"It was made of job {old}." in checked.out


def test_a_replay_of_many_looks_first_and_asks(checked: Shell) -> None:
    made = [done(checked, name=name) for name in ("a.txt", "b.txt", "c.pdf")]
    assert checked("jobs", "delete", "--files-only", made[0]) == 0

    assert checked("replay", "--name", "*.txt", "--dry-run") == 7
    assert checked.out.split() == [made[1]]
    assert "1 would be made anew" in checked.err
    assert "is no longer kept" in checked.err
    assert checked("replay", "--all") == 2
    assert "Make 2 jobs anew" in checked.err
    assert len(checked.items("jobs", "list")) == 3

    assert checked("replay", "--all", "-y") == 7
    assert len(checked.out.split()) == 2
    assert len(checked.items("jobs", "list")) == 5


def test_a_replay_that_is_run_again_passes_over_what_was_made(checked: Shell) -> None:
    made = [done(checked, name=name) for name in "ab"]
    assert checked("replay", made[0]) == 0

    found = checked.json("replay", "--all", "-y")
    assert found["schema"] == "pqfs.replay/1"
    assert [(each["origin"], bool(each["job"]), bool(each["why"])) for each in found["items"]] == [
        (made[1], True, False), (made[0], False, True),
    ]  # fmt: skip
    assert checked("replay", made[0], "--again") == 0


def test_a_replay_goes_to_another_queue_and_keeps_what_was_asked_for(checked: Shell) -> None:
    (checked.spool / "inbox" / "s.txt.job.json").write_text('{"timeout": "5m", "metadata": {"a": 1}}')
    (checked.spool / "inbox" / "s.txt").write_text("text")
    assert checked.process("ingest", "--drain").returncode == 0
    consume(checked)
    old = checked.items("jobs", "list")[0]["id"]

    assert checked("replay", old, "--to", "words") == 0
    new = checked.out.strip()

    told = explained(checked, new)
    assert (told["job"]["queue"], told["asked"]) == ("words", {"timeout": 300.0, "metadata": {"a": 1}})
    assert checked("replay", old, "--to", "nowhere", "--again") == 1


def test_a_lineage_is_kept_through_a_rebuild(checked: Shell) -> None:
    old = done(checked)
    assert checked("replay", old) == 0
    new = checked.out.strip()

    assert checked("index", "rebuild", "--fresh", "-y") == 0

    assert explained(checked, new)["origin"] == old
    assert explained(checked, old)["made_into"] == [new]


@pytest.mark.parametrize("words", [("replay",), ("replay", "--state", "pending", "-y"), ("replay", "ffffffff")])
def test_a_replay_that_makes_no_sense_makes_nothing(checked: Shell, words: tuple[str, ...]) -> None:
    waiting = checked.submit()

    assert checked(*words) in (1, 4)
    assert checked("replay", waiting) == 1
    assert "has not ended" in checked.err
    assert len(checked.items("jobs", "list")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, 1, 3])
def test_an_interrupted_replay_goes_on_where_it_was(
    checked: Shell, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    from pqfs.cli import replaying

    made = [done(checked, name=name) for name in "abcd"]
    monkeypatch.setattr(replaying, "_BATCH", 1)
    add, left = Replay.add, iter([True] * after + [False])

    def interrupted(*how: Any) -> Any:
        if not next(left, True):
            raise KeyboardInterrupt
        return add(*how)

    with monkeypatch.context() as patched:
        patched.setattr(Replay, "add", interrupted)
        assert checked("replay", "--all", "-y") == 130
    assert len(checked.items("jobs", "list")) == len(made) + after
    assert checked("fsck") == 0, checked.out

    assert checked("replay", "--all", "-y") == (7 if after else 0)
    assert len(checked.items("jobs", "list")) == 2 * len(made)


@pytest.mark.slow
def test_a_replay_that_is_killed_leaves_whole_jobs_or_none(checked: Shell) -> None:
    made = [done(checked, name=name) for name in "abcd"]
    code = (
        "import os, sys\n"
        "from pqfs.cli import replaying, run\n"
        "from pqfs.replay import Replay\n"
        "replaying._BATCH = 2\n"
        "add, count = Replay.add, iter(range(9))\n"
        "Replay.add = lambda *how: (next(count) == 3 and os._exit(9)) or add(*how)\n"
        "run(['replay', '--all', '-y'])\n"
    )

    assert subprocess.run([sys.executable, "-c", code], cwd=checked.root, timeout=60, check=False).returncode == 9

    assert checked("janitor", "--once") == 0
    jobs = checked.items("jobs", "list")
    assert len(jobs) == len(made) + 2
    assert checked("replay", "--all", "-y") == 7
    assert len(checked.items("jobs", "list")) == 2 * len(made)


def test_an_input_that_is_let_go_meanwhile_is_passed_over(shell: Shell) -> None:
    app = shell.app()
    now = app.clock.now()
    try:
        job = app.jobqueue.cancel(submitted(app.jobqueue, now), "ann", None, now)
        app.spool.remove(app.spool.payload_path(job))
        with Replay(app.jobqueue, app.clock, Author("ann", "replay")) as made:
            with pytest.raises(Exception, match="not in its place"):
                made.add(job, Change())
            assert made.commit() == []
        assert (job.state, job.place) == (State.CANCELLED, Place.CANCELLED)
    finally:
        app.close()


# -------------------------------------------------------------------- edit


def test_a_dead_letter_is_mended_and_submitted_anew(checked: Shell) -> None:
    old = done(checked, "words", "bad words")
    (checked.root / "mended").write_text("good words")

    assert checked("jobs", "edit", old, "--file", checked.root / "mended", "--priority", "7") == 0, checked.err
    new = checked.out.strip()
    consume(checked)

    assert (checked.state(old), checked.state(new)) == ("failed", "completed")
    told = explained(checked, new)
    assert (told["origin"], told["job"]["name"], told["job"]["priority"]) == (old, "a.txt", 7)
    assert Path(told["output"]["path"]).read_text() == "GOOD WORDS"
    assert explained(checked, old)["events"][-1]["verb"] == "edit"


def test_an_edit_of_what_is_gone_needs_a_file(checked: Shell) -> None:
    old = done(checked)
    assert checked("jobs", "delete", "--files-only", old) == 0

    assert checked("jobs", "edit", old, "--queue", "words") == 1
    assert "no longer kept" in checked.err
    assert checked("jobs", "edit", old, "--file", checked.root / "nothing") == 1
    assert checked("jobs", "edit", old, "--priority", "5000") == 2
    assert checked("jobs", "edit", old, "--queue", "nowhere") == 1
    assert checked("jobs", "edit", old, "--delay", "soon") == 2
    assert len(checked.items("jobs", "list")) == 1
    assert checked("jobs", "edit", old, "--file", checked.root / "a.txt", "--delay", "1h", "--json") == 0
    item = json.loads(checked.out)["items"][0]
    assert item["origin"] == old
    assert checked.state(item["job"]) == "pending"
