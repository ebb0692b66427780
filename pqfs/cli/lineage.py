"""explain and replay: where from something came, and making it anew."""

from __future__ import annotations

from typing import Annotated

import typer

from pqfs.cli import terminal
from pqfs.cli.filters import Everything, Ids, OfGroup, OfName, OfQueue, OfState, OlderThan, Since, Until, Wish
from pqfs.cli.terminal import DryRun, Json, Reason, Yes

ToQueue = Annotated[str | None, typer.Option("--to", help="The queue that the new jobs go to; theirs if not given.")]
Again = Annotated[bool, typer.Option("--again", help="Also what was made anew before.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog="Examples: pqfs explain spool/outbox/FILE   pqfs explain 019ab3 --check")(explain)
    app.command(epilog="Example: pqfs replay --queue scans --since 2d --dry-run")(replay)


def explain(
    context: typer.Context,
    target: Annotated[str, typer.Argument(metavar="OUTPUT-or-JOB", help="An output, a job id, a file or a name.")],
    check: Annotated[bool, typer.Option("--check", help="Read input and output, and compare their hashes.")] = False,
    as_json: Json = False,
) -> None:
    """Tell where an output comes from: its input, its handler, every attempt, who did what. Exit code 6: changed."""
    from pqfs.cli import explaining

    app = terminal.opened(context, read_only=True)
    try:
        code = explaining.explain(app, target, check, as_json)
    finally:
        app.close()
    raise typer.Exit(code)


def replay(
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
    to: ToQueue = None,
    again: Again = False,
    reason: Reason = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Make new jobs of completed ones from the inputs that are kept; looks first, and asks.

    What was made anew before is passed over, so that it may be interrupted and run again.
    """
    from pqfs import verbs
    from pqfs.cli import bulk, replaying, selection
    from pqfs.cli.submitting import check_queue
    from pqfs.replay import Change

    wish = Wish(state, queue, everything, name, since, until, older_than, group)
    app = terminal.opened(context)
    try:
        check_queue(app, to)
        wanted = selection.wanted(app, verbs.REPLAY, ids or [], wish)
        manner = bulk.Manner(reason, dry_run, yes, as_json)
        code = replaying.replay(app, wanted, Change(queue=to), manner, again)
    finally:
        app.close()
    raise typer.Exit(code)
