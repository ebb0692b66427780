"""For producers. `pqfs drop`: files into the inbox, whole or not at all. `pqfs schema`: what may lie beside them."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pqfs.cli import progress, terminal
from pqfs.cli.terminal import Json

if TYPE_CHECKING:
    from pqfs.delivery import Dropped


def register(app: typer.Typer) -> None:
    """Add `drop`."""
    app.command(
        epilog="Examples: pqfs drop report.pdf   pqfs drop -q mail --checksum *.eml   pqfs drop --set 17 *.png"
    )(drop)
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
    as_set: Annotated[
        str | None, typer.Option("--set", help="They belong together, under this name: the queue takes sets.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the receipts, if the queue keeps any: how each has ended.")
    ] = False,
    timeout: Annotated[str | None, typer.Option(help="Wait no longer than this (exit code 3).")] = None,
    as_json: Json = False,
) -> None:
    """Copy files into the inbox, whole or not at all; the path of each there, one a line, printed once it is durable.

    With --set their manifest follows them, and its path is printed.

    With --wait it leaves with 0 when all were completed or duplicates, 7 when some were, else with 1.

    Needs the right to write the inbox, no more. What becomes of a file tells `pqfs why PATH`.
    """
    from pqfs.errors import Misconfigured
    from pqfs.instants import seconds

    if key is not None and len(files) > 1 and as_set is None:
        raise Misconfigured("--key is for one file.")
    folder = _inbox(context, queue, as_set)
    patience = seconds(timeout)
    asked = {} if key is None else {"key": key}
    dropped = []
    for each in _copies(folder, files, as_set, asked, checksum):
        dropped.append(each)
        if not as_json:
            terminal.put(str(each.path))
    try:
        receipts = _await(dropped, patience) if wait else []
    finally:
        if as_json:
            names = [as_set] if as_set is not None else map(str, files)
            terminal.put_json("drop", [_item(name, each) for name, each in zip(names, dropped, strict=True)])
    _leave([each["state"] in _GOOD for each in receipts])


def schema(
    what: Annotated[Literal["sidecar", "manifest"], typer.Argument(help="What is described.")] = "sidecar",
) -> None:
    """Print the JSON Schema of what producers write, for editors and for those who check before they drop."""
    import json

    from pqfs import manifest, sidecar

    terminal.put(json.dumps({"sidecar": sidecar.schema, "manifest": manifest.schema}[what](), indent=2))


_GOOD = ("completed", "duplicate")


def _inbox(context: typer.Context, queue: str, as_set: str | None) -> Path:
    from pqfs.delivery import inbox

    settings = terminal.loaded(context).settings
    if as_set is not None and settings.queue(queue).sets != "manifest":
        terminal.say(f"Unless `pqfs queue set {queue} sets=manifest` was said, queue {queue} takes files one by one.")
    return inbox(settings.spool, queue)


def _copies(
    folder: Path, files: Sequence[Path], as_set: str | None, asked: Mapping[str, Any], checksum: bool
) -> Iterator[Dropped]:  # fmt: skip
    from pqfs.delivery import deliver, deliver_set
    from pqfs.submission import check_source

    with progress.bar("copying", sum(map(check_source, files)), is_bytes=True) as advance:
        if as_set is not None:
            yield deliver_set(folder, as_set, files, asked, checksum, advance)
            return
        for path in files:
            with path.open("rb") as source:
                yield deliver(folder, os.fsencode(path.name), source, asked, checksum, advance)


def _item(name: str, each: Dropped) -> dict[str, Any]:
    told = {"path": str(each.path), "size": each.size, "sha256": each.sha256}
    return {"file": name, **told, "receipt": each.answer()}


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
