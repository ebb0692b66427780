"""`pqfs dead …`: dead letters, grouped by what went wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pqfs.cli import terminal
from pqfs.cli.filters import DiedSince, DiedUntil, Everything, Ids, OfGroup, OfQueue, Wish
from pqfs.cli.terminal import DryRun, Json, Reason, Yes

if TYPE_CHECKING:
    from pqfs.index.filters import Group

_WIDEST = 90  # characters of an error in a table

dead = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]},
    help="Dead letters: failed and unprocessable jobs, grouped by their error.",
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add `dead`."""
    app.add_typer(dead, name="dead")
    dead.command("redrive", epilog="Example: pqfs dead redrive --group 3f9a0c1b2d4e --canary --rate 10/s")(redrive)
    dead.command("resubmit", hidden=True)(redrive)


@dead.command("list", epilog="Example: pqfs dead list --json | jq -r '.items[] | [.count, .error] | @tsv'")
def list_groups(
    context: typer.Context,
    queue: OfQueue = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most this many groups.")] = 50,
    as_json: Json = False,
) -> None:
    """Groups of dead letters with one kind of error, the largest first. Numbers, names and paths do not part them."""
    from pqfs.index.filters import Filters

    app = terminal.opened(context, read_only=True)
    try:
        items = [_group(each) for each in Filters(app.index).groups(queue, limit)]
    finally:
        app.close()
    if as_json:
        terminal.put_json("dead", items)
        return
    rows = [{**each, "first": each["first_at"], "last": each["last_at"], "error": _short(each)} for each in items]
    terminal.put_table(rows, ("group", "queue", "count", "first", "last", "error"))
    if items:
        terminal.say(f"Look closer: pqfs dead show {items[0]['group']}")


def _group(each: Group) -> dict[str, Any]:
    from pqfs.clock import iso

    return {
        "group": each.fingerprint, "queue": each.queue, "count": each.count, "first_at": iso(each.first_at),
        "last_at": iso(each.last_at), "error": each.error,
    }  # fmt: skip


def _short(item: dict[str, Any]) -> str:
    text = " ".join((item["error"] or "no reason was given").split())
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


@dead.command(epilog="Example: pqfs dead show 3f9a0c1b2d4e")
def show(
    context: typer.Context,
    group: Annotated[str, typer.Argument(help="A group from `pqfs dead list`.")],
    queue: OfQueue = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most this many.")] = 50,
    before: Annotated[str | None, typer.Option(help="Only those that died before this job: the next page.")] = None,
    as_json: Json = False,
) -> None:
    """The dead letters of a group, the last that died first."""
    from pqfs.errors import JobNotFound
    from pqfs.index.filters import Filters
    from pqfs.report import job_item

    wanted = Wish(group=group).filter((), 0.0).group or ""
    app = terminal.opened(context, read_only=True)
    try:
        last = app.jobqueue.job(before) if before else None
        items = [job_item(job) for job in Filters(app.index).dead(wanted, queue, last, limit)]
    finally:
        app.close()
    if not items and before is None:
        raise JobNotFound(f"in the group {group}")
    following = items[-1]["id"] if len(items) == limit else None
    if as_json:
        terminal.put_json("jobs", items, next=following)
        return
    rows = [{**each, "died": each["updated_at"], "error": _short(each)} for each in items]
    terminal.put_table(rows, ("id", "queue", "attempt", "died", "name", "error"))
    if following:
        terminal.say(f"The next page: pqfs dead show {group} --before {following}")


def redrive(
    context: typer.Context,
    ids: Ids = None,
    group: OfGroup = None,
    queue: OfQueue = None,
    since: DiedSince = None,
    until: DiedUntil = None,
    everything: Everything = False,
    rate: Annotated[str | None, typer.Option(help="No more than so many at a time: 10/s, 100/m.")] = None,
    canary: Annotated[bool, typer.Option("--canary", help="One first; the rest only if it is completed.")] = False,
    timeout: Annotated[str | None, typer.Option(help="Wait for the canary at most so long (exit code 3).")] = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Let dead letters wait again, with fresh budgets; their history stays. Exit code 7 when the canary fails."""
    from pqfs import verbs
    from pqfs.cli import bulk, redriving, selection
    from pqfs.instants import rate as rate_of
    from pqfs.instants import seconds

    patience = seconds(timeout)
    care = redriving.Care(rate_of(rate), canary, float("inf") if patience is None else patience)
    wish = Wish(None, queue, everything, None, since, until, None, group, died=True)
    app = terminal.opened(context)
    try:
        wanted = selection.wanted(app, verbs.REDRIVE, ids or [], wish)
        redriving.redrive(app, wanted, bulk.Manner(reason, dry_run, yes, as_json), care)
    finally:
        app.close()


@dead.command(epilog="Example: pqfs dead purge --group 3f9a0c1b2d4e --until 30d")
def purge(
    context: typer.Context,
    ids: Ids = None,
    group: OfGroup = None,
    queue: OfQueue = None,
    since: DiedSince = None,
    until: DiedUntil = None,
    everything: Everything = False,
    reason: Reason = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Remove dead letters for good: inputs, rows and attempts. What was done to them stays in the audit."""
    from pqfs import verbs
    from pqfs.cli import bulk, steer

    wish = Wish(None, queue, everything, None, since, until, None, group, died=True)
    steer.act(context, verbs.PURGE, ids, wish, bulk.Manner(reason, dry_run, yes, as_json))


@dead.command(epilog="Example: pqfs dead export /backup/letters --queue mail")
def export(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Where to; made if it is missing.")],
    ids: Ids = None,
    group: OfGroup = None,
    queue: OfQueue = None,
    since: DiedSince = None,
    until: DiedUntil = None,
    everything: Everything = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Copy dead letters into a folder, each with a line of JSON that tells its story. Never overwrites.

    Interrupted, it is run again: what is there is passed over.
    """
    from pqfs import verbs
    from pqfs.cli import exporting, selection

    wish = Wish(None, queue, everything, None, since, until, None, group, died=True)
    app = terminal.opened(context, read_only=True)
    try:
        wanted = selection.wanted(app, verbs.EXPORT, ids or [], wish)
        code = exporting.export(app, wanted, folder, dry_run, as_json)
    finally:
        app.close()
    raise typer.Exit(code)
