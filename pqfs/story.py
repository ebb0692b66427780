"""What a job waits for, or what became of it, as sentences. The states' side of `pqfs why`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pqfs import naming
from pqfs.clock import iso
from pqfs.dispatch import why_held_back
from pqfs.duplicates import CONTENT, KEY, VERB
from pqfs.index import Event, Queue
from pqfs.index.filters import Filters
from pqfs.model import Job, Place, State, Verb
from pqfs.owners import Life
from pqfs.report import Source, consumers
from pqfs.steering import DELETE, PRIORITY, RESCHEDULE

_NAMED = 5  # jobs that were made of one
_ALIKE = 10_000  # dead letters with the same error are counted up to this many
_AHEAD = 10_000  # jobs in front are counted up to this many


def tell(source: Source, job: Job) -> Iterator[str]:
    """The sentences about one job: where it stands, why, and what happens next."""
    yield f"Job {job.id} ({naming.printable(job.name)}, queue {job.queue}) is {job.state}."
    yield from _lineage(source, job)
    tellers = {
        State.PENDING: _pending,
        State.HELD: _held,
        State.PROCESSING: _processing,
        State.COMPLETED: _completed,
        State.FAILED: _dead,
        State.UNPROCESSABLE: _dead,
        State.CANCELLED: _cancelled,
    }
    yield from tellers[job.state](source, job)
    yield from _duplicate(source, job)
    if job.state is not State.PROCESSING and not job.confirmed:
        yield f"Its payload is on its way to {job.place}/; the janitor moves it if nobody else does."


def _duplicate(source: Source, job: Job) -> Iterator[str]:
    """That it was taken although there was one like it (`duplicates = warn`)."""
    if not (job.options or {}).keys() & {CONTENT, KEY}:
        return
    for event in source.index.events(job.id):
        if event.verb == VERB:
            yield f"When it came, {event.reason}."


def _lineage(source: Source, job: Job) -> Iterator[str]:
    """Which job it is made of, and which were made of it."""
    if job.origin:
        yield f"It was made of job {job.origin}."
    made = Filters(source.index).descendants(job.id, _NAMED)
    if made:
        yield f"Made of it: {', '.join(f'{each.id} ({each.state})' for each in made)}."


def is_unpublished(source: Source, job: Job) -> bool:
    """Whether a job is completed and its output is still on its way to the outbox."""
    if job.state is not State.COMPLETED or job.confirmed:
        return False
    return not source.spool.exists(source.spool.output_path(job.queue, job.output or ""))


def why_nobody_ingests(source: Source) -> Iterator[str]:
    """What keeps the inbox from being emptied at all."""
    if source.spool.is_below(int(source.settings.low_water)):
        free = source.spool.free_bytes()
        yield f"Nothing is taken in: the disk is below low water ({free:,} bytes free)."
    if not any(each.program.startswith("ingester") for each in source.owners.living()):
        yield "No ingester is alive, so nothing is taken in. Start pqfs (pqfs up), or: pqfs ingest"


def _pending(source: Source, job: Job) -> Iterator[str]:
    now = source.clock.now()
    if job.failures or job.crashes or job.losses:
        yield f"Its last attempt (number {job.attempt}) did not succeed: {job.error or 'no reason was given'}."
    if job.ready_at > now:
        what = "It is tried again" if job.attempt else "It is scheduled and may run"
        yield f"{what} at {iso(job.ready_at)}, in {job.ready_at - now:.0f} seconds."
        yield from _planned(source, job)
        return
    yield from _planned(source, job)
    yield from _assigned(source, job)
    yield from _why_nobody_runs(source, job)
    ahead = source.index.jobs_ahead(job, _AHEAD)
    more = " or more" if ahead >= _AHEAD else ""
    yield f"Jobs of its queue that come before it: {ahead}{more}." if ahead else "It is the next of its queue."


def _planned(source: Source, job: Job) -> Iterator[str]:
    """Who has changed when it may run, or how urgent it is, since it came or was redriven."""
    told: dict[str, Event] = {}
    for event in source.index.events(job.id):
        told = {} if event.verb == Verb.REDRIVE else told
        if event.verb in (RESCHEDULE, PRIORITY):
            told[event.verb] = event
    if moved := told.get(RESCHEDULE):
        yield f"It was rescheduled from {moved.before} to {moved.after} by {_who(moved)}."
    if urged := told.get(PRIORITY):
        yield f"Its priority was changed from {urged.before} to {urged.after} by {_who(urged)}."


def deleted(events: Sequence[Event]) -> Iterator[str]:
    """What is still known of a job that has no row any more."""
    yield "There is no such job any more."
    for event in events:
        if event.verb == DELETE:
            yield f"It was {event.before}, and was deleted by {_who(event)}."
    yield f"What was done to it: {', '.join(f'{event.verb} by {event.actor}' for event in events)}."


def _why_nobody_runs(source: Source, job: Job) -> Iterator[str]:
    queue = next((each for each in source.terms.look() if each.name == job.queue), None)
    now = source.clock.now()
    if queue and queue.is_paused(now):
        yield paused(queue)
    elif queue is None:
        yield f"There is no queue {job.queue} any more; the janitor makes it again within seconds."
    yield from why_held_back(source.index, source.terms, job.queue, now)
    if source.spool.is_below(int(source.settings.low_water)):
        yield f"Nothing is run: the disk is below low water ({source.spool.free_bytes():,} bytes free)."
    alive = [each for each in consumers(source) if each.is_alive]
    if not alive:
        yield "No consumer is alive. Start pqfs (pqfs up), or: pqfs consume"
    elif not any(each.serves(job.queue) for each in alive):
        yield f"No living consumer takes queue {job.queue}. Start one: pqfs consume -q {job.queue}"


def _assigned(source: Source, job: Job) -> Iterator[str]:
    """Which consumer alone may claim it, and what that one does meanwhile."""
    if job.assigned_to is None:
        return
    event = next((each for each in reversed(source.index.events(job.id)) if each.verb == "assign"), None)
    yield f"Only {job.assigned_to} may claim it" + (f", as {_who(event)} has said." if event else ".")
    status = next((each for each in consumers(source) if each.program == job.assigned_to and each.is_alive), None)
    if status is None:
        patience = f"{source.settings.consume.lease:g} seconds"
        yield f"{job.assigned_to} is not alive; once it has been gone for {patience}, all may claim the job."
    elif not status.serves(job.queue):
        yield f"{job.assigned_to} does not serve queue {job.queue}: within seconds all may claim the job."
    elif status.running:
        yield f"{job.assigned_to} has been running job {status.running.job} for {status.running.seconds:.1f} seconds."


def paused(queue: Queue) -> str:
    """Who paused a queue, since when, until when and why, as a sentence."""
    by = f" by {queue.paused_by}" if queue.paused_by else ""
    since = f" since {iso(queue.paused_at)}" if queue.paused_at is not None else ""
    until = f" until {iso(queue.paused_until)}" if queue.paused_until is not None else ""
    why = f": {queue.paused_reason}" if queue.paused_reason else ""
    return f"Queue {queue.name} is paused{by}{since}{until}{why}."


def _held(source: Source, job: Job) -> Iterator[str]:
    event = _last(source, job, Verb.HOLD)
    if event:
        yield f"It was put aside by {_who(event)}."
    if job.error:
        yield f"Note: {job.error}."
    yield from _assigned(source, job)
    yield f"Let it go on with: pqfs jobs release {job.id}"


def _processing(source: Source, job: Job) -> Iterator[str]:
    if job.cancel_by:
        yield f"Somebody asked to end it ({job.cancel_by}); its consumer ends it within seconds."
    life = source.owners.life(job.owner) if job.owner else Life.UNKNOWN
    if life is Life.DEAD:
        yield f"Its consumer {job.owner} is dead: the janitor gives the job to another within seconds."
        return
    status = next((each for each in consumers(source) if each.owner == job.owner), None)
    running = status.running if status else None
    if running and (running.job, running.attempt) == (job.id, job.attempt):
        done = f", {running.progress:.0%} done" if running.progress else ""
        yield f"{job.owner} has been running attempt {job.attempt} for {running.seconds:.1f} seconds{done}."
    else:
        yield f"{job.owner} has leased it since {iso(job.updated_at)} and has not started it yet."
    if status and status.silent > status.lease:
        yield f"Its consumer has been silent for {status.silent:.0f} seconds; the janitor ends it."


def _completed(source: Source, job: Job) -> Iterator[str]:
    output = source.spool.output_path(job.queue, job.output or "")
    yield f"It was completed at {iso(job.updated_at)} by attempt {job.attempt}."
    path = source.spool.path(output)
    if is_unpublished(source, job):
        yield f"Its output is not published yet; the janitor moves it to {path} if nobody else does."
    elif source.spool.exists(output):
        yield f"Its output is {path}."
    else:
        yield f"Its output was {path}; somebody has taken it from there."
    if job.place is Place.GONE:
        yield "Its input is no longer kept."
    else:
        yield f"Its input is kept in {source.spool.path(source.spool.payload_path(job))}."


def _dead(source: Source, job: Job) -> Iterator[str]:
    yield f"It ended at {iso(job.updated_at)}: {job.error or 'no reason was given'}."
    yield f"Counted until then: attempts {job.attempt}, failures {job.failures}, crashes {job.crashes}."
    others = source.index.alike(job) - 1 if job.fingerprint else 0
    if others > 0:
        more = " or more" if others >= _ALIKE else ""
        yield f"{others}{more} other dead letters of its queue have such an error: pqfs dead show {job.fingerprint}"
    for attempt in source.index.attempts(job.id)[-1:]:
        if attempt.log:
            yield f"The last attempt wrote: {attempt.log.strip()[-500:]}"
    if job.place is Place.GONE:
        yield (
            "Its input is no longer kept, so it can not be tried again." if job.confirmed else "It is being deleted."
        )
        return
    yield f"Its input is {source.spool.path(source.spool.payload_path(job))}."
    yield f"Try it again with: pqfs jobs retry {job.id}"


def _cancelled(source: Source, job: Job) -> Iterator[str]:
    event = _last(source, job, Verb.CANCEL)
    if event:
        yield f"It was cancelled by {_who(event)}."
    elif job.error:
        yield f"It was ended at {iso(job.updated_at)}: {job.error}."
    if job.place is Place.GONE:
        yield "Its input is no longer kept, so it can not run any more." if job.confirmed else "It is being deleted."
        return
    yield f"Let it run after all with: pqfs jobs retry {job.id}"


def _last(source: Source, job: Job, verb: Verb) -> Event | None:
    return next((event for event in reversed(source.index.events(job.id)) if event.verb == verb), None)


def _who(event: Event) -> str:
    return f"{event.actor} at {iso(event.at)}" + (f": {event.reason}" if event.reason else "")
