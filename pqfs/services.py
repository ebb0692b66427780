"""The processes, put together and run: what `pqfs ingest`, `pqfs consume` and `pqfs janitor` are.

What only one of them is made of is imported where it is made: all three start at once, and each anew after a crash.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pqfs import kernel
from pqfs.custody import bar
from pqfs.doorbell import ring
from pqfs.errors import IndexDamaged, IndexGone, QueueNotFound, Refused, SchemaInUse, Unavailable
from pqfs.events import Word, emit, trouble
from pqfs.hosts import beat_host
from pqfs.index import Index
from pqfs.owners import ask_to_end
from pqfs.pulse import SUFFIX, read_beat
from pqfs.runtime import Heartbeat, Presence, Stop, follow_supervisor, program_name
from pqfs.settings import Loaded
from pqfs.wiring import App, open_app, open_index

if TYPE_CHECKING:
    from pqfs.alarms import Change, Checkup
    from pqfs.footing import Footing
    from pqfs.vitals import Program

_ASK_EVERY = 2.0  # seconds between two looks whether a broken index has been made again


@contextmanager
def _service(app: App, program: str, loaded: Loaded) -> Iterator[tuple[Presence, Stop]]:
    """A process of pqfs: signals, supervisor, lock and bell."""
    kernel.ignore_lease_breaks()
    follow_supervisor()
    stop = Stop()
    stop.listen()
    _collect_less()
    edition = (loaded.edition.path, loaded.edition.mark) if loaded.edition else None
    run, name, host = app.spool.path("run"), program_name(program), app.settings.host
    with Presence(run, name, app.clock, edition=edition, host=host) as presence:
        yield presence, stop


def _collect_less() -> None:
    """No collection looks again through what was imported, and none comes in the midst of a batch without need.

    Measured: 6 % of a busy consumer's time went into looking for garbage that batches of values never make.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
    sys.setswitchinterval(0.0005)  # a thread that hears of a new file must not hold up the one that takes it


def _open(loaded: Loaded) -> App:
    """The spool, opened for a process that is to run for long.

    Where supervisor would start us again and again, a broken or missing index is told once, and waited for: it may
    be made again meanwhile, and then the work goes on. So is the end of those who work on an older pqfs's.
    """
    follow_supervisor()
    said = ""
    while True:
        try:
            return open_app(loaded)
        except (IndexGone, SchemaInUse) as error:
            if "SUPERVISOR_ENABLED" not in os.environ or (loaded.edition and loaded.edition.is_outdated):
                raise  # whoever is started in our place reads the settings that are new
            if error.message != said:
                emit(Word.ALARM, what=error.message, hint=error.hint)
                said = error.message
        time.sleep(_ASK_EVERY)


@contextmanager
def _barring(app: App) -> Iterator[None]:
    """What is found broken while we run is told to all who would open it."""
    try:
        yield
    except IndexDamaged as error:
        bar(app.spool, error)
        raise


def _look_through(app: App, stop: Stop) -> None:
    """Look for damage in the whole index, however long it takes; everybody ends when there is any."""
    try:
        index = open_index(app.settings, read_only=True)
        problems = index.engine.integrity(lambda: stop.requested)
        index.close()
    except (Unavailable, IndexDamaged, OSError):
        # Damaged says SQLite of a read that failed, too. The next start looks again, and so does every use.
        trouble("looking through the index")
        return
    if problems:
        error = IndexDamaged(problems[0])
        bar(app.spool, error)
        emit(Word.ALARM, what=error.message, hint=error.hint)
        ask_to_end(app.owners)


def run_ingester(loaded: Loaded, drain: float | None = None) -> int:
    """Ingest until asked to stop; with `drain`, until the inbox is empty. How many files were taken by a drain."""
    from pqfs.inbox import Inbox
    from pqfs.ingester import Ingester
    from pqfs.watch import Watch

    app = _open(loaded)
    with _barring(app), _service(app, "ingester", loaded) as (presence, stop):
        owner = presence.identity.owner
        inbox = Inbox(app.settings.spool, app.settings, app.terms)
        ingester = Ingester(app.jobqueue, inbox, owner, app.clock, presence.pulse)
        if drain is not None:
            taken = ingester.drain(drain)
        else:
            tell_footing(presence, app.spool.path("run"), inbox.footing)
            watch = Watch(inbox.path, inbox.footing.watch)
            with _seen_to_live(app, owner):
                ingester.run(stop, presence.bell, watch)
            watch.close()
            taken = 0
        app.spool.remove_directory(f"ready/{owner}")
    app.close()
    return taken


def tell_footing(presence: Presence, run: Path, footing: Footing) -> None:
    """Note how the ingester stands on the inbox's file system, for whoever asks; and say it when that has changed.

    What the ingester before this one has chosen is in the pulse that it left.
    """
    before = read_beat(run / f"{presence.identity.program}{SUFFIX}")
    now, was = asdict(footing), before.said.get("footing") if before else None
    old = {name: was.get(name) for name in now} if isinstance(was, dict) else now
    if old != now:
        emit(
            Word.ALARM, what="the inbox lies on another file system, or is looked at in another way", was=old, now=now
        )
    presence.pulse.note(footing={**now, "was": old if old != now else None})


