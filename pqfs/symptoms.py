"""What can be wrong with a spool and those who work on it: each symptom as sentences, or nothing while it is well.

Every function judges one frozen look and asks nothing; `health` says which of them is an alarm, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pqfs.clock import iso
from pqfs.durations import format_duration
from pqfs.errors import Corrupt, IndexDamaged, IndexGone, PqfsError
from pqfs.owners import Life
from pqfs.vitals import Running, Vitals

LOOK_EVERY = 5.0  # seconds between two looks of the janitor
_A_RESTART = 5.0  # seconds for which a process is stopped where supervisor starts it anew


# -------------------------------------------------------------------- the stack


def not_running(vitals: Vitals) -> Iterator[str]:
    """No process of pqfs works on this spool."""
    if not vitals.is_running:
        waiting = [each.queue for each in vitals.ledger.backlogs if each.since is not None]
        yield "pqfs is not running on this spool." + (f" Jobs wait in {', '.join(waiting)}." if waiting else "")


def program_fatal(vitals: Vitals) -> Iterator[str]:
    """What supervisor can not keep alive."""
    for each in vitals.programs or ():
        if each.state in ("FATAL", "BACKOFF"):
            why = each.trouble or "no reason is given"
            yield f"Supervisor can not keep {each.name} running ({each.state}): {why}."


def ingester_missing(vitals: Vitals) -> Iterator[str]:
    """Nobody takes files in."""
    yield from _missing(vitals, "ingester", "nothing is taken in")


def janitor_overdue(vitals: Vitals) -> Iterator[str]:
    """Nobody looks after the spool."""
    yield from _missing(vitals, "janitor", "nobody takes work back from the dead")
    yield from _overdue(vitals, "janitor", "looked after the spool", LOOK_EVERY)


def _missing(vitals: Vitals, kind: str, so: str) -> Iterator[str]:
    """A kind of process that should be there is not, for longer than a restart takes."""
    if not vitals.is_running or vitals.alive(kind):
        return
    silence = vitals.silence(kind)
    if kind in (each.name for each in vitals.programs or () if each.state == "STOPPED") and silence > _A_RESTART:
        yield f"The {kind} was stopped {_span(silence)} ago and stays so until somebody starts it, so {so}."
    elif silence > vitals.settings.health.patience:
        yield f"No {kind} has been alive for {_span(silence)}, so {so}."


def _overdue(vitals: Vitals, kind: str, did: str, rhythm: float) -> Iterator[str]:
    """A process that lives has not done what it does every few seconds."""
    health, beat, silence = vitals.settings.health, vitals.pulse(kind), vitals.silence(kind)
    is_syncing = beat is not None and beat.doing is not None
    if vitals.alive(kind) and silence > (health.finish if is_syncing else health.patience + rhythm):
        why = f" Its last error: {beat.trouble}." if beat and beat.trouble else ""
        yield f"The {kind} lives, but has not {did} for {_span(silence)}.{why}"


# -------------------------------------------------------------------- the inbox


def ingester_blind(vitals: Vitals) -> Iterator[str]:
    """The inbox is not swept, or its watch sees nothing."""
    yield from _overdue(vitals, "ingester", "swept the inbox", vitals.settings.ingest.sweep_every)
    blind = _said(vitals, "ingester", "blind")
    if not blind or not vitals.alive("ingester"):
        return
    seconds = vitals.boottime - float(blind["at"])
    swept = f"every {format_duration(vitals.settings.ingest.sweep_every)} it is swept all the same"
    if blind["is_over"] and seconds <= vitals.settings.health.patience:
        yield f"The ingester's watch on the inbox was blind {_span(seconds)} ago: {blind['cause']}; it sees again."
    elif not blind["is_over"]:
        yield f"The ingester's watch on the inbox has been blind for {_span(seconds)}: {blind['cause']}; {swept}."


def inbox_waiting(vitals: Vitals) -> Iterator[str]:
    """A file has waited in the inbox for too long."""
    waiting = _said(vitals, "ingester", "waiting")
    if not waiting or not vitals.alive("ingester"):
        return
    seconds, limit = vitals.boottime - waiting["since"], max(waiting["limit"] or 0.0, vitals.settings.health.inbox)
    if seconds > limit:
        yield f"inbox/{waiting['name']} has been waiting for {_span(seconds)}: {waiting['reason']}."


def _said(vitals: Vitals, kind: str, what: str) -> dict[str, Any] | None:
    beat = vitals.pulse(kind)
    found = beat.said.get(what) if beat else None
    return found if isinstance(found, dict) else None


# -------------------------------------------------------------------- jobs


def no_consumer(vitals: Vitals) -> Iterator[str]:
    """Jobs wait, and nobody is there who could run them."""
    silence = vitals.silence("consumer")
    for each in vitals.ledger.backlogs if vitals.is_running else ():
        waits = vitals.at - each.waits_since if each.waits_since is not None else 0.0
        is_served = any(one.status.is_alive and one.status.serves(each.queue) for one in vitals.ledger.consumers)
        has_any = any(one.status.is_alive for one in vitals.ledger.consumers)
        missing = waits if has_any else min(waits, silence)
        if not is_served and missing > vitals.settings.health.patience:
            yield f"The next job of queue {each.queue} has waited for {_span(waits)}; no living consumer takes it."


def backlog_stuck(vitals: Vitals) -> Iterator[str]:
    """The next job is not claimed, though a consumer that takes its queue is free, and none has ended lately."""
    if vitals.ledger.is_moving or vitals.room.low:
        return
    limit = vitals.settings.health.backlog
    for each in vitals.ledger.backlogs:
        serving = [one for one in vitals.ledger.consumers if one.status.is_alive and one.status.serves(each.queue)]
        is_free = bool(serving) and not any(map(_is_busy, serving))
        if each.waits_since is not None and is_free and vitals.at - each.waits_since > limit:
            waits = _span(vitals.at - each.waits_since)
            yield f"The next job of queue {each.queue} has waited for {waits}, consumers are free, none has ended."


def _is_busy(each: Running) -> bool:
    return each.status.running is not None and each.limit is not None and each.status.running.seconds <= each.limit


def no_progress(vitals: Vitals) -> Iterator[str]:
    """A consumer beats and gets nowhere."""
    patience = vitals.settings.health.patience
    for each in vitals.ledger.consumers:
        if each.status.life is not Life.ALIVE:
            continue
        running, who = each.status.running, each.status.program
        if running and each.limit is not None and running.seconds > each.limit + patience:
            yield f"{who} has run job {running.job} for {_span(running.seconds)}, its limit is {_span(each.limit)}."
        yield from _stands_still(vitals, each)


def handler_unfit(vitals: Vitals) -> Iterator[str]:
    """A consumer could not run the handler of a queue: a program or a module that is not there."""
    found: dict[tuple[str, str], list[str]] = {}
    for each in vitals.ledger.consumers:
        unfit = each.beat.said.get("unfit") if each.beat and each.status.is_alive else None
        for about in (unfit or {}).items():
            found.setdefault(about, []).append(each.status.program)
    for (queue, why), programs in found.items():
        yield f"{', '.join(programs)} can run no job of queue {queue}: {why}"


def _stands_still(vitals: Vitals, each: Running) -> Iterator[str]:
    health, who, beat = vitals.settings.health, each.status.program, each.beat
    if each.status.silent > each.status.lease:
        yield f"{who} has not renewed its lease for {_span(each.status.silent)}."
    elif beat and vitals.boottime - beat.at > health.finish:
        yield f"{who} renews its lease, but has been busy with one step for {_span(vitals.boottime - beat.at)}."
    elif beat and beat.said.get("idle_since") and vitals.boottime - beat.said["idle_since"] > health.patience:
        yield f"{who} holds jobs and has started none for {_span(vitals.boottime - beat.said['idle_since'])}."


def rows_unconfirmed(vitals: Vitals) -> Iterator[str]:
    """Payloads that do not get to their place."""
    limit = vitals.settings.health.unconfirmed
    late = [vitals.at - updated for updated in vitals.ledger.unconfirmed if vitals.at - updated > limit]
    if late:
        yield f"Payloads still on their way to their place: {len(late)}, one for {_span(max(late))}."


def courier_missing(vitals: Vitals) -> Iterator[str]:
    """Somebody is to be told, and nobody tells."""
    since, patience = vitals.ledger.to_tell_since, vitals.settings.health.patience
    if since is not None and vitals.is_running and not vitals.alive("courier") and vitals.at - since > patience:
        yield f"Receipts or hooks have waited for {_span(vitals.at - since)}, and no courier is alive."


def not_told(vitals: Vitals) -> Iterator[str]:
    """Notices that were put aside."""
    if vitals.ledger.untold:
        yield f"Hooks could not be told, however often it was tried: {vitals.ledger.untold:,} notices are put aside."


# -------------------------------------------------------------------- the machine


def disk_low(vitals: Vitals) -> Iterator[str]:
    """Work pauses for want of room."""
    if vitals.room.low:
        files = "" if vitals.room.inodes is None else f" and can hold {vitals.room.inodes:,} more files"
        yield f"The spool's volume has only {vitals.room.free:,} bytes free{files}: work pauses."


def inodes_low(vitals: Vitals) -> Iterator[str]:
    """The volume can hold few more files."""
    left = vitals.room.inodes
    if left is not None and left < min(vitals.settings.health.inodes, vitals.room.all_inodes // 20):
        yield f"The spool's volume can hold only {left:,} more files: below 64 work pauses."


def volume_alarm(vitals: Vitals) -> Iterator[str]:
    """A sync of the volume has failed."""
    if vitals.volume_alarm:
        yield f"A sync of the spool's volume has failed: {vitals.volume_alarm}."


def log_growing(vitals: Vitals) -> Iterator[str]:
    """The index's log grows without an end."""
    if vitals.room.log > vitals.settings.health.log:
        yield f"The index's log has grown to {vitals.room.log:,} bytes: somebody reads the index and does not end."


