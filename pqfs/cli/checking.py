"""fsck and cleanup: looking for what does not agree, and for what is no longer kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pqfs import fsck as checks
from pqfs.cli import progress, terminal
from pqfs.report import to_json
from pqfs.retention import expired

if TYPE_CHECKING:
    import typer

    from pqfs.wiring import App


def fsck(context: typer.Context, repair: bool, as_json: bool) -> int:
    """Check, or repair and check; the exit code."""
    app = terminal.opened(context, read_only=not repair)
    try:
        if repair:
            _repair(app)
        count = _check(app, as_json)
    finally:
        app.close()
    if count:
        terminal.say(f"{count} findings." if repair else f"{count} findings. Repair: pqfs fsck --repair")
        return 6
    terminal.say("Clean.")
    return 0


def _repair(app: App) -> None:
    repairs = app.janitor("fsck").look()
    with progress.bar("registering", None) as advance:
        registered = app.recovery().rebuild(lambda number: advance(1))
    said = ", ".join(f"{name.replace('_', ' ')} {n}" for name in repairs.__slots__ if (n := getattr(repairs, name)))
    terminal.say(f"Repaired: {said or 'nothing'}; {sum(registered.values())} payloads registered.")


def _check(app: App, as_json: bool) -> int:
    found = []
    count = 0
    with progress.counter("checking") as counted:
        for finding in checks.check(app, counted):
            count += 1
            if as_json:
                found.append(to_json(finding))
            else:
                where = " ".join(each for each in (finding.path, finding.job) if each)
                terminal.put(f"{finding.name}: {where}: {finding.explanation}. {finding.repair}")
    if as_json:
        terminal.put_json("fsck", found)
    return count


def cleanup(context: typer.Context, dry_run: bool, yes: bool) -> None:
    """Run retention now."""
    app = terminal.opened(context)
    try:
        due = expired(app)
        said = ", ".join(f"{each.what} {each.count}{'+' if each.capped else ''}" for each in due) or "nothing"
        if dry_run or not due:
            terminal.say(f"No longer kept: {said}.")
            return
        terminal.confirm(f"Remove what is no longer kept ({said})?", yes)
        janitor, removed = app.janitor("cleanup"), 0
        with progress.bar("removing", None) as advance:
            while chunk := janitor.purge():
                removed += chunk
                advance(chunk)
        terminal.say(f"{removed} removed.")
    finally:
        app.close()