def run_consumer(loaded: Loaded, queues: Sequence[str] | None = None, until_empty: bool = False) -> int:
    """Consume until asked to stop, or until nothing is left; how many jobs were completed."""
    from pqfs.consumer import Consumer
    from pqfs.enrolment import heartbeat, register
    from pqfs.runnerlink import RunnerLink, check_confinement

    check_confinement(loaded.settings)
    app = _open(loaded)
    if not _is_wanted(app):
        app.close()
        _leave(loaded)
        return 0
    _check_queues(app, queues)
    queues = queues or _subscription(app)
    kernel.become_subreaper()
    with _barring(app), _service(app, "consumer", loaded) as (presence, stop):
        identity = presence.identity
        lease = app.settings.consume.lease
        beats_index = open_index(app.settings)  # first: who has registered is whole, whatever becomes of the index
        beats_index.engine.hold(identity.owner)
        register(app.index, identity, os.getpid(), queues, lease, app.clock)
        link = RunnerLink(app.spool, app.settings, identity.owner, str((app.config or Path.cwd() / "x").parent))
        consumer = Consumer(app.jobqueue, link, identity, app.clock, queues)
        is_shared = app.settings.host is not None
        beats = heartbeat(beats_index, consumer, identity, lease, app.clock, stop, is_shared)
        beats.start()
        try:
            consumer.run(stop, presence, until_empty)
        finally:
            beats.stop()
            beats_index.close()
        with app.index.transaction():
            app.index.forget_consumer(identity.owner)
        app.spool.path(f"run/{identity.owner}.slot").unlink(missing_ok=True)
        if stop.retiring and not (stop.requested or _is_wanted(app)):
            _leave(loaded)
    app.close()
    return consumer.completed


def _check_queues(app: App, queues: Sequence[str] | None) -> None:
    """Who subscribes to a queue that is not there would wait for ever.

    Raises:
        QueueNotFound: there is none of this name.
    """
    known = sorted(row.name for row in app.terms.look())
    if missing := sorted(set(queues or ()) - set(known)):
        app.close()
        raise QueueNotFound(missing[0], known)


def _subscription(app: App) -> Sequence[str] | None:
    """The queues that a person wants this consumer to serve; None for all."""
    return (app.index.roster() or {}).get(program_name("consumer"))


def _is_wanted(app: App) -> bool:
    """Whether this consumer is to run. One that is not, and whose supervisor started it all the same, leaves."""
    roster = app.index.roster()
    if roster is None or "SUPERVISOR_ENABLED" not in os.environ or program_name("consumer") in roster:
        return True
    emit(Word.STOPPED, what="this consumer is not wanted; it runs again with: pqfs consumers start NAME")
    return False


def _leave(loaded: Loaded) -> None:
    from pqfs.stack.supervisor import leave

    leave(loaded.settings.spool / "run")


def _checkup(app: App, presence: Presence) -> Checkup:
    """The janitor's rounds. What the janitor before us has noted is in the pulse that it left."""
    from pqfs.alarms import Checkup

    run = app.spool.path("run")
    before = read_beat(run / f"{presence.identity.program}{SUFFIX}")
    if before is not None and before.boot_id != presence.identity.boot_id:
        before = None
    return Checkup(app, presence.pulse, before, partial(_programs, run), partial(_tell_alarms, app))


def _tell_alarms(app: App, changes: Sequence[Change]) -> None:
    """Note for the hooks what alarms have begun, or are over."""
    if changes and app.jobqueue.notices.wants_alarms():
        with app.index.transaction():
            for each in changes:
                app.jobqueue.notices.alarm(each.rule, each.sentence, each.hint, each.is_over, app.clock.now())
        app.jobqueue.notices.ring()


def _programs(run: Path) -> Sequence[Program] | None:
    from pqfs.stack.supervisor import programs

    return programs(run)


def run_courier(loaded: Loaded, until_empty: bool = False) -> None:
    """Tell producers and hooks what has happened until asked to stop, or until there is nothing more to tell."""
    from pqfs.courier import Courier

    app = _open(loaded)
    with _barring(app), _service(app, "courier", loaded) as (presence, stop):
        folder = app.config.parent if app.config else Path.cwd()
        Courier(app.jobqueue, app.clock, folder, presence.pulse).run(stop, presence.bell, until_empty)
    app.close()


@contextmanager
def _seen_to_live(app: App, owner: str, beat: Callable[[Index], None] = lambda index: None) -> Iterator[None]:
    """Other hosts see that this process lives: its name is held by a connection of its own, that also beats."""
    if app.settings.host is None:
        yield
        return
    index = open_index(app.settings)
    index.engine.hold(owner)
    beats = Heartbeat(app.settings.consume.lease / 3, partial(beat, index), index.engine.keep)
    beats.start()
    try:
        yield
    finally:
        beats.stop()
        index.close()


def _listen(app: App, stop: Stop) -> None:
    """Ring this host's doorbell when another host has made work. Who is not rung for polls.

    Behind a proxy that shares sessions nobody can listen: its session would hear what nobody asks for.
    """
    from pqfs.index.listening import Listener

    while not stop.requested:
        try:
            with closing(Listener(str(app.settings.index_server))) as listener:
                while not stop.requested:
                    if listener.heard(_ASK_EVERY):
                        ring(app.spool.path("run"))
        except Refused:
            return
        except Unavailable:
            time.sleep(_ASK_EVERY)


def _beat_host(app: App, index: Index) -> None:
    beat_host(app.settings, index, app.clock)


def run_janitor(loaded: Loaded, once: bool = False) -> None:
    """Look after the spool until asked to stop, or once."""
    app = _open(loaded)
    with _barring(app), _service(app, "janitor", loaded) as (presence, stop):
        janitor = app.janitor(presence.identity.owner)
        if once:
            janitor.look_until_sure(stop)
            while janitor.purge():
                pass
        else:
            threading.Thread(target=_look_through, args=(app, stop), name="looking through", daemon=True).start()
            if app.settings.index_server:
                threading.Thread(target=_listen, args=(app, stop), name="listening", daemon=True).start()
            with _seen_to_live(app, presence.identity.owner, partial(_beat_host, app)):
                janitor.run(stop, presence.bell, _checkup(app, presence))
    app.close()
