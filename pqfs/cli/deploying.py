"""`pqfs deploy …`: texts for a person who puts pqfs on more than one host."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pqfs.cli import terminal

deploy = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]},
    help="Files for more than one host; each is printed, and runs nothing.",
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add `deploy`."""
    app.add_typer(deploy, name="deploy")


@deploy.command(epilog="Examples: pqfs deploy compose > compose.yml   pqfs deploy compose --memory 8GiB --hosts 3")
def compose(
    memory: Annotated[str, typer.Option(help="How much PostgreSQL may use.")] = "2GiB",
    hosts: Annotated[int, typer.Option(min=1, help="How many hosts connect to it.")] = 2,
    consumers: Annotated[int, typer.Option("--consumers", "-c", min=1, help="How many consumers each has.")] = 4,
) -> None:
    """Print a compose file for PostgreSQL, sized for its use by pqfs."""
    from pqfs.durations import parse_size
    from pqfs.stack.deployment import Sizing
    from pqfs.stack.deployment import compose as text

    try:
        size = parse_size(memory)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    terminal.put(text(Sizing(size, hosts, consumers)).rstrip())


@deploy.command(epilog="Example: pqfs deploy mount nas:/export/pqfs /srv/pqfs >> /etc/fstab")
def mount(
    source: Annotated[str, typer.Argument(help="The share: nas:/export/pqfs, or pqfs@.cephfs=/pqfs for CephFS.")],
    directory: Annotated[Path, typer.Argument(help="Where it is to be mounted.")] = Path("/srv/pqfs"),
    kind: Annotated[str, typer.Option(help="nfs4 or ceph.")] = "nfs4",
) -> None:
    """Print the line of an fstab that mounts a share for a spool, with what each option is for."""
    from pqfs.stack.deployment import mounted

    terminal.put(mounted(source, directory, kind).rstrip())
