"""`pqfs notices …`: what could not be told so far, and what was put aside after so many tries."""

from __future__ import annotations

from dataclasses import asdict

import typer

from pqfs.cli import terminal
from pqfs.cli.terminal import Json

_MOST = 1000
_COLUMNS = ("at", "event", "queue", "job", "tries", "next_at", "to", "error")

notices = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]},
    help="What hooks could not be told: look, tell it again, or drop it.",
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add `notices`."""
    app.add_typer(notices, name="notices")


@notices.command("list", epilog="Example: pqfs notices list --json | jq -r .items[].error")
def list_notices(context: typer.Context, as_json: Json = False) -> None:
    """What was tried in vain, oldest first: to be tried again, or put aside after so many tries."""
    from pqfs.courier import hooks_of
    from pqfs.index.notices import Notices

    app = terminal.opened(context, read_only=True)
    targets = {mark: hook.target for mark, hook in hooks_of(app.settings).items()}
    found = []
    for each in Notices(app.index.engine).untold(_MOST):
        told = asdict(each)
        item = {name: told[name] for name in ("id", "at", "queue", "job", "tries", "error", "put_aside_at")}
        next_at = each.due_at if each.put_aside_at is None else None
        found.append({**item, "next_at": next_at, "event": each.kind, "to": targets.get(each.sink, each.sink)})
    app.close()
    if as_json:
        terminal.put_json("notices", found)
    else:
        terminal.put_table(found, _COLUMNS)


@notices.command("retry", epilog="Example: pqfs notices retry")
def retry(context: typer.Context) -> None:
    """Have the courier tell everything that was tried in vain once more, now and with all of its tries."""
    from pqfs.doorbell import ring
    from pqfs.index.notices import Notices
    from pqfs.notices import COURIER

    app = terminal.opened(context)
    with app.index.transaction():
        count = Notices(app.index.engine).tell_again(app.clock.now())
        app.index.add_event(app.clock.now(), terminal.actor(), "retry notices", after=str(count))
    ring(app.spool.path("run"), COURIER)
    app.close()
    terminal.say(f"To be told once more: {count}.")


@notices.command("drop", epilog="Example: pqfs notices drop -y")
def drop(context: typer.Context, yes: terminal.Yes = False) -> None:
    """Forget everything that was put aside: nobody will be told."""
    from pqfs.index.notices import Notices

    app = terminal.opened(context)
    terminal.confirm("Forget what could not be told?", yes)
    with app.index.transaction():
        count = Notices(app.index.engine).drop()
        app.index.add_event(app.clock.now(), terminal.actor(), "drop notices", after=str(count))
    app.close()
    terminal.say(f"Forgotten: {count}.")
