"""fsck and cleanup: looking for what does not agree, and for what is no longer kept."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

from pqfs import fsck as checks
from pqfs.cli import progress, terminal
from pqfs.cli.recording import Act, note
from pqfs.mending import Mending
from pqfs.report import to_json
from pqfs.retention import expired

if TYPE_CHECKING:
    import typer

    from pqfs.flaws import Finding
    from pqfs.wiring import App

_MANY = 10_000  # findings that are repaired between two looks


def fsck(context: typer.Context, repair: bool, deep: bool, as_json: bool) -> int:
    """Check, or repair and check; the exit code."""
    app = terminal.opened(context, read_only=not repair)
    try:
        mended = _repair(app, deep) if repair else 0
        found = _check(app, deep, as_json, mended)
    finally:
        app.close()
    if found:
        terminal.say(f"{found} findings." if repair else f"{found} findings. Repair: pqfs fsck --repair")
        return 6
    terminal.say("Clean.")
    return 0


def _repair(app: App, deep: bool) -> int:
    """What the dead left first, then finding by finding; how many were repaired."""
    repairs = app.janitor("fsck").look()
    said = ", ".join(f"{name.replace('_', ' ')} {n}" for name in repairs.__slots__ if (n := getattr(repairs, name)))
    mending = Mending(app.jobqueue, app.recovery(), app.owners, app.clock)
    mended = 0
    while count := _mend_some(app, mending, deep):
        mended += count
    note(
        app.index, [Act("repair", after=f"recovery: {said or 'nothing to do'}; repaired: {mended}")], app.clock.now()
    )
    terminal.say(f"Recovery: {said or 'nothing to do'}. Repaired: {mended}.")
    return mended


def _mend_some(app: App, mending: Mending, deep: bool) -> int:
    """One look, and what it found; how many were repaired. Collected first: repairs move what is being listed."""
    with progress.check("looking", app.index.counts()) as looked:
        found = list(islice((each for each in checks.check(app, looked, deep) if each.is_mended), _MANY))
    with progress.bar("repairing", len(found)) as advance:
        return sum(_mend_one(mending, finding, advance) for finding in found)


def _mend_one(mending: Mending, finding: Finding, advance: Callable[[int], None]) -> bool:
    advance(1)
    return mending.mend(finding)


def _check(app: App, deep: bool, as_json: bool, mended: int) -> int:
    found, count = [], 0
    with progress.check("checking", app.index.counts()) as looked:
        for finding in checks.check(app, looked, deep):
            count += 1
            if as_json:
                found.append(to_json(finding))
            else:
                where = " ".join(each for each in (finding.path, finding.job) if each)
                terminal.put(f"{finding.name}: {where}: {finding.explanation}. {finding.repair}")
    if as_json:
        terminal.put_json("fsck", found, mended=mended)
    return count


def cleanup(context: typer.Context, dry_run: bool, yes: bool) -> None:
    """Run retention now."""
    app = terminal.opened(context)
    try:
        due = expired(app)
        said = ", ".join(f"{each.what} {each.count}{'+' if each.capped else ''}" for each in due) or "nothing"
        if dry_run or not due:
            terminal.say(f"No longer kept: {said}.")
            if not due:
                terminal.say("Inputs of completed jobs go by: pqfs jobs delete --state completed --files-only")
            return
        terminal.confirm(f"Remove what is no longer kept ({said})?", yes)
        janitor, removed = app.janitor("cleanup"), 0
        with progress.bar("removing", None) as advance:
            while chunk := janitor.purge():
                removed += chunk
                advance(chunk)
        note(app.index, [Act("cleanup", after=f"{removed} removed")], app.clock.now())
        terminal.say(f"{removed} removed.")
    finally:
        app.close()
