"""What is done to queues, consumers, rejected files and disagreements; the same verbs as on the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pqfs import rejected
from pqfs.clearing import Clearing
from pqfs.errors import Misconfigured, PqfsError, Refused
from pqfs.flaws import Finding
from pqfs.instants import seconds
from pqfs.mending import Mending
from pqfs.model import FURTHEST
from pqfs.origins import rows_of_queue
from pqfs.queueing import Queueing
from pqfs.stack import fleet
from pqfs.stack.configuration import SLOT_NAMES, SOCKET
from pqfs.stack.fleet import Change, Fleet
from pqfs.stack.supervisor import Supervisor
from pqfs.terms import as_written, names, refuse_those_of_the_file, wishes_of
from pqfs.wiring import App
from ui.store.door import Answer, ask, door
from ui.store.tree import checker
from ui.store.undertakings import Author, Undertaking, Work, begin

SETTINGS = tuple(names())
SLOTS = tuple(SLOT_NAMES)
_LOOK_EVERY = 0.1  # seconds
_TOLD = 20


# -------------------------------------------------------------------- queues


def create(name: str, author: Author) -> Answer[int]:
    """Make a queue."""

    def work(app: App, undertaking: Undertaking) -> str:
        Queueing(app.jobqueue).create(name, {}, author.actor, author.reason, app.clock.now())
        return f"Drop files into inbox/{name}/."

    return begin(f"Create queue {name}", author, work)


def pause(name: str, period: str, author: Author) -> Answer[int]:
    """Let nothing of a queue be claimed, for a time (`2h`) or until it is resumed."""

    def work(app: App, undertaking: Undertaking) -> str:
        length, now = seconds(period.strip() or None), app.clock.now()
        if length is not None and not 0.0 < length <= FURTHEST:
            raise Misconfigured("A queue can be paused for more than no time and up to ten years.")
        until = None if length is None else now + length
        Queueing(app.jobqueue).pause(name, until, author.actor, author.reason, now)
        return "Nothing of it is claimed. What runs goes on."

    return begin(f"Pause queue {name}", author, work)


def resume(name: str, author: Author) -> Answer[int]:
    """Let it be claimed from again."""

    def work(app: App, undertaking: Undertaking) -> str:
        Queueing(app.jobqueue).resume(name, author.actor, author.reason, app.clock.now())
        return "It is open."

    return begin(f"Resume queue {name}", author, work)


def set_value(name: str, setting: str, value: str, author: Author) -> Answer[int]:
    """Set one value over pqfs.toml; nothing takes it back."""

    def work(app: App, undertaking: Undertaking) -> str:
        refuse_those_of_the_file([setting])
        wishes, unset = (dict([as_written(setting, value.strip())]), ()) if value.strip() else ({}, (setting,))
        Queueing(app.jobqueue).set(name, wishes, unset, author.actor, author.reason, app.clock.now())
        return f"{setting} is {value.strip() or 'as in pqfs.toml'}."

    return begin(f"Set {setting} of queue {name}", author, work)


def settings_of(name: str) -> Answer[list[dict[str, str]]]:
    """A queue's settings, each with its origin."""

    def question(app: App) -> list[dict[str, str]]:
        rows = {row.name: row for row in app.terms.look()}
        return rows_of_queue(door().loaded, app.terms, name, wishes_of(rows[name]) if name in rows else {})

    return ask(question)


def drain(name: str, author: Author) -> Answer[int]:
    """Take nothing into a queue, and wait until it is worked off. Stopped, or not, it stays closed."""

    def work(app: App, undertaking: Undertaking) -> str:
        clearing = _clearing(app, name, author)
        clearing.close(to_run=True, pause=undertaking.pause)
        _work_off(clearing, name, undertaking)
        held = clearing.waiting()
        return f"It takes nothing in until it is resumed.{f' Held jobs stay: {held:,}.' if held else ''}"

    return begin(f"Drain queue {name}", author, work)


def _work_off(clearing: Clearing, name: str, undertaking: Undertaking) -> None:
    if clearing.busy() and not clearing.is_served():
        raise Refused(f"No living consumer serves queue {name}, which takes nothing in now.", "Start pqfs, or one.")
    while clearing.busy():
        undertaking.pause(_LOOK_EVERY)


def _clearing(app: App, name: str, author: Author) -> Clearing:
    return Clearing(app, name, author.actor, author.reason)


def waiting(name: str) -> Answer[int]:
    """How many jobs of a queue wait."""
    return ask(lambda app: Clearing(app, name, "", None).waiting())


def purge(name: str, author: Author) -> Answer[int]:
    """Delete what waits in a queue, with its files."""

    def work(app: App, undertaking: Undertaking) -> str:
        return f"Deleted: {_purge(_clearing(app, name, author), undertaking):,}."

    return begin(f"Purge queue {name}", author, work)


def _purge(clearing: Clearing, undertaking: Undertaking) -> int:
    done = 0
    for job, error in clearing.purge():
        undertaking.note(job, error)
        done += error is None
    return done


