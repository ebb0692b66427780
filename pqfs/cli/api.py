"""`pqfs api` serves the REST API; `pqfs keys …` says who may use it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pqfs.cli import terminal
from pqfs.cli.recording import Act, record
from pqfs.cli.terminal import Json, Yes
from pqfs.errors import Misconfigured, Refused

if TYPE_CHECKING:
    from pqfs.keys import Keys
    from pqfs.settings import Loaded

keys = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]},
    help="Who may use the REST API. Without any key it serves this host only, and lets it do everything.",
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add `api` and `keys`."""
    app.command(epilog="Examples: pqfs api   pqfs api --host 0.0.0.0 --port 8470")(api)
    app.add_typer(keys, name="keys")


def api(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Where to listen [api.host, 127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Which port [api.port, 8470].")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every job.")] = False,
) -> None:
    """Serve the REST API until stopped. Its description is at /openapi.json."""
    from pqfs.events import log_to_stderr

    try:
        from pqfs.api.serving import serve
    except ImportError as error:
        raise Misconfigured(f"The REST API needs more: {error}.", "pip install 'pqfs[api]'") from error
    log_to_stderr(verbose)
    serve(terminal.loaded(context), host, port)


@keys.command(epilog="Examples: pqfs keys add shop --role producer   pqfs keys add gpu --role consumer --role viewer")
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What to call it: 1 to 32 of a-z, 0-9, '.', '-' and '_'.")],
    role: Annotated[list[str], typer.Option(help="viewer, producer, consumer or operator; may be repeated.")],
) -> None:
    """Make a key and print it. It is shown this once; only a hash of it is kept."""
    from pqfs.clock import SystemClock
    from pqfs.keys import Role

    loaded, found = _keys(context)
    try:
        roles = [Role(each) for each in role]
    except ValueError as error:
        raise Refused(f"There is no such role: {', '.join(role)}.", f"Roles: {', '.join(Role)}.") from error
    secret = found.add(name, roles, SystemClock().now())
    record(loaded, [Act("add key", after=f"{name}: {', '.join(roles)}")])
    terminal.put(secret)
    terminal.say("Keep it: it is not shown again. Send it as: Authorization: Bearer KEY")


@keys.command("list", epilog="Example: pqfs keys list --json")
def list_keys(context: typer.Context, as_json: Json = False) -> None:
    """Every key by name, what it is good for, and since when."""
    from pqfs.clock import iso

    items = [
        {"name": key.name, "roles": sorted(key.roles), "since": iso(key.since)} for key in _keys(context)[1].all()
    ]
    if as_json:
        terminal.put_json("keys", items)
        return
    terminal.put_table([{**each, "roles": " ".join(each["roles"])} for each in items], ("name", "roles", "since"))


@keys.command(epilog="Example: pqfs keys revoke shop -y")
def revoke(context: typer.Context, name: Annotated[str, typer.Argument(help="Which.")], yes: Yes = False) -> None:
    """Let nobody in by this key any more, from the next request on."""
    loaded, found = _keys(context)
    terminal.confirm(f"Revoke {name}?", yes)
    found.revoke(name)
    record(loaded, [Act("revoke key", after=name)])
    terminal.say(f"{name} is good for nothing any more.")


def _keys(context: typer.Context) -> tuple[Loaded, Keys]:
    from pqfs.keys import Keys

    loaded = terminal.loaded_beside_spool(context)
    return loaded, Keys(loaded.settings.spool)
