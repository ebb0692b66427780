"""For producers. `pqfs drop`: files into the inbox, whole or not at all. `pqfs schema`: what may lie beside them."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pqfs.cli import progress, terminal
from pqfs.cli.terminal import Json

if TYPE_CHECKING:
    from pqfs.delivery import Dropped


def register(app: typer.Typer) -> None:
    """Add `drop`."""
    app.command(epilog="Examples: pqfs drop report.pdf   pqfs drop -q mail --checksum *.eml")(drop)
    app.command(epilog="Examples: pqfs schema sidecar   pqfs schema manifest > manifest.schema.json")(schema)


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
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the receipts, if the queue keeps any: how each has ended.")
    ] = False,
    timeout: Annotated[str | None, typer.Option(help="Wait no longer than this (exit code 3).")] = None,
    as_json: Json = False,
) -> None:
    """Copy files into the inbox, whole or not at all; the path of each there, one a line, printed once it is durable.

    With --wait it leaves with 0 when all were completed or duplicates, 7 when some were, else with 1.

    Needs the right to write the inbox, no more. What becomes of a file tells `pqfs why PATH`.
    """
    from pqfs.delivery import deliver, inbox
    from pqfs.errors import Misconfigured
    from pqfs.instants import seconds
    from pqfs.submission import check_source

    if key is not None and len(files) > 1:
        raise Misconfigured("--key is for one file.")
    folder = inbox(terminal.loaded(context).settings.spool, queue)
    patience = seconds(timeout)
    asked = {} if key is None else {"key": key}
    dropped = []
    with progress.bar("copying", sum(map(check_source, files)), is_bytes=True) as advance:
        for path in files:
            with path.open("rb") as source:
                dropped.append(deliver(folder, os.fsencode(path.name), source, asked, checksum, advance))
            if not as_json:
                terminal.put(str(dropped[-1].path))
    try:
        receipts = _await(dropped, patience) if wait else []
    finally:
        if as_json:
            terminal.put_json("drop", [_item(path, each) for path, each in zip(files, dropped, strict=True)])
    _leave([each["state"] in _GOOD for each in receipts])


def schema(
    what: Annotated[Literal["sidecar", "manifest"], typer.Argument(help="What is described.")] = "sidecar",
) -> None:
    """Print the JSON Schema of what producers write, for editors and for those who check before they drop."""
    import json

    from pqfs import manifest, sidecar

    terminal.put(json.dumps({"sidecar": sidecar.schema, "manifest": manifest.schema}[what](), indent=2))


_GOOD = ("completed", "duplicate")


def _item(path: Path, each: Dropped) -> dict[str, Any]:
    told = {"path": str(each.path), "size": each.size, "sha256": each.sha256}
    return {"file": str(path), **told, "receipt": each.answer()}


def _await(dropped: Sequence[Dropped], patience: float | None) -> list[dict[str, Any]]:
    """How each has ended, said as soon as it has."""
    deadline = time.monotonic() + (math.inf if patience is None else patience)
    found = []
    for each in dropped:
        receipt = each.wait(deadline - time.monotonic())
        told = next((str(receipt[key]) for key in ("output", "error", "earlier") if receipt.get(key)), "")
        terminal.say(f"{each.path.name} {receipt['state']}: {told}".rstrip(": "))
        found.append(receipt)
    return found


def _leave(good: Sequence[bool]) -> None:
    """Leave with what became of them."""
    if not all(good):
        raise typer.Exit(7 if any(good) else 1)
