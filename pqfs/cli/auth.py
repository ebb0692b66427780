"""`pqfs auth …`: who may sign in to the console, and so act there."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pqfs.cli import terminal
from pqfs.cli.recording import Act, record
from pqfs.cli.terminal import Json, Yes
from pqfs.errors import Refused, Unconfirmed

if TYPE_CHECKING:
    from pqfs.passwords import Users
    from pqfs.settings import Loaded

Name = Annotated[str, typer.Argument(metavar="[NAME]", help="Who: 1 to 32 of a-z, 0-9, '.', '-' and '_'.")]

auth = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]},
    help="Who may sign in to the console, and so act there. Without a password it shows and does not change.",
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add `auth`."""
    app.add_typer(auth, name="auth")


@auth.command("set-password", epilog="Examples: pqfs auth set-password   pqfs auth set-password ann --stdin <secret")
def set_password(
    context: typer.Context,
    name: Name = "admin",
    stdin: Annotated[bool, typer.Option("--stdin", help="Read it from stdin, one line, and do not ask.")] = False,
) -> None:
    """Set somebody's password: asked for twice, at least 8 characters. Ends their sessions, and a lock.

    The console's sign-in takes it at once. Only a hash (scrypt) is kept, in the spool's users.json.
    """
    from pqfs.clock import SystemClock

    loaded, users = _users(context)
    password = sys.stdin.readline().rstrip("\n") if stdin else _asked_twice(name)
    is_new = users.set_password(name, password, SystemClock().now())
    record(loaded, [Act("set password", after=name)])
    terminal.say(f"{name} may sign in to the console{'' if is_new else ' by the new password'}.")


def _asked_twice(name: str) -> str:
    if not sys.stdin.isatty():
        raise Unconfirmed("Nobody is there to type a password.", "Give it on stdin: pqfs auth set-password --stdin")
    password: str = typer.prompt(f"Password of {name}", hide_input=True, err=True)
    if typer.prompt("Once more", hide_input=True, err=True) != password:
        raise Refused("The two are not the same. Nothing was changed.")
    return password


@auth.command("list", epilog="Example: pqfs auth list --json | jq -r '.items[].name'")
def list_users(context: typer.Context, as_json: Json = False) -> None:
    """Who may sign in, since when, and who is locked after too many failures."""
    from pqfs.clock import SystemClock, iso

    found = _users(context)[1].all(SystemClock().now())
    items = [
        {
            "name": each.name, "since": iso(each.since), "failures": each.failures,
            "locked_until": None if each.locked_until is None else iso(each.locked_until),
        }
        for each in found
    ]  # fmt: skip
    if as_json:
        terminal.put_json("users", items)
        return
    terminal.put_table(items, ("name", "since", "failures", "locked_until"))
    if not items:
        terminal.say("Nobody may sign in. Begin with: pqfs auth set-password")


@auth.command(epilog="Example: pqfs auth remove ann")
def remove(context: typer.Context, name: Annotated[str, typer.Argument(help="Who.")], yes: Yes = False) -> None:
    """Let somebody sign in no more; their sessions end."""
    loaded, users = _users(context)
    terminal.confirm(f"Remove {name}?", yes)
    users.remove(name)
    record(loaded, [Act("remove user", after=name)])
    terminal.say(f"{name} may sign in no more.")


def _users(context: typer.Context) -> tuple[Loaded, Users]:
    from pqfs.passwords import Users

    loaded = terminal.loaded_beside_spool(context)
    return loaded, Users(loaded.settings.spool)
