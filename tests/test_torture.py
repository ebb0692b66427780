"""The torture without its processes: the plan, the books, and a verdict that can say no."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pqfs import cli
from pqfs.model import Attempt, Job, Place, State
from pqfs.naming import output_name
from pqfs.torture import payload, plan, trial
from pqfs.torture.account import Account, Act, Input, Output, Sent
from pqfs.torture.books import Book, read, read_all
from pqfs.torture.ground import Ground, choose
from pqfs.torture.payload import Found
from pqfs.torture.plan import Kind
from pqfs.torture.targets import Census
from pqfs.torture.verdict import WORDS, judge
from tests.world import new_id

OWNER = "consumer-00.17.0123abcd"


# -------------------------------------------------------------------- plan, books, payloads


def test_the_same_seed_makes_the_same_plan_and_another_seed_another() -> None:
    first, again, other = (list(islice(plan.acts(seed, 3.0, 0.1), 500)) for seed in (7, 7, 8))

    assert first == again
    assert first != other


FORKED = """
import os, signal
child = os.fork()
if child:
    print(child, flush=True)
signal.pause()
"""


def test_what_a_runner_has_forked_and_not_yet_begun_is_not_taken_for_a_runner(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    command = [sys.executable, "-c", FORKED, "pqfs.runner", "3", "4", str(os.getpid())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={"PQFS_OWNER": "me"}) as runner:
        assert runner.stdout is not None
        child = int(runner.stdout.readline())

        kinds = [found and found.kind for found in (Census(ground)._below(pid, 1) for pid in (runner.pid, child))]

        os.kill(child, signal.SIGKILL)
        runner.kill()
    assert kinds == [Kind.RUNNER, None]


def test_each_kind_of_act_comes_early() -> None:
    assert {act.kind for act in islice(plan.acts(1, 3.0, 0.1), 40)} == set(Kind) - {Kind.FULL}
    assert Kind.FULL in {act.kind for act in islice(plan.acts(1, 3.0, 0.1, on_small_disk=True), 40)}


def test_a_line_that_its_writer_could_not_finish_is_left_out(tmp_path: Path) -> None:
    book = Book(tmp_path / "sent-1.jsonl")
    book.write(number=1)
    book.write(number=2)
    book.close()
    whole = (tmp_path / "sent-1.jsonl").read_bytes()
    (tmp_path / "sent-1.jsonl").write_bytes(whole[:-4])

    assert [line["number"] for line in read(tmp_path / "sent-1.jsonl")] == [1]
    assert read_all(tmp_path, "sent") == [{"number": 1}]
    assert list(read(tmp_path / "never-begun")) == []


def _written(data: bytes, name: str = "p0000001-plain.dat") -> bytes:
    marks = {"PQFS_JOB": "J", "PQFS_ATTEMPT": "2", "PQFS_OWNER": OWNER}
    return trial._head(marks, name, {"number": 1}) + data + trial._end(data)


def test_an_output_tells_alone_whose_it_is_and_whether_it_is_whole() -> None:
    made = payload.make(1, "plain", 500, Random(1))
    whole = _written(made.data)

    assert payload.parse_output(whole) == Found(1, made.sha256, "J", 2, 1)
    assert payload.parse_output(_written(b"")) == Found(1, payload.EMPTY, "J", 2, 1)
    for torn in (whole[:-1], whole[len(whole) // 2 :], whole + b"more", b"", whole[:300] + b"x" + whole[301:]):
        assert payload.parse_output(torn).flaw


def test_an_output_of_several_files_is_whole_only_with_all_of_them(tmp_path: Path) -> None:
    made = payload.make(3, "directory", 500, Random(1))
    trial._write_parts(tmp_path, *_split(_written(made.data)))

    assert payload.open_output(tmp_path).number == 3
    (tmp_path / "2-body").unlink()
    assert payload.open_output(tmp_path).flaw == "2-body missing"


def _split(data: bytes) -> tuple[bytes, bytes, bytes]:
    head, _, rest = data.partition(b"\n")
    return head + b"\n", rest[:-70], rest[-70:]


# -------------------------------------------------------------------- the ground


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("dear")

    assert cli.run(["torture", "--in", str(tmp_path)]) == 2
    assert "not empty" in capsys.readouterr().err
    assert (tmp_path / "mine.txt").read_text() == "dear"


def test_a_folder_whose_path_is_too_long_for_a_socket_is_refused_and_left_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / ("deep" * 25)
    folder.mkdir()

    assert cli.run(["torture", "--in", str(folder)]) == 2
    assert "too long" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_by_default_the_ground_lies_beside_the_spool_and_is_removed_whole(tmp_path: Path) -> None:
    ground, is_ours = choose(None, tmp_path / "spool")
    ground.prepare(2)

    assert ground.root.parent == tmp_path
    assert ground.loaded().settings.spool == ground.spool
    ground.remove(is_ours)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_storm_can_not_be_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["torture", "--judge", str(tmp_path)]) == 2
    assert "No storm" in capsys.readouterr().err


# -------------------------------------------------------------------- the verdict


def _job(number: int, **more: Any) -> Job:
    job = new_id()
    name = f"p{number:07d}-plain.dat".encode()
    base = Job(
        job, "default", name, "ingester.1.0", State.COMPLETED, Place.DONE, True, 0, 1, 0, 0, 0, OWNER, 9, 0.0, 0.0,
        0.0, output_name(1_800_000_000.0, job, name), 9, hashlib.sha256(job.encode()).hexdigest(),
    )  # fmt: skip
    return replace(base, **more)


def _attempt(job: Job, outcome: str = "done", number: int = 1) -> Attempt:
    return Attempt(job.id, number, OWNER, 10.0, 11.0, 1.0, outcome, None, None, None)


def _good() -> Account:
    """Three payloads, three jobs, three outputs, and a storm that has hit a consumer once."""
    jobs = [_job(number) for number in (1, 2, 3)]
    names = [job.name.decode() for job in jobs]
    sent = {n: Sent(n, f"hash {n}", names[n - 1], "default", "plain", "cp", True, None) for n in (1, 2, 3)}
    outputs = [
        Output(str(job.output), str(job.output_sha256), Found(n, f"hash {n}", job.id, 1, None))
        for n, job in enumerate(jobs, 1)
    ]
    inputs = [Input(f"done/{job.id}", job.id, n, f"hash {n}") for n, job in enumerate(jobs, 1)]
    seen = [{"what": "seen", "output": each.name, "sha256": each.sha256, "wrong": []} for each in outputs]
    kill = {"kind": "consumer", "victim": "consumer", "at": 5.0, "owner": OWNER, "waiting": 3, "job": None}
    ending = {
        "seed": 1, "raged": 9.0, "counts": {"consumer": 1, "stop": 4}, "settled": 1.0, "stuck": [], "fsck": [],
        "left_running": 0, "troubles": [],
    }  # fmt: skip
    attempts = {job.id: [_attempt(job)] for job in jobs}
    return Account(sent, outputs, inputs, {job.id: job for job in jobs}, attempts, seen, [], [kill], [], ending)


def _first(account: Account) -> Job:
    return next(iter(account.jobs.values()))


def _with_first(account: Account, **more: Any) -> Account:
    job = replace(_first(account), **more)
    return replace(account, jobs={**account.jobs, job.id: job})


def _acted(account: Account, verb: str, answer: str) -> Account:
    job = _first(account)
    return replace(account, acts=[Act(2.0, 3.0, verb, job.id, job.name.decode(), answer)])


def _failed(account: Account) -> Account:
    """The first job failed once before it completed."""
    job = _first(account)
    history = [_attempt(job, "failed"), _attempt(job, number=2)]
    return replace(_with_first(account, failures=1, attempt=2), attempts={**account.attempts, job.id: history})


def _hit(account: Account, kind: str) -> Account:
    """The first attempt of the first job ran in what was killed."""
    blow = {**account.kills[0], "kind": kind, "victim": kind, "job": _first(account).id, "attempt": 1}
    return replace(account, kills=[blow])


def _crashed(account: Account) -> Account:
    job = _first(account)
    history = [_attempt(job, "crashed"), _attempt(job, number=2)]
    return replace(_with_first(account, crashes=1, attempt=2), attempts={**account.attempts, job.id: history})


def test_a_storm_without_harm_is_good() -> None:
    verdict = judge(_good())

    assert verdict.wrong == {word: [] for word in WORDS}
    assert (verdict.exit_code, verdict.sent, verdict.out, verdict.survived) == (0, 3, 3, 1)
    assert verdict.slowest_work and verdict.slowest_work.seconds == 6.0


_CUT = Found(None, None, None, None, None, "its end is not there")


def _again(output: Output) -> str:
    """The name of a second output of the same job, published at another instant."""
    return f"3{output.name[1:]}"


_HARM: dict[str, tuple[str, Callable[[Account], Account]]] = {
    "an output is gone": ("lost", lambda a: replace(a, outputs=a.outputs[1:])),
    "an input is gone": ("lost", lambda a: replace(a, inputs=a.inputs[1:])),
    "a payload is nowhere": (
        "lost", lambda a: replace(a, sent={**a.sent, 4: replace(a.sent[1], number=4, name="p0000004-plain.dat")}),
    ),
    "a payload was refused": (
        "lost", lambda a: replace(a, inputs=[*a.inputs, replace(a.inputs[0], path="rejected/x", job=None)]),
    ),
    "two outputs of one job": (
        "doubled", lambda a: replace(a, outputs=[*a.outputs, replace(a.outputs[0], name=_again(a.outputs[0]))]),
    ),
    "one payload, two jobs": (
        "doubled", lambda a: replace(a, inputs=[*a.inputs, replace(a.inputs[0], job="another")]),
    ),
    "an output is cut": (
        "torn",
        lambda a: replace(a, outputs=[*a.outputs[1:], replace(a.outputs[0], found=_CUT)]),
    ),
    "an output has changed": (
        "torn", lambda a: replace(a, outputs=[*a.outputs[1:], replace(a.outputs[0], sha256="other")]),
    ),
    "an input has changed": (
        "torn", lambda a: replace(a, inputs=[*a.inputs[1:], replace(a.inputs[0], sha256="other")]),
    ),
    "a sidecar has not counted": (
        "torn", lambda a: replace(a, sent={**a.sent, 1: replace(a.sent[1], way="sidecar")}),
    ),
    "an output without a row": (
        "early", lambda a: replace(a, seen=[{**a.seen[0], "wrong": ["no row"]}, *a.seen[1:]]),
    ),
    "a failure that nobody caused": ("charged", _failed),
    "a failure where only its consumer was killed": ("charged", lambda a: _hit(_failed(a), "consumer")),
    "two crashes, one blow": ("charged", lambda a: _crashed(replace(a, kills=[]))),
    "a budget beside its history": ("charged", lambda a: _with_first(a, losses=1)),
    "a dead letter that nobody asked for": ("charged", lambda a: _with_first(a, state=State.FAILED)),
    "held, and nobody asked": ("undone", lambda a: _with_first(a, state=State.HELD)),
    "a hold that did not last": ("undone", lambda a: _acted(a, "hold", "done")),
    "a cancel that did not last": ("undone", lambda a: _acted(a, "cancel", "done")),
    "ran again after its cancel": ("undone", lambda a: _acted(a, "cancel", "asked")),
    "gone, and nobody deleted it": (
        "undone", lambda a: replace(_acted(a, "release", "done"), jobs={
            job: each for job, each in a.jobs.items() if job != _first(a).id
        }),
    ),
    "fsck has a finding": ("broken", lambda a: replace(a, ending={**a.ending, "fsck": ["payload misplaced"]})),
    "left running": ("broken", lambda a: replace(a, ending={**a.ending, "left_running": 2})),
}  # fmt: skip


@pytest.mark.parametrize("harm", _HARM)
def test_each_harm_is_told_under_its_word_and_by_the_exit_code(harm: str) -> None:
    word, do = _HARM[harm]

    verdict = judge(do(_good()))

    assert verdict.wrong[word], verdict.wrong
    assert verdict.exit_code == 1


def test_a_failure_or_a_crash_that_was_caused_is_no_wrong_charge() -> None:
    assert judge(_crashed(_good())).wrong["charged"] == []  # its consumer was hit once
    failed = _failed(_good())
    note = {"job": _first(failed).id, "attempt": 1, "owner": OWNER, "will": "fail"}
    assert judge(replace(failed, notes=[note])).wrong["charged"] == []
    assert judge(_hit(failed, "handler")).wrong["charged"] == []


def test_what_had_not_ended_in_time_is_told_apart_from_what_is_wrong() -> None:
    good = _good()
    late = replace(good, ending={**good.ending, "stuck": ["3 jobs are pending"], "settled": None})

    assert judge(late).exit_code == 3


def test_an_act_that_was_cut_off_may_be_done_or_not() -> None:
    assert judge(_acted(_good(), "hold", "unknown")).exit_code == 0
    assert judge(_acted(_good(), "delete", "unknown")).exit_code == 0


def test_a_storm_that_brought_nothing_proves_nothing() -> None:
    empty = replace(_good(), sent={}, outputs=[], inputs=[], jobs={}, attempts={}, seen=[])

    assert judge(empty).exit_code == 1


def test_the_books_of_a_ground_outlive_its_spool(tmp_path: Path) -> None:
    """They lie beside it, not in it: what is judged can not change what it is judged by."""
    ground = Ground(tmp_path)
    ground.prepare(1)

    assert ground.spool not in ground.books.parents
    assert json.dumps(str(ground.root / "trial.py")) in ground.config.read_text()
