"""`pqfs audit …`: who did what, when and why; and whether that is what was recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pqfs.cli import terminal
from pqfs.cli.terminal import Json

if TYPE_CHECKING:
    from pqfs.index.audit import Findings
    from pqfs.wiring import App

_COLUMNS = ("id", "when", "actor", "verb", "job", "queue", "before", "after", "reason")

audit = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]},
    help="Who did what, when and why, as a chain of hashes.",
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add `audit`."""
    app.add_typer(audit, name="audit")


@audit.command("list", epilog="Example: pqfs audit list --by ann --verb cancel --since 2026-11-22")
def list_events(
    context: typer.Context,
    by: Annotated[str | None, typer.Option("--by", help="Only acts of this one: cli:ann, or ann by any way.")] = None,
    verb: Annotated[str | None, typer.Option("--verb", help="Only this verb: cancel, delete, pause …")] = None,
    job: Annotated[str | None, typer.Option("--job", help="Only acts on this job, also one that is deleted.")] = None,
    queue: Annotated[str | None, typer.Option("--queue", "-q", help="Only acts on this queue itself.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="From this instant on (ISO 8601), or 2h ago.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Before this instant, or before 2h ago.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most this many.")] = 50,
    before: Annotated[
        int | None, typer.Option("--before", help="Only events below this number: the next page.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Events, newest first. Those of deleted jobs stay as long as rows are kept (keep.rows)."""
    from pqfs.index.audit import Audit, Question
    from pqfs.instants import instant
    from pqfs.report import to_json

    app = terminal.opened(context, read_only=True)
    try:
        now = app.clock.now()
        asked = Question(by, verb, _job(app, job), queue, instant(since, now), instant(until, now))
        items = [to_json(each) for each in Audit(app.index.engine).records(asked, before, limit)]
    finally:
        app.close()
    _put(items, len(items) == limit, as_json)


def _put(items: list[dict[str, Any]], is_full: bool, as_json: bool) -> None:
    following = items[-1]["id"] if is_full else None
    if as_json:
        terminal.put_json("audit", items, next=following)
        return
    terminal.put_table([{**each, "when": each["at"]} for each in items], _COLUMNS)
    if following:
        terminal.say(f"The next page: pqfs audit list --before {following}")


def _job(app: App, text: str | None) -> str | None:
    """The whole id where the job is still there; else the text itself, which may name a deleted one."""
    if text is None:
        return None
    like = app.index.jobs_like(text.lower(), 2)
    return like[0].id if len(like) == 1 else text


@audit.command(epilog="Example: pqfs audit verify || mail -s 'the audit does not fit' me")
def verify(
    context: typer.Context,
    head: Annotated[
        str | None, typer.Option("--head", help="A hash that was written down elsewhere: it must be in the chain.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Hold every event against the chain of hashes; names the first that does not fit (exit code 1)."""
    from pqfs.cli import progress
    from pqfs.index.audit import Audit
    from pqfs.report import to_json

    app = terminal.opened(context, read_only=True)
    try:
        chain = Audit(app.index.engine).chain()
        with progress.bar("verifying", chain.head - chain.anchor) as advance:
            found = Audit(app.index.engine).verify(head.lower() if head else None, advance)
    finally:
        app.close()
    if as_json:
        terminal.put_json("verification", [to_json(found)])
    else:
        _tell(found, head)
    raise typer.Exit(0 if found.wrong is None and found.is_known else 1)


def _tell(found: Findings, head: str | None) -> None:
    if found.wrong:
        terminal.put(found.wrong)
        return
    since = f" since {terminal.when(found.since_at)}" if found.since_at else ""
    terminal.put(f"{found.events} events{since} fit. The hash of the newest: {found.head or '-'}")
    if found.older:
        terminal.say(f"{found.older} older events are from before the chain and not covered.")
    if not found.is_known:
        terminal.put(f"But {head} is not in the chain: it was made anew since, or that event is no longer kept.")
