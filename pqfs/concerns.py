"""Which of the alarms that hold concern one file or one job: what `pqfs why` adds to its answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pqfs import naming
from pqfs.health import NOT_RUNNING, SETTINGS_CHANGED, Finding, Severity, examine
from pqfs.model import FINAL, Job, State
from pqfs.report import Source
from pqfs.vitals import Vitals, look


def alarms_of_inbox(source: Source, path: bytes) -> Iterator[str]:
    """The alarms that keep a file from being taken, as sentences; of those about one file only its own."""
    mine = f"inbox/{naming.printable(path)} "
    for each in _alarms(look(source), "inbox"):
        if each.name != "inbox-waiting" or mine in each.sentence:
            yield _sentence(each)


def alarms_of(source: Source, job: Job) -> Iterator[str]:
    """The alarms that keep a job from its end: those of its queue, or of the consumer that holds it."""
    if job.state is State.HELD or (job.state in FINAL and job.confirmed):
        return
    vitals = look(source)
    ledger = vitals.ledger
    if job.state is State.PROCESSING:
        mine = tuple(each for each in ledger.consumers if each.status.owner == job.owner)
        ledger = replace(ledger, backlogs=(), consumers=mine)
    else:
        ledger = replace(ledger, backlogs=tuple(each for each in ledger.backlogs if each.queue == job.queue))
    yield from map(_sentence, _alarms(replace(vitals, ledger=ledger), "jobs"))


def _alarms(vitals: Vitals, touched: str) -> Iterator[Finding]:
    for each in examine(vitals):
        is_told = each.severity is Severity.ALARM or each.name == SETTINGS_CHANGED
        if is_told and each.name != NOT_RUNNING and touched in each.touches:
            yield each


def _sentence(finding: Finding) -> str:
    return f"{finding.severity.capitalize()} {finding.name}: {finding.sentence} {finding.hint}"
