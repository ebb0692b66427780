"""The command line as a person and a script meet it: what it prints where, and with which exit code it leaves."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pqfs import cli
from pqfs.cli import terminal
from pqfs.index import Completion
from pqfs.model import Arrival, Kind, Outcome, Place, State
from pqfs.naming import original
from tests.opened import live
from tests.shell import Shell
from tests.world import eventually, invariants, new_id


def _with_stdin(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


# -------------------------------------------------------------------- a whole pipeline


def test_a_dropped_file_comes_out_stamped_without_a_supervisor(shell: Shell) -> None:
    (shell.spool / "inbox" / "note.txt").write_bytes(b"hello\n")

    assert shell.process("ingest", "--drain").returncode == 0
    assert shell.process("consume", "--drain").returncode == 0
    assert shell.process("janitor", "--once").returncode == 0

    [output] = (shell.spool / "outbox").iterdir()
    stamp, data = output.read_bytes().split(b"\n", 1)
    assert data == b"hello\n"
    assert stamp.endswith(b"Z")
    assert shell("fsck") == 0
    assert shell.json("status")["jobs"]["completed"] == 1


def test_the_demo_producer_drops_whole_files(shell: Shell) -> None:
    assert shell("produce", "--count", "3", "--every", "0s") == 0

    names = shell.out.split()
    assert sorted(names) == sorted(str(path) for path in (shell.spool / "inbox").iterdir())
    assert len(names) == 3


def test_init_may_be_repeated(shell: Shell) -> None:
    shell.submit()

    assert shell("init") == 0
    assert len(shell.items("jobs", "list")) == 1
    assert "This page is a contract" in (shell.root / "spool" / "README.md").read_text()


# -------------------------------------------------------------------- submit


def test_submit_prints_a_job_id_a_line_and_talks_elsewhere(shell: Shell) -> None:
    for name in ("a", "b"):
        (shell.root / name).write_text(name)

    assert shell("submit", "a", "b") == 0

    ids = shell.out.split()
    assert [each["name"] for each in shell.items("jobs", "list")] == ["b", "a"]
    assert {each["id"] for each in shell.items("jobs", "list")} == set(ids)
    assert (shell.root / "a").read_text() == "a"


def test_submit_leaves_nothing_behind_but_the_job(shell: Shell) -> None:
    shell.submit()

    assert list((shell.spool / "work").iterdir()) == []
    assert list((shell.spool / "run").glob("submit*")) == []
    app = shell.app()
    invariants(app.spool, app.index)
    app.close()


def test_submit_reads_stdin_under_a_name(shell: Shell) -> None:
    found = shell.process("submit", "-", "--name", "from-a-pipe.txt", given=b"\0binary\xff")

    assert found.returncode == 0
    [job] = shell.items("jobs", "list")
    assert (job["id"], job["name"], job["size"]) == (found.stdout.decode().strip(), "from-a-pipe.txt", 8)


def test_submit_takes_priority_and_delay_along(shell: Shell) -> None:
    job = shell.submit("a", "--priority", "7", "--delay", "2h")

    [found] = shell.items("jobs", "show", job)
    assert found["priority"] == 7
    assert found["ready_at"] > found["created_at"]
    assert (shell.spool / "meta" / f"{job}.json").exists()  # so that a rebuild knows them


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("nosuch",), 1),
        (("-",), 2),
        (("a", "-q", "nosuch"), 1),
        (("a", "--delay", "soon"), 2),
        (("a", "--delay", "1h", "--at", "2030-01-01"), 2),
        (("a", "--delay", "3654d"), 2),
        (("a", "--delay", "9" * 400), 2),
        (("a", "--at", "1969-12-31T00:00:00Z"), 2),
        (("a", "--at", "9999-12-31T23:59:59Z"), 2),
        (("a", "--at", "0001-01-01T00:00:00+05:00"), 2),
        (("a", "--priority", "1001"), 2),
        (("a", "--priority", "-1001"), 2),
        (("a", "--name", "x/y"), 2),
        (("spool",), 1),
        ((), 2),
    ],
)
def test_what_can_not_be_submitted_is_refused_and_nothing_is_made(
    shell: Shell, arguments: tuple[str, ...], code: int
) -> None:
    (shell.root / "a").write_text("a")

    assert shell("submit", *arguments) == code
    assert shell.out == ""
    assert shell.items("jobs", "list") == []


def test_submit_without_rights_on_the_spool_drops_into_the_inbox_and_says_so(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pqfs.cli.submitting.may_submit", lambda spool: False)
    (shell.root / "a.txt").write_text("payload")

    assert shell("submit", "a.txt", "--priority", "3") == 0

    assert shell.out == ""
    assert "dropped into the inbox" in shell.err
    assert (shell.spool / "inbox" / "a.txt").read_text() == "payload"
    assert shell.process("ingest", "--drain").returncode == 0
    assert [job["priority"] for job in shell.items("jobs", "list")] == [3]


def test_submit_waits_until_the_job_has_ended(shell: Shell) -> None:
    (shell.root / "a").write_text("a")
    waiting = subprocess.Popen(
        [sys.executable, "-m", "pqfs", "submit", "a", "--wait"], cwd=shell.root,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    eventually(lambda: shell.items("jobs", "list"), "submitted")

    assert shell.process("consume", "--drain").returncode == 0

    out, err = waiting.communicate(timeout=30)
    assert waiting.returncode == 0
    assert b"completed" in err
    assert len(out.split()) == 1


def test_submit_stops_waiting_when_patience_is_over(shell: Shell) -> None:
    (shell.root / "a").write_text("a")

    assert shell("submit", "a", "--wait", "--timeout", "50ms") == 3
    assert len(shell.items("jobs", "list")) == 1


def test_submit_waits_until_the_output_is_there(shell: Shell) -> None:
    """A completion is committed before its output is published; whoever ran it may die in between."""
    (shell.root / "a").write_text("a")
    with subprocess.Popen(
        [sys.executable, "-m", "pqfs", "submit", "a", "--wait"], cwd=shell.root,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as waiting:  # fmt: skip
        eventually(lambda: shell.items("jobs", "list"), "submitted")
        app = shell.app()
        [job] = app.jobqueue.claim("consumer.1.aa", ["default"], 1, app.clock.now())
        completion = Completion(job, Place.DONE, "a.out", Outcome(Kind.DONE))
        with app.index.transaction():
            app.index.complete([completion], app.clock.now())
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(0.5)

        app.spool.path("outbox/a.out").write_bytes(b"output")
        app.close()

        assert waiting.wait(30) == 0


# -------------------------------------------------------------------- jobs


def test_what_json_can_not_say_is_shown_in_valid_json(shell: Shell) -> None:
    """Sidecars are refused that hold such things; an index may have them from before."""
    app = shell.app()
    arrival = Arrival(new_id(), "default", b"a", 1, options={"metadata": {"a": float("nan"), "\ud800": ["\udfff"]}})
    with app.index.transaction():
        app.index.insert([arrival], "arriver", app.clock.now())
    app.close()

    assert shell("jobs", "show", arrival.id, "--json") == 0

    [item] = json.loads(shell.out, parse_constant=pytest.fail)["items"]
    assert item["options"] == {"metadata": {"a": None, "\\ud800": ["\\udfff"]}}


def test_listings_are_one_json_object_with_a_schema(shell: Shell) -> None:
    shell.submit()

    found = shell.json("jobs", "list")

    assert found["schema"] == "pqfs.jobs/1"
    assert set(found["items"][0]) >= {"id", "name", "queue", "state", "output", "error", "ready_at"}
    for arguments in (("rejected", "list"), ("config", "show"), ("fsck",), ("doctor",), ("index", "version")):
        answer = shell.json(*arguments)
        assert answer["schema"].startswith("pqfs.")
        assert isinstance(answer["items"], list)


def test_an_empty_list_is_no_failure(shell: Shell) -> None:
    assert shell("jobs", "list", "--state", "failed") == 0


def test_logs_that_are_not_there_are_told(shell: Shell) -> None:
    assert shell("logs") == 1
    assert "There are no logs in" in shell.err


def test_jobs_are_listed_page_by_page_newest_first(shell: Shell) -> None:
    ids = [shell.submit(name) for name in "abc"]

    first = shell.json("jobs", "list", "--limit", "2")
    second = shell.json("jobs", "list", "--limit", "2", "--before", first["next"])

    assert [job["id"] for job in first["items"]] == [ids[2], ids[1]]
    assert [job["id"] for job in second["items"]] == [ids[0]]
    assert second["next"] is None


def test_one_job_is_steered_without_a_question(shell: Shell) -> None:
    job = shell.submit()

    for verb, state in (("hold", "held"), ("release", "pending"), ("fail", "failed"), ("retry", "pending"),
                        ("cancel", "cancelled")):  # fmt: skip
        assert shell("jobs", verb, job, "--reason", f"because {verb}") == 0
        assert shell.out.strip() == job
        assert shell.state(job) == state
    told = {each["verb"]: each for each in shell.items("jobs", "show", job)[0]["events"]}
    assert told["hold"]["reason"] == "because hold"
    assert told["hold"]["actor"].startswith("cli:")
    assert shell("jobs", "delete", job) == 0
    assert shell("jobs", "show", job) == 4


def test_an_act_that_the_state_forbids_changes_nothing_and_says_why(shell: Shell) -> None:
    job = shell.submit()

    assert shell("jobs", "retry", job) == 1
    assert "is pending: retry is not possible" in shell.err
    assert shell.state(job) == "pending"


def test_several_jobs_need_a_yes_where_there_is_nobody_to_ask(shell: Shell) -> None:
    ids = [shell.submit(name) for name in "ab"]

    assert shell("jobs", "cancel", *ids) == 2
    assert "-y" in shell.err
    assert shell("jobs", "cancel", "--all") == 2
    assert {shell.state(job) for job in ids} == {"pending"}

    assert shell("jobs", "cancel", "--all", "-y") == 0
    assert {shell.state(job) for job in ids} == {"cancelled"}


def test_a_dry_run_names_the_jobs_and_changes_nothing(shell: Shell) -> None:
    job = shell.submit()

    assert shell("jobs", "cancel", "--state", "pending", "--dry-run") == 0

    assert shell.out.strip() == job
    assert "would be cancelled" in shell.err
    assert shell.state(job) == "pending"


def test_ids_come_from_a_pipe(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [shell.submit(name) for name in "abc"]
    assert shell("jobs", "fail", "--all", "-y") == 0
    assert shell("jobs", "list", "-s", "failed", "--ids") == 0
    assert sorted(shell.out.split()) == sorted(ids)

    _with_stdin(monkeypatch, shell.out)
    assert shell("jobs", "retry", "-", "-y") == 0

    assert {job["state"] for job in shell.items("jobs", "list")} == {"pending"}


def test_an_act_that_is_partly_possible_is_partly_done(shell: Shell) -> None:
    good, bad = shell.submit("a"), shell.submit("b")
    assert shell("jobs", "cancel", bad) == 0

    assert shell("jobs", "hold", good, bad, "ffffffff", "-y") == 7

    assert shell.out.split() == [good]
    assert "is cancelled: hold is not possible" in shell.err
    assert "There is no job ffffffff" in shell.err
    acts = shell.json("jobs", "release", good, bad, "-y")
    assert [(act["id"], act["done"]) for act in acts["items"]] == [(good, True), (bad, False)]


def test_a_filter_means_only_the_jobs_that_the_verb_is_for(shell: Shell) -> None:
    cancelled, failed = shell.submit("a"), shell.submit("b")
    assert shell("jobs", "cancel", cancelled) == 0
    assert shell("jobs", "fail", failed) == 0

    assert shell("jobs", "retry", "--all", "-y") == 0  # what a person withdrew stays withdrawn
    assert (shell.state(cancelled), shell.state(failed)) == ("cancelled", "pending")
    assert shell("jobs", "retry", "--state", "cancelled", "-y") == 0
    assert shell.state(cancelled) == "pending"
    assert shell("jobs", "retry", "--state", "completed", "-y") == 1
    assert shell("jobs", "retry", cancelled, "--all") == 1
    assert shell("jobs", "retry") == 1


def test_a_running_job_is_cancelled_when_the_command_returns(shell: Shell) -> None:
    (shell.root / "pqfs.toml").write_text('[defaults.handler]\ncommand = ["sleep", "60"]\n')
    job = shell.submit()
    consumer = subprocess.Popen([sys.executable, "-m", "pqfs", "consume"], cwd=shell.root, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: any(each["running"] for each in shell.json("status")["consumers"]), "running")

        assert shell("jobs", "cancel", job, "--reason", "enough") == 0

        assert shell.state(job) == "cancelled"
    finally:
        consumer.terminate()
        consumer.wait(timeout=30)
    assert shell("fsck") == 0


@pytest.mark.parametrize("verb", ["hold", "release", "fail", "retry", "delete"])
def test_what_runs_is_its_consumers_and_can_only_be_cancelled(shell: Shell, verb: str) -> None:
    job = shell.submit()
    app = shell.app()
    app.jobqueue.claim("consumer.1.aa", ["default"], 1, app.clock.now())
    app.close()

    assert shell("jobs", verb, job) == 1
    assert shell.state(job) == "processing"


# -------------------------------------------------------------------- status, why, fsck, doctor


def test_status_check_tells_health_by_its_exit_code(shell: Shell) -> None:
    assert shell("status", "--check") == 5, "nothing runs"
    assert "not-running" in shell.out

    app = shell.app()
    locks = [live(app, program) for program in ("janitor", "ingester")]
    assert shell("status", "--check") == 0
    assert shell.json("status")["alarms"] == []

    app.jobqueue.fail(app.jobqueue.job(shell.submit()), "me", None, app.clock.now())
    assert shell("status", "--check") == 0, "a notice is no alarm"
    assert shell.json("status", "--check")["notices"][0]["name"] == "dead-letters"

    app.spool.raise_alarm("Input/output error")
    try:
        assert shell("status") == 0
        assert "volume-alarm" in shell.out
        assert shell("status", "--check") == 6
        (alarm,) = shell.json("status", "--check")["alarms"]
        assert list(alarm) == ["name", "severity", "sentence", "hint", "touches", "since_at"]
        assert shell("doctor") == 6
        assert "volume-alarm" in shell.out
    finally:
        app.spool.alarm.unlink()
    assert shell("status", "--check") == 0
    for lock in locks:
        lock.release()
    app.close()


def test_status_check_names_an_index_that_can_not_be_opened(shell: Shell) -> None:
    shell.submit()
    for path in shell.spool.glob("index.db*"):
        path.unlink()
    assert shell("status", "--check") == 6
    assert "index-missing" in shell.out

    (shell.spool / "index.db").write_bytes(b"this is no database" * 1000)

    assert shell("status") == 6
    assert [each["name"] for each in shell.json("status", "--check")["alarms"]] == ["not-running", "index-damaged"]


def test_why_knows_files_and_jobs_and_says_when_it_does_not(shell: Shell) -> None:
    job = shell.submit("report.pdf")

    assert shell("why", job) == 0
    assert "No consumer is alive" in shell.out
    assert shell("why", "report.pdf") == 0
    assert shell("why", "nosuch") == 4
    (shell.spool / "inbox" / "b.tmp").write_bytes(b"")
    assert shell.items("why", "spool/inbox/b.tmp")[0]["kind"] == "inbox"


def test_fsck_repairs_what_it_finds(shell: Shell) -> None:
    job = shell.submit()
    app = shell.app()
    row = app.index.job(job)
    assert row is not None
    with app.index.transaction():
        app.index.engine.run("delete_job", {"id": job, "state": State.PENDING})
    app.close()

    assert shell("fsck") == 6
    assert [item["name"] for item in shell.items("fsck")] == ["payload without a row"]
    assert shell("fsck", "--repair") == 0

    assert shell.state(job) == "pending"


def test_doctor_finds_a_handler_that_is_not_there(shell: Shell) -> None:
    assert shell("doctor") == 0

    (shell.root / "pqfs.toml").write_text('[defaults.handler]\ncommand = ["no-such-program-anywhere"]\n')

    assert shell("doctor") == 6
    assert "no-such-program-anywhere is not found in PATH" in shell.out


def test_doctor_finds_a_missing_directory(shell: Shell) -> None:
    (shell.spool / "dead").rmdir()

    assert shell("doctor") == 6
    assert "dead is missing" in shell.out


# -------------------------------------------------------------------- index, config, rejected, cleanup


def test_a_deleted_index_is_made_again_without_losing_a_job(shell: Shell) -> None:
    held, waiting = shell.submit("a"), shell.submit("b", "--priority", "4")
    assert shell("jobs", "hold", held) == 0
    for path in shell.spool.glob("index.db*"):
        path.unlink()

    assert shell("index", "rebuild") == 0

    assert (shell.state(held), shell.state(waiting)) == ("held", "pending")
    assert shell.items("jobs", "show", waiting)[0]["priority"] == 4
    assert shell("fsck") == 0


def test_a_job_that_was_held_once_does_not_come_back_held(shell: Shell) -> None:
    job = shell.submit()
    for verb in ("hold", "cancel", "retry"):
        assert shell("jobs", verb, job) == 0
    for path in shell.spool.glob("index.db*"):
        path.unlink()

    assert shell("index", "rebuild") == 0

    assert shell.state(job) == "pending"


def test_a_damaged_index_is_kept_aside_and_made_again(shell: Shell) -> None:
    job = shell.submit()
    (shell.spool / "index.db").write_bytes(b"this is no database" * 1000)
    for path in shell.spool.glob("index.db-*"):
        path.unlink()
    assert shell("status") == 6

    assert shell("index", "rebuild") == 0

    assert shell.state(job) == "pending"
    [aside] = shell.spool.glob("index.db.*.aside")
    assert aside.read_bytes().startswith(b"this is no database")
    assert shell("fsck") == 0


def test_the_index_is_not_made_again_while_somebody_works(shell: Shell) -> None:
    app = shell.app()
    lock = live(app, "consumer-00")

    assert shell("index", "rebuild") == 1
    assert lock.name in shell.err

    lock.release()
    app.close()
    assert shell("index", "rebuild") == 0


def test_a_backup_is_a_whole_index_and_never_overwrites(shell: Shell) -> None:
    job = shell.submit()

    assert shell("index", "backup", "copy.db") == 0
    assert shell("index", "backup", "copy.db") == 1

    (shell.spool / "index.db").unlink()
    os.rename("copy.db", shell.spool / "index.db")
    assert shell.state(job) == "pending"


def test_each_setting_is_shown_with_its_origin(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    (shell.root / "pqfs.toml").write_text('[consume]\nlease = "2m"\n[defaults]\ntimeout = "90m"\n[queues.mail]\n')
    monkeypatch.setenv("PQFS_CONSUMERS", "5")

    found = {item["setting"]: (item["value"], item["origin"]) for item in shell.items("config", "show")}

    assert found["consume.lease"] == ("2m", str(shell.root / "pqfs.toml"))
    assert found["consumers"] == ("5", "PQFS_CONSUMERS")
    assert found["queues.mail.timeout"] == ("90m", str(shell.root / "pqfs.toml"))
    assert found["keep.done"] == ("1w", "default")
    assert found["low_water"] == ("64MiB", "default")


def test_a_wrong_setting_is_one_sentence(shell: Shell) -> None:
    (shell.root / "pqfs.toml").write_text("colour = 1\n")

    assert shell("status") == 2
    assert "There is no setting 'colour'" in shell.err


def _refuse(shell: Shell, name: str = "link") -> dict[str, Any]:
    (shell.spool / "inbox" / name).symlink_to("/etc/passwd")
    assert shell.process("ingest", "--drain").returncode == 0
    [refusal] = shell.items("rejected", "list")
    return refusal


def test_a_refused_file_is_listed_shown_and_put_back(shell: Shell) -> None:
    refusal = _refuse(shell)
    assert (refusal["name"], refusal["reason"]) == ("link", "it is a symbolic link")
    assert shell("rejected", "show", refusal["number"]) == 0

    assert shell("rejected", "retry", refusal["number"]) == 0

    assert (shell.spool / "inbox" / "link").is_symlink()
    assert list((shell.spool / "rejected").iterdir()) == []
    assert shell("rejected", "show", refusal["number"]) == 4


def test_a_refused_file_never_overwrites_one_in_the_inbox(shell: Shell) -> None:
    refusal = _refuse(shell)
    (shell.spool / "inbox" / "link").write_text("newer")

    assert shell("rejected", "retry", refusal["number"]) == 1

    assert (shell.spool / "inbox" / "link").read_text() == "newer"
    assert len(shell.items("rejected", "list")) == 1


def test_refused_files_are_removed_only_with_a_yes(shell: Shell) -> None:
    refusal = _refuse(shell)

    assert shell("rejected", "purge", refusal["number"]) == 2
    assert shell("rejected", "purge", "--all", "--dry-run") == 0
    assert len(shell.items("rejected", "list")) == 1

    assert shell("rejected", "purge", "--all", "-y") == 0
    assert list((shell.spool / "rejected").iterdir()) == []


def test_cleanup_removes_what_is_no_longer_kept(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    job = shell.submit()
    assert shell("jobs", "cancel", job) == 0
    assert shell("cleanup", "--dry-run") == 0
    assert "nothing" in shell.err
    monkeypatch.setenv("PQFS_KEEP__CANCELLED", "0s")

    assert shell("cleanup", "--dry-run") == 0
    assert "cancelled jobs 1" in shell.err
    assert shell("cleanup") == 2
    assert shell.state(job) == "cancelled"

    assert shell("cleanup", "-y") == 0
    assert shell("jobs", "show", job) == 4
    assert shell("fsck") == 0


# -------------------------------------------------------------------- edges


def test_commands_without_a_spool_say_how_to_make_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["status", "--spool", str(tmp_path / "none")]) == 2
    assert "pqfs init" in capsys.readouterr().err


def test_global_options_stand_anywhere(shell: Shell, tmp_path: Path) -> None:
    assert shell("init", "--spool", tmp_path / "other") == 0
    assert shell("--spool", tmp_path / "other", "status") == 0
    assert shell("jobs", "list", f"--spool={tmp_path / 'other'}") == 0


@pytest.mark.parametrize("arguments", [["--nope"], ["nosuch"], ["jobs", "show"], ["jobs", "list", "--state", "odd"]])
def test_a_wrong_call_is_usage(shell: Shell, arguments: list[str]) -> None:
    assert shell(*arguments) == 2


@pytest.mark.parametrize(
    "command",
    ["submit", "jobs list", "jobs cancel", "status", "why", "fsck", "index rebuild", "doctor", "produce", "cleanup"],
)
def test_help_ends_with_an_example(shell: Shell, command: str) -> None:
    assert shell(*command.split(), "--help") == 0
    assert "Example" in shell.out


def test_a_person_who_says_no_has_changed_nothing(shell: Shell) -> None:
    ids = [shell.submit(name) for name in "ab"]
    ours, theirs = pty.openpty()
    asked = subprocess.Popen(
        [sys.executable, "-m", "pqfs", "jobs", "cancel", *ids], cwd=shell.root, stdin=theirs, stderr=theirs,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    os.close(theirs)
    os.write(ours, b"n\n")

    assert asked.wait(timeout=30) == 3

    assert b"Cancel 2 jobs" in os.read(ours, 65536)
    os.close(ours)
    assert {shell.state(job) for job in ids} == {"pending"}
    assert asked.stdout is not None
    asked.stdout.close()


def test_a_reader_that_has_seen_enough_is_no_error(shell: Shell) -> None:
    for name in "abc":
        shell.submit(name)
    command = f"{sys.executable} -m pqfs jobs list --ids | head -n 1"

    found = subprocess.run(command, shell=True, cwd=shell.root, capture_output=True, timeout=30, check=False)

    assert found.stderr == b""
    assert len(found.stdout.split()) == 1


def test_data_stays_on_stdout_while_a_bar_is_drawn_on_stderr(shell: Shell) -> None:
    (shell.root / "a").write_text("a")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "pqfs", "submit", "a"], cwd=shell.root, stderr=theirs, stdout=subprocess.PIPE
    )
    os.close(theirs)

    out, _ = process.communicate(timeout=30)

    assert process.returncode == 0
    assert out.decode().split() == [job["id"] for job in shell.items("jobs", "list")]
    assert b"copying" in os.read(ours, 65536)
    os.close(ours)


def test_watching_a_status_in_a_pipe_prints_a_line_each_time(shell: Shell) -> None:
    watching = subprocess.Popen(
        [sys.executable, "-m", "pqfs", "status", "--watch"], cwd=shell.root, stdout=subprocess.PIPE
    )
    assert watching.stdout is not None

    first = watching.stdout.readline()
    watching.send_signal(signal.SIGINT)

    assert b"pending 0" in first
    assert watching.wait(timeout=30) == 0
    watching.stdout.close()


@pytest.mark.parametrize("name", [b"\xff", b"new\nline", b"-x", b"100%", "naïve ☃".encode()])
def test_a_file_of_any_name_is_submitted_listed_and_explained(shell: Shell, name: bytes) -> None:
    (shell.root / os.fsdecode(name)).write_text("payload")

    assert shell("submit", "--", os.fsdecode(name)) == 0, shell.err

    [job] = shell.items("jobs", "list")
    assert original(job["name"]) == name
    assert shell("why", "--", os.fsdecode(name)) == 0
    assert shell("why", "--", job["name"]) == 0


def test_a_refused_file_of_a_folder_returns_to_its_folder(shell: Shell) -> None:
    (shell.spool / "inbox" / "sub").mkdir()
    _refuse(shell, "sub/link")
    (shell.spool / "inbox" / "sub").rmdir()

    assert shell("rejected", "retry", "--all", "-y") == 0

    assert (shell.spool / "inbox" / "sub" / "link").is_symlink()


def test_a_refused_file_is_not_put_back_through_a_link(shell: Shell) -> None:
    (shell.spool / "inbox" / "sub").mkdir()
    _refuse(shell, "sub/link")
    (shell.spool / "inbox" / "sub").rmdir()
    elsewhere = shell.root / "elsewhere"
    elsewhere.mkdir()
    (shell.spool / "inbox" / "sub").symlink_to(elsewhere)

    assert shell("rejected", "retry", "--all", "-y") == 1

    assert list(elsewhere.iterdir()) == []


def test_what_a_program_said_can_not_act_on_a_terminal_nor_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    nasty = "\x1b[2Jowned \u202e \x9b31m"
    terminal.put_table([{"error": nasty}], ["error"])
    terminal.say(nasty)
    terminal.say_error(nasty, nasty)
    terminal.put_json("jobs", [{"error": nasty}])

    shown = capsys.readouterr()
    told = json.loads(shown.out.splitlines()[-1])
    assert told["items"] == [{"error": nasty}]
    for text in (shown.out, shown.err):
        assert not set(text) & {"\x1b", "\u202e", "\x9b"}


_NO_TEXT = "b\udcff"  # an argument with a byte that is not UTF-8, as Python gives it to us


@pytest.mark.parametrize(
    "command",
    [("jobs", "list", "-q", _NO_TEXT), ("audit", "list", "--by", _NO_TEXT), ("queue", "pause", _NO_TEXT),
     ("dead", "show", _NO_TEXT), ("jobs", "priority", "1", "-q", _NO_TEXT), ("consumers", "start", _NO_TEXT)],
)  # fmt: skip
def test_an_argument_that_is_no_text_is_refused_in_a_sentence(shell: Shell, command: tuple[str, ...]) -> None:
    assert shell(*command) in (1, 2, 4, 5), shell.out
    assert shell.err.startswith("pqfs: ")


@pytest.mark.parametrize("command", [("jobs", "hold"), ("queue", "pause", "default"), ("jobs", "delete")])
def test_a_reason_that_can_not_be_kept_is_refused_before_anything_is_done(
    shell: Shell, command: tuple[str, ...]
) -> None:
    job = shell.submit()
    before = shell.items("audit", "list"), sorted(path.name for path in (shell.spool / "meta").iterdir())

    assert shell(*command, *([job] if command[0] == "jobs" else []), "--reason", _NO_TEXT) == 2

    after = shell.items("audit", "list"), sorted(path.name for path in (shell.spool / "meta").iterdir())
    assert (shell.state(job), after) == ("pending", before)


# -------------------------------------------------------------------- jobs list


def test_jobs_are_listed_by_name_time_and_group_in_pages(shell: Shell) -> None:
    ids = [shell.submit(name) for name in ("a.pdf", "b.txt", "c.pdf", "d.pdf")]
    assert shell("jobs", "fail", ids[0], "--reason", "torn") == 0
    group = shell.items("dead", "list")[0]["group"]

    assert [each["name"] for each in shell.items("jobs", "list", "--name", "*.pdf")] == ["d.pdf", "c.pdf", "a.pdf"]
    assert [each["id"] for each in shell.items("jobs", "list", "--group", group)] == [ids[0]]
    assert shell.items("jobs", "list", "--until", "1h") == []
    assert len(shell.items("jobs", "list", "--since", "1h", "-s", "pending")) == 3

    page = shell.json("jobs", "list", "--name", "*.pdf", "-n", 2)
    rest = shell.json("jobs", "list", "--name", "*.pdf", "-n", 2, "--before", page["next"])
    assert [each["name"] for each in page["items"] + rest["items"]] == ["d.pdf", "c.pdf", "a.pdf"]
    assert rest["next"] is None


def test_a_listing_by_a_group_that_is_none_is_refused(shell: Shell) -> None:
    assert shell("jobs", "list", "--group", "nonsense") == 1
    assert "no group of dead letters" in shell.err


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["up", "--no-browser"], "pqfs up"),
        (["jobs", "list", "--state", "nonsense"], "pqfs jobs list"),
        (["jobs", "lst"], "pqfs jobs"),
        (["nonsense"], "pqfs"),
    ],
)
def test_who_is_misunderstood_is_led_to_the_help_of_that_command(
    shell: Shell, words: list[str], command: str
) -> None:
    assert shell(*words) == 2

    assert f"See: {command} --help\n" in shell.err
