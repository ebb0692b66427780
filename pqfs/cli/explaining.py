"""How `pqfs explain` looks: one page about one job."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pqfs import naming
from pqfs.cli import terminal
from pqfs.errors import JobNotFound
from pqfs.provenance import Account, account, handler_of
from pqfs.report import job_item, to_json
from pqfs.tracing import parent_of
from pqfs.why import named

if TYPE_CHECKING:
    from pqfs.model import Attempt
    from pqfs.wiring import App

_ATTEMPTS = (
    "attempt", "outcome", "owner", "started", "ended", "run_seconds", "user_seconds", "system_seconds", "peak_MiB",
    "exit_code", "error",
)  # fmt: skip


def explain(app: App, target: str, check: bool, as_json: bool) -> int:
    """Print it; 6 when the output is not what was committed.

    Raises:
        JobNotFound: no job explains it.
    """
    job = named(app, target)
    if job is None:
        raise JobNotFound(f"that explains {naming.printable_path(target)}")
    told = account(app, job, check)
    if as_json:
        terminal.put_json("explain", [_item(told)])
    else:
        _print(told, check)
    return 6 if told.output and told.output.is_unchanged is False else 0


def _item(told: Account) -> dict[str, Any]:
    """The documented shape."""
    attempts = [{**to_json(each), "handler": handler_of(each)} for each in told.attempts]
    item: dict[str, Any] = {**to_json(told), "attempts": attempts, "handler": told.handler}
    return {**item, "job": {**job_item(told.job), "place": str(told.job.place), "group": told.job.fingerprint}}


def _print(told: Account, check: bool) -> None:
    job = told.job
    terminal.put(f"job        {job.id}, queue {job.queue}, {job.state}")
    terminal.put(f"input      {_input(told, check)}")
    if told.handler:
        terminal.put(f"handler    {_handler(told.handler)}")
    for line in _output(told):
        terminal.put(line)
    for line in _wishes(told):
        terminal.put(line)
    if told.attempts:
        terminal.put("")
        terminal.put_table(map(_attempt, told.attempts), _ATTEMPTS)
    if told.events:
        terminal.put("")
        terminal.put_table(to_json(told.events), ("at", "actor", "verb", "before", "after", "reason"))
    for attempt in told.attempts:
        if attempt.log:
            terminal.put(f"\nAttempt {attempt.attempt} wrote:\n{attempt.log.rstrip()}")


def _wishes(told: Account) -> Iterator[str]:
    """What was asked of it, and its kin."""
    if parent := parent_of(told.asked.get("metadata")):
        yield f"trace      {parent}"
    if told.asked:
        yield f"asked      {naming.harmless(str(told.asked))}"
    if told.origin:
        yield f"made of    {told.origin}"
    for each in told.made_into:
        yield f"made into  {each}"


def _input(told: Account, check: bool) -> str:
    found = told.input
    words = [naming.printable(found.name), f"{found.size:,} bytes"]
    words.append(f"kept as {found.path}" if found.path else "no longer kept")
    if found.sha256:
        words.append(f"SHA-256 {found.sha256}")
    elif found.path and not check:
        words.append("SHA-256 with --check")
    return ", ".join(words)


def _handler(found: dict[str, Any]) -> str:
    match found.get("kind"):
        case "command":
            size = f", {found['size']:,} bytes, of {found['changed_at']}" if "size" in found else ""
            return f"{' '.join(found.get('command', ()))} ({found.get('program')}{size})"
        case "python":
            return f"{found.get('function')} ({found.get('file')}, SHA-256 {found.get('sha256')}…)"
        case kind:
            return str(kind)


def _output(told: Account) -> Iterator[str]:
    output = told.output
    if output is None:
        return
    where = f"is {output.path}" if output.path else f"was {output.name}; somebody has taken it"
    yield f"output     {where}"
    if output.sha256:
        held = {True: " (and so it is now)", False: " (it has been CHANGED since)", None: ""}[output.is_unchanged]
        yield f"           {output.size or 0:,} bytes, SHA-256 {output.sha256}{held}"


def _attempt(each: Attempt) -> dict[str, Any]:
    peak = None if each.peak_bytes is None else round(each.peak_bytes / 2**20, 1)
    item: dict[str, Any] = to_json(each)
    return {**item, "started": item["started_at"], "ended": item["ended_at"], "peak_MiB": peak}