def index_missing(vitals: Vitals) -> Iterator[str]:
    """There is no index, or it is not the one that was opened."""
    if vitals.index_trouble and not _is_damage(vitals.index_trouble):
        yield vitals.index_trouble.message


def index_damaged(vitals: Vitals) -> Iterator[str]:
    """There is one, and it is broken."""
    if vitals.index_trouble and _is_damage(vitals.index_trouble):
        yield vitals.index_trouble.message


def _is_damage(trouble: PqfsError) -> bool:
    """Whether the index is there, and broken."""
    is_gone = isinstance(trouble, IndexGone) and not isinstance(trouble, IndexDamaged)
    return isinstance(trouble, Corrupt) and not is_gone


def clock_stepped(vitals: Vitals) -> Iterator[str]:
    """The wall clock moved against the time since boot: since a beat of somebody alive, or as the janitor noted."""
    health, living = vitals.settings.health, {each.owner for each in vitals.living}
    offset = vitals.at - vitals.boottime
    steps = [offset - (beat.wall - beat.at) for beat in vitals.beats if beat.owner in living]
    noted = _said(vitals, "janitor", "stepped")
    if big := [step for step in steps if abs(step) > health.clock_step]:
        yield f"The clock was set {_forward(max(big, key=abs))} just now."
    elif noted and vitals.boottime - noted["at"] < health.remember:
        yield f"The clock was set {_forward(noted['by'])} {_span(vitals.boottime - noted['at'])} ago."


