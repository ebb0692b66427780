"""Trace context goes with a job from whoever brings it to its handler and its log lines, and only if it is one."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from pqfs.clock import SystemClock
from pqfs.handlers import JobContext, resolve
from pqfs.inbox import Inbox
from pqfs.index import Index, walk
from pqfs.ingester import Ingester
from pqfs.jobqueue import JobQueue
from pqfs.model import Kind, Outcome
from pqfs.settings import Settings
from pqfs.spool import Spool
from pqfs.tracing import check, check_parent, heard, parent_of, trace_of, variables
from tests.process.stage import Stage
from tests.shell import Shell
from tests.world import SettableClock, invariants, new_id, submitted

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
STATE = "vendor=1,other=x"


@pytest.mark.parametrize(
    "good", [PARENT, f"cc-{TRACE}-b7ad6b7169203331-01-what-comes-later", f"01-{TRACE}-{'1' * 16}-00"]
)
def test_what_the_recommendation_allows_is_taken_as_it_is(good: str) -> None:
    assert check_parent(good) == good
    assert trace_of({"metadata": {"traceparent": good}}) == TRACE


@pytest.mark.parametrize(
    "bad",
    [
        "", "00", PARENT.upper(), PARENT + "-more", f"ff-{TRACE}-b7ad6b7169203331-01", f"00-{'0' * 32}-{'1' * 16}-01",
        f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE}-b7ad6b7169203331", PARENT + "\n", " " + PARENT, None, 7, [PARENT],
        f"cc-{TRACE}-b7ad6b7169203331-01-" + "x" * 300, f"cc-{TRACE}-b7ad6b7169203331-01-\n",
    ],
)  # fmt: skip
def test_what_is_none_is_refused_and_goes_nowhere(bad: object) -> None:
    with pytest.raises(ValueError, match="traceparent"):
        check({"traceparent": bad})
    assert parent_of({"traceparent": bad}) is None
    assert variables({"traceparent": bad, "tracestate": STATE}) == {}


@pytest.mark.parametrize("state", ["", "x" * 513, "a=\n", "\xfc=1", 7, None])
def test_a_state_that_is_none_does_not_go_on(state: object) -> None:
    with pytest.raises(ValueError, match="tracestate"):
        check({"traceparent": PARENT, "tracestate": state})
    assert variables({"traceparent": PARENT, "tracestate": state}) == {"TRACEPARENT": PARENT}


def test_headers_are_heard_unless_the_metadata_knows_better() -> None:
    headers = {"traceparent": PARENT, "tracestate": STATE}
    other = PARENT.replace("b7", "c8")

    assert heard(None, headers) == headers
    assert heard({"a": 1, "traceparent": other}, headers) == {"a": 1, "traceparent": other}
    assert heard({"a": 1}, {"traceparent": "nonsense", "tracestate": STATE}) == {"a": 1}
    assert heard(None, {"traceparent": PARENT, "tracestate": "\n"}) == {"traceparent": PARENT}


def test_a_command_and_a_function_are_given_it(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"x")
    metadata = {"traceparent": PARENT, "tracestate": STATE}
    context = JobContext(
        job=new_id(), attempt=1, queue="default", name="n", raw_name=b"n", input=tmp_path / "input",
        output=tmp_path / "x.part", scratch_dir=tmp_path / "x.parts", metadata=metadata,
        environment={"PATH": "/usr/bin:/bin", **variables(metadata)},
    )  # fmt: skip
    said = 'printf "%s %s" "$TRACEPARENT" "$TRACESTATE"'

    resolve({"kind": "command", "command": ["sh", "-c", said], "stdout": "output"})(context)
    assert context.output.read_text() == f"{PARENT} {STATE}"
    assert context.traceparent == PARENT
    assert replace(context, metadata={}).traceparent is None


def test_a_sidecar_brings_it_and_one_that_is_none_is_refused(
    jobqueue: JobQueue, spool: Spool, settings: Settings, index: Index, clock: SettableClock
) -> None:
    for name, parent in (("good", PARENT), ("bad", "nonsense")):
        sidecar = {"metadata": {"traceparent": parent}}
        spool.path(f"inbox/{name}.txt.job.json").write_text(json.dumps(sidecar))
        spool.path(f"inbox/{name}.txt").write_text("x")

    Ingester(jobqueue, Inbox(spool.root, settings), "ingester.1.0123abcd", clock).sweep()
    assert [(job.name, trace_of(job.options)) for job in walk(index)] == [(b"good.txt", TRACE)]
    reasons = [json.loads(path.read_text())["reason"] for path in spool.path("rejected").glob("*.reason.json")]
    assert len(reasons) == 2 and all("traceparent is written" in reason for reason in reasons)
    invariants(spool, index, at_rest=False)


def test_the_log_lines_of_a_job_name_its_trace(jobqueue: JobQueue, caplog: pytest.LogCaptureFixture) -> None:
    now = SystemClock().now()
    submitted(jobqueue, now, options={"metadata": {"traceparent": PARENT}})
    (job,) = jobqueue.claim("consumer.1.0123abcd", None, 1, now)
    jobqueue.spool.start(job)

    with caplog.at_level(logging.INFO, "pqfs"):
        jobqueue.end(job, Outcome(Kind.PERMANENT, "no", started_at=now), now)
    assert caplog.messages[0].endswith(f"error=no trace={TRACE}")


def test_a_submit_brings_it_and_explain_tells_it(shell: Shell) -> None:
    job = shell.submit("a.txt", "--traceparent", PARENT, "--tracestate", STATE)

    assert shell("explain", job) == 0
    assert f"trace      {PARENT}" in shell.out
    assert shell.items("explain", job)[0]["asked"]["metadata"] == {"traceparent": PARENT, "tracestate": STATE}
    assert shell("submit", shell.root / "a.txt", "--traceparent", "nonsense") == 2


@pytest.mark.slow
def test_it_reaches_a_program_through_all_processes(tmp_path: Path) -> None:
    said = '["sh", "-c", "printf %s \\"$TRACEPARENT\\""]'
    stage = Stage(tmp_path, f'[defaults]\nhandler = {{ command = {said}, stdout = "output" }}\n')
    stage.drop("a.txt.job.json", json.dumps({"metadata": {"traceparent": PARENT}}).encode())
    stage.drop("a.txt")

    assert stage.start("ingest", None, "--drain").wait(20) == 0
    assert stage.start("consume", None, "--drain", "-v").wait(20) == 0
    assert stage.outputs() == [PARENT.encode()]
    assert f"trace={TRACE}" in stage.log("consume")
    stage.close()
