"""One job in full: its row, its attempts, its events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pqfs import report
from pqfs.cli import terminal

if TYPE_CHECKING:
    from pqfs.model import Job
    from pqfs.wiring import App


def show_job(app: App, job: Job, as_json: bool) -> None:
    """Print it."""
    attempts = report.to_json(app.index.attempts(job.id))
    events = report.to_json(app.index.events(job.id))
    item = {
        **report.job_item(job), "place": str(job.place), "confirmed": job.confirmed, "losses": job.losses,
        "output_size": job.output_size, "output_sha256": job.output_sha256, "options": job.options,
        "group": job.fingerprint, "origin": job.origin,
    }  # fmt: skip
    if as_json:
        terminal.put_json("job", [{**item, "attempts": attempts, "events": events}])
        return
    for key, value in item.items():
        terminal.put_styled(f"{key:<14} {terminal.coloured('-' if value is None else str(value))}")
    if attempts:
        terminal.put("")
        columns = ("attempt", "outcome", "owner", "started_at", "run_seconds", "exit_code", "error")
        terminal.put_table(attempts, columns)
    if events:
        terminal.put("")
        terminal.put_table(events, ("at", "actor", "verb", "before", "after", "reason"))
    for attempt in attempts:
        if attempt["log"]:
            terminal.put(f"\nAttempt {attempt['attempt']} wrote:\n{attempt['log'].rstrip()}")
