"""submit, and `pqfs jobs …`: what people do with jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pqfs.cli import steer, terminal
from pqfs.cli.filters import OfGroup, OfName, OfQueue, OfState, Since, Until, Wish
from pqfs.cli.terminal import Json, Reason

jobs = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]},
    help="List jobs, look at one, and steer them.",
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add `submit` and `jobs`."""
    app.command(epilog="Example: pqfs submit -q mail --delay 10m --wait report.pdf")(submit)
    app.add_typer(jobs, name="jobs")


def submit(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="Files to copy in; - reads one from stdin (with --name).")],
    queue: Annotated[str, typer.Option("--queue", "-q", help="The queue.")] = "default",
    priority: Annotated[int | None, typer.Option(help="Higher runs first; the queue's own if not given.")] = None,
    delay: Annotated[str | None, typer.Option(help="Run no sooner than in 90s, 5m, 2h, 7d.")] = None,
    at: Annotated[str | None, typer.Option(help="Run no sooner than at this instant (ISO 8601).")] = None,
    name: Annotated[str | None, typer.Option(help="What the job is called; needed with -.")] = None,
    key: Annotated[
        str | None, typer.Option(help="An idempotency key: its queue's `duplicates` says what a second one means.")
    ] = None,
    traceparent: Annotated[str | None, typer.Option(help="W3C trace context; handlers and log lines get it.")] = None,
    tracestate: Annotated[str | None, typer.Option(help="What goes with it.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until every job has ended.")] = False,
    timeout: Annotated[str | None, typer.Option(help="Wait no longer than this (exit code 3).")] = None,
    as_json: Json = False,
) -> None:
    """Copy files into the spool and make them jobs; one job id a line, printed once the job is durable."""
    from pqfs.cli import submitting

    order = submitting.Order(queue, priority, delay, at, name, key, wait, timeout, as_json, traceparent, tracestate)
    raise typer.Exit(submitting.submit(context, files, order))


@jobs.command(
    "list", epilog="Examples: pqfs jobs list -s failed --ids | pqfs jobs retry -y -   pqfs jobs list --name '*.pdf'"
)
def list_jobs(
    context: typer.Context,
    state: OfState = None,
    queue: OfQueue = None,
    name: OfName = None,
    since: Since = None,
    until: Until = None,
    group: OfGroup = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most this many.")] = 50,
    before: Annotated[str | None, typer.Option(help="Only jobs older than this id: the next page.")] = None,
    ids: Annotated[bool, typer.Option("--ids", help="Only the ids, one a line, for pipes.")] = False,
    as_json: Json = False,
) -> None:
    """Jobs, newest first; those that were set aside or have failed, the last of them first."""
    from pqfs.cli import jobpages

    app = terminal.opened(context, read_only=True)
    try:
        wish = Wish(state, queue, name=name, since=since, until=until, group=group)
        found, after = jobpages.page(app, wish, before, limit)
        jobpages.say(found, after, "ids" if ids else "json" if as_json else "table")
    finally:
        app.close()


@jobs.command(epilog="Example: pqfs jobs show 019ab3")
def show(context: typer.Context, job: Annotated[str, typer.Argument(help="Its id, or its beginning.")],
         as_json: Json = False) -> None:  # fmt: skip
    """One job with its attempts and events."""
    from pqfs.cli import showing

    app = terminal.opened(context, read_only=True)
    showing.show_job(app, app.jobqueue.job(job), as_json)
    app.close()


@jobs.command(epilog="Examples: pqfs jobs assign 019ab3 consumer-03   pqfs jobs assign 019ab3 --anybody")
def assign(
    context: typer.Context,
    job: Annotated[str, typer.Argument(help="Its id, or its beginning.")],
    consumer: Annotated[str | None, typer.Argument(help="The consumer, as `pqfs consumers list` names it.")] = None,
    anybody: Annotated[bool, typer.Option("--anybody", help="Let all consumers claim it again.")] = False,
    reason: Reason = None,
    as_json: Json = False,
) -> None:
    """Let one consumer alone run a waiting job. When that one is gone, all may run it again."""
    from pqfs.cli import assigning

    assigning.assign(context, job, consumer, assigning.Manner(anybody, reason, as_json))


@jobs.command(epilog="Example: pqfs submit a.pdf b.pdf | xargs pqfs jobs wait --timeout 10m")
def wait(
    context: typer.Context,
    ids: Annotated[list[str], typer.Argument(help="Job ids, or their beginnings.")],
    timeout: Annotated[str | None, typer.Option(help="Wait no longer than this (exit code 3).")] = None,
    as_json: Json = False,
) -> None:
    """Wait until jobs have ended: 0 when all were completed, 1 when one was not, 3 when time is over."""
    from pqfs.cli import awaiting
    from pqfs.instants import seconds

    patience = seconds(timeout)
    app = terminal.opened(context, read_only=True)
    try:
        named = [app.jobqueue.job(each).id for each in ids]
        awaiting.await_ends(app, named, float("inf") if patience is None else patience)
        code = awaiting.say_ends(app, named, as_json)
    finally:
        app.close()
    raise typer.Exit(code)


@jobs.command(epilog="Example: pqfs jobs edit 019ab3 --file mended.csv --queue default")
def edit(
    context: typer.Context,
    job: Annotated[str, typer.Argument(help="Its id, or its beginning; a job that has ended.")],
    file: Annotated[Path | None, typer.Option("--file", help="Take this content in place of its input.")] = None,
    queue: Annotated[str | None, typer.Option("--queue", "-q", help="Another queue.")] = None,
    priority: Annotated[int | None, typer.Option(help="Another priority.")] = None,
    delay: Annotated[str | None, typer.Option(help="Run no sooner than in 90s, 5m, 2h, 7d.")] = None,
    at: Annotated[str | None, typer.Option(help="Run no sooner than at this instant (ISO 8601).")] = None,
    reason: Reason = None,
    as_json: Json = False,
) -> None:
    """Submit a job that has ended anew, with something changed. The old one stays, and both name each other."""
    from pqfs.cli import replaying
    from pqfs.cli.submitting import check_queue, checked_priority
    from pqfs.instants import due
    from pqfs.replay import Change

    app = terminal.opened(context)
    try:
        check_queue(app, queue)
        ready_at = due(at, delay, app.clock.now()) if at or delay else 0.0
        change = Change(file, queue, checked_priority(priority), ready_at)
        replaying.edit(app, job, change, reason, as_json)
    finally:
        app.close()


steer.register(jobs)
