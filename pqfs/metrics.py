"""Every figure of a spool that is scraped: read from counters, pulses and the kernel, never from the rows of jobs.

`gather` takes two looks (`report.overview`, `vitals.look`) and the sums that the index keeps, and returns frozen
families; nothing here changes anything. What can not be told without an index is left out while that can not be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pqfs.exposition import Family, Kind, Sample
from pqfs.health import RULES, Severity, examine
from pqfs.index.schedulerows import Schedule, ScheduleRows
from pqfs.index.tallies import Tallies, Total
from pqfs.model import Kind as Ending
from pqfs.model import State
from pqfs.owners import Life
from pqfs.pulse import Beat
from pqfs.report import ConsumerStatus, Overview, Source, overview
from pqfs.vitals import Program, Vitals, kind_of, look

_KINDS = ("ingester", "consumer", "janitor", "courier")
_UPKEEP = ("upkeep", "purged", "scheduled")  # of what a janitor has done, that which is no repair


def gather(source: Source, programs: Sequence[Program] | None = None) -> list[Family]:
    """All families of an opened spool. `programs`: what supervisor says, where it was asked."""
    found, vitals = overview(source), look(source, programs)
    tallies = Tallies(source.index.engine)
    names = [queue.name for queue in found.queues]
    totals = {total.queue: total for total in tallies.totals()}
    return [
        *of_vitals(vitals),
        *_of_jobs(found, vitals),
        *_of_flow([totals.get(name, Total(name, 0, 0, 0, 0, 0.0)) for name in names]),
        _of_failures(names, {(queue, outcome): count for queue, outcome, count in tallies.outcomes()}),
        *_of_consumers(found.consumers),
        *_of_tree(found, vitals),
        *_of_schedules(ScheduleRows(source.index.engine).all()),
    ]


def of_vitals(vitals: Vitals) -> list[Family]:
    """What is known without an index, too: processes, pulses, recoveries, room, rules of health."""
    found = {each.name for each in examine(vitals)}
    readable = vitals.index_trouble is None
    return [
        _number("pqfs_index_readable", "Whether the index can be read; if not, most figures are missing.", readable),
        _gauges("pqfs_processes", "Living processes.", "kind", ((kind, len(vitals.alive(kind))) for kind in _KINDS)),
        _gauges("pqfs_pulse_age_seconds", "Since a living program last did its work.", "program", _ages(vitals)),
        _recovered(vitals),
        _counters("pqfs_upkeep_rounds", "Rounds of retention and checkpoint.", "program", _done(vitals, "upkeep")),
        _counters("pqfs_purged", "What was removed when its time was over.", "program", _done(vitals, "purged")),
        _counters("pqfs_scheduled_jobs", "Jobs made at due times.", "program", _done(vitals, "scheduled")),
        *_of_room(vitals),
        _gauges("pqfs_alarms", "Rules of health that need a person: 1 while it holds.", "rule",
                ((rule.name, rule.name in found) for rule in RULES if rule.severity is Severity.ALARM)),
        _gauges("pqfs_notices", "Rules of health that are worth knowing: 1 while it holds.", "rule",
                ((rule.name, rule.name in found) for rule in RULES if rule.severity is Severity.NOTICE)),
    ]  # fmt: skip


def _ages(vitals: Vitals) -> Iterator[tuple[str, float]]:
    living = {each.owner for each in vitals.living}
    return ((beat.program, vitals.boottime - beat.at) for beat in vitals.beats if beat.owner in living)


def _recovered(vitals: Vitals) -> Family:
    """What janitors have repaired, each since its start; a pulse outlives its janitor."""
    samples = [
        Sample(count, {"program": beat.program, "what": what})
        for beat in _janitors(vitals)
        for what, count in beat.said.get("done", {}).items()
        if what not in _UPKEEP
    ]
    return Family("pqfs_recoveries", Kind.COUNTER, "What recovery did, since the janitor's start.", tuple(samples))


def _done(vitals: Vitals, what: str) -> Iterator[tuple[str, float]]:
    return ((beat.program, beat.said.get("done", {}).get(what, 0)) for beat in _janitors(vitals))


def _janitors(vitals: Vitals) -> Iterator[Beat]:
    return (beat for beat in vitals.beats if kind_of(beat.program) == "janitor")


def _of_room(vitals: Vitals) -> Iterator[Family]:
    room = vitals.room
    yield _number("pqfs_disk_free_bytes", "Free on the spool's volume.", room.free)
    if room.inodes is not None:
        yield _number("pqfs_disk_free_inodes", "Files that the spool's volume can still hold.", room.inodes)
    yield _number("pqfs_disk_low", "Whether work pauses for want of room.", room.low)
    yield _number("pqfs_index_log_bytes", "The index's write-ahead log.", room.log)


# -------------------------------------------------------------------- what stands in the index


def _of_jobs(found: Overview, vitals: Vitals) -> Iterator[Family]:
    depth = [
        Sample(queue.jobs.get(state, 0), {"queue": queue.name, "state": state})
        for queue in found.queues
        for state in State
    ]
    yield Family("pqfs_jobs", Kind.GAUGE, "Jobs.", tuple(depth))
    yield _gauges("pqfs_oldest_wait_seconds", "Since the longest waiting job has been due; 0 when none is.", "queue",
                  ((queue.name, queue.oldest_wait or 0.0) for queue in found.queues))  # fmt: skip
    yield _gauges("pqfs_queue_paused", "Whether a person has paused it.", "queue",
                  ((queue.name, queue.paused_at is not None) for queue in found.queues))  # fmt: skip
    yield _gauges("pqfs_queue_held_back", "Whether its own limits keep its jobs waiting.", "queue",
                  ((each.queue, each.held_back is not None) for each in vitals.ledger.backlogs))  # fmt: skip


def _of_flow(totals: Sequence[Total]) -> Iterator[Family]:
    """What came and went since the index was made."""
    yield _flow("pqfs_jobs_ingested", "Jobs taken in.", ((each.queue, each.ingested) for each in totals))
    yield _flow("pqfs_ingested_bytes", "Bytes of jobs taken in.", ((each.queue, each.bytes) for each in totals))
    yield _flow("pqfs_jobs_completed", "Jobs completed.", ((each.queue, each.completed) for each in totals))
    yield _flow("pqfs_jobs_failed", "Jobs that became dead letters.", ((each.queue, each.failed) for each in totals))
    durations = [
        Sample(value, {"queue": each.queue}, part)
        for each in totals
        for part, value in (("sum", each.run_seconds), ("count", each.completed))
    ]
    help_ = "For how long handlers ran, of the attempts that completed their jobs."
    yield Family("pqfs_run_seconds", Kind.SUMMARY, help_, tuple(durations))


def _of_failures(queues: Sequence[str], counted: Mapping[tuple[str, str], int]) -> Family:
    """Each outcome from the beginning on: of a counter that begins with its first event, nobody sees that it rose."""
    samples = [
        Sample(counted.get((queue, outcome), 0), {"queue": queue, "outcome": outcome})
        for queue in queues
        for outcome in Ending
        if outcome is not Ending.DONE
    ]
    help_ = "Attempts that did not complete their job, by how they ended."
    return Family("pqfs_failed_attempts", Kind.COUNTER, help_, tuple(samples))


def _of_consumers(consumers: Sequence[ConsumerStatus]) -> Iterator[Family]:
    alive = [each for each in consumers if each.life is Life.ALIVE]
    running = {each.program: each.running.seconds for each in alive if each.running}
    yield _gauges("pqfs_consumer_busy", "Whether a living consumer runs a job.", "consumer",
                  ((each.program, each.program in running) for each in alive))  # fmt: skip
    yield _gauges("pqfs_consumer_job_seconds", "For how long it has run that job.", "consumer", running.items())
    yield _gauges("pqfs_consumer_silent_seconds", "Since it last renewed its lease.", "consumer",
                  ((each.program, each.silent) for each in alive))  # fmt: skip
    yield _gauges("pqfs_consumer_lease_seconds", "After so long without a sign its jobs are given to others.",
                  "consumer", ((each.program, each.lease) for each in alive))  # fmt: skip
    yield _counters("pqfs_consumer_jobs_completed", "Jobs that a consumer completed since its start.", "consumer",
                    ((each.program, each.completed) for each in alive))  # fmt: skip


def _of_tree(found: Overview, vitals: Vitals) -> Iterator[Family]:
    yield _number("pqfs_index_bytes", "The index.", found.index_bytes)
    yield _number("pqfs_inbox_files", "Files in the inbox; not counted above 10,000.", found.inbox)
    yield _number("pqfs_rejected_files", "Refused files; not counted above 10,000.", found.rejected)
    yield _number(
        "pqfs_notices_put_aside", "Notices that no receipt and no hook could be told.", vitals.ledger.untold
    )
    yield _number("pqfs_late_payloads", "Payloads that should long be where their rows say; up to 500.", found.late)


def _of_schedules(schedules: Sequence[Schedule]) -> Iterator[Family]:
    yield _gauges("pqfs_schedule_troubled", "Whether its last due time brought no job.", "schedule",
                  ((each.name, each.trouble is not None) for each in schedules))  # fmt: skip
    yield _gauges("pqfs_schedule_paused", "Whether a person has paused it.", "schedule",
                  ((each.name, each.paused_at is not None) for each in schedules))  # fmt: skip


# -------------------------------------------------------------------- forms


def _number(name: str, help_: str, value: float) -> Family:
    return Family(name, Kind.GAUGE, help_, (Sample(value),))


def _gauges(name: str, help_: str, label: str, values: Iterable[tuple[str, float]]) -> Family:
    return Family(name, Kind.GAUGE, help_, _by(label, values))


def _counters(name: str, help_: str, label: str, values: Iterable[tuple[str, float]]) -> Family:
    return Family(name, Kind.COUNTER, help_, _by(label, values))


def _flow(name: str, help_: str, values: Iterable[tuple[str, float]]) -> Family:
    return _counters(name, f"{help_} Since the index was made.", "queue", values)


def _by(label: str, values: Iterable[tuple[str, float]]) -> tuple[Sample, ...]:
    """One sample each; of two that bear the same name (a consumer and the one before it) the last."""
    return tuple(Sample(value, {label: name}) for name, value in dict(values).items())
