"""The courier: tells producers and hooks what the verbs have noted, at least once, and holds up nobody.

Receipts are files, written in the order in which things happened. Each hook has a lane of its own, a thread with one
letter at a time, so that a receiver that hangs keeps only itself waiting. What could not be told is tried again with
growing pauses, then put aside until a person decides. A notice is forgotten only after it was told, so a courier that
is killed tells it once more: by its `id` a receiver knows it.
"""

from __future__ import annotations

import json
import os
import random
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pqfs import hooks
from pqfs.clock import Clock
from pqfs.doorbell import Bell
from pqfs.errors import IndexGone, VolumeFault
from pqfs.events import Word, emit
from pqfs.hooks import Letter
from pqfs.hooksettings import HookSettings
from pqfs.index.notices import RECEIPT, Notice, Notices
from pqfs.jobqueue import JobQueue
from pqfs.modes import mend
from pqfs.pulse import Pulse
from pqfs.runtime import Pause, Stop
from pqfs.settings import Settings
from pqfs.vigil import Vigil

_POLL = 2.0  # seconds until it looks although nobody has rung
_SOON = 0.05  # seconds until it looks again for what is about to happen
_TRUE_WITHIN = 60.0  # seconds after which a refusal that has not happened never will
_AT_ONCE = 200  # receipts that are made durable together
_RECEIPTS_AGAIN = 5.0  # seconds until the next try to write one
_UPKEEP_EVERY = 3600.0

Deliver = Callable[[HookSettings, Letter, Path, float], str | None]