AS_IT_IS, WORKED_OFF, PURGED = "only if it is empty", "worked off first", "with all that is in it"
HOW = (AS_IT_IS, WORKED_OFF, PURGED)


def delete(name: str, how: str, author: Author) -> Answer[int]:
    """Delete a queue: if it is empty, once it has been worked off, or with what waits or could come back."""

    def work(app: App, undertaking: Undertaking) -> str:
        clearing = _clearing(app, name, author)
        Queueing(app.jobqueue).refuse_to_delete(name, even_if_full=how != AS_IT_IS)
        if how != AS_IT_IS:
            clearing.close(to_run=how == WORKED_OFF, pause=undertaking.pause)
        if how == PURGED:
            _purge(clearing, undertaking)
        if how != AS_IT_IS:
            _work_off(clearing, name, undertaking)
        if how == PURGED:
            for job in clearing.delete_the_rest():
                undertaking.note(job)
        clearing.delete()
        return f"Its outputs stay in outbox/{name}/."

    return begin(f"Delete queue {name}", author, work)


# -------------------------------------------------------------------- consumers


def scale(count: int, queues: Sequence[str], author: Author) -> Answer[int]:
    """Have so many consumers that serve exactly these queues; none named: all queues."""
    wanted = tuple(sorted(queues)) or None
    about = f" for {', '.join(queues)}" if queues else ""
    return begin(
        f"Scale to {count} consumers{about}", author, _changing(lambda each, who: each.scale(count, wanted, who))
    )


def start(name: str, author: Author) -> Answer[int]:
    """Have this consumer run."""
    return begin(f"Start {name}", author, _changing(lambda each, who: each.start(name, who)))


def stop(name: str, author: Author) -> Answer[int]:
    """Have it end: what it runs has some seconds to finish, and is given back after them."""
    return begin(f"Stop {name}", author, _changing(lambda each, who: each.stop(name, who)))


def let_go(name: str, author: Author) -> Answer[int]:
    """Have it end when what it runs has ended."""
    return begin(f"Drain {name}", author, _changing(lambda each, who: each.drain(name, who)))


def _changing(change: Callable[[Fleet, fleet.Author], Change]) -> Work:
    def work(app: App, undertaking: Undertaking) -> str:
        crew = Fleet(app, Supervisor(app.settings.spool / SOCKET))
        begun = change(crew, fleet.Author(undertaking.author.actor, undertaking.author.reason))
        if not begun.is_running:
            return f"pqfs is not running here; consumers from its next start on: {len(begun.roster)}."
        while crew.pending(begun):
            undertaking.pause(_LOOK_EVERY)
        return f"Consumers: {len(begun.roster)}."

    return work


# -------------------------------------------------------------------- rejected


def readmit(numbers: Sequence[str], author: Author) -> Answer[int]:
    """Put refused files back into the inbox under their own names; no number named: all."""
    return _on_refusals("retry", numbers, author)


def purge_rejected(numbers: Sequence[str], author: Author) -> Answer[int]:
    """Remove refused files for good; no number named: all."""
    return _on_refusals("purge", numbers, author)


def _on_refusals(verb: str, numbers: Sequence[str], author: Author) -> Answer[int]:
    def work(app: App, undertaking: Undertaking) -> str:
        found = [rejected.refusal(app.spool, each) for each in numbers] or list(rejected.refusals(app.spool))
        done = 0
        for each in found:
            try:
                if verb == "retry":
                    rejected.readmit(app.spool, each)
                else:
                    rejected.purge(app.spool, each)
            except PqfsError as error:
                undertaking.note(each.name, error)
                continue
            with app.index.transaction():
                app.index.add_event(
                    app.clock.now(), author.actor, f"{verb} rejected", queue=each.queue,
                    reason=author.reason or each.reason, after=f"{each.number} {each.name}",
                )  # fmt: skip
            undertaking.note(each.name)
            done += 1
        return f"{done} {'put back into the inbox' if verb == 'retry' else 'removed'}."

    return begin(f"{verb.capitalize()} rejected", author, work)


# -------------------------------------------------------------------- disagreements


def repair(findings: Sequence[Finding], author: Author) -> Answer[int]:
    """Repair these findings: first what the dead left, then one by one; then the check looks again.

    Each act looks again before it does anything.
    """
    look_again = checker().start

    def work(app: App, undertaking: Undertaking) -> str:
        app.janitor("fsck").look()
        mending = Mending(app.jobqueue, app.recovery(), app.owners, app.clock)
        for finding in findings:
            mending.mend(finding)
            undertaking.note(finding.path or finding.job or finding.name)
        told = "; ".join(f"{each.name}: {each.path or each.job or 'the index'}" for each in findings[:_TOLD])
        with app.index.transaction():
            app.index.add_event(app.clock.now(), author.actor, "repair", reason=author.reason, after=told)
        look_again()
        return "Repaired. The check looks again."

    count = len(findings)
    return begin("Repair a disagreement" if count == 1 else f"Repair {count} disagreements", author, work)
