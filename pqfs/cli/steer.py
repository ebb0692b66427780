"""`pqfs jobs …`: the verbs that change many jobs at once, by id or by a filter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pqfs import verbs
from pqfs.cli import bulk, selection, terminal
from pqfs.cli.filters import Everything, Ids, OfGroup, OfName, OfQueue, OfState, OlderThan, Since, Until, Wish
from pqfs.cli.terminal import DryRun, Json, Reason, Yes
from pqfs.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FilesOnly = Annotated[bool, typer.Option("--files-only", help="Only the inputs: rows and history stay.")]
RowsOnly = Annotated[bool, typer.Option("--rows-only", help="Only rows of jobs whose inputs are no longer kept.")]


def register(jobs: typer.Typer) -> None:
    """Add the verbs to `pqfs jobs`."""
    plain = (
        (verbs.RETRY, "Let dead (or cancelled) jobs wait again, with fresh budgets; their history stays."),
        (verbs.CANCEL, "Withdraw jobs. One that runs is ended, and this waits until it has."),
        (verbs.HOLD, "Put waiting jobs aside until they are released."),
        (verbs.RELEASE, "Let held jobs go on."),
        (verbs.FAIL, "Mark waiting jobs failed: they become dead letters."),
    )
    for verb, help_ in plain:
        example = f"Examples: pqfs jobs {verb.word} 019ab3   pqfs jobs {verb.word} --queue mail --dry-run"
        jobs.command(verb.word, help=help_, epilog=example)(_plain(verb))
    jobs.command(epilog="Examples: pqfs jobs delete 019ab3   pqfs jobs delete -s completed --older-than 30d")(delete)
    signed = {"ignore_unknown_options": True}  # so that -5 is a number
    example = "Examples: pqfs jobs priority 10 019ab3   pqfs jobs priority -5 --name '*.tmp.csv'"
    jobs.command(context_settings=signed, epilog=example)(priority)
    jobs.command(epilog="Examples: pqfs jobs reschedule --delay 2h 019ab3   pqfs jobs reschedule --at now --all")(
        reschedule
    )


def _plain(verb: verbs.Bulk) -> Callable[..., None]:
    def command(
        context: typer.Context,
        ids: Ids = None,
        state: OfState = None,
        queue: OfQueue = None,
        everything: Everything = False,
        name: OfName = None,
        since: Since = None,
        until: Until = None,
        older_than: OlderThan = None,
        group: OfGroup = None,
        reason: Reason = None,
        dry_run: DryRun = False,
        yes: Yes = False,
        as_json: Json = False,
    ) -> None:
        wish = Wish(state, queue, everything, name, since, until, older_than, group)
        act(context, verb, ids, wish, bulk.Manner(reason, dry_run, yes, as_json))

    return command


def act(context: typer.Context, verb: verbs.Bulk, ids: Sequence[str] | None, wish: Wish, manner: bulk.Manner) -> None:
    """Open the spool and do it; leaves with the exit code of the whole."""
    app = terminal.opened(context)
    try:
        bulk.perform(app, verb, selection.wanted(app, verb, ids or [], wish), manner)
    finally:
        app.close()


def delete(
    context: typer.Context,
    ids: Ids = None,
    state: OfState = None,
    queue: OfQueue = None,
    everything: Everything = False,
    name: OfName = None,
    since: Since = None,
    until: Until = None,
    older_than: OlderThan = None,
    group: OfGroup = None,
    files_only: FilesOnly = False,
    rows_only: RowsOnly = False,
    reason: Reason = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Forget ended jobs, their inputs and their attempts. Outputs are never touched, events stay in the audit."""
    if files_only and rows_only:
        raise Refused("--files-only and --rows-only exclude each other.", "Without either, both go.")
    verb = verbs.DISCARD if files_only else verbs.FORGET if rows_only else verbs.DELETE
    wish = Wish(state, queue, everything, name, since, until, older_than, group)
    act(context, verb, ids, wish, bulk.Manner(reason, dry_run, yes, as_json))


def priority(
    context: typer.Context,
    to: Annotated[int, typer.Argument(metavar="N", help="The new priority; higher runs first.")],
    ids: Ids = None,
    state: OfState = None,
    queue: OfQueue = None,
    everything: Everything = False,
    name: OfName = None,
    since: Since = None,
    until: Until = None,
    older_than: OlderThan = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Give waiting and held jobs another priority."""
    from pqfs.cli.submitting import checked_priority

    checked_priority(to)
    wish = Wish(state, queue, everything, name, since, until, older_than)
    act(context, verbs.to_priority(to), ids, wish, bulk.Manner(reason, dry_run, yes, as_json))


def reschedule(
    context: typer.Context,
    ids: Ids = None,
    at: Annotated[str | None, typer.Option(help="Run no sooner than at this instant (ISO 8601), or now.")] = None,
    delay: Annotated[str | None, typer.Option(help="Run no sooner than in 90s, 5m, 2h, 7d.")] = None,
    state: OfState = None,
    queue: OfQueue = None,
    everything: Everything = False,
    name: OfName = None,
    since: Since = None,
    until: Until = None,
    older_than: OlderThan = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Let waiting and held jobs run sooner or later than they were to."""
    from pqfs.clock import SystemClock
    from pqfs.instants import due

    verb = verbs.to_instant(due(at, delay, SystemClock().now()))
    wish = Wish(state, queue, everything, name, since, until, older_than)
    act(context, verb, ids, wish, bulk.Manner(reason, dry_run, yes, as_json))