def _forward(step: float) -> str:
    return f"{_span(abs(step))} {'forward' if step > 0 else 'back'}"


# -------------------------------------------------------------------- notices


def index_ahead(vitals: Vitals) -> Iterator[str]:
    """The index has entries of the future."""
    ahead = vitals.ledger.ahead - vitals.at
    if ahead > 60.0 + vitals.settings.health.clock_step:
        yield f"The index has entries {_span(ahead)} ahead of the clock."


def quota_reached(vitals: Vitals) -> Iterator[str]:
    """Files wait by design; what keeps the queue from emptying has rules of its own."""
    beat = vitals.pulse("ingester")
    for reason in beat.said.get("quotas", ()) if beat and vitals.alive("ingester") else ():
        yield f"Files stay in the inbox: {reason}."


def dead_letters(vitals: Vitals) -> Iterator[str]:
    """Jobs that wait for a person."""
    if vitals.ledger.dead:
        yield f"Jobs that have failed for good: {vitals.ledger.dead:,}."


def index_moving(vitals: Vitals) -> Iterator[str]:
    """A move of the index is under way, or was cut off."""
    if vitals.ledger.is_recorded:
        yield "The index is being moved, or such a move was cut off: each row that changes is noted in it."


def footing_changed(vitals: Vitals) -> Iterator[str]:
    """Where a share was not mounted at the last start, or is not at this one, producers drop files elsewhere."""
    beat, chosen = vitals.pulse("ingester"), _said(vitals, "ingester", "footing")
    if beat is None or not chosen or not vitals.alive("ingester"):
        return
    was = chosen["was"]
    if was and vitals.boottime - beat.started_at < vitals.settings.health.remember:
        before, now = (f"{each['file_system']} ({each['watch']}, {each['complete']})" for each in (was, chosen))
        yield f"The inbox lies on {now}, and lay on {before} when the ingester started last."


def settings_changed(vitals: Vitals) -> Iterator[str]:
    """Processes that work by an older pqfs.toml."""
    if vitals.outdated:
        yield f"pqfs.toml has changed; as it was before is how these still work: {', '.join(vitals.outdated)}."
        yield "A queue that only the new one names waits for that."


def paused(vitals: Vitals) -> Iterator[str]:
    """Queues from which nobody claims, and why."""
    for each in vitals.ledger.backlogs:
        if each.paused_at is not None:
            by = f" by {each.paused_by}" if each.paused_by else ""
            until = f" until {iso(each.paused_until)}" if each.paused_until is not None else ""
            why = f": {each.paused_reason}" if each.paused_reason else ""
            yield f"Queue {each.queue} has been paused{by} since {iso(each.paused_at)}{until}{why}."


def _span(seconds: float) -> str:
    if seconds == float("inf"):
        return "ever"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