class Courier:
    """One courier; a second one would tell everything twice, so that only one runs on a spool."""

    def __init__(
        self, jobqueue: JobQueue, clock: Clock, folder: Path, pulse: Pulse | None = None,
        deliver: Deliver = hooks.deliver,
    ) -> None:  # fmt: skip
        self._jobqueue = jobqueue
        self._spool = jobqueue.spool
        self._index = jobqueue.index
        self._rows = Notices(jobqueue.index.engine)
        self._clock = clock
        self._folder = folder
        self._pulse = pulse
        self._deliver = deliver
        self._hooks = hooks_of(jobqueue.settings)
        self._under_way: set[str] = set()  # the hooks that are being told something just now
        self._ended: deque[tuple[Notice, str | None]] = deque()
        self._wake: Callable[[], None] = lambda: None
        self._pause = Pause("telling what has happened")
        self._vigil = Vigil(jobqueue.spool, jobqueue.index, clock)
        self._upkeep_at = 0.0

    def run(self, stop: Stop, bell: Bell, until_empty: bool = False) -> None:
        """Tell until asked to stop; with `until_empty` until nothing is due and nothing under way."""
        self._wake = stop.wake
        while not stop.requested:
            wait = self._turn_safely()
            if until_empty and not self._under_way and wait > _SOON and not self._ended:
                break
            stop.wait(wait, [bell])
            bell.hear()
        self._drain(stop)

    def _drain(self, stop: Stop) -> None:
        """Wait a while for what is under way; what has not ended by then is told again by the next courier."""
        until = self._clock.boottime() + self._jobqueue.settings.consume.drain
        while self._under_way and self._clock.boottime() < until:
            self._note_ended()
            if self._under_way:
                stop.wait(min(_SOON, until - self._clock.boottime()))
        self._note_ended()

    def _turn_safely(self) -> float:
        try:
            self._vigil.look()
            wait = self.turn()
            self._pause.say(None)
            if self._pulse:
                self._pulse.beat()
            return wait
        except (IndexGone, VolumeFault):
            raise
        except Exception as error:  # noqa: BLE001 -- the top of the loop: log, wait, go on
            known = self._pause.blame(error)
            if self._pulse:
                self._pulse.complain(str(known or error))
            return _POLL

    def turn(self) -> float:
        """Tell what is due, as far as nobody is busy; seconds until there may be more."""
        self._note_ended()
        if not self._index.engine.leads("courier", self._jobqueue.settings.host):
            return _POLL  # another host's tells; its death gives us the duty
        now = self._clock.now()
        is_early = False
        for sink in self._rows.sinks():
            if sink == RECEIPT:
                is_early |= self._write_receipts(now)
            elif sink not in self._under_way:
                is_early |= self._tell(sink, now)
        self._keep_up(now)
        return _SOON if is_early else self._next_look(now)

    def _next_look(self, now: float) -> float:
        due = self._rows.next_due()
        is_busy = bool(self._under_way)
        return _POLL if due is None or is_busy else min(_POLL, max(_SOON, due - now))

    # ---------------------------------------------------------------- what is true by now

    def _sort(self, due: Sequence[Notice], now: float) -> tuple[list[Notice], bool]:
        """Those whose act has been carried out, and whether one is about to be. What never will be is forgotten."""
        told, is_early = [], False
        for notice in due:
            if self._has_happened(notice):
                told.append(notice)
            elif notice.kind == "rejected" and now - notice.at > _TRUE_WITHIN:
                self._forget([notice])
            else:
                is_early = True
        return told, is_early

    def _has_happened(self, notice: Notice) -> bool:
        """Whether what was committed can be seen: an output in the outbox (or taken), a refusal in rejected/."""
        if notice.kind == "rejected":
            return self._spool.exists(str(notice.body["path"]))
        if notice.kind == "completed" and not self._spool.exists(self._output(notice)):
            job = self._index.job(str(notice.job))
            return job is None or job.confirmed
        return True

    def _output(self, notice: Notice) -> str:
        return self._spool.output_path(notice.queue, str(notice.body["output"]))

    def _make_lasting(self, told: Sequence[Notice]) -> None:
        """Outputs are durable under their names before anybody is told: nobody sees one a second time."""
        outputs = [self._output(each) for each in told if each.kind == "completed"]
        self._spool.barrier(outputs, sorted({os.path.dirname(path) for path in outputs}))

    # ---------------------------------------------------------------- receipts

    def _write_receipts(self, now: float) -> bool:
        """Write the newest of each file; whether some are about to be true."""
        told, is_early = self._sort(self._rows.due(RECEIPT, now, _AT_ONCE), now)
        newest = {each.subject: each for each in told}
        if not newest:
            return is_early
        try:
            self._make_lasting(told)
            self._lay(newest)
        except OSError as error:
            with self._index.transaction():
                for each in newest.values():
                    self._rows.failed(each, str(error.strerror), now + _RECEIPTS_AGAIN, None)
            raise
        # Crash here: receipts that are written, their notices still there; they are written once more.
        self._forget(list(newest.values()))
        return is_early

    def _lay(self, newest: Mapping[str, Notice]) -> None:
        by_folder: dict[str, dict[str, bytes]] = {}
        for subject, notice in newest.items():
            folder, _, name = f"receipts/{subject}".rpartition("/")
            text = json.dumps(notice.body, ensure_ascii=False, indent=1)
            by_folder.setdefault(folder, {})[name] = text.encode("utf-8", "backslashreplace") + b"\n"
        for folder, files in by_folder.items():
            if not self._spool.exists(folder):
                self._spool.make_directory(folder)
                mend(self._jobqueue.settings, self._spool.path(folder), [os.path.basename(folder)])
            self._spool.replace_all(folder, files)

    def _forget(self, told: Sequence[Notice]) -> None:
        with self._index.transaction():
            for each in told:
                self._rows.delivered(each)

    # ---------------------------------------------------------------- hooks

    def _tell(self, sink: str, now: float) -> bool:
        """Begin to tell a hook what is next; whether something for it is about to be true."""
        told, is_early = self._sort(self._rows.due(sink, now, 10), now)
        if not told:
            return is_early
        hook, notice = self._hooks.get(sink), told[0]
        if hook is None:
            self._give_up(notice, "no hook of pqfs.toml, as this courier has read it, delivers there", now)
            return True
        self._make_lasting([notice])
        self._under_way.add(sink)
        letter = Letter(notice.id, notice.kind, json.dumps(notice.body, ensure_ascii=False).encode())
        threading.Thread(target=self._try, args=(hook, notice, letter), name=f"hook {sink}", daemon=True).start()
        return is_early

    def _try(self, hook: HookSettings, notice: Notice, letter: Letter) -> None:
        try:
            error = self._deliver(hook, letter, self._folder, self._clock.now())
        except Exception as failure:  # noqa: BLE001 -- a try that went wrong in any way is a try that failed
            error = f"{type(failure).__name__}: {failure}"
        self._ended.append((notice, error))
        self._wake()

    def _note_ended(self) -> None:
        """Write down what has become of the tries that have ended. What can not be written is told again."""
        while self._ended:
            notice, error = self._ended.popleft()
            self._under_way.discard(notice.sink)
            # Crash here: it was told, and its notice is still there; it is told once more, under the same id.
            if error is None:
                self._forget([notice])
                emit(Word.TOLD, what=notice.kind, job=notice.job, to=self._hooks[notice.sink].target)
            else:
                self._note_failure(notice, error, self._clock.now())

    def _note_failure(self, notice: Notice, error: str, now: float) -> None:
        hook = self._hooks[notice.sink]
        if notice.tries + 1 >= hook.tries:
            self._give_up(notice, error, now)
            return
        pause = min(hook.backoff_cap, hook.backoff * 2.0**notice.tries) * random.uniform(0.5, 1.0)
        with self._index.transaction():
            self._rows.failed(notice, error[:500], now + pause, None)
        emit(Word.UNTOLD, what=notice.kind, job=notice.job, to=hook.target, error=error, again_in=pause)

    def _give_up(self, notice: Notice, error: str, now: float) -> None:
        with self._index.transaction():
            self._rows.failed(notice, error[:500], now, now)
        emit(Word.UNTOLD, what=notice.kind, job=notice.job, to=notice.sink, error=error)

    # ---------------------------------------------------------------- upkeep

    def _keep_up(self, now: float) -> None:
        """Once an hour: remove the receipts that are no longer kept."""
        if self._clock.boottime() < self._upkeep_at:
            return
        self._upkeep_at = self._clock.boottime() + _UPKEEP_EVERY
        kept_since = now - self._jobqueue.settings.keep.seconds("receipts")
        for path in self._spool.path("receipts").rglob("*"):
            relative = os.path.relpath(path, self._spool.root)
            found = self._spool.status(relative)
            if path.suffix in (".json", ".tmp") and found is not None and found.st_mtime < kept_since:
                self._spool.remove(relative)


def hooks_of(settings: Settings) -> dict[str, HookSettings]:
    """Every hook that the settings name, by its mark."""
    queues = [settings.defaults, *settings.queues.values()]
    return {hook.mark: hook for queue in queues for hook in queue.hooks}
