"""What is done to queues, consumers, rejected files and disagreements; the same verbs as on the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pqfs import rejected
from pqfs.errors import Misconfigured, PqfsError
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


def delete(name: str, author: Author) -> Answer[int]:
    """Delete a queue that is empty."""

    def work(app: App, undertaking: Undertaking) -> str:
        Queueing(app.jobqueue).delete(name, author.actor, author.reason, app.clock.now())
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


def drain(name: str, author: Author) -> Answer[int]:
    """Have it end when what it runs has ended."""
    return begin(f"Drain {name}", author, _changing(lambda each, who: each.drain(name, who)))


def _changing(change: Callable[[Fleet, fleet.Author], Change]) -> Work:
    def work(app: App, undertaking: Undertaking) -> str:
        crew = Fleet(app, Supervisor(app.settings.spool / SOCKET))
        begun = change(crew, fleet.Author(undertaking.author.actor, undertaking.author.reason))
        if not begun.is_running:
            return f"pqfs is not running here; consumers from its next start on: {len(begun.roster)}."
        while crew.pending(begun):
            undertaking.look_up()
            undertaking.wait(_LOOK_EVERY)
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
