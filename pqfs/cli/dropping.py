"""`pqfs drop`: files into the inbox, whole or not at all; for who may write the inbox and nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from pqfs.cli import progress, terminal
from pqfs.cli.terminal import Json


def register(app: typer.Typer) -> None:
    """Add `drop`."""
    app.command(epilog="Examples: pqfs drop report.pdf   pqfs drop -q mail --checksum *.eml")(drop)


def drop(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="Files to copy in.")],
    queue: Annotated[str, typer.Option("--queue", "-q", help="The queue.")] = "default",
    key: Annotated[
        str | None, typer.Option(help="An idempotency key: its queue's `duplicates` says what a second one means.")
    ] = None,
    checksum: Annotated[
        bool,
        typer.Option("--checksum", help="Send the SHA-256 along: a file that differs is refused."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Copy files into the inbox, whole or not at all; the path of each there, one a line, printed once it is durable.

    Needs the right to write the inbox, no more. What becomes of a file tells `pqfs why PATH`.
    """
    from pqfs.delivery import deliver, inbox
    from pqfs.errors import Misconfigured
    from pqfs.submission import check_source

    if key is not None and len(files) > 1:
        raise Misconfigured("--key is for one file.")
    folder = inbox(terminal.loaded(context).settings.spool, queue)
    asked = {} if key is None else {"key": key}
    dropped = []
    with progress.bar("copying", sum(map(check_source, files)), is_bytes=True) as advance:
        for path in files:
            with path.open("rb") as source:
                found = deliver(folder, os.fsencode(path.name), source, asked, checksum, advance)
            dropped.append({"file": str(path), "path": str(found.path), "size": found.size, "sha256": found.sha256})
            if not as_json:
                terminal.put(str(found.path))
    if as_json:
        terminal.put_json("drop", dropped)
